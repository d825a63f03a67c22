//! A broker that fails: connections, queues, dead letters, memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use im_simulator::Fault;
use lapin::types::{AMQPValue, FieldTable};
use testkit::amqp::Outgoing;
use testkit::eventually;
use testkit::proxy::FaultProxy;
use testkit::rabbitmq::{Node, Vhost, shared};

use crate::stage::*;

const LETTER_REFUSED: &str = "dead letter rejected by the broker";

#[tokio::test]
async fn what_a_crashed_worker_held_is_done_by_the_next() {
    let stage = Stage::new().await;
    stage.import(0..300);
    stage.simulator.add_fault(Fault::Hang);
    let worker = stage.worker().await;
    stage.delete(0..300).await;
    stage.seen("calls", |stats| stats.calls > 0).await;
    worker.crash().await;
    stage.simulator.clear_faults();
    let next = stage.worker().await;
    stage.cleared(300).await;
    assert_eq!(stage.simulator.clear_counts(), [(1, 300)].into());
    let account = stage.finish(next).await;
    assert_eq!(account.count("events_done"), 300);
}

#[tokio::test]
async fn a_broker_that_closes_all_connections_under_load_loses_nothing() {
    let vhost = shared().await.vhost().await.expect("a virtual host");
    let mut stage = Stage::on(&vhost).await;
    stage.set("WINDOW__MAX_IDS", 20);
    stage.import(0..2_000);
    let worker = stage.worker().await;
    stage.delete(0..2_000).await;
    for (cut, cleared) in [300, 900, 1_500].into_iter().enumerate() {
        stage.cleared(cleared).await;
        stage.says("broker session open", cut + 1).await;
        vhost
            .close_connections("as the test wants")
            .await
            .expect("they are closed");
        stage.says("broker session lost", cut + 1).await;
    }
    stage.cleared(2_000).await;
    stage.connect_again().await;
    stage.finish(worker).await;
}

#[tokio::test]
async fn a_queue_that_is_deleted_is_made_again_and_worked_on() {
    let stage = Stage::new().await;
    stage.import(0..20);
    let worker = stage.worker().await;
    stage.delete(0..10).await;
    stage.cleared(10).await;
    stage
        .amqp
        .delete(&[QUEUE], &[])
        .await
        .expect("it is deleted");
    stage.says("broker session open", 2).await;
    stage.delete(10..20).await;
    stage.cleared(20).await;
    stage.finish(worker).await;
}

#[tokio::test]
async fn an_event_is_only_acknowledged_when_a_full_dead_letter_queue_has_taken_its_letter() {
    let node = testkit::rabbitmq::shared().await;
    let vhost = node.vhost().await.expect("a virtual host");
    let stage = Stage::on(&vhost).await;
    let mut full_at_one = FieldTable::default();
    full_at_one.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    full_at_one.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    stage
        .amqp
        .declare(DEAD_LETTERS, full_at_one)
        .await
        .expect("a small queue");
    let older = Outgoing::json(DEAD_LETTERS, "{}");
    stage.amqp.publish("", [older]).await.expect("it takes one");

    stage.import(0..1);
    let worker = stage.worker().await;
    stage.publish([malformed()]).await;
    stage.says(LETTER_REFUSED, 1).await;
    // The letter that is refused stops nobody else.
    stage.delete([0]).await;
    stage.cleared(1).await;
    eventually(PATIENCE, "the other event is acknowledged", async || {
        let left = vhost.messages(QUEUE).await;
        left.is_ok_and(|left| left == 1).then_some(())
    })
    .await;
    worker.crash().await;
    eventually(PATIENCE, "it is the broker's again", async || {
        (stage.ready(QUEUE).await == 1).then_some(())
    })
    .await;

    let next = stage.worker().await;
    stage.says(LETTER_REFUSED, 2).await;
    // As soon as the older one is taken, there is room for the letter: it may be taken as well.
    let mut taken = stage.amqp.take_all(DEAD_LETTERS).await.expect("letters");
    assert_eq!(taken.remove(0).body, b"{}", "the older one comes first");
    if taken.is_empty() {
        taken = stage.letters(1).await;
    }
    let letters: Vec<_> = taken.iter().map(|letter| &letter.body).collect();
    assert_eq!(letters, [&malformed().body]);
    stage.cleared(1).await;
    stage.finish(next).await;
}

#[tokio::test]
async fn a_letter_that_no_queue_takes_is_kept_until_one_is_bound() {
    let mut stage = Stage::new().await;
    stage.prepare_queues().await;
    stage.set("RABBITMQ__DECLARE", false);
    stage
        .amqp
        .unbind(DEAD_LETTERS, DEAD_LETTERS)
        .await
        .expect("it was bound");
    stage.import(0..1);
    let worker = stage.worker().await;
    stage.publish([malformed()]).await;
    stage.says(LETTER_REFUSED, 2).await;
    stage.delete([0]).await;
    stage
        .amqp
        .bind(DEAD_LETTERS, DEAD_LETTERS)
        .await
        .expect("it is bound");
    let letters = stage.letters(1).await;
    assert_eq!(letters[0].body, malformed().body);
    stage.cleared(1).await;
    stage.finish(worker).await;
}

