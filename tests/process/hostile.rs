//! Messages that were made to stop the worker.

use testkit::raw_amqp::{nested_lists, publish};

use crate::stage::*;

#[tokio::test]
async fn headers_nested_as_deep_as_a_frame_can_hold_stop_no_worker() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..2);
    let headers = nested_lists(26_000);
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
    // The one that cannot be read.
    stage.letters_wait(1).await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
    stage.waits_in_the_queue(0).await;
}

#[tokio::test]
async fn headers_that_fill_a_frame_leave_room_for_the_reason_of_a_dead_letter() {
    let stage = Stage::new().await;
    stage.declare().await;
    let large = [b'x'; 127 * 1024 + 900];
    let length = u32::try_from(large.len()).unwrap().to_be_bytes();
    let headers = [b"\x05largeS", &length[..], &large].concat();
    let to = [EXCHANGE, "user.deleted"];
    publish(stage.broker(), stage.vhost.name(), to, &headers, b"{")
        .await
        .unwrap();
    let worker = stage.worker().await;
    stage.letters_wait(1).await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
    let letters = stage.letters().await;
    let [letter] = letters.as_slice() else {
        panic!("{} letters", letters.len())
    };
    let header = |name: &str| letter.header(name);
    assert_eq!(
        header("tagsweep-reason").as_deref(),
        Some("malformed-event")
    );
    assert_eq!(header("large"), None);
    stage.waits_in_the_queue(0).await;
}
