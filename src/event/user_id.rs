//! A user ID that the API can take, and its name in logs.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::OnceLock;

/// The longest user ID of the API, in bytes.
pub const MAX_BYTES: usize = 32;

/// A user ID that keeps the API's rule: 1 to 32 bytes of printable ASCII (0x20 to 0x7e).
///
/// It lives inline and is `Copy`: hundreds of thousands of them pass through the worker, and none
/// costs an allocation. It has no `Display`, and its `Debug` shows only the [alias](UserId::alias),
/// so that an ID cannot slip into a log or an error text by accident.
#[derive(Clone, Copy)]
pub struct UserId {
    length: u8,
    bytes: [u8; MAX_BYTES],
}

/// Why a text is not a user ID. It does not hold the text: that would be personal data in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUserId {
    #[error("the user ID is empty")]
    Empty,
    #[error("the user ID is longer than 32 bytes")]
    TooLong,
    #[error("the user ID has a byte outside printable ASCII")]
    NotPrintable,
}

impl UserId {
    /// Takes `text` as a user ID.
    ///
    /// # Errors
    /// When it breaks the API's rule; it would be rejected there together with the 99 others of its call.
    pub fn parse(text: &str) -> Result<UserId, InvalidUserId> {
        let source = text.as_bytes();
        if source.is_empty() {
            return Err(InvalidUserId::Empty);
        }
        if source.len() > MAX_BYTES {
            return Err(InvalidUserId::TooLong);
        }
        if !source.iter().all(|byte| (0x20..=0x7e).contains(byte)) {
            return Err(InvalidUserId::NotPrintable);
        }
        let mut bytes = [0; MAX_BYTES];
        for (byte, source) in bytes.iter_mut().zip(source) {
            *byte = *source;
        }
        Ok(UserId {
            length: source.len() as u8,
            bytes,
        })
    }

    /// The ID itself. For the API and for dead letters; never for logs.
    #[expect(clippy::expect_used, reason = "only printable ASCII gets in")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("printable ASCII is UTF-8")
    }

    fn as_bytes(&self) -> &[u8] {
        let (bytes, _) = self.bytes.split_at(usize::from(self.length));
        bytes
    }

    /// What the user is called in logs: a hash under a key that is drawn anew for each process.
    pub fn alias(&self) -> String {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        format!(
            "user-{:016x}",
            KEY.get_or_init(RandomState::new).hash_one(self)
        )
    }
}

impl PartialEq for UserId {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.bytes == other.bytes
    }
}

impl Eq for UserId {}

impl Hash for UserId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.alias())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_api_takes_and_nothing_else() {
        let longest = "x".repeat(MAX_BYTES);
        for good in [
            "a",
            "auth0|507f1f77bcf86cd799439020",
            " ",
            "~",
            longest.as_str(),
        ] {
            assert_eq!(UserId::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(UserId::parse(""), Err(InvalidUserId::Empty));
        assert_eq!(UserId::parse(&"x".repeat(33)), Err(InvalidUserId::TooLong));
        for bad in ["a\n", "\u{7f}", "é", "a\0b"] {
            assert_eq!(
                UserId::parse(bad),
                Err(InvalidUserId::NotPrintable),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn debug_shows_the_alias_and_never_the_id() {
        let user = UserId::parse("alice").unwrap();
        assert_eq!(format!("{user:?}"), user.alias());
        assert!(!format!("{user:?}").contains("alice"));
        assert_eq!(user.alias(), UserId::parse("alice").unwrap().alias());
    }
}
