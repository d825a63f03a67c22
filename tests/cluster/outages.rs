//! The node that leads the queue is lost, again and again.

use std::time::Instant;

use testkit::rabbitmq::Node;

use crate::publisher::Publisher;
use crate::stage::{QUEUE, Stage, user};

#[tokio::test]
async fn a_leader_that_is_killed_and_comes_back_loses_nothing() {
    kill_the_leader(1).await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-cluster"]
async fn leaders_that_are_killed_one_after_the_other_lose_nothing() {
    kill_the_leader(3).await;
}

async fn kill_the_leader(times: usize) {
    // Since 4.3 RabbitMQ leaves the consumer of a lost node active for a minute.
    let node = Node::builder().setting("consumer_disconnected_timeout", "5000");
    let mut cluster = node.start_cluster().await.expect("three nodes");
    let urls = cluster.urls();
    let mut stage = Stage::with_broker(&urls[0], &urls[0]).await;
    stage.set("RABBITMQ__URL", urls.join(","));
    let worker = stage.worker().await;
    let publisher = Publisher::new(&stage, &urls);

    let outages = async {
        for round in 1..=times {
            work_goes_on(&stage, &publisher).await;
            let leader = cluster.leader(QUEUE).await.expect("a leader");
            cluster.member_mut(leader).kill().expect("it ran");
            let killed = Instant::now();
            work_goes_on(&stage, &publisher).await;
            println!(
                "round {round}: node {leader} was lost; work went on after {:.1} s",
                killed.elapsed().as_secs_f64()
            );
            let node = cluster.member_mut(leader);
            node.start_again().await.expect("it comes back");
        }
        cluster.leader(QUEUE).await.expect("all are replicas again");
        publisher.end();
    };
    tokio::join!(publisher.run(), outages);

    let users = publisher.begun();
    println!(
        "{users} users, {} events published again, {} calls, {} in the busiest second",
        publisher.repeated(),
        stage.simulator.stats().calls,
        stage.simulator.stats().largest_second,
    );
    stage.cleared(users as u64).await;
    stage.assert_quota(100);
    stage.connect_again().await;
    let account = stage.finish(worker).await;
    assert!(account.count("events_done") >= users as u64);
}

/// Returns when a user is cleared whose event was not yet published at the call.
async fn work_goes_on(stage: &Stage, publisher: &Publisher<'_>) {
    let next = user(publisher.begun());
    stage
        .seen("a new user", |_| stage.simulator.clears(&next).count > 0)
        .await;
}
