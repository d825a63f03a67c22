//! Messages that were made to stop the worker.

use testkit::raw_amqp::{nested_lists, publish};

use crate::stage::*;

#[tokio::test]
async fn headers_nested_as_deep_as_a_frame_can_hold_stop_no_worker() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..2);
    let headers = nested_lists(25_500);
    let event = deleted(0).body;
    for body in [&*event, b"{"] {
        let to = [EXCHANGE, "user.deleted"];
        publish(stage.broker(), stage.vhost.name(), to, &headers, body)
            .await
            .unwrap();
    }
    let worker = stage.worker().await;
    stage.delete(1..2).await;
    stage.cleared(2).await;
    // The one that cannot be read goes on as it came.
    stage.letters_wait(1).await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
    stage.waits_in_the_queue(0).await;
}
