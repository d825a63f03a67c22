//! The client of the Tencent Cloud Chat API.
//!
//! It makes single calls and returns their replies. It knows the wire format and the UserSig; it does not know what
//! to do on an error code, when to retry, or where the user IDs come from.

mod connections;
mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod http;
#[cfg(test)]
mod tests;
mod usersig;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::SignedDuration;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::event::UserId;

pub use fault::{Fault, TlsFault};
pub use http::HttpAnswer;
pub use usersig::{Credential, SecretError, SecretSource};

use connections::Connections;
use usersig::Signer;

/// An answer has an entry of well under 200 bytes for each of 100 users.
const MAX_ANSWER: usize = 256 * 1024;

/// Clock skew beyond which UserSigs fail sooner or later.
pub const SKEW_LIMIT: SignedDuration = SignedDuration::from_secs(60);

/// Options of the client.
pub struct Options {
    /// Scheme and host, perhaps with a path prefix; its query is ignored.
    pub base_url: Url,
    /// The path of `im_remove_all_tags` or of a sibling that takes the same body.
    pub path: String,
    pub sdk_app_id: u32,
    /// The `identifier` of an App admin.
    pub admin: String,
    pub credential: Credential,
    pub connect_timeout: Duration,
    /// For a whole call, connecting and reading the answer included.
    pub request_timeout: Duration,
    /// PEM certificates that are trusted in addition to the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// An HTTP or HTTPS proxy for all calls, perhaps with a login.
    pub proxy: Option<SecretString>,
    /// Connections to keep: as many as calls may be in flight.
    pub max_idle_connections: usize,
}

/// Why no client could be built from the options.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the extra trust root holds no readable PEM certificate")]
    TrustRoot,
    #[error(
        "cannot set up TLS for the API: no trusted CA certificates found (SSL_CERT_FILE, SSL_CERT_DIR and the system's folders such as /etc/ssl/certs): install the package ca-certificates, or set im.ca_file"
    )]
    Tls(#[source] reqwest::Error),
    #[error("im.proxy_url is not a proxy URL")]
    Proxy,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The API executed the call, except for the users in `failed`.
    Done {
        /// Users of the request for whom the API returned an error code, each once.
        failed: Vec<(UserId, i64)>,
        /// Number of failures that the API lists for users that were not in the request.
        strangers: usize,
    },
    /// The API refused the request as a whole, with this error code.
    Refused(i64),
    /// A JSON answer that contradicts itself or lacks required fields. Whether anything was done is unknown.
    Unclear,
    /// Something other than the API answered: the HTTP status is not 200.
    Http(HttpAnswer),
    /// No answer. Unless the connection failed, it is unknown whether anything was done.
    Fault(Fault),
}

/// The API client. Clones share connections, the UserSig and the clock reading.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    connections: Connections,
    removal: Url,
    probe: Url,
    sdk_app_id: u32,
    admin: String,
    signer: Signer,
    /// In seconds; [`NO_SKEW`] before the first answer.
    skew: AtomicI64,
}

const NO_SKEW: i64 = i64::MIN;

