//! Reading ahead on a thread of its own: a list that comes slowly holds up no call, and a large one is read
//! while calls are out.

use std::{io, thread};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{InputError, Item, Items};

/// Items in one part, and parts that wait.
const ITEMS: usize = 512;
const PARTS: usize = 8;

/// What was read.
pub(in crate::sweep) enum Part {
    Items(Vec<Item>),
    End,
}

pub(in crate::sweep) struct Ahead(Receiver<Result<Part, InputError>>);

impl Ahead {
    /// # Errors
    /// When there is no thread to be had.
    pub(in crate::sweep) fn read(items: Items) -> io::Result<Ahead> {
        let (sender, parts) = channel(PARTS);
        // The thread may wait for its input for ever; it ends with the process.
        thread::Builder::new()
            .name("list".to_owned())
            .spawn(move || read(items, &sender))?;
        Ok(Ahead(parts))
    }

    /// Cancel-safe.
    pub(in crate::sweep) async fn next(&mut self) -> Result<Part, InputError> {
        self.0.recv().await.unwrap_or(Err(InputError::Gone))
    }
}

fn read(items: Items, parts: &Sender<Result<Part, InputError>>) {
    let mut part = Vec::new();
    for item in items {
        match item {
            Ok(item) => part.push(item),
            Err(error) => {
                let _ = parts.blocking_send(Err(error));
                return;
            }
        }
        // Where somebody waits for items, the next ones may take their time.
        let is_awaited = parts.capacity() == parts.max_capacity();
        if part.len() < ITEMS && !is_awaited {
            continue;
        }
        if parts
            .blocking_send(Ok(Part::Items(std::mem::take(&mut part))))
            .is_err()
        {
            return;
        }
    }
    let _ = parts.blocking_send(Ok(Part::Items(part)));
    let _ = parts.blocking_send(Ok(Part::End));
}
