//! A type that is not acted on, as far as anybody may be told of it.

use super::{Decoded, NotForUs};

/// Longer names are not shown.
const LONGEST: usize = 64;

/// A type that is not among those that are acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignType {
    pub read_from: TypeSource,
    /// The type itself, where it certainly names no user.
    pub name: Option<String>,
}

/// Where the type of an event was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeSource {
    Body,
    /// The AMQP property `type`.
    Property,
    RoutingKey,
    CloudEvents,
}

/// What a message of such a type is.
pub(super) fn foreign(name: &str, read_from: TypeSource) -> Decoded {
    Decoded::NotForUs(NotForUs::ForeignType(ForeignType::new(name, read_from)))
}

impl ForeignType {
    pub(super) fn new(name: &str, read_from: TypeSource) -> ForeignType {
        ForeignType {
            read_from,
            name: is_shown(name, read_from).then(|| name.to_owned()),
        }
    }
}

impl TypeSource {
    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            TypeSource::Body => "body",
            TypeSource::Property => "property",
            TypeSource::RoutingKey => "routing key",
            TypeSource::CloudEvents => "CloudEvents",
        }
    }
}

/// Types are a vocabulary of programs, and the one that came is what tells an operator which to list. But producers
/// write user IDs into routing keys (`user.42.renamed`), and a type that is built like that has a number in it.
fn is_shown(name: &str, read_from: TypeSource) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(byte);
    let is_number = |part: &[u8]| part.len() > 1 && part.iter().all(u8::is_ascii_digit);
    read_from != TypeSource::RoutingKey
        && (1..=LONGEST).contains(&name.len())
        && name.as_bytes().iter().all(plain)
        && !name
            .as_bytes()
            .chunk_by(|one, next| one.is_ascii_digit() == next.is_ascii_digit())
            .any(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_shown_only_where_it_cannot_name_a_user() {
        let shown = |name: &str, from| ForeignType::new(name, from).name.is_some();
        let longest = "x".repeat(LONGEST);
        for name in [
            "user.renamed",
            "com.example.user:Renamed/v2",
            "io.cloudevents.user-renamed_v1",
            &longest,
        ] {
            for from in [
                TypeSource::Body,
                TypeSource::Property,
                TypeSource::CloudEvents,
            ] {
                assert!(shown(name, from), "{name}");
            }
            assert!(!shown(name, TypeSource::RoutingKey), "{name}");
        }
        let longer = "x".repeat(LONGEST + 1);
        for name in [
            "",
            "user 1",
            "alice@example.com",
            "user.42.renamed",
            "3f2b-77",
            "użytkownik",
            "user\nrenamed",
            &longer,
        ] {
            assert!(!shown(name, TypeSource::Body), "{name}");
        }
    }
}
