//! Three nodes that are one broker, on the real rabbitmq-server.

use std::path::PathBuf;

use lapin::types::{AMQPValue, FieldTable};
use testkit::amqp::{Amqp, Outgoing};
use testkit::rabbitmq::Cluster;

const QUEUE: &str = "q";

#[tokio::test]
async fn what_was_confirmed_outlives_the_loss_of_the_leader_and_nothing_is_left_in_the_end() {
    let mut cluster = Cluster::start().await.unwrap();
    let urls = cluster.urls();
    let amqp = Amqp::connect(&urls[0]).await.unwrap();
    let mut arguments = FieldTable::default();
    let quorum = AMQPValue::LongString("quorum".into());
    arguments.insert("x-queue-type".into(), quorum);
    amqp.declare(QUEUE, arguments).await.unwrap();
    let message = |body: &str| [Outgoing::json(QUEUE, body)];
    amqp.publish("", message("before")).await.unwrap();

    let lost = cluster.leader(QUEUE).await.unwrap();
    cluster.member_mut(lost).kill().unwrap();
    let next = cluster.leader(QUEUE).await.unwrap();
    assert_ne!(next, lost);
    let amqp = Amqp::connect(&urls[next]).await.unwrap();
    amqp.publish("", message("without it")).await.unwrap();

    cluster.member_mut(lost).start_again().await.unwrap();
    // The other two can be spared one by one only if the lost one is a replica again.
    cluster.leader(QUEUE).await.unwrap();
    cluster.member_mut(next).kill().unwrap();
    let last = cluster.leader(QUEUE).await.unwrap();
    let amqp = Amqp::connect(&urls[last]).await.unwrap();
    let kept = amqp.take_all(QUEUE).await.unwrap();
    let bodies: Vec<_> = kept.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, [&b"before"[..], b"without it"]);

    let folder = |number| cluster.member(number).folder().to_owned();
    let folders: Vec<PathBuf> = (0..3).map(folder).collect();
    drop(cluster);
    assert!(folders.iter().all(|folder| !folder.exists()));
}
