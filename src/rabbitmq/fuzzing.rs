//! Doors for the fuzz targets, which are no part of the broker's edge.

use lapin::BasicProperties;

use super::{Letter, Message};

/// A message as a delivery brings it.
pub fn message(routing_key: &str, properties: BasicProperties, body: &[u8]) -> Message {
    Message {
        body: body.to_vec(),
        exchange: "account.events".to_owned(),
        routing_key: routing_key.to_owned(),
        properties,
    }
}

/// The properties and the body that a letter is published with, on a connection that takes frames of up
/// to `frame_max` bytes.
pub fn published(letter: Letter, frame_max: u32) -> (BasicProperties, Vec<u8>) {
    let outgoing = letter.into_outgoing("tagsweep.dead-letters", frame_max);
    let body = outgoing.body.bytes().to_vec();
    (outgoing.properties, body)
}
