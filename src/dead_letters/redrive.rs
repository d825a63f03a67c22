//! Letters become events again: published to the queue of events, confirmed, then acknowledged.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::entry::{before, letter, text};
use super::{Entry, Error};
use crate::letter;
use crate::rabbitmq::{Browser, LetterRefusal, Loss, Message, Republisher, Rewritten};

/// What became of letters that were to be redriven.
#[derive(Clone, Debug, Default)]
pub struct Redriven {
    pub matched: u64,
    /// Their events are in the queue, and the letters are gone.
    pub redriven: u64,
    /// They have neither a body nor the names of all users that failed, so there is nothing to redrive.
    pub skipped: u64,
    /// They stay, because the broker did not take the event.
    pub failed: u64,
    /// Why the first one failed.
    pub refusal: Option<LetterRefusal>,
    /// It was asked to stop.
    pub stopped: bool,
    /// The connection was lost: events on their way may be in the queue, and their letters as well.
    pub lost: Option<Loss>,
}

impl Redriven {
    /// Letters that have an outcome.
    pub fn over(&self) -> u64 {
        self.redriven + self.skipped + self.failed
    }

    /// The broker lets us publish nothing to the queue of events.
    pub fn is_denied(&self) -> bool {
        self.refusal == Some(LetterRefusal::Denied)
    }
}

/// What is published for a letter.
struct Again {
    marks: letter::Marks,
    rewritten: Option<Rewritten>,
}

pub(super) async fn redrive(
    browser: &mut Browser,
    letters: &[Entry],
    rate: Option<u32>,
    stop: &CancellationToken,
    mut progress: impl FnMut(&Redriven),
) -> Result<Redriven, Error> {
    let mut done = Redriven {
        matched: letters.len() as u64,
        ..Redriven::default()
    };
    let connected = Republisher::connect(browser.options()).await;
    let mut republisher = connected.map_err(Error::Publish)?;
    let mut waiting = letters.iter().enumerate().peekable();
    let (start, mut published) = (Instant::now(), 0);
    loop {
        let due = start + rate.map_or(Duration::ZERO, |rate| time_of(published, rate));
        let goes_on = !done.stopped && done.lost.is_none() && !done.is_denied();
        let has_next = waiting.peek().is_some() && goes_on;
        if has_next && republisher.has_room() && due <= Instant::now() {
            if let Some((place, letter)) = waiting.next() {
                published += u64::from(publish(&mut republisher, place, letter, &mut done));
            }
            continue;
        }
        let unconfirmed = republisher.unconfirmed();
        if unconfirmed == 0 && !has_next {
            break;
        }
        progress(&done);
        tokio::select! {
            biased;
            () = stop.cancelled(), if !done.stopped => done.stopped = true,
            outcome = republisher.next(), if unconfirmed > 0 => {
                let outcome = match outcome {
                    Ok((place, outcome)) => settle(browser, letters.get(place as usize), outcome, &mut done).await,
                    Err(loss) => Err(loss),
                };
                if let Err(loss) = outcome {
                    done.failed += republisher.unconfirmed() as u64;
                    done.lost = Some(loss);
                    break;
                }
            }
            () = sleep_until(due), if has_next && republisher.has_room() => {}
        }
    }
    progress(&done);
    // Everything is confirmed or lost by now; how the goodbye goes changes nothing.
    let _ = republisher.close().await;
    Ok(done)
}

/// When the event of this number may be published, counted from the start.
fn time_of(number: u64, rate: u32) -> Duration {
    Duration::from_secs_f64(number as f64 / f64::from(rate.max(1)))
}

fn publish(
    republisher: &mut Republisher,
    place: usize,
    letter: &Entry,
    done: &mut Redriven,
) -> bool {
    let again = letter.message().and_then(|message| {
        let Again { marks, rewritten } = again(letter, message)?;
        Some(republisher.publish(place as u64, message, marks, rewritten))
    });
    match again {
        None => done.skipped += 1,
        Some(false) => {
            done.failed += 1;
            done.refusal.get_or_insert(LetterRefusal::TooLarge);
        }
        Some(true) => {}
    }
    again == Some(true)
}

async fn settle(
    browser: &mut Browser,
    letter: Option<&Entry>,
    outcome: Result<(), LetterRefusal>,
    done: &mut Redriven,
) -> Result<(), Loss> {
    match (outcome, letter) {
        (Ok(()), Some(letter)) => {
            browser.acknowledge(letter.place).await?;
            done.redriven += 1;
        }
        (Ok(()), None) => {}
        (Err(refusal), _) => {
            done.failed += 1;
            done.refusal.get_or_insert(refusal);
        }
    }
    Ok(())
}

/// How many of them can be redriven, if their messages were kept.
pub fn redrivable(letters: &[Entry]) -> u64 {
    let possible = letters.iter().filter(|letter| {
        let message = letter.message();
        message.is_some_and(|message| again(letter, message).is_some())
    });
    possible.count() as u64
}

/// None if nothing of the event is left that could be done.
fn again(entry: &Entry, message: &Message) -> Option<Again> {
    let redriven = match letter(message) {
        Some(letter) => letter.redriven(),
        None => {
            let at = entry.dead_lettered_at.map(text).unwrap_or_default();
            let failure = format!("{at} {} {}", entry.reason, entry.id);
            before(message).again(failure.trim_start().to_owned())
        }
    };
    let rewritten = match entry.body_left_out {
        false => None,
        true => Some(rewritten(entry, message, redriven.only_users.as_deref()?)),
    };
    Some(Again {
        marks: redriven.marks(),
        rewritten,
    })
}

/// An event in the plain form for the users that failed.
fn rewritten(entry: &Entry, message: &Message, users: &[String]) -> Rewritten {
    let kinds = [message.kind(), Some(entry.routing_key.as_str())];
    let mut kinds = kinds.into_iter().flatten().filter(|kind| !kind.is_empty());
    let kind = kinds.next().unwrap_or("user.deleted").to_owned();
    let id = message.message_id().unwrap_or(&entry.id);
    let body = json!({ "type": kind, "user_ids": users, "id": id });
    Rewritten {
        kind,
        body: body.to_string().into_bytes(),
    }
}
