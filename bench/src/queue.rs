//! The queue that contestants consume, on the broker's side.

use anyhow::Context;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use testkit::amqp::Amqp;
use testkit::rabbitmq::Node;

use crate::backlog::EXCHANGE;
use crate::contestant::Contestant;

pub const QUEUE: &str = "tagsweep.events";

/// Makes it anew and empty, as tagsweep declares it, or classic for those who want that.
///
/// # Errors
/// When the broker refuses.
pub async fn make_anew(node: &Node, contestant: Contestant) -> anyhow::Result<()> {
    let url = node.url();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default();
    channel
        .exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, none)
        .await?;
    channel
        .queue_delete(QUEUE.into(), QueueDeleteOptions::default())
        .await?;
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(QUEUE.into(), durable, arguments(contestant))
        .await?;
    Amqp::connect(&url).await?.bind(QUEUE, EXCHANGE).await?;
    connection.close(200, "done".into()).await?;
    Ok(())
}

fn arguments(contestant: Contestant) -> FieldTable {
    let mut arguments = FieldTable::default();
    if contestant.takes_quorum_queues() {
        let quorum = AMQPValue::LongString("quorum".into());
        let limit = AMQPValue::LongLongInt(i32::MAX.into());
        arguments.insert("x-queue-type".into(), quorum);
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        arguments.insert("x-delivery-limit".into(), limit);
    }
    arguments
}

/// Messages in it, with those that are out and not acknowledged.
///
/// # Errors
/// When the broker does not tell.
pub async fn unsettled(node: &Node) -> anyhow::Result<u64> {
    // What the broker tells of a quorum queue otherwise is up to five seconds old.
    let code = format!(
        "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{QUEUE}\">>)), \
         case amqqueue:get_type(Queue) of \
             rabbit_quorum_queue -> \
                 {{ok, {{_, Total}}, _}} = ra:local_query(amqqueue:get_pid(Queue), \
                     fun rabbit_fifo:query_messages_total/1), \
                 Total; \
             _ -> \
                 [{{messages, Total}}] = rabbit_amqqueue:info(Queue, [messages]), \
                 Total \
         end"
    );
    let total = node.eval(&code).await?;
    total
        .parse()
        .with_context(|| format!("not a number: {total}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::StreamExt;
    use lapin::options::{BasicAckOptions, BasicConsumeOptions};
    use testkit::eventually;
    use testkit::rabbitmq::shared;

    use super::*;
    use crate::backlog::{Backlog, Format};

    #[tokio::test]
    async fn a_message_is_unsettled_until_it_is_acknowledged() {
        let node = shared().await;
        let url = node.url();
        for contestant in [Contestant::Tagsweep, Contestant::MqBridge] {
            make_anew(node, contestant).await.unwrap();
            Backlog::of(100, Format::Event).publish(&url).await.unwrap();
            assert_eq!(unsettled(node).await.unwrap(), 100, "{contestant}");

            let connection = Connection::connect(&url, ConnectionProperties::default());
            let connection = connection.await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            let options = BasicConsumeOptions::default();
            let none = FieldTable::default();
            let consumer = channel.basic_consume(QUEUE.into(), "test".into(), options, none);
            let deliveries: Vec<_> = consumer.await.unwrap().take(100).collect().await;
            assert_eq!(unsettled(node).await.unwrap(), 100, "{contestant}");

            let all = BasicAckOptions { multiple: true };
            let last = deliveries.into_iter().next_back().unwrap().unwrap();
            assert!(last.ack(all).await.unwrap());
            eventually(Duration::from_secs(60), "an empty queue", async || {
                (unsettled(node).await.unwrap() == 0).then_some(())
            })
            .await;
        }
    }
}
