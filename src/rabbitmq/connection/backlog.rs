//! Limits how much lapin reads ahead: it counts deliveries that nobody has taken yet.
//!
//! lapin reads as fast as the broker sends, without a bound. Large deliveries would pile up there, up to the
//! prefetch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// In bytes.
pub(crate) const MOST: usize = 8 << 20;

/// Clones share it. Without a limit until one is set.
#[derive(Clone, Debug)]
pub(crate) struct Backlog(Arc<State>);

#[derive(Debug)]
struct State {
    limit: AtomicUsize,
    /// Of messages that have arrived as a whole.
    bytes: AtomicUsize,
    reader: AtomicWaker,
}

impl Default for Backlog {
    fn default() -> Self {
        Self(Arc::new(State {
            limit: AtomicUsize::new(usize::MAX),
            bytes: AtomicUsize::new(0),
            reader: AtomicWaker::new(),
        }))
    }
}

impl Backlog {
    /// Every message that arrives from now on must be [`taken`](Self::taken).
    pub(crate) fn limit(&self) {
        self.0.bytes.store(0, Ordering::SeqCst);
        self.0.limit.store(MOST, Ordering::SeqCst);
    }

    /// Stops counting: nobody takes messages any more, but the rest must be read.
    pub(crate) fn lift(&self) {
        self.0.limit.store(usize::MAX, Ordering::SeqCst);
        self.0.reader.wake();
    }

    pub(crate) fn arrived(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    pub(crate) fn taken(&self, bytes: usize) {
        let less = |before: usize| Some(before.saturating_sub(bytes));
        let _ = self
            .0
            .bytes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        if !self.is_full() {
            self.0.reader.wake();
        }
    }

    /// Ready when more may be read.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_full() {
            return Poll::Ready(());
        }
        self.0.reader.register(cx.waker());
        // It may have been taken in between.
        match self.is_full() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    fn is_full(&self) -> bool {
        self.0.bytes.load(Ordering::SeqCst) > self.0.limit.load(Ordering::SeqCst)
    }
}
