//! Which code a wrong call gets, and which of several wrongs is reported.

use std::time::{Duration, SystemTime};

use im_simulator::{Interface, Options, Simulator};
use serde_json::{Value, json};

use crate::client::{call, clear, good_query, post, send, start};

const DAY: Duration = Duration::from_secs(86_400);
const PATH: &str = "/v4/all_member_push/im_remove_all_tags";

async fn simulator_with_alice() -> Simulator {
    let simulator = start(Options::default()).await;
    simulator.import_users(["alice"]);
    simulator
}

/// Everything wrong at once; the cases fix it from the front, so that each code also shows that it
/// comes before all later ones.
#[tokio::test]
async fn checks_come_in_the_order_of_the_real_api() {
    let simulator = simulator_with_alice().await;
    let rest = "random=1&contenttype=json";
    let key_of_another = start(Options {
        secret_key: "another key".to_owned(),
        ..Options::default()
    })
    .await;
    let app_of_another = start(Options {
        sdk_app_id: 1_400_000_001,
        ..Options::default()
    })
    .await;
    let long_ago = SystemTime::now() - 2 * DAY;
    let other_app = app_of_another.user_sig("bob", long_ago, DAY);
    let other_identifier = key_of_another.user_sig("carol", long_ago, DAY);
    let forged_and_old = key_of_another.user_sig("bob", long_ago, DAY);
    let old = simulator.user_sig("bob", long_ago, DAY);
    let not_admin = simulator.user_sig("bob", SystemTime::now(), DAY);

    let app = "sdkappid=1400000000";
    let cases = [
        (
            60009,
            "/v4/all_member_push/im_remove_all_tag?random=x".to_owned(),
        ),
        (
            60009,
            "/v4/all_member_push/im_remove_all_tags/?random=x".to_owned(),
        ),
        (60002, format!("{PATH}?random=x&{app}")),
        (60002, format!("{PATH}?random=4294967296&{app}")),
        (60002, format!("{PATH}?random=1&contenttype=JSON&{app}")),
        (60012, PATH.to_owned()),
        (60012, format!("{PATH}?{rest}")),
        (60012, format!("{PATH}?SdkAppId=1400000000&{rest}")),
        (60006, format!("{PATH}?{rest}&sdkappid=1400000001")),
        (60006, format!("{PATH}?{rest}&sdkappid=xxx")),
        (60002, format!("{PATH}?{app}&contenttype=json")),
        (60002, format!("{PATH}?{app}&random=1")),
        (60004, format!("{PATH}?{app}&{rest}&usersig=xxx")),
        (60004, format!("{PATH}?{app}&{rest}&identifier=bob")),
        (
            70002,
            format!("{PATH}?{app}&{rest}&identifier=bob&usersig="),
        ),
        (
            70003,
            format!("{PATH}?{app}&{rest}&identifier=bob&usersig=xxx"),
        ),
        (
            70014,
            format!("{PATH}?{app}&{rest}&identifier=dave&usersig={other_app}"),
        ),
        (
            70013,
            format!("{PATH}?{app}&{rest}&identifier=bob&usersig={other_identifier}"),
        ),
        (
            70009,
            format!("{PATH}?{app}&{rest}&identifier=bob&usersig={forged_and_old}"),
        ),
        (
            70001,
            format!("{PATH}?{app}&{rest}&identifier=bob&usersig={old}"),
        ),
        (
            60010,
            format!("{PATH}?{app}&{rest}&identifier=bob&usersig={not_admin}"),
        ),
        (60003, format!("{PATH}?{}", good_query(&simulator))),
    ];
    for (code, target) in cases {
        let reply = post(&simulator, &target, "no JSON").await;
        assert_eq!(reply.code(), code, "{target}");
        assert_eq!(reply.json()["ActionStatus"], "FAIL");
    }
}

#[tokio::test]
async fn a_spent_quota_is_reported_before_the_body_is_looked_at() {
    let simulator = simulator_with_alice().await;
    simulator.set_calls_per_second(Some(0));
    let target = format!("{PATH}?{}", good_query(&simulator));
    assert_eq!(post(&simulator, &target, "no JSON").await.code(), 60007);
}

