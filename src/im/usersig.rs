//! The UserSig that authenticates a call as the admin's (Tencent's TLSSigAPIv2), created from the app's secret key
//! or given ready-made.

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Seconds after which the secret is reread, in case it was replaced.
const REREAD: u64 = 60;

/// Rereads a secret at each call, since a mounted file may have been replaced. It may block while it reads a small
/// file.
pub type SecretSource = Arc<dyn Fn() -> Result<SecretString, SecretError> + Send + Sync>;

/// Why a secret could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("the secret cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// A file is empty for a moment when it is overwritten in place.
    #[error("the secret is empty")]
    Empty,
}

/// The source of UserSigs.
#[derive(Clone)]
pub enum Credential {
    /// The app's secret key, as the console shows it. A UserSig created with it is valid for `lifetime`, in whole
    /// seconds, and replaced after 80 % of that.
    SecretKey {
        load: SecretSource,
        lifetime: Duration,
    },
    /// A ready-made UserSig. Its validity is not known here.
    UserSig { load: SecretSource },
}

impl Credential {
    fn load(&self) -> &SecretSource {
        match self {
            Credential::SecretKey { load, .. } | Credential::UserSig { load } => load,
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::SecretKey { .. } => "SecretKey(redacted)",
            Credential::UserSig { .. } => "UserSig(redacted)",
        })
    }
}

/// The UserSig of one admin, which is renewed in time.
pub(super) struct Signer {
    credential: Credential,
    sdk_app_id: u32,
    identifier: String,
    held: Mutex<Option<Held>>,
}

/// A UserSig with its times, in seconds since 1970.
struct Held {
    user_sig: SecretString,
    /// Hash of its source, to notice a change. The secret itself is not kept.
    fingerprint: [u8; 32],
    /// When the secret was last read.
    read: u64,
    fresh: Range<u64>,
    expires: u64,
    /// Why the last attempt to read the secret failed.
    trouble: Option<SecretError>,
}

impl Held {
    /// Whether a call at `now` can do without reading the secret. If the clock was set back, stored times are in
    /// the future, and it is reread.
    fn is_known_good(&self, now: u64) -> bool {
        self.fresh.contains(&now) && (self.read..self.read.saturating_add(REREAD)).contains(&now)
    }
}

impl Signer {
    pub(super) fn new(credential: Credential, sdk_app_id: u32, identifier: String) -> Signer {
        Signer {
            credential,
            sdk_app_id,
            identifier,
            held: Mutex::new(None),
        }
    }

    /// The UserSig for a call at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// When the secret cannot be read and no UserSig is valid any more. While one is valid, a missing file stops no
    /// calls.
    pub(super) fn user_sig_at(&self, now: u64) -> Result<SecretString, SecretError> {
        let mut held = self.held();
        if let Some(held) = held.as_ref().filter(|held| held.is_known_good(now)) {
            return Ok(held.user_sig.clone());
        }
        match load_nonempty(self.credential.load()) {
            Ok(secret) => {
                let same = |old: &&mut Held| old.fingerprint == fingerprint(&secret);
                match held.as_mut().filter(same) {
                    Some(old) if old.fresh.contains(&now) => {
                        old.read = now;
                        old.trouble = None;
                    }
                    _ => *held = Some(self.make(&secret, now)),
                }
            }
            Err(error) => {
                let valid = held.as_mut().filter(|old| now < old.expires);
                valid.ok_or(error)?.trouble = Some(error);
            }
        }
        held.as_ref()
            .map(|held| held.user_sig.clone())
            .ok_or(SecretError::Empty)
    }

    /// Makes the next call reread the secret and create a new UserSig; the present one stays if that fails.
    pub(super) fn renew(&self) {
        if let Some(held) = self.held().as_mut() {
            held.fresh = 0..0;
        }
    }

