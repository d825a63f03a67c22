//! The worker's metrics, under the names that dashboards and alerts use. No label contains data from a message:
//! unknown codes share one value.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::replies::reply_name;
use super::{Pause, State};
use crate::engine::{Class, Ending, Reason, Tally, Trigger};
use crate::shell::View;
use crate::shell::calls::Call;
use crate::telemetry::dropped_lines;

/// Seconds. The API answers in some tens of milliseconds and is given up on after `im.request_timeout`.
const CALL_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Seconds. A second in a trickle, hours behind a backlog or after an outage.
const AGE_SECONDS: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0,
    604_800.0,
];
const WINDOW_IDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 75.0, 99.0, 100.0];

pub(super) struct Meters {
    registry: Registry,
    events_received: IntCounter,
    events: IntCounterVec,
    /// By the rules' indices: two presets may be the same one with other parameters, and then share a counter.
    matched: Vec<IntCounter>,
    users: IntCounterVec,
    dead_letters: IntCounterVec,
    windows: IntCounterVec,
    window_ids: Histogram,
    api_calls: IntCounterVec,
    api_call_seconds: Histogram,
    event_age_seconds: Histogram,
    throttled: IntCounter,
    sessions: IntCounter,
    dropped_log_lines: IntCounter,
    state: IntGaugeVec,
    pause_reason: IntGaugeVec,
    live: IntGauge,
    ready: IntGauge,
    in_flight_calls: IntGauge,
    pending_ids: IntGauge,
    unsettled_deliveries: IntGauge,
    oldest_event_seconds: Gauge,
    highest_delivery_count: IntGauge,
    last_progress: Gauge,
    calls_per_second: Gauge,
    limit_calls_per_second: Gauge,
    /// These have no value before the first count of a session.
    queue_ready_messages: IntGaugeVec,
    queue_consumers: IntGaugeVec,
    dead_letter_queue_messages: IntGaugeVec,
}

