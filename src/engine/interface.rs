//! The engine's inputs and actions.

use std::time::{Duration, Instant};

use super::named::named;
use super::{Letter, LetterId, PauseReason, WindowId};
use crate::event::{EventKey, UserId};

/// A delivery: its tag, and the broker session that the tag belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delivery {
    pub session: u32,
    pub tag: u64,
}

/// The engine's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Users in one call, 1 to 100.
    pub max_ids: usize,
    /// The longest time that an ID waits for others: calls for windows that are not full are this far apart.
    pub max_wait: Duration,
    pub max_in_flight: usize,
    pub calls_per_second: u32,
    /// Network jitter that is tolerated before the API could count too many calls in a second.
    pub quota_margin: Duration,
    /// The prefetch: how many unacknowledged deliveries the broker allows.
    pub prefetch: usize,
    /// How many finished deliveries wait for an older one, to be acknowledged with it; more are acknowledged one by one.
    pub out_of_order: usize,
    /// Time after a sign of life in which the broker certainly activates no other worker. After it, no call is made
    /// until the next sign of life. None if no other worker can take over.
    pub lease: Option<Duration>,
    /// How long a delivery is held before it is returned to the broker.
    pub hold_limit: Duration,
    /// Minimum number of refusals of a single user before it counts as failed, unless the API rejects it.
    pub max_attempts: u32,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    pub missing_account: MissingAccount,
    /// A user ID that belongs to nobody: a call for it shows whether the API accepts calls at all.
    pub control_user: UserId,
    /// Seeds all jitter.
    pub seed: u64,
}

/// How a user that is unknown to the API is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingAccount {
    Done,
    DeadLetter,
}

/// An input: what happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A message was delivered.
    Delivered {
        delivery: Delivery,
        redelivered: bool,
    },
    /// The broker may drop this delivery at the next return: it gets a dead letter instead. `at_once`: the loss of
    /// the session would drop it too.
    ReturnedTooOften { delivery: Delivery, at_once: bool },
    /// The body that [`Action::Decode`] requested names these users. `invalid` is the number of its invalid IDs, and
    /// `absent` of those that a redriven event should name and does not: they are dead-lettered, the others are
    /// cleared.
    Event {
        delivery: Delivery,
        key: Option<EventKey>,
        users: &'a [UserId],
        invalid: u32,
        absent: u32,
    },
    /// The event is ignored: it has another type, or is a tombstone.
    NotForUs { delivery: Delivery },
    /// The body is malformed.
    Unreadable { delivery: Delivery },
    /// No form or type was recognised in the message, and such messages are dead-lettered.
    Unrecognised { delivery: Delivery },
    /// The call of this window has finished.
    Answered { window: WindowId, answer: Answer },
    /// The broker has confirmed the letter, and not returned it.
    LetterConfirmed(LetterId),
    /// The broker has refused or returned the letter.
    LetterRefused(LetterId),
    /// The broker session has ended; nothing can be acknowledged in it any more.
    SessionLost { session: u32 },
    /// This worker has taken over the queue: another one may have made calls until this moment.
    TookOver,
    /// The broker was alive at this moment: it has answered a request that was sent then.
    InTouch { since: Instant },
    /// According to the broker nobody consumed the queue at this moment: a worker that takes over later waits a
    /// second before its first call.
    Unconsumed { since: Instant },
    /// Number of workers that share the quota of this queue.
    Sharing { workers: u32 },
    /// An operator wants no calls, not even probes, until [`OperatorResume`](Input::OperatorResume).
    OperatorPause,
    /// The operator's pause is over.
    OperatorResume,
    /// Drain: finish what is held, and take no new deliveries.
    Drain,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call succeeded for all its users except those in `failed`, each with its own code.
    Done { failed: Vec<(UserId, i64)> },
    /// The call as a whole was refused with this code.
    Refused(i64),
    /// The answer contradicts itself.
    Unclear,
    /// No call could be made, because there is no UserSig.
    NoCredential,
    /// Something other than the API answered, with this HTTP status and perhaps a `Retry-After`.
    Http {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// No usable answer: no connection, a timeout, a broken body.
    Fault,
}

