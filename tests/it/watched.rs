//! What those who watch over a worker see: health, readiness and metrics, over HTTP.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use im_simulator::{Fault, Rule, UnknownAccounts};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use tagsweep::admin::Admin;
use tagsweep::config::{self, Settings};
use tagsweep::shell::Inquirer;
use tagsweep::worker::broker_options;
use testkit::amqp::Outgoing;
use testkit::eventually;
use testkit::proxy::FaultProxy;
use testkit::rabbitmq::shared;

use crate::stage::*;

/// Asks as kubelets and Prometheus do.
struct Watcher {
    address: SocketAddr,
    http: reqwest::Client,
}

impl Watcher {
    async fn new(inquirer: &Inquirer) -> Watcher {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let admin = Admin::bind(any_port).await.expect("a free port");
        let address = admin.address().expect("it has an address");
        let inquirer = inquirer.clone();
        let settings = [
            ("IM__SDK_APP_ID", "1400000000"),
            ("IM__SECRET_KEY", SECRET_KEY),
        ]
        .map(|(key, value)| (format!("TAGSWEEP__{key}"), value.to_owned()));
        let settings: Settings = config::load(&[], settings).expect("settings in order");
        let broker = broker_options(&settings.rabbitmq, 0).expect("options");
        tokio::spawn(async move { admin.serve(inquirer, &settings, broker).await });
        Watcher {
            address,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
        }
    }

    async fn ask(&self, path: &str) -> (u16, String) {
        let answer = self
            .http
            .get(format!("http://{}{path}", self.address))
            .send();
        let answer = answer.await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("a text"))
    }

    /// Waits until this path answers with this status, and gives the text.
    async fn says(&self, path: &str, status: u16) -> String {
        eventually(PATIENCE, path, async || {
            let (now, text) = self.ask(path).await;
            (now == status).then_some(text)
        })
        .await
    }

    /// Waits until this series has this value.
    async fn counts(&self, series: &str, value: f64) {
        eventually(PATIENCE, series, async || {
            let metrics = self.metrics().await;
            (metrics.find(series) == Some(value)).then_some(())
        })
        .await;
    }

    async fn metrics(&self) -> Metrics {
        let (status, text) = self.ask("/metrics").await;
        assert_eq!(status, 200, "{text}");
        Metrics(text)
    }
}

/// In Prometheus' text format.
struct Metrics(String);

impl Metrics {
    fn value(&self, series: &str) -> f64 {
        let value = self.find(series);
        value.unwrap_or_else(|| panic!("no {series} in\n{}", self.0))
    }

    fn find(&self, series: &str) -> Option<f64> {
        let mut values = self.0.lines().filter_map(|line| line.rsplit_once(' '));
        let (_, value) = values.find(|(name, _)| *name == series)?;
        Some(value.parse().expect("a number"))
    }

    /// Of all series whose text begins so.
    fn sum(&self, start: &str) -> f64 {
        let lines = self.0.lines().filter(|line| line.starts_with(start));
        let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        values.sum()
    }

    /// The names with their labels' names, histograms without the suffixes of their series.
    fn names(&self) -> BTreeMap<String, Vec<String>> {
        let mut names = BTreeMap::new();
        for line in self.0.lines().filter(|line| !line.starts_with('#')) {
            let (series, _) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split(',');
            let labels = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            names.insert(name.to_owned(), labels.collect());
        }
        names
    }
}