impl Meters {
    /// `rules` are the names of the rules for events, in their order.
    pub(super) fn new<'a>(rules: impl Iterator<Item = &'a str>) -> Meters {
        let registry = Registry::new();
        let of = &registry;
        let matched = counters(
            of,
            "tagsweep_events_matched_total",
            "Messages for which a rule held, by the rule.",
            "rule",
        );
        let meters = Meters {
            events_received: register(
                of,
                IntCounter::new(
                    "tagsweep_events_received_total",
                    "Events that were delivered, redeliveries included.",
                ),
            ),
            events: counters(
                of,
                "tagsweep_events_total",
                "Delivered events by how they ended, each in exactly one way: done, ignored (not for us), repeated (delivered again, and finished before), dead_lettered, returned (to the queue, by us or with the session).",
                "result",
            ),
            matched: rules
                .map(|rule| matched.with_label_values(&[rule]))
                .collect(),
            users: counters(
                of,
                "tagsweep_users_total",
                "Users by what became of them: cleared, missing (unknown to the API, and done), dead_lettered (IDs that break the rule included).",
                "outcome",
            ),
            dead_letters: counters(
                of,
                "tagsweep_dead_letters_total",
                "Dead letters that the broker has confirmed, by reason.",
                "reason",
            ),
            windows: counters(
                of,
                "tagsweep_windows_total",
                "Windows that were called, by what made them due.",
                "trigger",
            ),
            window_ids: histogram(of, "tagsweep_window_ids", "User IDs in a call.", WINDOW_IDS),
            api_calls: counters(
                of,
                "tagsweep_api_calls_total",
                "Calls that are over, by the API's error code; where something else answered, by its HTTP status (http-429); where no answer came, by what was in its way.",
                "code",
            ),
            api_call_seconds: histogram(
                of,
                "tagsweep_api_call_seconds",
                "Time from the start of a call to its answer.",
                CALL_SECONDS,
            ),
            event_age_seconds: histogram(
                of,
                "tagsweep_event_age_seconds",
                "Age of an event, by its own time, when it was acknowledged. Events without a time are left out.",
                AGE_SECONDS,
            ),
            throttled: register(
                of,
                IntCounter::new(
                    "tagsweep_quota_throttled_total",
                    "How often the API rate-limited a call.",
                ),
            ),
            sessions: register(
                of,
                IntCounter::new(
                    "tagsweep_broker_sessions_total",
                    "Broker sessions that were opened.",
                ),
            ),
            dropped_log_lines: register(
                of,
                IntCounter::new(
                    "tagsweep_log_lines_dropped_total",
                    "Lines of the log that were dropped: nobody read them in time, or they could not be written.",
                ),
            ),
            state: gauges(
                of,
                "tagsweep_state",
                "1 for what the worker is doing, 0 for the rest.",
                &["state"],
            ),
            pause_reason: gauges(
                of,
                "tagsweep_pause_reason",
                "1 for what the worker pauses for: a class of error codes, or operator (paused at the console).",
                &["class"],
            ),
            live: gauge(
                of,
                "tagsweep_live",
                "1 while /livez says that the worker gets on.",
            ),
            ready: gauge(
                of,
                "tagsweep_ready",
                "1 while /readyz says that the worker could process an event.",
            ),
            in_flight_calls: gauge(of, "tagsweep_in_flight_calls", "Calls in flight."),
            pending_ids: gauge(of, "tagsweep_pending_ids", "User IDs that wait for a call."),
            unsettled_deliveries: gauge(of, "tagsweep_unsettled_deliveries", "Deliveries in hand."),
            oldest_event_seconds: register(
                of,
                Gauge::new(
                    "tagsweep_oldest_event_seconds",
                    "Age of the oldest event in hand: by its own time where it has one, else since it came. 0 when nothing is in hand.",
                ),
            ),
            highest_delivery_count: gauge(
                of,
                "tagsweep_highest_delivery_count",
                "Of the events in hand, how often the one that was returned most was returned to its quorum queue.",
            ),
            last_progress: register(
                of,
                Gauge::new(
                    "tagsweep_last_progress_timestamp_seconds",
                    "Unix time of the last sign of progress: a finished call, an acknowledgement, or nothing in hand.",
                ),
            ),
            calls_per_second: register(
                of,
                Gauge::new(
                    "tagsweep_quota_calls_per_second",
                    "Calls a second that the worker allows itself now.",
                ),
            ),
            limit_calls_per_second: register(
                of,
                Gauge::new(
                    "tagsweep_quota_limit_calls_per_second",
                    "This worker's share of im.calls_per_second.",
                ),
            ),
            queue_ready_messages: gauges(
                of,
                "tagsweep_queue_ready_messages",
                "Messages in the queue that are not delivered to anybody, as the broker counts them every three seconds.",
                &[],
            ),
            queue_consumers: gauges(
                of,
                "tagsweep_queue_consumers",
                "Consumers of the queue, as the broker counts them every three seconds.",
                &[],
            ),
            dead_letter_queue_messages: gauges(
                of,
                "tagsweep_dead_letter_queue_messages",
                "Messages in the dead-letter queue, as the broker counts them every three seconds. Absent while unknown.",
                &[],
            ),
            registry: registry.clone(),
        };
        register_only(of, ProcessCollector::for_self());
        register_only(of, build_info());
        meters.begin_with_zeros();
        meters
    }

    /// A series that only appears with its first event has no increase that an alert could see.
    fn begin_with_zeros(&self) {
        for trigger in Trigger::ALL {
            self.windows.with_label_values(&[trigger.name()]);
        }
        for reason in Reason::ALL {
            self.dead_letters.with_label_values(&[reason.name()]);
        }
        self.api_calls.with_label_values(&["0"]);
    }

    pub(super) fn call(&self, call: &Call) {
        self.windows.with_label_values(&[call.trigger.name()]).inc();
        self.window_ids.observe(call.ids as f64);
        self.api_call_seconds.observe(call.took.as_secs_f64());
        self.api_calls
            .with_label_values(&[reply_name(&call.reply)])
            .inc();
    }

    /// An event that happened at `time` was acknowledged.
    pub(super) fn acknowledged(&self, time: SystemTime, now: SystemTime) {
        // One of the future is as new as can be.
        let age = now.duration_since(time).unwrap_or_default();
        self.event_age_seconds.observe(age.as_secs_f64());
    }

    /// The rule of this index held.
    pub(super) fn matched(&self, rule: usize) {
        if let Some(counter) = self.matched.get(rule) {
            counter.inc();
        }
    }

    pub(super) fn session_opened(&self) {
        self.sessions.inc();
    }

    pub(super) fn throttled(&self) {
        self.throttled.inc();
    }

    /// All metrics in Prometheus' text format.
    pub(super) fn written(&self, view: &View) -> String {
        self.tell_totals(&view.engine.tally);
        self.dropped_log_lines.reset();
        self.dropped_log_lines.inc_by(dropped_lines());
        self.tell_state(view);
        let families = self.registry.gather();
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_default()
    }

    fn tell_totals(&self, tally: &Tally) {
        self.events_received.reset();
        self.events_received.inc_by(tally.events_received);
        for (ending, total) in Ending::ALL.iter().zip(tally.events) {
            set(&self.events, ending.name(), total);
        }
        for (outcome, total) in [
            ("cleared", tally.users_cleared),
            ("missing", tally.users_missing),
            ("dead_lettered", tally.users_dead_lettered),
        ] {
            set(&self.users, outcome, total);
        }
        for (reason, letters) in Reason::ALL.iter().zip(tally.letters) {
            set(&self.dead_letters, reason.name(), letters);
        }
    }

    fn tell_state(&self, view: &View) {
        for state in State::NAMES {
            let is = view.state.name() == state;
            self.state.with_label_values(&[state]).set(is.into());
        }
        let paused = match view.state {
            State::Paused(pause) => Some(pause.class()),
            _ => None,
        };
        let classes = Class::ALL.map(Class::name);
        for class in classes.into_iter().chain([Pause::OPERATOR]) {
            let is = paused == Some(class);
            self.pause_reason.with_label_values(&[class]).set(is.into());
        }
        self.live.set(view.stall.is_none().into());
        self.ready.set(view.is_ready().into());
        self.in_flight_calls.set(view.engine.in_flight_calls as i64);
        self.pending_ids.set(view.engine.pending_ids as i64);
        self.unsettled_deliveries
            .set(view.engine.unsettled_deliveries as i64);
        self.calls_per_second.set(view.engine.calls_per_second);
        self.limit_calls_per_second.set(view.limit_calls_per_second);
        self.oldest_event_seconds
            .set(view.oldest_event.as_secs_f64());
        self.highest_delivery_count
            .set(view.highest_delivery_count.into());
        let last_progress = SystemTime::now() - view.since_progress;
        let last_progress = last_progress.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_progress.set(last_progress.as_secs_f64());
        set_or_clear(
            &self.queue_ready_messages,
            view.queue.map(|queue| queue.ready),
        );
        set_or_clear(
            &self.queue_consumers,
            view.queue.map(|queue| queue.consumers),
        );
        let letters = view.queue.and_then(|queue| queue.dead_letters);
        set_or_clear(&self.dead_letter_queue_messages, letters);
    }
}

