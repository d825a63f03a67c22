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
    /// Regional domain of the app. https; http only for a host on this machine.
    pub base_url: String,
    /// Path of the interface. The Push plugin's sibling takes the same body.
    pub path: String,
    /// Number of the app (SDKAppID). Required; 0 stands for "not set".
    #[schemars(range(min = 1, max = u32::MAX))]
    pub sdk_app_id: u32,
    /// Account that calls the API (`identifier`): an App admin.
    pub admin: String,
    /// Key of the app, which signs UserSigs. One of secret_key, secret_key_file, user_sig and
    /// user_sig_file is required.
    pub secret_key: Option<SecretText>,
    /// File that holds the key of the app.
    pub secret_key_file: Option<PathBuf>,
    /// Ready-made UserSig instead of the key. It cannot be renewed.
    pub user_sig: Option<SecretText>,
    /// File that holds a ready-made UserSig.
    pub user_sig_file: Option<PathBuf>,
    /// How long a UserSig is valid that the worker signs; it is renewed at 80 % of that. 1m to 438000h.
    #[serde(with = "InUnits")]
    pub user_sig_lifetime: Duration,
    /// Calls a second, retries included, over all replicas of one queue: the app's quota.
    #[schemars(range(min = 1, max = 10_000))]
    pub calls_per_second: u32,
    /// Calls at the same time.
    #[schemars(range(min = 1, max = 1000))]
    pub max_in_flight: usize,
    /// Longest time until a connection stands. Part of request_timeout.
    #[serde(with = "InUnits")]
    pub connect_timeout: Duration,
    /// Longest time that one call takes in all. The API's own timeout is 3s: stay above it.
    #[serde(with = "InUnits")]
    pub request_timeout: Duration,
    /// PEM file with one more root certificate to trust.
    pub ca_file: Option<PathBuf>,
    /// HTTP or HTTPS proxy for calls to the API, perhaps with a login. Proxy variables of the environment are
    /// not followed.
    pub proxy_url: Option<SecretText>,
    /// User ID that belongs to nobody. A call for it shows whether the API takes calls at all.
    pub control_user: String,
    /// What happens to a user whom the API does not know.
    pub missing_account: MissingAccount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MissingAccount {
    /// Counts as done: there is nothing left to erase.
    Done,
    /// Goes to the dead-letter queue as `unknown-account`.
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
}
