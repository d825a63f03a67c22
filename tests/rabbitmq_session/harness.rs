//! A virtual host for each test, and ways to wait for what a broker session tells.

use std::time::Duration;

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tagsweep::rabbitmq::{
    Broker, Cause, Delivery, Event, Loss, Options, QueueCount, Timing, Warning,
};
use testkit::rabbitmq::Vhost;
use tokio::time::timeout;

pub(crate) const EXCHANGE: &str = "account.events";
pub(crate) const KEY: &str = "user.deleted";
pub(crate) const QUEUE: &str = "tagsweep.events";
pub(crate) const DEAD_LETTERS: &str = "tagsweep.dead-letters";

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn options(url: String) -> Options {
    Options {
        urls: vec![url.into()],
        newer: None,
        ca_pem: None,
        identity: None,
        exchange: EXCHANGE.to_owned(),
        routing_keys: vec![KEY.to_owned()],
        queue: QUEUE.to_owned(),
        dead_letter_exchange: DEAD_LETTERS.to_owned(),
        dead_letter_queue: DEAD_LETTERS.to_owned(),
        declare: true,
        accept_lossy_queue: false,
        delivery_limit: None,
        prefetch: 100,
        timing: Timing {
            poll: Duration::from_millis(100),
            count: Duration::from_millis(100),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_millis(200),
            ..Timing::default()
        },
    }
}

pub(crate) async fn shared_vhost() -> Vhost<'static> {
    let node = testkit::rabbitmq::shared().await;
    node.vhost().await.expect("a virtual host")
}

/// A plain client beside the code under test, in confirm mode.
pub(crate) async fn client(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .expect("the broker takes connections");
    let channel = connection.create_channel().await.expect("a channel");
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .expect("confirm mode");
    (connection, channel)
}

/// Publishes events named `1` to `count`, confirmed.
pub(crate) async fn publish_events(channel: &Channel, count: usize) {
    for number in 1..=count {
        publish(channel, &number.to_string(), BasicProperties::default()).await;
    }
}

pub(crate) async fn publish(channel: &Channel, body: &str, properties: BasicProperties) {
    publish_with_key(channel, KEY, body, properties).await;
}

pub(crate) async fn publish_with_key(
    channel: &Channel,
    key: &str,
    body: &str,
    properties: BasicProperties,
) {
    channel
        .basic_publish(
            EXCHANGE.into(),
            key.into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            properties,
        )
        .await
        .expect("published")
        .await
        .expect("confirmed");
}

/// The next event that tells more than that the broker is there and what it holds.
pub(crate) async fn next(broker: &mut Broker) -> Event {
    loop {
        match broker.next().await {
            Event::InTouch(_) | Event::Counted(_) => {}
            event => return event,
        }
    }
}

/// Polls the broker until it counts the queue so.
pub(crate) async fn counted(broker: &mut Broker, wanted: QueueCount) {
    let search =
        async { while !matches!(broker.next().await, Event::Counted(it) if it == wanted) {} };
    timeout(PATIENCE, search)
        .await
        .unwrap_or_else(|_| panic!("no {wanted:?} within {PATIENCE:?}"));
}