/// A gauge without a value is not exported.
fn set_or_clear(gauge: &IntGaugeVec, value: Option<u32>) {
    gauge.reset();
    if let Some(value) = value {
        let none: [&str; 0] = [];
        gauge.with_label_values(&none).set(value.into());
    }
}

fn build_info() -> IntGaugeVec {
    let options = Opts::new(
        "tagsweep_build_info",
        "1, with what is running in its labels.",
    );
    let info = IntGaugeVec::new(options, &["version", "commit"]);
    let info = info.unwrap_or_else(never);
    let version = env!("CARGO_PKG_VERSION");
    info.with_label_values(&[version, env!("TAGSWEEP_COMMIT")])
        .set(1);
    info
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> IntCounterVec {
    register(
        registry,
        IntCounterVec::new(Opts::new(name, help), &[label]),
    )
}

/// Makes a counter say the engine's own total. It is read only afterwards, on the same thread.
fn set(counters: &IntCounterVec, label: &str, total: u64) {
    let counter = counters.with_label_values(&[label]);
    counter.reset();
    counter.inc_by(total);
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name, help))
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(registry, Histogram::with_opts(options))
}

fn register<M>(registry: &Registry, metric: prometheus::Result<M>) -> M
where
    M: Collector + Clone + 'static,
{
    let metric = metric.unwrap_or_else(never);
    register_only(registry, metric.clone());
    metric
}

fn register_only(registry: &Registry, metric: impl Collector + 'static) {
    registry.register(Box::new(metric)).unwrap_or_else(never);
}

#[expect(
    clippy::panic,
    reason = "names are literals, and a test makes them all"
)]
fn never<T>(error: prometheus::Error) -> T {
    panic!("a metric is misnamed: {error}")
}
