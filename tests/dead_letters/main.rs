//! The dead-letter queue as a product: `tagsweep dead-letters`, and the worker that gets what was redriven.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

mod letters;
mod only_users;
mod permissions;
#[path = "../process/program.rs"]
#[expect(dead_code, reason = "it is for other tests too")]
mod program;
mod purging;
mod reading;
mod redriving;
mod refusals;
#[path = "../shared/secrets.rs"]
mod secrets;
#[path = "../process/stage.rs"]
#[expect(dead_code, reason = "it is for other tests too")]
mod stage;
