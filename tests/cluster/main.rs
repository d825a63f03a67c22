//! The worker on a broker of three nodes that lose one after the other.

#[path = "../it/log.rs"]
mod log;
mod outages;
mod publisher;
#[path = "../shared/secrets.rs"]
mod secrets;
#[path = "../it/stage.rs"]
#[expect(dead_code, reason = "not all that is shared is needed here")]
mod stage;
