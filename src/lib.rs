//! tagsweep clears all tags of deleted or reset Tencent Cloud Chat users: "user deleted" and "user
//! reset" events from RabbitMQ in, `im_remove_all_tags` calls out, and nothing lost on the way.
//!
//! The crate in reading order, which is the order in which the data flows:
//!
//! - [`config`]: what it is told, checked before anything is connected;
//! - [`event`]: what arrives, and how a body becomes user IDs;
//! - [`engine`]: every decision, as a pure state machine without I/O or clock;
//! - [`im`]: the API, one call at a time;
//! - [`rabbitmq`]: the broker, one session after the other;
//! - [`shell`]: what drives the engine: calls and their answers, and who is told what happens;
//! - [`worker`]: its source, the queue: deliveries in, settlements and dead letters out;
//! - [`sweep`]: another source, a file of user IDs: settlements go to a journal, dead letters to a file;
//! - [`admin`]: health and metrics over HTTP;
//! - [`traces`]: what it did, as spans, to whoever collects them;
//! - [`cli`], [`telemetry`], [`shutdown`]: the rim.
//!
//! Who may use whom is in ARCHITECTURE.md, and a test keeps it true.

#![warn(unreachable_pub)]
// Whatever comes from outside may be anything: it ends in an error value and never in a panic. Where
// one of these is kept, an `expect` says why nothing from outside can get there.
#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable
)]

// The fuzz targets, and in the tests their seeds once through each of them.
#[cfg(test)]
#[expect(
    unreachable_pub,
    reason = "the fuzz targets are public in the package `fuzz`"
)]
#[path = "../fuzz/src/lib.rs"]
mod fuzz_targets;
#[cfg(test)]
extern crate self as tagsweep;

pub mod admin;
pub mod cli;
pub mod config;
#[expect(
    clippy::indexing_slicing,
    reason = "it indexes its own tables only, by places that it has counted itself"
)]
pub mod engine;
pub mod event;
pub mod im;
pub mod rabbitmq;
pub mod shell;
pub mod shutdown;
pub mod sweep;
pub mod telemetry;
pub mod traces;
pub mod worker;
