//! Ring three: the program itself, as a process, with its arguments, signals, output and exit codes.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

mod check;
mod commands;
mod config;
mod events;
mod exposure;
mod http;
mod large_messages;
mod log_readers;
mod login;
mod permissions;
mod program;
mod publish;
mod run;
mod run_log;
mod runbook;
#[path = "../shared/secrets.rs"]
mod secrets;
mod stage;
mod sweep;
mod terminal;
mod tls;
mod traces;
