//! Reading ahead on a thread of its own: a list that comes slowly holds up no call, and a large one is read
//! while calls are out.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{InputError, Item, Opened};

/// So many items may wait.
const WAITING: usize = 4096;
/// So many are taken at a time.
const TAKEN: usize = 512;

/// What was read.
pub(in crate::sweep) enum Part {
    Items(Vec<Item>),
    End,
}

pub(in crate::sweep) struct Ahead {
    items: Receiver<Item>,
    reader: Option<JoinHandle<Result<(), InputError>>>,
}

impl Ahead {
    /// # Errors
    /// When there is no thread to be had.
    pub(in crate::sweep) fn read(list: Opened) -> io::Result<Ahead> {
        let (sender, items) = channel(WAITING);
        // The thread may wait for its input for ever; it ends with the process.
        let reader = thread::Builder::new().name("list".to_owned());
        Ok(Ahead {
            items,
            reader: Some(reader.spawn(move || read(list, sender))?),
        })
    }

    /// Cancel-safe.
    pub(in crate::sweep) async fn next(&mut self) -> Result<Part, InputError> {
        let mut items = Vec::new();
        if self.items.recv_many(&mut items, TAKEN).await > 0 {
            return Ok(Part::Items(items));
        }
        match self.reader.take().map(JoinHandle::join) {
            Some(Ok(end)) => end.map(|()| Part::End),
            _ => Err(InputError::Gone),
        }
    }
}

/// Until the end of the list, or until nobody wants it any more.
#[expect(
    clippy::needless_pass_by_value,
    reason = "its end is the end of the items"
)]
fn read(list: Opened, items: Sender<Item>) -> Result<(), InputError> {
    for item in list.items()? {
        if items.blocking_send(item?).is_err() {
            break;
        }
    }
    Ok(())
}
