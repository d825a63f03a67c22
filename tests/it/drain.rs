//! The end of a worker, asked for or not, and the next one.

use std::time::{Duration, Instant};

use im_simulator::Fault;
use tagsweep::worker::Error;
use testkit::eventually;

use crate::stage::*;

/// Sooner than any timer of the worker that could end the wait by itself.
const AT_ONCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_drain_calls_at_once_for_the_ids_that_wait_and_acknowledges_all() {
    let mut stage = Stage::new().await;
    stage.set("WINDOW__MAX_WAIT", "5m");
    stage.import(0..150);
    let worker = stage.worker().await;
    stage
        .publish([deleted(&(0..150).collect::<Vec<_>>())])
        .await;
    // The event's other users are in hand by then.
    stage
        .seen("the first, full window", |stats| stats.calls == 1)
        .await;
    let account = stage.finish(worker).await;
    assert_eq!(account.count("calls"), 2);
    assert_eq!(account.count("users_cleared"), 150);
    assert_eq!(account.count("events_done"), 1);
}

#[tokio::test]
async fn a_drain_waits_for_a_slow_call_and_acknowledges_what_it_cleared() {
    let stage = Stage::new().await;
    stage
        .simulator
        .set_latency(Duration::from_secs(2), Duration::ZERO);
    stage.import(0..1);
    let worker = stage.worker().await;
    stage.delete([0]).await;
    stage.seen("a call", |stats| stats.in_flight == 1).await;
    let account = stage.finish(worker).await;
    assert_eq!(account.count("calls"), 1);
    assert_eq!(account.count("events_done"), 1);
}

#[tokio::test]
async fn a_drain_under_load_leaves_the_rest_to_the_next_worker_and_nothing_is_called_twice() {
    let mut stage = Stage::new().await;
    stage.set("WINDOW__MAX_IDS", 10);
    stage.import(0..2_000);
    let worker = stage.worker().await;
    stage.delete(0..2_000).await;
    stage.cleared(100).await;
    worker.drain().await.expect("it ends in good order");
    let next = stage.worker().await;
    stage.cleared(2_000).await;
    assert_eq!(stage.simulator.clear_counts(), [(1, 2_000)].into());
    stage.finish(next).await;
}

#[tokio::test]
async fn a_drain_during_a_pause_ends_at_once_and_leaves_every_event_in_the_queue() {
    let stage = Stage::new().await;
    stage.simulator.set_feature_enabled(false);
    stage.import(0..50);
    let worker = stage.worker().await;
    stage.delete(0..50).await;
    stage.says("paused: API calls suspended", 1).await;
    let asked = Instant::now();
    worker.drain().await.expect("it ends in good order");
    assert!(asked.elapsed() < AT_ONCE);
    eventually(PATIENCE, "all events are the broker's again", async || {
        (stage.ready(QUEUE).await == 50).then_some(())
    })
    .await;
    stage.simulator.set_feature_enabled(true);
    let next = stage.worker().await;
    stage.cleared(50).await;
    stage.finish(next).await;
}

#[tokio::test]
async fn a_stop_ends_at_once_and_the_broker_delivers_again() {
    let stage = Stage::new().await;
    stage.simulator.add_fault(Fault::Hang);
    stage.import(0..50);
    let worker = stage.worker().await;
    stage.delete(0..50).await;
    stage.seen("a call", |stats| stats.calls > 0).await;
    worker.shutdown.drain.cancel();
    let asked = Instant::now();
    worker.shutdown.stop.cancel();
    let ended = worker.ended().await;
    assert!(matches!(ended, Err(Error::Stopped)), "{ended:?}");
    assert!(asked.elapsed() < AT_ONCE);
    stage.simulator.clear_faults();
    let next = stage.worker().await;
    stage.cleared(50).await;
    stage.finish(next).await;
}

#[tokio::test]
async fn when_a_worker_crashes_the_one_that_stands_by_takes_over_within_the_same_quota() {
    take_over_within_quota(async |first: Worker| first.crash().await).await;
}

#[tokio::test]
async fn when_a_worker_drains_the_one_that_stands_by_takes_over_within_the_same_quota() {
    take_over_within_quota(async |first: Worker| {
        first.drain().await.expect("it ends in good order");
    })
    .await;
}

async fn take_over_within_quota(end: impl AsyncFnOnce(Worker)) {
    const QUOTA: usize = 50;
    let mut stage = Stage::new().await;
    stage.set("WINDOW__MAX_IDS", 5);
    stage.set("IM__CALLS_PER_SECOND", QUOTA);
    stage.simulator.set_calls_per_second(None);
    stage.import(0..1_000);
    let first = stage.worker().await;
    let second = stage.worker().await;
    stage.delete(0..1_000).await;
    stage.cleared(400).await;
    end(first).await;
    stage.cleared(1_000).await;
    stage.assert_quota(QUOTA);
    let account = stage.finish(second).await;
    assert!(account.count("calls") >= 20, "it stood by until then");
}