/// One of each kind, so that no number stands for another. The worker loses the broker when one event is done and not
/// acknowledged, and the call for another hangs.
#[tokio::test]
async fn every_delivery_and_every_user_is_counted_exactly_once() {
    let vhost = shared().await.vhost().await.expect("a virtual host");
    let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, vhost.node().port()));
    let proxy = FaultProxy::start(broker).expect("a proxy");
    let mut stage =
        Stage::with_broker(&vhost.url_through(proxy.address().port()), &vhost.url()).await;
    // Each user has a call of its own.
    stage.set("WINDOW__MAX_IDS", 1);
    stage
        .simulator
        .set_unknown_accounts(UnknownAccounts::ErrorList);
    stage.import(0..20);
    let worker = stage.worker().await;
    let watcher = Watcher::new(&worker.inquirer).await;

    let hang = Rule::new(Fault::Hang).only_for_user(user(1));
    stage.simulator.add_fault(hang);
    stage
        .simulator
        .set_latency(Duration::from_millis(500), Duration::ZERO);
    stage.delete([0, 1]).await;
    stage.seen("both calls", |stats| stats.in_flight == 2).await;
    proxy.stall();
    watcher
        .counts(r#"tagsweep_events_total{result="done"}"#, 1.0)
        .await;
    stage.simulator.clear_faults();
    stage.simulator.set_latency(Duration::ZERO, Duration::ZERO);
    proxy.cut().await;
    proxy.flow();
    watcher
        .counts(r#"tagsweep_events_total{result="repeated"}"#, 1.0)
        .await;
    stage.cleared(2).await;

    stage.simulator.reject_user(user(2), 90001);
    stage.delete([2]).await;
    // Unknown to the API.
    stage.delete([100, 101]).await;
    stage
        .publish([
            malformed(),
            Outgoing::json("user.deleted", r#"{"type":"user.renamed"}"#),
            Outgoing::json("user.deleted", ""),
            Outgoing::json(
                "user.deleted",
                json!({ "type": "user.deleted", "user_ids": [user(3), "", "é", user(4)] }),
            ),
        ])
        .await;
    stage.delete(5..20).await;
    stage.cleared(19).await;
    let ended = r#"tagsweep_events_total{result="dead_lettered"}"#;
    watcher.counts(ended, 3.0).await;
    watcher.counts("tagsweep_unsettled_deliveries", 0.0).await;
    watcher
        .counts("tagsweep_dead_letter_queue_messages", 3.0)
        .await;

    let metrics = watcher.metrics().await;
    for (series, expected) in [
        ("tagsweep_events_received_total", 26.0),
        // The hanging one comes again, and the event with good and bad IDs is in a letter.
        (r#"tagsweep_events_total{result="done"}"#, 19.0),
        (r#"tagsweep_events_total{result="ignored"}"#, 2.0),
        (r#"tagsweep_events_total{result="repeated"}"#, 1.0),
        (r#"tagsweep_events_total{result="dead_lettered"}"#, 3.0),
        (r#"tagsweep_events_total{result="returned"}"#, 1.0),
        (r#"tagsweep_users_total{outcome="cleared"}"#, 19.0),
        (r#"tagsweep_users_total{outcome="missing"}"#, 2.0),
        // The rejected one, and the two that are no IDs.
        (r#"tagsweep_users_total{outcome="dead_lettered"}"#, 3.0),
        (
            r#"tagsweep_dead_letters_total{reason="malformed-event"}"#,
            1.0,
        ),
        (
            r#"tagsweep_dead_letters_total{reason="invalid-user-id"}"#,
            1.0,
        ),
        (
            r#"tagsweep_dead_letters_total{reason="rejected-by-api"}"#,
            1.0,
        ),
        (
            r#"tagsweep_dead_letters_total{reason="retries-exhausted"}"#,
            0.0,
        ),
        (r#"tagsweep_state{state="consuming"}"#, 1.0),
        (r#"tagsweep_state{state="paused"}"#, 0.0),
        (r#"tagsweep_pause_reason{class="config"}"#, 0.0),
        ("tagsweep_live", 1.0),
        ("tagsweep_ready", 1.0),
        ("tagsweep_oldest_event_seconds", 0.0),
        ("tagsweep_quota_limit_calls_per_second", 100.0),
        ("tagsweep_broker_sessions_total", 2.0),
    ] {
        assert_eq!(metrics.value(series), expected, "{series}\n{}", metrics.0);
    }
    let ended = metrics.sum("tagsweep_events_total{");
    assert_eq!(ended, metrics.value("tagsweep_events_received_total"));
    let calls = metrics.sum("tagsweep_api_calls_total{");
    assert_eq!(metrics.value("tagsweep_api_call_seconds_count"), calls);
    assert_eq!(metrics.sum("tagsweep_windows_total{"), calls);
    assert!(metrics.value("process_resident_memory_bytes") > 0.0);
    stage.letters(3).await;
    stage.finish(worker).await;
}

#[tokio::test]
async fn every_metric_that_dashboards_and_alerts_name_is_there() {
    let mut stage = Stage::new().await;
    // A rule, for the counter of rules.
    stage.set("EVENTS__PRESETS", "clerk");
    stage.import(0..1);
    let worker = stage.worker().await;
    let watcher = Watcher::new(&worker.inquirer).await;
    stage.delete([0]).await;
    stage.cleared(1).await;
    let counted = async || {
        let names = watcher.metrics().await.names();
        names
            .contains_key("tagsweep_dead_letter_queue_messages")
            .then_some(names)
    };
    let there = eventually(PATIENCE, "the queue is counted", counted).await;
    let listed = include_str!("../deploy/metrics.txt");
    let listed = listed
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in listed {
        let (name, labels) = line.split_once('{').unwrap_or((line, ""));
        let found = there
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not exported"));
        let labels = labels
            .trim_end_matches('}')
            .split(',')
            .filter(|label| !label.is_empty());
        for label in labels {
            assert!(
                found.iter().any(|found| found == label),
                "{name} has no label {label}"
            );
        }
    }
    stage.finish(worker).await;
}

#[tokio::test]
async fn a_pause_is_live_and_not_ready_and_says_why() {
    let mut stage = Stage::new().await;
    stage.set("ADMIN__STALL_LIMIT", "1500ms");
    stage.set("IM__REQUEST_TIMEOUT", "1s");
    stage.set("IM__CONNECT_TIMEOUT", "1s");
    stage.import(0..1);
    let worker = stage.worker().await;
    let watcher = Watcher::new(&worker.inquirer).await;
    let (status, _) = watcher.ask("/readyz").await;
    assert_eq!(status, 200);
    stage.simulator.add_fault(Rule::new(Fault::Answer(60006)));
    stage.delete([0]).await;
    let why = watcher.says("/readyz", 503).await;
    assert!(
        why.contains("paused for class config, error code 60006: "),
        "{why}"
    );
    let paused = "paused: API calls suspended, probing periodically; events wait, none is dead-lettered unless the \
                  broker would drop it";
    let paused = stage.last_line(paused);
    assert_eq!(
        (&paused["class"], &paused["code"]),
        (&json!("config"), &json!(60006))
    );
    assert_eq!(paused["next_probe_seconds"], 1.0);
    let metrics = watcher.metrics().await;
    assert_eq!(
        metrics.value(r#"tagsweep_pause_reason{class="config"}"#),
        1.0
    );
    assert_eq!(metrics.value(r#"tagsweep_state{state="paused"}"#), 1.0);

    // It settles nothing for longer than the limit, and that is not its fault.
    eventually(
        PATIENCE,
        "the oldest event is older than the limit",
        async || {
            let metrics = watcher.metrics().await;
            (metrics.value("tagsweep_oldest_event_seconds") > 2.5).then_some(())
        },
    )
    .await;
    assert_eq!(watcher.ask("/livez").await, (200, "live\n".to_owned()));

    stage.simulator.clear_faults();
    stage.cleared(1).await;
    watcher.says("/readyz", 200).await;
    stage.finish(worker).await;
}

#[tokio::test]
async fn a_worker_that_holds_events_and_settles_none_is_not_live() {
    let mut stage = Stage::new().await;
    stage.set("ADMIN__STALL_LIMIT", "1500ms");
    stage.set("IM__REQUEST_TIMEOUT", "1s");
    stage.set("IM__CONNECT_TIMEOUT", "1s");
    // A dead-letter queue that takes nothing: letters are refused again and again, and no call fails.
    let mut full = FieldTable::default();
    full.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    full.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    stage
        .amqp
        .declare(DEAD_LETTERS, full)
        .await
        .expect("a small queue");
    let older = Outgoing::json(DEAD_LETTERS, "{}");
    stage.amqp.publish("", [older]).await.expect("it takes one");

    let worker = stage.worker().await;
    let watcher = Watcher::new(&worker.inquirer).await;
    assert_eq!(watcher.ask("/livez").await, (200, "live\n".to_owned()));
    stage.publish([malformed()]).await;
    let why = watcher.says("/livez", 503).await;
    assert!(
        why.starts_with("not live: events are held and none was acknowledged for "),
        "{why}"
    );
    assert_eq!(watcher.metrics().await.value("tagsweep_live"), 0.0);
    let why = watcher.says("/readyz", 503).await;
    assert_eq!(
        why,
        "not ready: the broker refuses dead letters, 1 wait: the queue rejected it: it is full, or the broker could \
         not store it\n"
    );

    let older = stage.amqp.take_all(DEAD_LETTERS).await;
    assert_eq!(older.expect("the older one").len(), 1);
    stage.letters(1).await;
    watcher.says("/livez", 200).await;
    watcher.says("/readyz", 200).await;
    stage.finish(worker).await;
}

#[tokio::test]
async fn a_worker_that_works_at_one_large_event_is_live_though_it_settles_nothing() {
    let mut stage = Stage::new().await;
    stage.set("ADMIN__STALL_LIMIT", "1500ms");
    stage.set("IM__REQUEST_TIMEOUT", "1s");
    stage.set("IM__CONNECT_TIMEOUT", "1s");
    stage.set("IM__CALLS_PER_SECOND", 2);
    stage.set("WINDOW__MAX_IDS", 1);
    let users: Vec<usize> = (0..12).collect();
    stage.import(users.iter().copied());
    let worker = stage.worker().await;
    let watcher = Watcher::new(&worker.inquirer).await;
    stage.publish([deleted(&users)]).await;
    let mut oldest = 0.0_f64;
    eventually(PATIENCE, "the event is settled", async || {
        assert_eq!(watcher.ask("/livez").await, (200, "live\n".to_owned()));
        let metrics = watcher.metrics().await;
        oldest = oldest.max(metrics.value("tagsweep_oldest_event_seconds"));
        let done = metrics.value(r#"tagsweep_events_total{result="done"}"#);
        (done == 1.0).then_some(())
    })
    .await;
    assert!(oldest > 3.0, "it took {oldest} s, and the limit is 1.5 s");
    stage.finish(worker).await;
}

#[tokio::test]
async fn a_standby_is_ready_and_takes_over() {
    let stage = Stage::new().await;
    stage.import(0..2);
    let first = stage.worker().await;
    let second = stage.worker().await;
    let watcher = Watcher::new(&second.inquirer).await;
    stage.delete([0]).await;
    stage.cleared(1).await;
    let standby = (200, "ready: idle, no messages yet\n".to_owned());
    assert_eq!(watcher.ask("/readyz").await, standby);
    first.drain().await.expect("it ends in good order");
    stage.delete([1]).await;
    stage.cleared(2).await;
    eventually(PATIENCE, "it consumes", async || {
        let (_, text) = watcher.ask("/readyz").await;
        (text == "ready: consuming\n").then_some(())
    })
    .await;
    let takeover = stage.last_line("first delivery, leaving standby");
    assert!(takeover["standby_seconds"].is_number(), "{takeover}");
    // Each of both says once that it has cleared somebody, when it has read the answer.
    eventually(PATIENCE, "both say so", async || {
        (stage.said("first users cleared") == 2).then_some(())
    })
    .await;
    stage.finish(second).await;
}

#[tokio::test]
async fn without_a_broker_a_worker_is_live_and_not_ready() {
    let mut stage = Stage::new().await;
    stage.set("RABBITMQ__URL", "amqp://guest:pa55word@127.0.0.1:1/%2f");
    let worker = stage.start_worker();
    let watcher = Watcher::new(&worker.inquirer).await;
    eventually(PATIENCE, "it says why", async || {
        let (status, text) = watcher.ask("/readyz").await;
        assert_eq!(status, 503);
        let why = "not ready: no broker session: cannot connect to 127.0.0.1:1: connection refused";
        text.starts_with(why).then_some(())
    })
    .await;
    assert_eq!(watcher.ask("/livez").await, (200, "live\n".to_owned()));
    worker.crash().await;
    // Whoever asks is told, though nobody is left to answer.
    let nobody = (503, "not live: the worker does not answer\n".to_owned());
    assert_eq!(watcher.ask("/livez").await, nobody);
}

#[tokio::test]
async fn an_ignored_event_is_warned_of_with_its_type_and_with_what_is_acted_on() {
    let stage = Stage::new().await;
    let worker = stage.worker().await;
    let watcher = Watcher::new(&worker.inquirer).await;
    let renamed = || Outgoing::json("user.deleted", r#"{"type":"user.renamed"}"#);
    stage.publish((0..50).map(|_| renamed())).await;
    let ignored = r#"tagsweep_events_total{result="ignored"}"#;
    watcher.counts(ignored, 50.0).await;
    let message = "events ignored: their type is not in events.types";
    assert_eq!(stage.said(message), 1, "more than once a minute");
    let line = stage.last_line(message);
    assert_eq!(line["events_ignored"], 1);
    assert_eq!(line["event_type"], "user.renamed");
    assert_eq!(line["type_from"], "body");
    assert_eq!(line["events_types"], r#"["user.deleted", "user.reset"]"#);
    stage.finish(worker).await;
}

#[tokio::test]
async fn it_is_warned_of_when_most_users_are_unknown_to_the_api() {
    let stage = Stage::new().await;
    stage
        .simulator
        .set_unknown_accounts(UnknownAccounts::ErrorList);
    let worker = stage.worker().await;
    stage.delete(0..40).await;
    stage.says("most users are unknown to the API", 1).await;
    let account = stage.finish(worker).await;
    assert_eq!(account.count("users_missing"), 40);
}
