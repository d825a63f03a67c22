//! From the configuration to what each part is built from.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::config::{
    self, AmqpUrl, Credentials, EventFormat, PemError, Secret, Settings, UrlsError, read_pem,
};
use crate::engine::{self, MissingAccount};
use crate::event::{self, Format, Rules};
use crate::im::{self, BuildError, Credential};
use crate::rabbitmq::{self, Access, AccessSource, HeaderValue, Identity, Message, Timing};

/// How much the way to the API may jitter before a second there could hold too many calls. At 20 ms,
/// 98 calls a second are left of 100; a fast API gives most of them back.
const QUOTA_MARGIN: Duration = Duration::from_millis(20);

/// Why a part could not be built from a configuration that was found to be in order.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("rabbitmq.url: {0}")]
    Urls(#[from] UrlsError),
    #[error("im.base_url: {0}")]
    BaseUrl(#[from] url::ParseError),
    #[error("one of im.secret_key, im.user_sig and their _file forms is required")]
    NoCredentials,
    #[error("the API client: {0}")]
    Client(BuildError),
}

/// `lease` is what the broker's heartbeats allow.
pub(super) fn engine_settings(settings: &Settings, lease: Duration) -> engine::Settings {
    engine::Settings {
        max_ids: settings.window.max_ids,
        max_wait: settings.window.max_wait,
        max_in_flight: settings.im.max_in_flight,
        calls_per_second: settings.im.calls_per_second,
        quota_margin: QUOTA_MARGIN,
        prefetch: usize::from(settings.prefetch()),
        lease: Some(lease),
        hold_limit: settings.rabbitmq.hold_limit,
        max_attempts: settings.retry.max_attempts,
        backoff_min: settings.retry.backoff_min,
        backoff_max: settings.retry.backoff_max,
        missing_account: match settings.im.missing_account {
            config::MissingAccount::Done => MissingAccount::Done,
            config::MissingAccount::DeadLetter => MissingAccount::DeadLetter,
        },
        seed: fastrand::u64(..),
    }
}

pub(super) fn rules(events: &config::Events) -> Rules {
    let format = match events.format {
        EventFormat::Auto => Format::Auto,
        EventFormat::Plain => Format::Plain,
        EventFormat::CloudEvents => Format::CloudEvents,
    };
    Rules {
        format,
        types: events.types.clone(),
    }
}

/// What the API client is built from.
///
/// # Errors
/// When a file cannot be read any more, or the settings were not checked.
pub fn client_options(settings: &config::Im) -> Result<im::Options, SetupError> {
    let credential = match settings.credentials().ok_or(SetupError::NoCredentials)? {
        Credentials::SecretKey(key) => Credential::SecretKey {
            load: source(key),
            lifetime: settings.user_sig_lifetime,
        },
        Credentials::UserSig(user_sig) => Credential::UserSig {
            load: source(user_sig),
        },
    };
    Ok(im::Options {
        base_url: settings.base_url.parse()?,
        path: settings.path.clone(),
        sdk_app_id: settings.sdk_app_id,
        admin: settings.admin.clone(),
        credential,
        connect_timeout: settings.connect_timeout,
        request_timeout: settings.request_timeout,
        ca_pem: certificates(settings.ca_file.as_deref())?.map(String::into_bytes),
        max_idle_connections: settings.max_in_flight,
    })
}

fn certificates(file: Option<&Path>) -> Result<Option<String>, PemError> {
    file.map(|file| Ok(read_pem(file)?.to_string())).transpose()
}

fn source(secret: Secret) -> im::SecretSource {
    Arc::new(move || {
        secret.load().map_err(|error| match error {
            config::SecretError::Unreadable { cause, .. } => {
                im::SecretError::Unreadable(cause.kind())
            }
            config::SecretError::Empty { .. } => im::SecretError::Empty,
        })
    })
}

/// What a broker session is opened with.
///
/// # Errors
/// When a file cannot be read any more, or the settings were not checked.
pub fn broker_options(settings: &Settings) -> Result<rabbitmq::Options, SetupError> {
    let broker = &settings.rabbitmq;
    let tls = broker.urls()?.iter().all(AmqpUrl::is_tls);
    let files = [&broker.url_file, &broker.ca_file, &broker.cert_file];
    let from_files = files.into_iter().any(Option::is_some);
    let Access {
        urls,
        ca_pem,
        identity,
    } = access(broker)?;
    Ok(rabbitmq::Options {
        urls,
        newer: from_files.then(|| newer_access(broker, tls)),
        ca_pem,
        identity,
        exchange: broker.exchange.clone(),
        routing_keys: broker.routing_keys.clone(),
        queue: broker.queue.clone(),
        dead_letter_exchange: broker.dead_letter_exchange.clone(),
        dead_letter_queue: broker.dead_letter_queue.clone(),
        declare: broker.declare,
        prefetch: settings.prefetch(),
        timing: Timing::default(),
    })
}

/// URLs, trust roots and client certificate, as their files have them now.
fn access(broker: &config::RabbitMq) -> Result<Access, SetupError> {
    let identity = match (&broker.cert_file, &broker.key_file) {
        (Some(cert), Some(key)) => Some(Identity {
            cert_pem: read_pem(cert)?.to_string(),
            key_pem: SecretString::from(read_pem(key)?.as_str()),
        }),
        _ => None,
    };
    Ok(Access {
        urls: secrets(&broker.urls()?),
        ca_pem: certificates(broker.ca_file.as_deref())?,
        identity,
    })
}

/// The files as they are when a session is opened. What cannot be used, or would take the worker from TLS
/// to a connection in the clear, changes nothing.
fn newer_access(broker: &config::RabbitMq, tls: bool) -> AccessSource {
    let broker = broker.clone();
    AccessSource(Arc::new(move || {
        let in_the_clear = tls && !broker.urls().ok()?.iter().all(AmqpUrl::is_tls);
        access(&broker).ok().filter(|_| !in_the_clear)
    }))
}

fn secrets(urls: &[AmqpUrl]) -> Vec<SecretString> {
    urls.iter()
        .map(|url| SecretString::from(url.expose_secret()))
        .collect()
}

/// Reads a message, as the decoder sees it.
pub(super) fn decode(message: &Message, rules: &Rules) -> event::Decoded {
    let header = |name: &str| message.header(name).and_then(header_text);
    let message = event::Message {
        body: &message.body,
        content_type: message.content_type(),
        content_encoding: message.content_encoding(),
        kind: message.kind(),
        message_id: message.message_id(),
        timestamp: message.timestamp(),
        routing_key: message.routing_key(),
        header: &header,
    };
    event::decode(&message, rules)
}

/// The canonical text of a header; CloudEvents allows native types where it has them.
fn header_text(value: HeaderValue<'_>) -> Option<Cow<'_, str>> {
    match value {
        HeaderValue::Text(text) => Some(text.into()),
        HeaderValue::Integer(number) => Some(number.to_string().into()),
        HeaderValue::Timestamp(seconds) => Some(seconds.to_string().into()),
        HeaderValue::Boolean(_) | HeaderValue::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_url_file_is_read_anew_and_never_leads_out_of_tls() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |url: &str| std::fs::write(file.path(), url).unwrap();
        write("amqps://u:pa55word-1@h/v");
        let settings = BTreeMap::from(
            [
                ("RABBITMQ__URL_FILE", file.path().to_str().unwrap()),
                ("IM__SDK_APP_ID", "1400000000"),
                ("IM__SECRET_KEY", "5ec2e7"),
            ]
            .map(|(key, value)| (format!("TAGSWEEP__{key}"), value.to_owned())),
        );
        let settings = config::load(&[], settings).unwrap();
        let newer = broker_options(&settings).unwrap().newer.unwrap();
        let newer = || {
            let urls = (newer.0)()?.urls;
            Some(urls[0].expose_secret().to_owned())
        };
        write("amqps://u:pa55word-2@h/v");
        assert_eq!(newer().as_deref(), Some("amqps://u:pa55word-2@h/v"));
        for unusable in ["amqp://u:pa55word-2@h/v", "no URL", ""] {
            write(unusable);
            assert_eq!(newer(), None, "{unusable}");
        }
    }
}
