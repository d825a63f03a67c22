//! Entry points for the fuzz targets; not part of the worker.

use std::time::SystemTime;

use super::held::{Fault, LetterParts};
use super::letter::{self, LetterIds};
use super::wiring;
use crate::engine;
use crate::event::{Decoded, Malformed, Rules};
use crate::rabbitmq::{Letter, Message};

/// Reads a message as the worker does.
pub fn decode(message: &Message, rules: &Rules) -> Decoded {
    wiring::read(message, message.redriven().as_ref(), rules).decoded
}

/// The dead letter of a message in which decoding found `invalid` or `malformed`.
pub fn letter(
    due: &engine::Letter,
    message: Message,
    mut invalid: Vec<String>,
    malformed: Option<Malformed>,
) -> Letter {
    letter::cut_to_fit(&mut invalid);
    let fault = Fault {
        invalid,
        malformed,
        ..Fault::default()
    };
    let parts = LetterParts {
        message,
        digest: None,
        fault,
    };
    let (id, detail) = (
        LetterIds::new().of(due.id),
        letter::detail(due, &parts.fault),
    );
    letter::letter(due, parts, SystemTime::UNIX_EPOCH, id, detail)
}
