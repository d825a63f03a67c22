//! One command at a time: an exclusive queue is the lock, and the broker frees it with the connection.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::BrowseError;
use crate::rabbitmq::topology::{Lock, Scratch};

/// The broker frees the lock of a command that was killed a moment later.
const TRIES: usize = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// Takes the lock of a queue for the connection of `scratch`.
pub(super) async fn take(scratch: &mut Scratch, queue: &str) -> Result<(), BrowseError> {
    let name = name(queue);
    for attempt in 1.. {
        match scratch.lock(&name).await? {
            Lock::Taken => break,
            Lock::Denied => return Err(BrowseError::MayNotLock { name }),
            Lock::Busy if attempt == TRIES => {
                let queue = queue.to_owned();
                return Err(BrowseError::Busy { queue });
            }
            Lock::Busy => sleep(BETWEEN_TRIES).await,
        }
    }
    Ok(())
}

/// At most as long as the protocol allows.
fn name(queue: &str) -> String {
    let name = format!("{queue}.lock");
    if name.len() <= 255 {
        return name;
    }
    let digits = Sha256::digest(queue)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    format!("tagsweep.{digits}.lock")
}
