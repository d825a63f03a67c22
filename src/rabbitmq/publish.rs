//! Confirmed publishing: dead letters of a session, and events of `tagsweep publish`.

mod confirm;
mod letter;
mod publisher;

pub(crate) use confirm::{Lanes, Outcome, Outgoing, Refused};
pub use letter::{Letter, LetterRefusal};
pub(crate) use letter::{copied_properties, letter_properties, room};
pub use publisher::{PublishError, Publisher, Publishing};