impl Client {
    /// Builds the client without connecting or reading a secret.
    ///
    /// # Errors
    /// When the trust roots cannot be loaded, or the proxy URL is invalid.
    pub fn new(options: Options) -> Result<Client, BuildError> {
        // The process may have none yet; where it has one, this changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Client(Arc::new(Inner {
            connections: Connections::new(&options)?,
            removal: wire::endpoint(&options.base_url, &options.path),
            probe: wire::endpoint(&options.base_url, &wire::probe_path(&options.path)),
            sdk_app_id: options.sdk_app_id,
            signer: Signer::new(
                options.credential,
                options.sdk_app_id,
                options.admin.clone(),
            ),
            admin: options.admin,
            skew: AtomicI64::new(NO_SKEW),
        })))
    }

    /// Asks the API to remove all tags of 1 to 100 distinct users.
    pub async fn remove_all_tags(&self, users: &[UserId]) -> Reply {
        let body = wire::request(users.iter().map(UserId::as_str));
        self.call(&self.0.removal, body, users).await
    }

    /// Asks the API for the tags of the admin itself: changes nothing, and fails where a removal would fail for
    /// lack of permission.
    pub async fn probe(&self) -> Reply {
        let body = wire::request(std::iter::once(self.0.admin.as_str()));
        self.call(&self.0.probe, body, &[]).await
    }

    /// Asks the API for the tags of this user, which changes nothing.
    pub async fn probe_user(&self, user: UserId) -> Reply {
        let body = wire::request(std::iter::once(user.as_str()));
        self.call(&self.0.probe, body, &[user]).await
    }

    /// Drops the UserSig; the next call rereads the secret and creates a new one.
    pub fn renew_user_sig(&self) {
        self.0.signer.renew();
    }

    /// Makes the next call reread the secret, and create a new UserSig if it was replaced.
    pub fn reread_secret(&self) {
        self.0.signer.reread();
    }

    /// Why the secret cannot be read, while calls still use the UserSig created from it before.
    pub fn secret_trouble(&self) -> Option<SecretError> {
        self.0.signer.trouble()
    }

    /// By how much this machine's clock is ahead of the API's, to a second, according to the last answer.
    pub fn clock_skew(&self) -> Option<SignedDuration> {
        match self.0.skew.load(Ordering::Relaxed) {
            NO_SKEW => None,
            seconds => Some(SignedDuration::from_secs(seconds)),
        }
    }

    async fn call(&self, endpoint: &Url, body: Vec<u8>, users: &[UserId]) -> Reply {
        let reply = match self.exchange(endpoint, body).await {
            Ok(answer) => wire::reply(&answer, users),
            Err(reply) => reply,
        };
        let now = Instant::now();
        match reply {
            // Nothing was sent.
            Reply::Fault(Fault::Secret(_)) => {}
            Reply::Http(_) | Reply::Fault(_) => self.0.connections.answered(false, now),
            Reply::Done { .. } | Reply::Refused(_) | Reply::Unclear => {
                self.0.connections.answered(true, now);
            }
        }
        reply
    }

    async fn exchange(&self, endpoint: &Url, body: Vec<u8>) -> Result<Vec<u8>, Reply> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let user_sig = self
            .0
            .signer
            .user_sig_at(since_1970.unwrap_or_default().as_secs())
            .map_err(|error| Reply::Fault(Fault::Secret(error)))?;
        let response = self
            .0
            .connections
            .http()
            .post(self.signed(endpoint, &user_sig))
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .map_err(|error| no_response(&error))?;
        self.note_clock(response.headers());
        // The API says 200 even when it refuses; anything else is not from the API.
        match response.status() {
            StatusCode::OK => http::read(response).await.map_err(Reply::Fault),
            _ => Err(Reply::Http(HttpAnswer::of(&response))),
        }
    }

    fn signed(&self, endpoint: &Url, user_sig: &SecretString) -> Url {
        let mut url = endpoint.clone();
        url.set_query(Some(&wire::query(
            self.0.sdk_app_id,
            &self.0.admin,
            user_sig.expose_secret(),
            fastrand::u32(..),
        )));
        url
    }

    fn note_clock(&self, headers: &HeaderMap) {
        if let Some(theirs) = http::date(headers) {
            let ahead = jiff::Timestamp::now().duration_since(theirs);
            self.0.skew.store(ahead.as_secs(), Ordering::Relaxed);
        }
    }
}

/// The reply for a call without a response.
fn no_response(error: &reqwest::Error) -> Reply {
    if fault::wants_proxy_login(error) {
        return Reply::Http(HttpAnswer {
            status: StatusCode::PROXY_AUTHENTICATION_REQUIRED.as_u16(),
            ..HttpAnswer::default()
        });
    }
    Reply::Fault(Fault::of(error))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
