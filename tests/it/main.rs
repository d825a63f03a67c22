//! Ring two: the worker on a real broker and the simulator's socket. One file a subject.

mod api_down;
mod bad_input;
mod broker;
mod drain;
mod flow;
mod limits;
mod log;
#[path = "../shared/secrets.rs"]
mod secrets;
mod stage;
mod unreadable;
mod verdicts;
mod watched;
