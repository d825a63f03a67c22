//! What a shell tells the engine, and what the engine tells the shell to do.

use std::time::{Duration, Instant};

use super::named::named;
use super::{Letter, LetterId, PauseReason, WindowId};
use crate::event::{EventKey, UserId};

/// One message in our hands: its delivery tag, and the broker session that the tag belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delivery {
    pub session: u32,
    pub tag: u64,
}

/// What the engine is to keep to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Users in one call, 1 to 100.
    pub max_ids: usize,
    /// The longest that an ID waits for others: so far apart are calls for windows that are not full.
    pub max_wait: Duration,
    pub max_in_flight: usize,
    pub calls_per_second: u32,
    /// How much later than another a call may reach the API, relative to their starts, without a second
    /// there holding too many of them.
    pub quota_margin: Duration,
    /// How many deliveries the broker leaves in our hands.
    pub prefetch: usize,
    /// So many finished deliveries wait for an older one, to be acknowledged with it in one go; more are acknowledged
    /// singly.
    pub out_of_order: usize,
    /// For how long after a sign of life the broker certainly gives the queue to nobody else. Later no
    /// call is made until it gives another. None where nobody else could come in.
    pub lease: Option<Duration>,
    /// How long a delivery is held before it goes back to the broker.
    pub hold_limit: Duration,
    /// The fewest refusals of a single user before it counts as failed, where the API does not reject it.
    pub max_attempts: u32,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    pub missing_account: MissingAccount,
    /// A user ID that is nobody's: a call for it shows whether the API takes calls at all.
    pub control_user: UserId,
    /// Seeds the jitter of the backoff.
    pub seed: u64,
}

/// What a user that the API does not know is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingAccount {
    Done,
    DeadLetter,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A message came in.
    Delivered {
        delivery: Delivery,
        redelivered: bool,
    },
    /// The broker may drop this delivery when it goes back, as it was returned so often: it gets a letter instead.
    /// `at_once`: the loss of the session would drop it as well.
    ReturnedTooOften { delivery: Delivery, at_once: bool },
    /// The body that [`Action::Decode`] asked for holds these users. `invalid` is how many IDs it holds
    /// besides that break the API's rule: they go to a dead letter while the others go on.
    Event {
        delivery: Delivery,
        key: Option<EventKey>,
        users: &'a [UserId],
        invalid: u32,
    },
    /// The body is not for us: another type, or a tombstone.
    NotForUs { delivery: Delivery },
    /// The body cannot be read.
    Unreadable { delivery: Delivery },
    /// The call of this window is over.
    Answered { window: WindowId, answer: Answer },
    /// The broker has taken the letter: confirmed, routed, not returned.
    LetterConfirmed(LetterId),
    /// The broker has refused or returned the letter.
    LetterRefused(LetterId),
    /// The broker session is over; nothing can be acknowledged in it any more.
    SessionLost { session: u32 },
    /// The queue is ours from now on: another worker may have made calls until this moment.
    TookOver,
    /// The broker was in touch with us at this moment, or later: it has answered what was asked then.
    InTouch { since: Instant },
    /// Nobody consumed the queue at this moment, as the broker said: a worker that takes it over after that
    /// waits for a second before its first call.
    Unconsumed { since: Instant },
    /// So many workers share the quota of this queue.
    Sharing { workers: u32 },
    /// Finish what is in hand, and take no more.
    Drain,
}

/// What one call came back with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call succeeded for all its users but those in `failed`, each with a code of its own.
    Done { failed: Vec<(UserId, i64)> },
    /// The call as a whole was refused with this code.
    Refused(i64),
    /// There was an answer, but it contradicts itself.
    Unclear,
    /// No call could be made, since there is no secret to sign it with.
    NoCredential,
    /// Something else than the API answered, with this HTTP status; perhaps it says how long no call is
    /// worth a try.
    Http {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// No usable answer: no connection, a timeout, a broken body.
    Fault,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Decode this delivery's body and answer with `Event`, `NotForUs` or `Unreadable`.
    Decode(Delivery),
    /// Make one call for these users and answer with `Answered`.
    Call {
        window: WindowId,
        users: Vec<UserId>,
        trigger: Trigger,
    },
    /// Use a new UserSig from the next call on.
    RenewUserSig,
    Settle(Settlement),
    /// Take at most so many deliveries at a time from now on; zero: stop consuming.
    Consume {
        prefetch: usize,
    },
    /// Publish this letter and answer with `LetterConfirmed` or `LetterRefused`.
    DeadLetter(Letter),
    /// Nothing to do but to tell.
    Notice(Notice),
}

