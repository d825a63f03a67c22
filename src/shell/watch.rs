//! Log, metrics, traces and health: each thing that happens is reported here, once.

mod condition;
mod meters;
mod origins;
mod recent;
mod replies;
mod report;
mod sessions;
mod traced;
mod unexpected;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use jiff::SignedDuration;

use crate::config::Settings;
use crate::engine::{Delivery, Letter, Notice, Settlement, Status, Tally, Trigger};
use crate::event::{Form, NotForUs, UserId};
use crate::im::SecretError;
use crate::rabbitmq::{self, Message};
use crate::shell::calls::Call;
use crate::shell::{InHand, SetupError, Source, View, Wish};
use crate::traces::{OpenWindow, Traces};
use condition::Condition;
pub use condition::{Pause, Stall, State};
use meters::Meters;
pub use recent::{Recent, SLOT, SLOTS, Slot};
use report::Report;
use sessions::Sessions;
use traced::{Traced, outcome};
use unexpected::Unexpected;

pub(crate) struct Watch {
    report: Report,
    sessions: Sessions,
    unexpected: Unexpected,
    meters: Meters,
    traced: Traced,
    condition: Condition,
    recent: Recent,
}

/// The run, and the calls.
impl Watch {
    pub(super) fn new(
        settings: &Settings,
        source: Source,
        traces: Option<&Traces>,
        now: Instant,
    ) -> Result<Watch, SetupError> {
        Ok(Watch {
            report: Report::new(source.is_list),
            sessions: Sessions::default(),
            unexpected: Unexpected::new(settings.events.types.clone()),
            meters: Meters::new(settings.events.rules()?.mapping.names()),
            traced: Traced::new(traces, settings)?,
            condition: Condition::new(
                settings.admin.stall_limit,
                settings.im.calls_per_second,
                now,
            ),
            recent: Recent::new(now),
        })
    }

    pub(crate) fn started(&self, settings: &Settings) {
        report::started(settings);
    }

    pub(crate) fn ended(&self, status: &Status) {
        report::ended(status);
    }

    pub(super) fn rereading(&self) {
        report::rereading();
    }

    pub(crate) fn unusable_secret(&self, key: &str, path: &Path, reason: &str) {
        report::unusable_secret(key, path, reason);
    }

    pub(super) fn summary(&mut self, now: Instant, status: &Status) {
        self.unexpected.tell_ignored(now);
        self.report.summary(now, status);
        let hindrance = self.condition.hindrance(status, now);
        self.report.hindered(hindrance);
    }

    pub(super) fn calling(&mut self, users: &[UserId], trigger: Trigger) -> Option<OpenWindow> {
        self.traced.call(users, trigger)
    }

    /// Reports a finished call. Any result counts as progress: an error explains why nothing else moves.
    pub(super) fn call_over(&mut self, now: Instant, call: &mut Call) {
        self.report.call(call);
        self.recent.call(now, call.ids, call.took);
        self.meters.call(call);
        if let Some(span) = call.span.take() {
            span.end(outcome(&call.reply));
        }
        self.condition.call_over(report::trouble(&call.reply));
        self.condition.progress(now);
    }

    /// Reports what the engine concluded from finished calls.
    pub(super) fn judged(&mut self, now: Instant, tally: &Tally) {
        self.unexpected.users(now, tally);
        self.recent.users(now, tally);
    }

    pub(super) fn clock_skew(&mut self, skew: Option<SignedDuration>) {
        self.report.clock_skew(skew);
    }

    pub(super) fn secret(&mut self, trouble: Option<SecretError>) {
        self.report.secret(trouble);
    }

    pub(super) fn notice(&mut self, now: Instant, notice: Notice) {
        self.report.notice(notice, self.condition.trouble());
        match notice {
            Notice::Resumed { .. } => self.condition.progress(now),
            Notice::Throttled { .. } => self.meters.throttled(),
            Notice::Paused { .. }
            | Notice::Suspended { .. }
            | Notice::NobodyCleared { .. }
            | Notice::ControlRefused { .. } => {}
        }
    }

    /// An operator pauses, or resumes after a pause of this length.
    pub(super) fn operator(&mut self, now: Instant, wish: &Wish, paused: Option<Duration>) {
        report::operator(wish, paused);
        self.condition.operator(now, wish.pause);
    }

    pub(super) fn view(&mut self, now: Instant, engine: Status, held: InHand) -> View {
        self.recent.advance(now);
        let recent = self.recent.clone();
        self.condition.view(now, engine, held, recent)
    }

    pub(super) fn metrics(&self, view: &View) -> String {
        self.meters.written(view)
    }
}

/// The queue, and what comes from it.
impl Watch {
    /// `idle`: no delivery is unacknowledged.
    pub(crate) fn broker(&mut self, now: Instant, event: &rabbitmq::Event, idle: bool) {
        use rabbitmq::Event;
        self.sessions
            .event(now, event, self.condition.is_consuming());
        match event {
            Event::Opened { share, .. } => {
                self.condition.opened(now, *share);
                self.meters.session_opened();
            }
            Event::NotOpened { reason, .. } => self.condition.not_opened(reason),
            Event::Lost { reason, .. } => {
                self.condition.lost(now, reason);
                self.traced.lost();
            }
            Event::Delivered(_) => {
                if let Some(stood_by) = self.condition.delivered(idle, now) {
                    sessions::took_over(stood_by);
                }
            }
            Event::Counted(queue) => {
                if self.condition.counted(*queue, idle, now) {
                    sessions::share_changed(queue.share);
                }
            }
            Event::LetterRefused(_, reason) => self.condition.letter_refused(*reason),
            Event::Blocked => self.condition.blocked(true),
            Event::Unblocked => self.condition.blocked(false),
            Event::LetterConfirmed(_) | Event::LetterReduced(_) | Event::InTouch(_) => {}
        }
    }

    /// Deliveries are wanted from now on, or not.
    pub(crate) fn consume(&mut self, now: Instant, wanted: bool) {
        self.condition.consume(now, wanted);
    }

    pub(crate) fn event(&mut self, delivery: Delivery, message: &Message, users: &[UserId]) {
        self.traced.event(delivery, message, users);
    }

    /// A message was read in this form, if in any.
    pub(crate) fn read(&self, form: Option<Form>) {
        if let Some(Form::Rule(rule)) = form {
            self.meters.matched(rule);
        }
    }

    /// Nothing was recognised in a message, and it is ignored.
    pub(crate) fn unrecognised(&mut self, now: Instant) {
        self.unexpected.unrecognised(now);
    }

    pub(crate) fn settled(&mut self, now: Instant, settlement: Settlement) {
        self.traced.settled(settlement);
        if !matches!(settlement, Settlement::HandBack(_)) {
            self.condition.progress(now);
        }
    }

    /// Reports that an event with timestamp `time` was acknowledged.
    pub(crate) fn acknowledged(&self, time: SystemTime, now: SystemTime) {
        self.meters.acknowledged(time, now);
    }

    pub(crate) fn not_for_us(&mut self, now: Instant, why: NotForUs) {
        if let NotForUs::ForeignType(kind) = why {
            self.unexpected.ignored(now, kind);
        }
    }

    /// `id` and `detail` are those in the letter's headers.
    pub(crate) fn dead_letter(&self, letter: &Letter, id: &str, detail: &str) {
        report::dead_letter(letter, id, detail);
    }
}
