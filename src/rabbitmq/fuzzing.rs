//! Entry points for the fuzz targets; not part of the broker client.

#![expect(
    clippy::expect_used,
    reason = "a fuzz target is to fail where something is not as it must be"
)]

use std::io::Read;

use futures_util::FutureExt;
use futures_util::io::AllowStdIo;
use lapin::BasicProperties;
use tokio::io::AsyncReadExt;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::connection::{frames::Sanitized, sanitize as frames};
use super::{Letter, Message};

pub const METHOD: u8 = frames::METHOD;
pub const HEADER: u8 = frames::HEADER;

/// Sanitizes the payload of a frame.
pub fn sanitize(kind: u8, payload: &mut [u8]) {
    frames::sanitize(kind, payload);
}

/// The payload of a header frame in at most so many bytes.
pub fn shrink(payload: &[u8], most: usize) -> Option<Vec<u8>> {
    frames::shrink(payload, most)
}

/// All that lapin would be given of `stream`.
pub fn sanitized(stream: impl Read + Unpin) -> Vec<u8> {
    let mut given = Vec::new();
    let mut sanitized = Sanitized::new(AllowStdIo::new(stream).compat(), 0, Default::default());
    let read = sanitized.read_to_end(&mut given).now_or_never();
    read.expect("it never waits").expect("it never fails");
    given
}

/// A message as a delivery brings it.
pub fn message(routing_key: &str, properties: BasicProperties, body: &[u8]) -> Message {
    Message::new(
        "account.events".into(),
        routing_key.into(),
        properties,
        body.to_vec().into(),
        &mut None,
    )
}

/// The properties and the body that a letter is published with, on a connection that takes frames of up
/// to `frame_max` bytes.
pub fn published(letter: Letter, frame_max: u32) -> (BasicProperties, Vec<u8>) {
    let outgoing = letter.into_outgoing("tagsweep.dead-letters", frame_max);
    let body = outgoing.body.to_vec();
    (outgoing.properties, body)
}