#[tokio::test]
async fn a_dead_letter_route_that_is_deleted_is_made_again_and_takes_the_letter() {
    for (queues, exchanges) in [(vec![DEAD_LETTERS], vec![]), (vec![], vec![DEAD_LETTERS])] {
        let vhost = shared().await.vhost().await.expect("a virtual host");
        let stage = Stage::on(&vhost).await;
        let worker = stage.worker().await;
        stage
            .amqp
            .delete(&queues, &exchanges)
            .await
            .expect("deleted");
        stage.publish([malformed()]).await;
        // Not through AMQP: there, to ask for a queue that is not there closes the channel.
        eventually(PATIENCE, "the letter is in the queue", async || {
            let ready = vhost.ready(DEAD_LETTERS).await;
            ready.is_ok_and(|ready| ready == 1).then_some(())
        })
        .await;
        assert_eq!(stage.letters(1).await[0].body, malformed().body);
        stage.finish(worker).await;
    }
}

#[tokio::test]
async fn while_the_broker_takes_no_messages_letters_wait_and_users_are_cleared() {
    let mut node = Node::start().await.expect("a node of its own");
    let url = node.url();
    let mut stage = Stage::with_broker(&url, &url).await;
    // With so few in hand, users are only cleared to the last as long as events are acknowledged.
    stage.set("WINDOW__MAX_IDS", 10);
    stage.set("RABBITMQ__PREFETCH", 40);
    stage.set("IM__MAX_IN_FLIGHT", 2);
    stage.prepare_queues().await;
    stage.import(0..500);
    stage.publish((0..20).map(|_| malformed())).await;
    stage.delete(0..500).await;

    node.raise_memory_alarm().await.expect("an alarm");
    let worker = stage.worker().await;
    stage.says("publishing blocked by a broker alarm", 1).await;
    stage.cleared(500).await;
    assert!(
        stage.ready(DEAD_LETTERS).await < 20,
        "the alarm stops publishers"
    );
    node.clear_memory_alarm().await.expect("no alarm");
    stage.letters(20).await;
    assert_eq!(stage.said("broker session lost"), 0);
    let account = stage.finish(worker).await;
    assert_eq!(account.count("events_done"), 500);
    assert_eq!(account.count("events_dead_lettered"), 20);
}

#[tokio::test]
async fn what_is_held_for_too_long_is_handed_back_and_done_later() {
    let mut stage = Stage::new().await;
    stage.set("IM__CONNECT_TIMEOUT", "1s");
    stage.set("IM__REQUEST_TIMEOUT", "1s");
    // Probes come 1, 2, 4 and 8 s apart: none of them meets a hand-back.
    stage.set("RABBITMQ__HOLD_LIMIT", "3s");
    stage.simulator.set_feature_enabled(false);
    stage.import(0..50);
    let worker = stage.worker().await;
    stage.delete(0..50).await;
    // A probe after the hold limit is one for deliveries that came again.
    stage.seen("three probes", |stats| stats.calls >= 4).await;
    stage.simulator.set_feature_enabled(true);
    stage.cleared(50).await;
    let account = stage.finish(worker).await;
    assert!(account.count("events_returned") >= 50);
    assert_eq!(account.count("events_done"), 50);
    assert_eq!(account.count("events_dead_lettered"), 0);
}

#[tokio::test]
async fn connections_that_are_cut_under_load_lose_nothing() {
    let vhost = shared().await.vhost().await.expect("a virtual host");
    let (proxy, mut stage) = stage_behind_a_proxy(&vhost).await;
    stage.set("WINDOW__MAX_IDS", 20);
    stage.import(0..2_000);
    let worker = stage.worker().await;
    stage.delete(0..2_000).await;
    for (cut, cleared) in [300, 900, 1_500].into_iter().enumerate() {
        stage.cleared(cleared).await;
        stage.says("broker session open", cut + 1).await;
        assert_eq!(proxy.cut().await, 2);
        stage.says("broker session lost", cut + 1).await;
    }
    stage.cleared(2_000).await;
    // A worker that drains takes nothing back: all that the last cut gave back must have come again.
    stage.says("broker session open", 4).await;
    eventually(PATIENCE, "everything is settled", async || {
        let messages = vhost.messages(QUEUE).await;
        messages.is_ok_and(|messages| messages == 0).then_some(())
    })
    .await;
    stage.finish(worker).await;
}

#[tokio::test]
async fn a_call_that_was_out_when_the_session_was_lost_is_made_once_more_and_no_other() {
    let vhost = shared().await.vhost().await.expect("a virtual host");
    let (proxy, mut stage) = stage_behind_a_proxy(&vhost).await;
    stage.set("WINDOW__MAX_IDS", 50);
    stage.set("WINDOW__MAX_WAIT", "5m");
    stage
        .simulator
        .set_latency(Duration::from_secs(2), Duration::ZERO);
    stage.import(0..100);
    let worker = stage.worker().await;
    stage.delete(0..50).await;
    stage.seen("the call", |stats| stats.in_flight == 1).await;
    proxy.refuse().await.expect("nobody listens");
    proxy.cut().await;
    stage.says("call done", 1).await;
    assert_eq!(stage.said("broker session lost"), 1, "before the answer");
    proxy.accept().await.expect("somebody listens");
    // What is delivered again comes before these.
    stage.delete(50..100).await;
    stage.cleared(100).await;
    let counts = stage.simulator.clear_counts();
    assert!(
        counts.keys().all(|times| (1..=2).contains(times)),
        "{counts:?}"
    );
    assert_eq!(counts.get(&1), Some(&50), "those that came later");
    stage.finish(worker).await;
}

/// The worker reaches the broker through the proxy, the test itself does not.
async fn stage_behind_a_proxy(vhost: &Vhost<'_>) -> (FaultProxy, Stage) {
    let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, vhost.node().port()));
    let proxy = FaultProxy::start(broker).expect("a proxy");
    let worker_url = vhost.url_through(proxy.address().port());
    let stage = Stage::with_broker(&worker_url, &vhost.url()).await;
    (proxy, stage)
}
