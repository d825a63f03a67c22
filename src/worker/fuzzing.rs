//! Doors for the fuzz targets, which are no part of the worker.

use std::time::SystemTime;

use super::held::Fault;
use super::{letter, wiring};
use crate::engine;
use crate::event::{Decoded, Malformed, Rules};
use crate::rabbitmq::{Letter, Message};

/// Reads a message as the worker does.
pub fn decode(message: &Message, rules: &Rules) -> Decoded {
    wiring::decode(message, rules)
}

/// The dead letter of a message in which decoding found `invalid` or `malformed`.
pub fn letter(
    due: &engine::Letter,
    message: Message,
    invalid: Vec<String>,
    malformed: Option<Malformed>,
) -> Letter {
    let fault = Fault { invalid, malformed };
    letter::letter(due, (message, fault), SystemTime::UNIX_EPOCH)
}