/// Polls the broker until `wanted` finds what it looks for among the events.
pub(crate) async fn until<T>(
    broker: &mut Broker,
    what: &str,
    mut wanted: impl FnMut(Event) -> Option<T>,
) -> T {
    let search = async {
        loop {
            if let Some(found) = wanted(next(broker).await) {
                return found;
            }
        }
    };
    timeout(PATIENCE, search)
        .await
        .unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

pub(crate) struct Opened {
    pub(crate) session: u32,
    pub(crate) share: u32,
    pub(crate) warnings: Vec<Warning>,
}

pub(crate) async fn opened(broker: &mut Broker) -> Opened {
    until(broker, "open session", |event| match event {
        Event::Opened {
            session,
            share,
            warnings,
        } => Some(Opened {
            session,
            share,
            warnings,
        }),
        Event::NotOpened { .. } => None,
        other => panic!("{other:?} instead of an open session"),
    })
    .await
}

pub(crate) async fn not_opened(broker: &mut Broker) -> Loss {
    until(broker, "failed attempt", |event| match event {
        Event::NotOpened { reason, .. } => Some(reason),
        other => panic!("{other:?} instead of a failed attempt"),
    })
    .await
}

/// Why the only broker could not be connected to.
pub(crate) fn cause(loss: Loss) -> Cause {
    match loss {
        Loss::NotConnected { cause, .. } => cause,
        other => panic!("{other:?} instead of a failed connection"),
    }
}

pub(crate) async fn lost(broker: &mut Broker) -> (u32, Loss) {
    until(broker, "loss", |event| match event {
        Event::Lost {
            session, reason, ..
        } => Some((session, reason)),
        _ => None,
    })
    .await
}

pub(crate) async fn delivered(broker: &mut Broker) -> Delivery {
    until(broker, "delivery", |event| match event {
        Event::Delivered(delivery) => Some(delivery),
        other => panic!("{other:?} instead of a delivery"),
    })
    .await
}

pub(crate) async fn delivered_many(broker: &mut Broker, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        deliveries.push(delivered(broker).await);
    }
    deliveries
}

/// Drives the broker until `queue` holds `count` messages, ready or out for delivery.
pub(crate) async fn until_queue_holds(
    broker: &mut Broker,
    vhost: &Vhost<'_>,
    queue: &str,
    count: u64,
) {
    let driven = async {
        let event = next(broker).await;
        panic!("{event:?} while settling");
    };
    let counted = async {
        while messages(vhost, queue).await != count {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, async {
        tokio::select! { () = counted => {}, () = driven => {} }
    })
    .await
    .unwrap_or_else(|_| panic!("{queue} does not come to hold {count}"));
}

/// Waits until `queue` has `count` messages to deliver: a queue learns of a closed channel later
/// than the client.
pub(crate) async fn until_ready(vhost: &Vhost<'_>, queue: &str, count: u64) {
    let counted = async {
        while vhost.ready(queue).await.expect("the queue") != count {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted)
        .await
        .unwrap_or_else(|_| panic!("{queue} does not come to have {count} ready"));
}

/// All messages of a quorum queue, those that are out for delivery included, right now. (What
/// `rabbitmqctl list_queues` shows is seconds old.)
pub(crate) async fn messages(vhost: &Vhost<'_>, queue: &str) -> u64 {
    let code = format!(
        "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{}\">>, queue, <<\"{queue}\">>)), \
         {{ok, {{_, Count}}, _}} = ra:leader_query(amqqueue:get_pid(Queue), \
             {{rabbit_fifo, query_messages_total, []}}), \
         Count",
        vhost.name()
    );
    let count = vhost.node().eval(&code).await.expect("the queue's length");
    count.parse().expect("a number")
}

/// Whether the node's RabbitMQ is older than this version.
pub(crate) async fn older_than(vhost: &Vhost<'_>, version: (u32, u32)) -> bool {
    let running = vhost.node().version().await.expect("a version");
    let mut parts = running.split('.').map_while(|part| part.parse().ok());
    (parts.next(), parts.next()) < (Some(version.0), Some(version.1))
}

/// Publishes a message as by AMQP 1.0, with a header of this value: its bytes, as Erlang writes them.
pub(crate) async fn publish_amqp_1_0(vhost: &Vhost<'_>, header: &str) {
    // The sections application-properties (a map of one text to the value) and data.
    let code = format!(
        "Pair = <<16#a1, 1, \"x\", {header}>>, \
         Payload = <<0, 16#53, 16#74, 16#c1, (byte_size(Pair) + 1), 2, Pair/binary, 0, 16#53, 16#75, 16#a0, 4, \"body\">>, \
         Message = mc:init(mc_amqp, Payload, #{{x => <<\"{EXCHANGE}\">>, rk => [<<\"{KEY}\">>]}}), \
         ok = rabbit_queue_type:publish_at_most_once({}, Message)",
        exchange(vhost)
    );
    vhost.node().eval(&code).await.expect("published");
}

fn exchange(vhost: &Vhost<'_>) -> String {
    format!(
        "rabbit_misc:r(<<\"{}\">>, exchange, <<\"{EXCHANGE}\">>)",
        vhost.name()
    )
}
