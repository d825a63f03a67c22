//! The section `im`: the API, the account that calls it, and its quota.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::in_units::InUnits;
use super::secret::{Secret, SecretText};

/// The API of Tencent Cloud Chat: where it is, who calls it, and how fast.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Im {
    /// Domain of the region that the app was created in. http:// only for a host on this machine.
    pub base_url: String,
    /// Path of the API. /v4/timpush/clear_all_tags of the Push plugin takes the same requests.
    pub path: String,
    /// Number of the app (SDKAppID) in the console. Required.
    // 0 is not set.
    #[serde(default)]
    #[schemars(range(min = 1, max = u32::MAX))]
    pub sdk_app_id: u32,
    /// Account that calls the API (`identifier`): an App admin.
    pub admin: String,
    /// Secret key of the app, which signs UserSigs. Exactly one of secret_key, secret_key_file, user_sig and
    /// user_sig_file is required.
    pub secret_key: Option<SecretText>,
    /// File that holds the secret key of the app.
    pub secret_key_file: Option<PathBuf>,
    /// Ready-made UserSig instead of the key. It cannot be renewed.
    pub user_sig: Option<SecretText>,
    /// File that holds a ready-made UserSig.
    pub user_sig_file: Option<PathBuf>,
    /// How long a UserSig that the worker signs is valid; it is renewed at 80 % of that time. 1m to 438000h.
    #[serde(with = "InUnits")]
    pub user_sig_lifetime: Duration,
    /// Quota: calls per second, retries included, of all replicas together.
    #[schemars(range(min = 1, max = 10_000))]
    pub calls_per_second: u32,
    /// Calls in flight at the same time.
    #[schemars(range(min = 1, max = 1000))]
    pub max_in_flight: usize,
    /// Connect timeout, TLS handshake included. At most request_timeout.
    #[serde(with = "InUnits")]
    pub connect_timeout: Duration,
    /// Timeout of a whole call. The API itself gives up after 3s.
    #[serde(with = "InUnits")]
    pub request_timeout: Duration,
    /// CA certificate (PEM) to trust in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// HTTP or HTTPS proxy for calls to the API, if needed with a login. HTTPS_PROXY and similar variables are ignored.
    pub proxy_url: Option<SecretText>,
    /// File that holds the URL of the proxy. It is read at the start.
    pub proxy_url_file: Option<PathBuf>,
    /// User ID that belongs to nobody. A call for it shows whether the API refuses everybody.
    pub control_user: String,
    /// What to do with a user that the API does not know.
    pub missing_account: MissingAccount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MissingAccount {
    /// Nothing is left to clear.
    Done,
    /// Dead-lettered as unknown-account.
    DeadLetter,
}

/// What proves to the API who calls.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Signs a new UserSig whenever one is needed.
    SecretKey(Secret),
    /// A UserSig as it is.
    UserSig(Secret),
}

impl Im {
    /// The one kind of credentials that is set. `None` only if the settings were not checked.
    pub fn credentials(&self) -> Option<Credentials> {
        let key = Secret::of(self.secret_key.as_ref(), self.secret_key_file.as_deref());
        let sig = Secret::of(self.user_sig.as_ref(), self.user_sig_file.as_deref());
        key.map(Credentials::SecretKey)
            .or(sig.map(Credentials::UserSig))
    }

    /// The URL of the proxy, if one is set.
    pub fn proxy(&self) -> Option<Secret> {
        Secret::of(self.proxy_url.as_ref(), self.proxy_url_file.as_deref())
    }
}
