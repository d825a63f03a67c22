//! Entry points for the fuzz targets; not part of the client.

use secrecy::{ExposeSecret, SecretString};

use super::{Reply, usersig, wire};
use crate::event::UserId;

/// Reads the body of an answer to a call for `users`.
pub fn reply(answer: &[u8], users: &[UserId]) -> Reply {
    wire::reply(answer, users)
}

/// A UserSig that is valid from `now`, in seconds since 1970, for `lifetime` seconds.
pub fn user_sig(now: u64, key: &str, sdk_app_id: u32, identifier: &str, lifetime: u64) -> String {
    let key = SecretString::from(key);
    let user_sig = usersig::sign_at(now, &key, sdk_app_id, identifier, lifetime);
    user_sig.expose_secret().to_owned()
}
