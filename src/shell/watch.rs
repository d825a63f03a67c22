//! Everybody who is told what happens: log, metrics, traces and health. Each thing is told here, once.

mod condition;
mod meters;
mod origins;
mod report;
mod traced;

use std::time::{Instant, SystemTime};

use jiff::SignedDuration;

use crate::config::Settings;
use crate::engine::{Delivery, Letter, Notice, Settlement, Status, Trigger};
use crate::event::{Form, UserId};
use crate::rabbitmq::{self, Message};
use crate::shell::calls::Call;
use crate::shell::{InHand, SetupError, View};
use crate::traces::{OpenWindow, Traces};
use condition::Condition;
pub use condition::{Stall, State};
use meters::Meters;
use report::Report;
use traced::{Traced, outcome};

pub(crate) struct Watch {
    report: Report,
    meters: Meters,
    traced: Traced,
    condition: Condition,
}

/// The run, and the calls.
impl Watch {
    pub(super) fn new(
        settings: &Settings,
        traces: Option<&Traces>,
        now: Instant,
    ) -> Result<Watch, SetupError> {
        Ok(Watch {
            report: Report::default(),
            meters: Meters::new(settings.events.rules()?.mapping.names()),
            traced: Traced::new(traces, settings)?,
            condition: Condition::new(
                settings.admin.stall_limit,
                settings.im.calls_per_second,
                now,
            ),
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

    pub(super) fn summary(&mut self, now: Instant, status: &Status) {
        self.report.summary(now, status);
    }

    pub(super) fn calling(&mut self, users: &[UserId], trigger: Trigger) -> Option<OpenWindow> {
        self.traced.call(users, trigger)
    }

    /// A call has ended. Whatever came of it is progress: an error explains why nothing else moves.
    pub(super) fn call_over(&mut self, now: Instant, call: &mut Call) {
        self.report.call(call);
        self.meters.call(call);
        if let Some(span) = call.span.take() {
            span.end(outcome(&call.reply));
        }
        self.condition.call_over(report::trouble(&call.reply));
        self.condition.progress(now);
    }

    pub(super) fn clock_skew(&mut self, skew: Option<SignedDuration>) {
        self.report.clock_skew(skew);
    }

    pub(super) fn notice(&mut self, now: Instant, notice: Notice) {
        self.report.notice(notice);
        match notice {
            Notice::Resumed { .. } => self.condition.progress(now),
            Notice::Throttled { .. } => self.meters.throttled(),
            Notice::Paused(_) | Notice::Suspended { .. } | Notice::ControlRefused { .. } => {}
        }
    }

    pub(super) fn view(&self, now: Instant, engine: Status, held: InHand) -> View {
        self.condition.view(now, engine, held)
    }

    pub(super) fn metrics(&self, view: &View) -> String {
        self.meters.written(view)
    }
}

/// The queue, and what comes from it.
impl Watch {
    /// `idle` says that no delivery is in hand.
    pub(crate) fn broker(&mut self, now: Instant, event: &rabbitmq::Event, idle: bool) {
        use rabbitmq::Event;
        report::broker_event(event, self.condition.is_consuming());
        match event {
            Event::Opened { share, .. } => {
                self.condition.opened(*share);
                self.meters.session_opened();
            }
            Event::NotOpened { reason, .. } => self.condition.not_opened(reason),
            Event::Lost { reason, .. } => {
                self.condition.lost(now, reason);
                self.traced.lost();
            }
            Event::Delivered(_) => self.condition.delivered(idle, now),
            Event::Counted(queue) => {
                if self.condition.counted(*queue, idle, now) {
                    report::share_changed(queue.share);
                }
            }
            Event::LetterRefused(_, reason) => self.condition.letter_refused(*reason),
            Event::LetterConfirmed(_)
            | Event::LetterReduced(_)
            | Event::InTouch(_)
            | Event::Blocked
            | Event::Unblocked => {}
        }
    }

    /// Deliveries are wanted from now on, or not.
    pub(crate) fn consume(&mut self, wanted: bool) {
        self.condition.consume(wanted);
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
        self.report.unrecognised(now);
    }

    pub(crate) fn settled(&mut self, now: Instant, settlement: Settlement) {
        self.traced.settled(settlement);
        if !matches!(settlement, Settlement::HandBack(_)) {
            self.condition.progress(now);
        }
    }

    /// An event that happened at `time` was acknowledged.
    pub(crate) fn acknowledged(&self, time: SystemTime, now: SystemTime) {
        self.meters.acknowledged(time, now);
    }

    pub(crate) fn dead_letter(&self, letter: &Letter) {
        report::dead_letter(letter);
    }
}
