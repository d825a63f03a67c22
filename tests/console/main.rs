//! The console, over plain HTTP and in a real browser: Debian's chromium, driven by its chromedriver.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

mod browser;
mod http;
#[expect(dead_code, reason = "other tests start other commands")]
#[path = "../process/program.rs"]
mod program;
mod screens;
#[path = "../shared/secrets.rs"]
mod secrets;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../process/stage.rs"]
mod stage;
