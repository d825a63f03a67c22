//! Writes log lines to a reader that may be slow, stuck or gone, without blocking the worker.
//!
//! A separate thread writes them. It may wait forever on a full pipe; the worker only puts a line into a bounded
//! queue, or drops it.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written; a line has some hundred bytes.
const WAITING: usize = 1024;
/// How long shutdown waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Delay between two attempts to write.
const AGAIN: Duration = Duration::from_millis(10);

/// Dropped lines: all, and those not reported yet.
static DROPPED: AtomicU64 = AtomicU64::new(0);
static UNTOLD: AtomicU64 = AtomicU64::new(0);

/// How many lines of the log were dropped, because nobody read them or they could not be written.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn drop_line() {
    DROPPED.fetch_add(1, Ordering::Relaxed);
    UNTOLD.fetch_add(1, Ordering::Relaxed);
}

enum Order {
    Write(Vec<u8>),
    /// Signals that all lines before it are written.
    Tell(Sender<()>),
}

/// Where lines are put. Clones share the queue.
#[derive(Clone)]
pub(super) struct Lines(SyncSender<Order>);

impl Lines {
    /// Lines for standard error.
    ///
    /// # Errors
    /// When standard error is closed, or no thread can be started.
    pub(super) fn to_stderr() -> io::Result<Lines> {
        // Not through the library's handle: whoever else writes to that would wait for its lock.
        let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let (sender, orders) = sync_channel(WAITING);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&orders, file))?;
        Ok(Lines(sender))
    }

    /// Waits until all lines are written, but at most a moment.
    pub(super) fn flush(&self) {
        let (done, written) = channel();
        let lines = self.0.clone();
        // To queue the order may take for ever, too.
        let asked = thread::Builder::new().spawn(move || lines.send(Order::Tell(done)));
        if asked.is_ok() {
            let _ = written.recv_timeout(LAST_LINES);
        }
    }

    fn put(&self, line: &[u8]) -> bool {
        let put = self.0.try_send(Order::Write(line.to_vec())).is_ok();
        if !put {
            drop_line();
        }
        put
    }
}

fn write_lines(orders: &Receiver<Order>, mut file: File) {
    for order in orders {
        match order {
            Order::Write(line) => {
                if write(&mut file, &line).is_err() {
                    drop_line();
                }
            }
            Order::Tell(done) => drop(done.send(())),
        }
    }
}

/// Writes everything, also to a pipe that another process has set to non-blocking.
fn write(file: &mut File, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match file.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => line = line.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(AGAIN),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> &'a Lines {
        self
    }
}

/// Accepts whole lines, as the formatter writes them.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.put(line) {
            let lines = UNTOLD.swap(0, Ordering::Relaxed);
            if lines > 0 {
                tracing::warn!(lines, "log lines dropped: their reader is too slow");
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
