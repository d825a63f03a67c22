//! Builds the engine's settings and the API client from the configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{
    self, Credentials, PemError, RuleError, Secret, Settings, UrlsError, read_pem,
};
use crate::engine::{self, MissingAccount};
use crate::event::{InvalidUserId, UserId};
use crate::im::{self, BuildError, Credential};
use crate::shell::Source;

/// Network jitter that is tolerated before the API could count too many calls in a second. At 20 ms, 98 calls a
/// second are left of 100; a fast API gives most of them back.
const QUOTA_MARGIN: Duration = Duration::from_millis(20);

/// Why a part could not be built from a valid configuration.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("rabbitmq.url: {0}")]
    Urls(#[from] UrlsError),
    #[error("im.base_url: {0}")]
    BaseUrl(#[from] url::ParseError),
    #[error("im.control_user: {0}")]
    ControlUser(InvalidUserId),
    #[error(transparent)]
    Secret(#[from] config::SecretError),
    #[error("one of im.secret_key, im.user_sig and their _file forms is required")]
    NoCredentials,
    #[error("{0}")]
    Rule(RuleError),
    #[error("the API client: {0}")]
    Client(BuildError),
}

impl From<Vec<RuleError>> for SetupError {
    /// The configuration was checked: one of them is enough.
    fn from(errors: Vec<RuleError>) -> SetupError {
        let first = errors.into_iter().next();
        SetupError::Rule(first.unwrap_or_default())
    }
}

pub(super) fn engine_settings(
    settings: &Settings,
    source: Source,
) -> Result<engine::Settings, SetupError> {
    Ok(engine::Settings {
        max_ids: settings.window.max_ids,
        max_wait: settings.window.max_wait,
        max_in_flight: settings.im.max_in_flight,
        calls_per_second: settings.im.calls_per_second,
        quota_margin: QUOTA_MARGIN,
        prefetch: usize::from(settings.prefetch()),
        out_of_order: source.out_of_order,
        lease: source.lease,
        hold_limit: settings.rabbitmq.hold_limit,
        max_attempts: settings.retry.max_attempts,
        backoff_min: settings.retry.backoff_min,
        backoff_max: settings.retry.backoff_max,
        missing_account: match settings.im.missing_account {
            config::MissingAccount::Done => MissingAccount::Done,
            config::MissingAccount::DeadLetter => MissingAccount::DeadLetter,
        },
        control_user: UserId::parse(&settings.im.control_user).map_err(SetupError::ControlUser)?,
        seed: fastrand::u64(..),
    })
}

/// Options of the API client.
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
        proxy: settings.proxy().map(|url| url.load()).transpose()?,
        max_idle_connections: settings.max_in_flight,
    })
}

pub(crate) fn certificates(file: Option<&Path>) -> Result<Option<String>, PemError> {
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