/// What the broker is told of deliveries. Each delivery is in exactly one of these, or its session is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Acknowledge this delivery and all before it.
    UpTo(Delivery),
    /// Acknowledge this delivery alone.
    One(Delivery),
    /// Give this delivery back to the queue.
    HandBack(Delivery),
}

named! {
    /// Why a call was made; the names are those in metrics and logs.
    pub enum Trigger {
        /// As many IDs waited as a window can hold.
        Full => "full",
        /// No window that was not full was called for long enough.
        Expired => "expired",
        Drain => "drain",
        /// The window had failed before.
        Retry => "retry",
        /// A window that failed was split.
        Split => "split",
        /// A call for the control user.
        Control => "control",
    }
}

named! {
    /// How a delivery ended: each in exactly one way. The names are those in metrics.
    pub enum Ending {
        /// All its users are cleared, or unknown to the API.
        Done => "done",
        /// It is not for us.
        Ignored => "ignored",
        /// Delivered again, and finished before: acknowledged without a call.
        Repeated => "repeated",
        /// All of it or some of its users are in a dead letter.
        DeadLettered => "dead_lettered",
        /// It went back to the queue, by us or with its session.
        Returned => "returned",
    }
}

named! {
    /// Why an event is dead-lettered; the names are the values of the `tagsweep-reason` header.
    pub enum Reason {
        MalformedEvent => "malformed-event",
        InvalidUserId => "invalid-user-id",
        RejectedByApi => "rejected-by-api",
        UnknownAccount => "unknown-account",
        RetriesExhausted => "retries-exhausted",
        ReturnedTooOften => "returned-too-often",
    }
}

/// What an operator should hear of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Notice {
    /// No calls but probes from now on, the first after this time.
    Paused {
        reason: PauseReason,
        probe_in: Duration,
    },
    /// Calls go on after a pause of this length.
    Resumed { after: Duration },
    /// The API said that calls come too often; this many a second are made from now on.
    Throttled { calls_per_second: f64 },
    /// The pause outlasts the hold limit: so many events go back to the queue, and consuming stops.
    Suspended { returned: usize },
    /// The API refuses the control user while it takes others, so it is no measure any more.
    ControlRefused { code: Option<i64> },
}

/// Running totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub events_received: u64,
    /// Deliveries that have ended, in the order of [`Ending::ALL`].
    pub events: [u64; Ending::ALL.len()],
    pub users_cleared: u64,
    pub users_missing: u64,
    /// Users in dead letters, and IDs that break the rule.
    pub users_dead_lettered: u64,
    pub calls: u64,
    /// Users in those calls, repeats included.
    pub called_users: u64,
    /// For how long calls could only wait for others to end, while the quota had room.
    pub held_up: Duration,
    /// Dead letters that were confirmed, in the order of [`Reason::ALL`].
    pub letters: [u64; Reason::ALL.len()],
}

impl Tally {
    pub fn events(&self, ending: Ending) -> u64 {
        self.events[ending as usize]
    }

    pub(super) fn count(&mut self, ending: Ending) {
        self.events[ending as usize] += 1;
    }
}

/// What the worker is doing, for logs and health.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    pub paused: Option<PauseReason>,
    pub draining: bool,
    pub pending_ids: usize,
    pub in_flight_calls: usize,
    pub unsettled_deliveries: usize,
    /// Calls that failed since the last one that went through.
    pub failed_calls: u32,
    /// Dead letters that the broker has refused, and not taken since.
    pub refused_letters: usize,
    pub calls_per_second: f64,
    pub tally: Tally,
}
