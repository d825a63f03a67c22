//! The fault matrix: every fault of the table befalls the real binary at work, on a real broker, with the
//! simulator on a socket; then every user who was published must be accounted for.
//!
//! An ordinary run strikes each fault once. With `TAGSWEEP_TORTURE=20` each strikes twenty times, and what
//! was measured goes into `docs/RELIABILITY.md`: that is `make torture`.
//!
//! In reading order: [`table`] names the faults, [`trial`] runs one row of it, [`stage`] is what it runs on,
//! [`load`] publishes, [`worker`] is the process, [`fault`] strikes and lifts, [`account`] judges, and
//! [`record`] writes down.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

mod account;
mod fault;
mod load;
mod record;
#[path = "../shared/secrets.rs"]
mod secrets;
mod stage;
mod table;
mod trial;
mod worker;
