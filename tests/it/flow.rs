//! Ordinary days.

use testkit::rabbitmq::shared;

use crate::stage::*;

#[tokio::test]
async fn every_deleted_user_is_cleared_and_every_event_acknowledged() {
    let vhost = shared().await.vhost().await.unwrap();
    let stage = Stage::new(&vhost).await;
    stage.import(0..1_000);
    let worker = stage.worker().await;
    stage.delete(0..1_000).await;
    let stats = stage.cleared(1_000).await;
    assert!(stats.mean_ids_per_accepted_call() > 10.0);
    assert_eq!(stage.simulator.clear_counts(), [(1, 1_000)].into());
    stage.finish(worker).await;
}