#[tokio::test]
async fn bodies_are_checked_in_order_and_nobody_is_cleared() {
    let simulator = simulator_with_alice().await;
    simulator.set_feature_enabled(false);
    let of_101 = |first: Value| {
        let mut ids = vec![first];
        ids.extend((1..101).map(|number| json!(format!("user-{number}"))));
        json!({ "To_Account": ids })
    };
    let body = |body: &str| body.to_owned();
    let switched_off = [
        (60003, body("")),
        (60003, body(r#"{"To_Account":["alice"]"#)),
        (90001, body("[]")),
        (90001, body("{}")),
        (90001, body(r#"{"to_account":["alice"]}"#)),
        (90001, body(r#"{"To_Account":"alice"}"#)),
        (90001, body(r#"{"To_Account":[]}"#)),
        (90045, of_101(json!(7)).to_string()),
    ];
    let switched_on = [
        (60015, of_101(json!(7)).to_string()),
        (60015, body(r#"{"To_Account":["alice",null]}"#)),
        (90018, of_101(json!("alice")).to_string()),
    ];
    let target = format!("{PATH}?{}", good_query(&simulator));
    for (code, body) in switched_off {
        assert_eq!(
            post(&simulator, &target, &body).await.code(),
            code,
            "{body}"
        );
    }
    simulator.set_feature_enabled(true);
    for (code, body) in switched_on {
        assert_eq!(
            post(&simulator, &target, &body).await.code(),
            code,
            "{body}"
        );
    }
    assert_eq!(simulator.clears("alice").count, 0);
}

#[tokio::test]
async fn only_post_is_taken() {
    let simulator = simulator_with_alice().await;
    let target = format!("{PATH}?{}", good_query(&simulator));
    for method in ["GET", "PUT", "DELETE"] {
        let reply = send(&simulator, method, &target, r#"{"To_Account":["alice"]}"#)
            .await
            .unwrap();
        assert_eq!(reply.code(), 60002, "{method}");
    }
}

#[tokio::test]
async fn a_good_call_gets_the_documented_answer_without_a_content_type() {
    let simulator = simulator_with_alice().await;
    let reply = clear(&simulator, &["alice"]).await;
    assert_eq!(
        reply.body,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#
    );
    assert!(reply.head.starts_with("http/1.1 200 ok"));
    assert_eq!(reply.header("content-type"), None);
    assert_eq!(reply.header("server"), Some("nginx/1.7.10"));
    assert_eq!(reply.header("content-length"), Some("50"));
    assert!(reply.header("date").is_some());
}

#[tokio::test]
async fn failures_are_http_200_as_well() {
    let simulator = simulator_with_alice().await;
    let reply = post(&simulator, "/nowhere", "{}").await;
    assert!(reply.head.starts_with("http/1.1 200 ok"));
    assert_eq!(reply.header("content-type"), None);
    assert_eq!(reply.code(), 60009);
}

#[tokio::test]
async fn a_changed_key_is_noticed_and_the_right_one_works_again() {
    let simulator = simulator_with_alice().await;
    let target = format!("{PATH}?{}", good_query(&simulator));
    let body = r#"{"To_Account":["alice"]}"#;
    simulator.set_secret_key("another key");
    assert_eq!(post(&simulator, &target, body).await.code(), 70009);
    assert_eq!(clear(&simulator, &["alice"]).await.code(), 0);
    simulator.set_secret_key(Options::default().secret_key);
    assert_eq!(post(&simulator, &target, body).await.code(), 0);
}

#[tokio::test]
async fn repeated_bad_signatures_are_locked_out_if_switched_on() {
    let simulator = start(Options {
        lock_out_after: Some(2),
        ..Options::default()
    })
    .await;
    let bad = format!(
        "{PATH}?sdkappid=1400000000&identifier=administrator&usersig=xxx&random=1&contenttype=json"
    );
    for code in [70003, 70003, 70050] {
        assert_eq!(post(&simulator, &bad, "{}").await.code(), code);
    }
    assert_eq!(clear(&simulator, &["alice"]).await.code(), 70050);
}

#[tokio::test]
async fn tag_limits_are_checked() {
    let simulator = simulator_with_alice().await;
    let eleven: Vec<_> = (0..11).map(|number| number.to_string()).collect();
    let cases = [
        (90001, json!({ "UserTags": [{ "To_Account": "alice" }] })),
        (
            90001,
            json!({ "UserTags": [{ "To_Account": "alice", "Tags": [1] }] }),
        ),
        (
            60015,
            json!({ "UserTags": [{ "To_Account": 7, "Tags": ["vip"] }] }),
        ),
        (
            90032,
            json!({ "UserTags": [{ "To_Account": "alice", "Tags": eleven }] }),
        ),
        (
            90034,
            json!({ "UserTags": [{ "To_Account": "alice", "Tags": ["x".repeat(51)] }] }),
        ),
        (
            0,
            json!({ "UserTags": [{ "To_Account": "alice", "Tags": ["x".repeat(50)] }] }),
        ),
    ];
    for (code, body) in cases {
        let reply = call(&simulator, Interface::ImAddTag, &body).await;
        assert_eq!(reply.code(), code, "{body}");
    }
}

#[tokio::test]
async fn a_clock_that_is_ahead_expires_every_user_sig_until_it_is_right_again() {
    let simulator = simulator_with_alice().await;
    assert_eq!(clear(&simulator, &["alice"]).await.code(), 0);
    let year_of = |reply: &crate::client::Reply| {
        let date = reply.header("date").expect("an answer is dated").to_owned();
        let year = date.split(' ').nth(3).map(str::parse::<u32>);
        year.expect("a date has a year").expect("a number")
    };
    let now = year_of(&clear(&simulator, &["alice"]).await);

    simulator.set_clock_ahead(400 * DAY);
    let late = clear(&simulator, &["alice"]).await;
    assert_eq!(late.code(), 70001);
    assert!(year_of(&late) > now, "{}", late.head);
    simulator.set_clock_ahead(Duration::ZERO);
    assert_eq!(clear(&simulator, &["alice"]).await.code(), 0);
}
