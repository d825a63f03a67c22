//! What arrives: user IDs, events, and how a delivered body becomes one.

pub mod user_id;

pub use user_id::{InvalidUserId, UserId};

/// Names one event, so that its redelivery can be told from a new event of the same user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventKey(pub u128);
