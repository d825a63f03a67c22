//! Confirmed publishing: dead letters of a session, and events of `tagsweep publish`.

mod confirm;
mod letter;
mod publisher;

/// What the broker did not answer, where a confirm is missing; and what is most likely the cause.
pub(crate) const PUBLISH: &str =
    "a publish (as with a memory or disk alarm: see rabbitmqctl status)";

pub(crate) use confirm::{Lanes, Outcome, Outgoing, Refused};
pub use letter::{Letter, LetterRefusal};
pub(crate) use letter::{copied_properties, letter_properties, room};
pub use publisher::{PublishError, Publisher, Publishing};
