//! Stacks that are deep enough for whatever a publisher nests.
//!
//! The AMQP client reads the headers of a message by recursion, without a limit, on a thread whose stack
//! only the environment can size. On the usual 2 MiB, 20 KiB of tables in tables end the process, and
//! so they do at each redelivery.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

/// Rust's variable for the stack of a thread that asks for no size, in bytes.
const VARIABLE: &str = "RUST_MIN_STACK";

/// Twice what a frame of 128 KiB takes, the broker's default, full of lists in lists. What is not used is
/// address space, no memory.
const BYTES: usize = 1024 * 1024 * if cfg!(debug_assertions) { 512 } else { 96 };

/// Starts this program anew in its own place, with deep stacks for all threads. Does nothing where the
/// variable is set already.
///
/// # Errors
/// When that is impossible; all goes on as before then.
pub(super) fn deepen() -> io::Result<()> {
    if env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    let mut arguments = env::args_os();
    let mut program = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        program.arg0(name);
    }
    Err(program
        .args(arguments)
        .env(VARIABLE, BYTES.to_string())
        .exec())
}

/// Does `work` on a thread with a deep stack. What was read by recursion is dropped by recursion.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn on_a_deep_one<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("tagsweep".to_owned());
        let worker = thread.spawn_scoped(scope, work)?;
        // It ends the process like a panic on this thread would.
        worker
            .join()
            .or_else(|panic| std::panic::resume_unwind(panic))
    })
}
