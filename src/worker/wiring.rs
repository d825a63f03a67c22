//! Builds the broker options from the configuration, and decoder input from messages.

use std::borrow::Cow;
use std::sync::Arc;

use secrecy::SecretString;

use crate::config::{self, AmqpUrl, read_pem};
use crate::event::mapping::Mapping;
use crate::event::{self, Format, PROPERTIES, Rules, Surroundings};
use crate::letter::Redriven;
use crate::rabbitmq::{self, Access, AccessSource, HeaderValue, Identity, Message, Timing};
use crate::shell::{SetupError, certificates};

/// Builds the options of a broker session. A `prefetch` of 0 is for commands that do not consume.
///
/// # Errors
/// When a file cannot be read any more, or the settings were not checked.
pub fn broker_options(
    broker: &config::RabbitMq,
    prefetch: u16,
) -> Result<rabbitmq::Options, SetupError> {
    let tls = broker.urls()?.iter().all(AmqpUrl::is_tls);
    let files = [
        &broker.url_file,
        &broker.username_file,
        &broker.password_file,
        &broker.ca_file,
        &broker.cert_file,
    ];
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
        accept_lossy_queue: broker.accept_lossy_queue,
        delivery_limit: broker.delivery_limit,
        prefetch,
        timing: Timing::default(),
    })
}

/// Reads URLs, trust roots and client certificate from their files.
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

/// Rereads the files when a session is opened. What is unusable, or would downgrade the worker from TLS, is
/// ignored.
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
pub(super) fn read(message: &Message, redriven: Option<&Redriven>, rules: &Rules) -> event::Read {
    let header = |name: &str| message.header(name).and_then(header_text);
    let route = message.published_to();
    let has_our_body = redriven.is_some_and(|redriven| redriven.body.is_some());
    let surroundings = || Surroundings {
        headers: message.headers_as_json(),
        properties: message.properties_as_json(&PROPERTIES),
    };
    let message = event::Message {
        body: &message.body,
        content_type: message.content_type(),
        content_encoding: message.content_encoding(),
        kind: message.kind(),
        message_id: message.message_id(),
        timestamp: message.timestamp(),
        exchange: Some(route.exchange),
        routing_key: route.routing_key,
        header: &header,
        surroundings: &surroundings,
    };
    match has_our_body {
        true => event::read(&message, &ours(message.kind)),
        false => event::read(&message, rules),
    }
}

/// How the event is read that `tagsweep dead-letters redrive` writes in place of a body that was left out. No rule
/// is for it, whatever its headers are.
fn ours(kind: Option<&str>) -> Rules {
    Rules {
        format: Format::Plain,
        types: kind.map(str::to_owned).into_iter().collect(),
        mapping: Mapping::default(),
    }
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
    use crate::config::Settings;

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
        let settings: Settings = config::load(&[], settings).unwrap();
        let newer = broker_options(&settings.rabbitmq, 1)
            .unwrap()
            .newer
            .unwrap();
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