    /// Makes the next call check whether the secret was replaced; if not, the UserSig stays.
    pub(super) fn reread(&self) {
        if let Some(held) = self.held().as_mut() {
            held.read = 0;
        }
    }

    /// Why the secret cannot be read, while the UserSig created from it is still valid.
    pub(super) fn trouble(&self) -> Option<SecretError> {
        self.held().as_ref()?.trouble
    }

    fn make(&self, secret: &SecretString, now: u64) -> Held {
        let fingerprint = fingerprint(secret);
        match &self.credential {
            Credential::SecretKey { lifetime, .. } => {
                let lifetime = lifetime.as_secs();
                Held {
                    user_sig: sign_at(now, secret, self.sdk_app_id, &self.identifier, lifetime),
                    fingerprint,
                    read: now,
                    fresh: now..now.saturating_add(lifetime - lifetime / 5),
                    expires: now.saturating_add(lifetime),
                    trouble: None,
                }
            }
            Credential::UserSig { .. } => Held {
                user_sig: secret.clone(),
                fingerprint,
                read: now,
                fresh: 0..u64::MAX,
                expires: u64::MAX,
                trouble: None,
            },
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load_nonempty(load: &SecretSource) -> Result<SecretString, SecretError> {
    load().and_then(|secret| {
        if secret.expose_secret().is_empty() {
            Err(SecretError::Empty)
        } else {
            Ok(secret)
        }
    })
}

fn fingerprint(secret: &SecretString) -> [u8; 32] {
    Sha256::digest(secret.expose_secret()).into()
}

/// Creates a UserSig that is valid from `now`, in seconds since 1970, for `lifetime` seconds.
#[expect(
    clippy::expect_used,
    reason = "our own strings and numbers, written to memory"
)]
pub(super) fn sign_at(
    now: u64,
    key: &SecretString,
    sdk_app_id: u32,
    identifier: &str,
    lifetime: u64,
) -> SecretString {
    #[derive(Serialize)]
    struct Ticket<'a> {
        #[serde(rename = "TLS.ver")]
        version: &'a str,
        #[serde(rename = "TLS.identifier")]
        identifier: &'a str,
        #[serde(rename = "TLS.sdkappid")]
        sdk_app_id: u32,
        #[serde(rename = "TLS.expire")]
        lifetime: u64,
        #[serde(rename = "TLS.time")]
        time: u64,
        #[serde(rename = "TLS.sig")]
        signature: &'a str,
    }

    let ticket = Zeroizing::new(
        serde_json::to_vec(&Ticket {
            version: "2.0",
            identifier,
            sdk_app_id,
            lifetime,
            time: now,
            signature: &signature(now, key, sdk_app_id, identifier, lifetime),
        })
        .expect("strings and numbers are always JSON"),
    );
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    let zipped = zlib
        .write_all(&ticket)
        .and_then(|()| zlib.finish())
        .map(Zeroizing::new)
        .expect("writing to memory does not fail");
    // Safe in a URL, but not by the usual alphabet of Base64 for URLs.
    let base64 = Zeroizing::new(BASE64_STANDARD.encode(&*zipped));
    let mut text = String::with_capacity(base64.len());
    text.extend(base64.chars().map(|character| match character {
        '+' => '*',
        '/' => '-',
        '=' => '_',
        character => character,
    }));
    SecretString::from(text)
}

/// The key is used as the characters that the console shows, although they look like hexadecimal.
#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn signature(
    now: u64,
    key: &SecretString,
    sdk_app_id: u32,
    identifier: &str,
    lifetime: u64,
) -> Zeroizing<String> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes())
        .expect("HMAC takes a key of any length");
    hmac.update(
        format!(
            "TLS.identifier:{identifier}\nTLS.sdkappid:{sdk_app_id}\n\
             TLS.time:{now}\nTLS.expire:{lifetime}\n"
        )
        .as_bytes(),
    );
    Zeroizing::new(BASE64_STANDARD.encode(hmac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests;
