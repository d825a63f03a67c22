//! tagsweep clears all tags of deleted or reset Tencent Cloud Chat users: it consumes "user deleted" and "user
//! reset" events from RabbitMQ, calls `im_remove_all_tags`, and loses no event.
//!
//! The crate in reading order, which is the order in which the data flows:
//!
//! - [`config`]: settings, checked before any connection is made;
//! - [`event`]: how a message becomes user IDs;
//! - [`engine`]: every decision, as a pure state machine without I/O or clock;
//! - [`explain`]: what error codes and reasons mean, and what to do about them;
//! - [`im`]: the API client;
//! - [`letter`]: the headers of a dead letter;
//! - [`rabbitmq`]: broker sessions;
//! - [`shell`]: drives the engine, makes its calls, and reports what happens;
//! - [`worker`]: the queue as the shell's source: deliveries in, settlements and dead letters out;
//! - [`dead_letters`]: reads the dead-letter queue, redrives and purges;
//! - [`sweep`]: a file of user IDs as its source: settlements go to a journal, dead letters to a file;
//! - [`admin`]: health, metrics and the console over HTTP;
//! - [`traces`]: spans, exported to a collector;
//! - [`cli`], [`telemetry`], [`shutdown`]: commands, logs, signals.
//!
//! ARCHITECTURE.md states which module may use which, and a test enforces it.

#![warn(unreachable_pub)]
// External input may be anything: it ends in an error value, never in a panic. Where one of these lints is allowed,
// an `expect` says why no external input can get there.
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
pub mod dead_letters;
#[expect(
    clippy::indexing_slicing,
    reason = "it indexes its own tables only, by places that it has counted itself"
)]
pub mod engine;
pub mod event;
pub mod explain;
pub mod im;
pub mod letter;
pub mod rabbitmq;
pub mod shell;
pub mod shutdown;
pub mod sweep;
pub mod telemetry;
pub mod traces;
pub mod worker;
