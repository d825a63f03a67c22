//! Each fault as a client sees it, and whether the work was done.

use std::io;
use std::time::{Duration, Instant};

use im_simulator::{Fault, Options, Rule, Simulator};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{DEADLINE, Reply, clear, good_query, send, start};

async fn simulator() -> Simulator {
    let simulator = start(Options::default()).await;
    simulator.set_tags("alice", &["vip"]);
    simulator
}

/// One call struck by the fault, and whether alice was cleared by it.
async fn struck_by(fault: Fault) -> (io::Result<Reply>, bool) {
    let simulator = simulator().await;
    simulator.add_fault(Rule::new(fault).next_calls(1));
    let target = format!(
        "/v4/all_member_push/im_remove_all_tags?{}",
        good_query(&simulator)
    );
    let reply = send(&simulator, "POST", &target, r#"{"To_Account":["alice"]}"#).await;
    let stats = simulator.stats();
    assert_eq!(stats.faults.values().sum::<u64>(), 1);
    let cleared = simulator.clears("alice").count == 1;
    assert_eq!(
        clear(&simulator, &["alice"]).await.code(),
        0,
        "the next call is spared"
    );
    (reply, cleared)
}

#[tokio::test]
async fn a_code_is_answered_and_nothing_done() {
    let (reply, cleared) = struck_by(Fault::Answer(91000)).await;
    assert_eq!(reply.unwrap().code(), 91000);
    assert!(!cleared);
}

#[tokio::test]
async fn a_dictated_body_comes_as_it_is() {
    let contradiction = r#"{"ActionStatus":"FAIL","ErrorCode":0}"#;
    let (reply, cleared) = struck_by(Fault::Body(contradiction.to_owned())).await;
    assert_eq!(reply.unwrap().body, contradiction);
    assert!(!cleared);
}

#[tokio::test]
async fn an_error_status_comes_as_a_page_of_the_gateway() {
    let (reply, cleared) = struck_by(Fault::ErrorStatus(502)).await;
    let reply = reply.unwrap();
    assert!(reply.head.starts_with("http/1.1 502 bad gateway"));
    assert_eq!(reply.header("content-type"), Some("text/html"));
    assert!(reply.body.contains("<h1>502 Bad Gateway</h1>"));
    assert!(!cleared);
}

#[tokio::test]
async fn a_reset_leaves_no_byte_of_an_answer() {
    let (reply, cleared) = struck_by(Fault::Reset).await;
    assert_eq!(
        reply.err().map(|error| error.kind()),
        Some(io::ErrorKind::ConnectionReset)
    );
    assert!(!cleared);
}

#[tokio::test]
async fn a_lost_answer_is_a_reset_after_the_work() {
    let (reply, cleared) = struck_by(Fault::LostAnswer).await;
    assert_eq!(
        reply.err().map(|error| error.kind()),
        Some(io::ErrorKind::ConnectionReset)
    );
    assert!(cleared);
}

#[tokio::test]
async fn a_truncated_answer_is_shorter_than_announced() {
    let (reply, cleared) = struck_by(Fault::Truncated).await;
    let reply = reply.unwrap();
    assert_eq!(reply.header("content-length"), Some("50"));
    assert_eq!(reply.body, r#"{"ActionStatus":"OK","Err"#);
    assert!(cleared);
}

#[tokio::test]
async fn broken_json_is_whole_http_but_no_json() {
    let (reply, cleared) = struck_by(Fault::BrokenJson).await;
    let reply = reply.unwrap();
    assert_eq!(reply.header("content-length"), Some("49"));
    assert_eq!(reply.body.len(), 49);
    assert!(serde_json::from_str::<serde_json::Value>(&reply.body).is_err());
    assert!(cleared);
}

#[tokio::test]
async fn a_slow_drip_takes_its_time_for_each_byte() {
    let begun = Instant::now();
    let (reply, cleared) = struck_by(Fault::SlowDrip(Duration::from_millis(2))).await;
    assert_eq!(reply.unwrap().code(), 0);
    assert!(begun.elapsed() >= Duration::from_millis(50 * 2));
    assert!(cleared);
}

#[tokio::test]
async fn a_delay_comes_before_the_answer() {
    let begun = Instant::now();
    let (reply, cleared) = struck_by(Fault::Delay(Duration::from_millis(100))).await;
    assert_eq!(reply.unwrap().code(), 0);
    assert!(begun.elapsed() >= Duration::from_millis(100));
    assert!(cleared);
}

/// A call that hangs, seen by the simulator.
async fn hang(simulator: &Simulator) -> io::Result<TcpStream> {
    simulator.add_fault(Fault::Hang);
    let request = "POST /v4/all_member_push/im_remove_all_tags HTTP/1.1\r\nHost: simulator\r\n\
                   Content-Length: 2\r\n\r\n{}";
    let mut stream = TcpStream::connect(simulator.address()).await?;
    stream.write_all(request.as_bytes()).await?;
    let seen = simulator.wait_for(DEADLINE, |stats| stats.in_flight == 1);
    seen.await.expect("the call arrives");
    Ok(stream)
}

#[tokio::test]
async fn a_hanging_call_is_in_flight_until_the_client_gives_up() {
    let simulator = simulator().await;
    let stream = hang(&simulator).await.unwrap();
    drop(stream);
    let seen = simulator.wait_for(DEADLINE, |stats| stats.in_flight == 0);
    let stats = seen.await.unwrap();
    assert_eq!(
        (stats.calls, stats.accepted, stats.most_in_flight),
        (1, 0, 1)
    );
}

#[tokio::test]
async fn dropping_the_simulator_ends_hanging_calls() {
    let simulator = simulator().await;
    let mut stream = hang(&simulator).await.unwrap();
    drop(simulator);
    let ended = tokio::time::timeout(DEADLINE, stream.read(&mut [0; 1])).await;
    assert!(
        !matches!(ended, Err(_) | Ok(Ok(1..))),
        "still open, or answered"
    );
}

#[tokio::test]
async fn a_fault_of_the_service_does_not_hide_a_wrong_key() {
    let simulator = simulator().await;
    simulator.add_fault(Fault::Answer(91000));
    let query = good_query(&simulator);
    simulator.set_secret_key("another key");
    let target = format!("/v4/all_member_push/im_remove_all_tags?{query}");
    let reply = send(&simulator, "POST", &target, "{}").await.unwrap();
    assert_eq!(reply.code(), 70009);
}

#[tokio::test]
async fn faults_can_be_scripted_over_http() {
    let simulator = simulator().await;
    let rule = json!({ "fault": "91000", "user": "alice" }).to_string();
    let added = send(&simulator, "POST", "/_sim/faults", &rule)
        .await
        .unwrap();
    assert_eq!(clear(&simulator, &["alice"]).await.code(), 91000);
    assert_eq!(clear(&simulator, &["administrator"]).await.code(), 0);

    let one = format!("/_sim/faults/{}", added.json()["id"]);
    let removed = send(&simulator, "DELETE", &one, "").await.unwrap();
    assert!(removed.head.starts_with("http/1.1 200"));
    let again = send(&simulator, "DELETE", &one, "").await.unwrap();
    assert!(again.head.starts_with("http/1.1 404"));
    assert_eq!(clear(&simulator, &["alice"]).await.code(), 0);

    send(&simulator, "POST", "/_sim/faults", r#"{"fault":"60007"}"#)
        .await
        .unwrap();
    assert_eq!(clear(&simulator, &["alice"]).await.code(), 60007);
    send(&simulator, "DELETE", "/_sim/faults", "")
        .await
        .unwrap();
    assert_eq!(clear(&simulator, &["alice"]).await.code(), 0);

    let nonsense = send(
        &simulator,
        "POST",
        "/_sim/faults",
        r#"{"fault":"91000","often":1}"#,
    );
    assert!(nonsense.await.unwrap().head.starts_with("http/1.1 422"));
}