/// An action for the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Decode this delivery's body and answer with `Event`, `NotForUs`, `Unreadable` or `Unrecognised`.
    Decode(Delivery),
    /// Make one call for these users and answer with `Answered`.
    Call {
        window: WindowId,
        users: Vec<UserId>,
        trigger: Trigger,
    },
    /// Create a new UserSig for the next call.
    RenewUserSig,
    Settle(Settlement),
    /// Set the prefetch; zero: stop consuming.
    Consume {
        prefetch: usize,
    },
    /// Publish this letter and answer with `LetterConfirmed` or `LetterRefused`.
    DeadLetter(Letter),
    /// Report this.
    Notice(Notice),
}

/// How deliveries are settled. Each delivery is in exactly one settlement, or its session is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Acknowledge this delivery and all before it.
    UpTo(Delivery),
    /// Acknowledge this delivery alone.
    One(Delivery),
    /// Return this delivery to the queue.
    HandBack(Delivery),
}

named! {
    /// Why a call was made; the names are those in metrics and logs.
    pub enum Trigger {
        /// Enough IDs waited for a full window.
        Full => "full",
        /// `max_wait` has passed since the last window that was not full.
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
        /// It was ignored.
        Ignored => "ignored",
        /// Redelivered after it was finished: acknowledged without a call.
        Repeated => "repeated",
        /// All of it or some of its users are in a dead letter.
        DeadLettered => "dead_lettered",
        /// It was returned to the queue, by the worker or with its session.
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
        UnrecognisedEvent => "unrecognised-event",
    }
}

/// A state change to report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Notice {
    /// Only probes from now on, the first after this time and after all that the API asked to wait.
    Paused {
        reason: PauseReason,
        probe_in: Duration,
    },
    /// Calls resume after a pause of this length.
    Resumed { after: Duration },
    /// The API rate-limited a call; the rate is now this many calls a second.
    Throttled { calls_per_second: f64 },
    /// The pause outlasts the hold limit: this many events are returned to the queue, and consuming stops.
    /// `by_operator`: the pause is the operator's.
    Suspended { returned: usize, by_operator: bool },
    /// So many users are refused, few or no others are cleared, and calls for the control user succeed: their verdicts
    /// wait, for half an hour at most.
    NobodyCleared { users: usize },
    /// The API refuses the control user but accepts others, so control calls prove nothing any more.
    ControlRefused { code: Option<i64> },
}

/// Running totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub events_received: u64,
    /// Finished deliveries, in the order of [`Ending::ALL`].
    pub events: [u64; Ending::ALL.len()],
    pub users_cleared: u64,
    pub users_missing: u64,
    /// Users in dead letters, including invalid IDs.
    pub users_dead_lettered: u64,
    pub calls: u64,
    /// Users in those calls, repeats included.
    pub called_users: u64,
    /// Time for which calls waited only for others to finish, while the quota had room.
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
    /// Why the API is only probed.
    pub paused: Option<PauseReason>,
    pub paused_for: Option<Duration>,
    /// Time until the next probe may start; none while one is in flight.
    pub probe_in: Option<Duration>,
    /// For how long an operator has wanted no calls.
    pub operator_pause: Option<Duration>,
    /// The pause has outlasted the hold limit, and (almost) nothing is consumed.
    pub suspended: bool,
    pub draining: bool,
    pub pending_ids: usize,
    pub in_flight_calls: usize,
    pub unsettled_deliveries: usize,
    /// Time until the end of the wait that the API asked for.
    pub told_to_wait: Option<Duration>,
    /// For how long no call may start, since another worker might own the queue.
    pub without_lease: Option<Duration>,
    /// For how long no user was cleared, since a verdict began to wait for that.
    pub nobody_cleared: Option<Duration>,
    /// Failed calls since the last success.
    pub failed_calls: u32,
    /// Dead letters that the broker has refused and not confirmed since.
    pub refused_letters: usize,
    pub calls_per_second: f64,
    pub tally: Tally,
}
