mod api;
mod tls;

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::net::TcpSocket;

use super::*;
use api::{Answer, Api, ok};

const OK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#;
const USER_SIG: &str = "eJ-a*usersig_";
const KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";
const DONE: Reply = Reply::Done {
    failed: Vec::new(),
    strangers: 0,
};

fn options(base_url: Url) -> Options {
    Options {
        base_url,
        path: "/v4/all_member_push/im_remove_all_tags".into(),
        sdk_app_id: 1_400_000_000,
        admin: "app admin".into(),
        credential: Credential::UserSig {
            load: Arc::new(|| Ok(USER_SIG.into())),
        },
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        ca_pem: None,
        proxy: None,
        max_idle_connections: 4,
    }
}

fn alice_and_bob() -> [UserId; 2] {
    ["alice", "bob"].map(|id| UserId::parse(id).unwrap())
}

#[tokio::test]
async fn a_removal_is_one_post_with_all_that_the_api_asks_for() {
    let api = Api::answering(ok(OK)).await;
    let reply = api.client().remove_all_tags(&alice_and_bob()).await;
    assert_eq!(reply, DONE);

    let [request] = api.requests().try_into().ok().unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.url.path(), "/v4/all_member_push/im_remove_all_tags");
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(request.headers["user-agent"].starts_with("tagsweep/"));
    assert_eq!(request.body, r#"{"To_Account":["alice","bob"]}"#);
    let mut query = request.query();
    assert!(query.remove("random").unwrap().parse::<u32>().is_ok());
    let expected = [
        ("sdkappid", "1400000000"),
        ("identifier", "app admin"),
        ("usersig", USER_SIG),
        ("contenttype", "json"),
    ];
    assert_eq!(
        query,
        expected
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    );
}

#[tokio::test]
async fn calls_share_a_connection_and_differ_in_their_random_number() {
    let api = Api::answering(ok(OK)).await;
    let client = api.client();
    for _ in 0..3 {
        assert_eq!(client.clone().remove_all_tags(&alice_and_bob()).await, DONE);
    }
    assert_eq!(api.connections(), 1);
    let randoms: Vec<_> = api
        .requests()
        .iter()
        .map(|request| request.query()["random"].clone())
        .collect();
    // Three draws of 32 bits are all the same once in 2^64 runs.
    assert!(randoms.iter().any(|random| *random != randoms[0]));
}

#[tokio::test]
async fn the_probe_asks_for_the_tags_of_the_admin_itself() {
    let api = Api::answering(ok(
        r#"{"ActionStatus":"OK","ErrorCode":0,"UserTags":[{"To_Account":"app admin","Tags":[]}]}"#,
    ))
    .await;
    assert_eq!(api.client().probe().await, DONE);
    let [request] = api.requests().try_into().ok().unwrap();
    assert_eq!(request.url.path(), "/v4/all_member_push/im_get_tag");
    assert_eq!(request.body, r#"{"To_Account":["app admin"]}"#);
}

#[tokio::test]
async fn the_probe_of_a_user_asks_for_its_tags_and_says_whether_it_is_unknown() {
    let api = Api::answering(ok(
        r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"To_Account":"bob","ErrorCode":70107}]}"#,
    ))
    .await;
    let [_, bob] = alice_and_bob();
    let failed = vec![(bob, 70107)];
    let strangers = 0;
    assert_eq!(
        api.client().probe_user(bob).await,
        Reply::Done { failed, strangers }
    );
    let [request] = api.requests().try_into().ok().unwrap();
    assert_eq!(request.url.path(), "/v4/all_member_push/im_get_tag");
    assert_eq!(request.body, r#"{"To_Account":["bob"]}"#);
}

#[tokio::test]
async fn a_refusal_and_a_partial_success_are_told_by_their_codes() {
    let api = Api::answering(ok(
        r#"{"ActionStatus":"FAIL","ErrorInfo":"no","ErrorCode":90009}"#,
    ))
    .await;
    let reply = api.client().remove_all_tags(&alice_and_bob()).await;
    assert_eq!(reply, Reply::Refused(90009));

    let api = Api::answering(ok(
        r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"To_Account":"bob","ErrorCode":70107}]}"#,
    ))
    .await;
    let [_, bob] = alice_and_bob();
    assert_eq!(
        api.client().remove_all_tags(&alice_and_bob()).await,
        Reply::Done {
            failed: vec![(bob, 70107)],
            strangers: 0
        }
    );
}

/// Calls once and returns the fault, after a look at whether its texts keep the secrets.
async fn fault_of(options: Options) -> Fault {
    let host = options.base_url.host_str().unwrap().to_owned();
    let client = Client::new(options).unwrap();
    match client.remove_all_tags(&alice_and_bob()).await {
        Reply::Fault(fault) => {
            let texts = format!("{fault} {fault:?} {client:?}");
            for secret in [USER_SIG, KEY, "alice", "1400000000", "usersig", &host] {
                assert!(!texts.contains(secret), "{texts}");
            }
            fault
        }
        other => panic!("no fault but {other:?}"),
    }
}

#[tokio::test]
async fn whatever_is_no_answer_of_the_api_is_a_fault() {
    let large = "x".repeat(MAX_ANSWER + 1);
    let html = "<html>Log in</html>";
    for (answer, expected) in [
        (ok(html), Fault::NotJson),
        (ok(""), Fault::NotJson),
        (
            Answer::Close(format!("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{OK}")),
            Fault::Interrupted,
        ),
        (Answer::Close(String::new()), Fault::Interrupted),
        (Answer::Close("nonsense\r\n\r\n".into()), Fault::Interrupted),
        (ok(&large), Fault::TooLarge),
        (
            Answer::Close(format!("HTTP/1.1 200 OK\r\n\r\n{large}")),
            Fault::TooLarge,
        ),
    ] {
        let api = Api::answering(answer).await;
        assert_eq!(fault_of(options(api.base_url())).await, expected);
        // Neither redirects nor failures make the client call a second time by itself.
        assert_eq!(api.requests().len(), 1, "{expected:?}");
    }
}

#[tokio::test]
async fn of_another_status_than_200_only_the_head_is_told_and_nothing_is_followed() {
    let answer = |status: u16| HttpAnswer {
        status,
        ..HttpAnswer::default()
    };
    for (head, expected) in [
        ("502 Bad Gateway", answer(502)),
        ("204 No Content", answer(204)),
        (
            "307 X\r\nLocation: /v4?usersig=x",
            HttpAnswer {
                redirect_host: Some("127.0.0.1".to_owned()),
                ..answer(307)
            },
        ),
        (
            "302 X\r\nLocation: https://alice:secret@login.test:81/alice?usersig=x#y",
            HttpAnswer {
                redirect_host: Some("login.test".to_owned()),
                ..answer(302)
            },
        ),
        ("302 X\r\nLocation: http://[", answer(302)),
        (
            "429 X\r\nRetry-After: 7",
            HttpAnswer {
                retry_after: Some(Duration::from_secs(7)),
                ..answer(429)
            },
        ),
    ] {
        let api = Api::answering(Answer::Close(format!("HTTP/1.1 {head}\r\n\r\n{OK}"))).await;
        let reply = api.client().remove_all_tags(&alice_and_bob()).await;
        assert_eq!(reply, Reply::Http(expected), "{head}");
        assert_eq!(api.requests().len(), 1, "{head}");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_read_though_none_was_asked_for_and_within_the_same_bound() {
    let compressed = |body: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        io::Write::write_all(&mut encoder, body.as_bytes()).unwrap();
        let body = encoder.finish().unwrap();
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    };
    let cut = compressed(OK)[..90].to_vec();
    for (answer, expected) in [
        (compressed(OK), DONE),
        (
            compressed(&"x".repeat(100 * MAX_ANSWER)),
            Reply::Fault(Fault::TooLarge),
        ),
        (cut, Reply::Fault(Fault::Interrupted)),
    ] {
        let api = Api::answering(Answer::CloseBytes(answer)).await;
        let reply = api.client().remove_all_tags(&alice_and_bob()).await;
        assert_eq!(reply, expected);
    }
}

/// A host that moved: whoever is connected still talks to the old one.
#[tokio::test]
async fn connections_are_made_anew_when_the_api_was_silent_for_a_minute() {
    let old = Api::answering(Answer::Keep(
        "HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ))
    .await;
    let new = Api::answering(ok(OK)).await;
    let proxy = testkit::proxy::FaultProxy::start(old.address).unwrap();
    let url = format!("http://{}", proxy.address());
    let client = Client::new(options(Url::parse(&url).unwrap())).unwrap();
    let bad = Reply::Http(HttpAnswer {
        status: 502,
        ..HttpAnswer::default()
    });
    assert_eq!(client.remove_all_tags(&alice_and_bob()).await, bad);
    proxy.retarget(new.address);
    assert_eq!(client.remove_all_tags(&alice_and_bob()).await, bad);
    assert_eq!(old.connections(), 1);
    let later = |seconds| Instant::now() + Duration::from_secs(seconds);
    client.0.connections.answered(false, later(50));
    assert_eq!(client.remove_all_tags(&alice_and_bob()).await, bad);
    client.0.connections.answered(false, later(61));
    assert_eq!(client.remove_all_tags(&alice_and_bob()).await, DONE);
    assert_eq!(new.connections(), 1);
}

#[tokio::test]
async fn an_answer_that_does_not_come_to_its_end_in_time_is_a_timeout() {
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"] {
        let api = Api::answering(Answer::Keep(begun.into())).await;
        let fault = fault_of(Options {
            request_timeout: Duration::from_millis(100),
            ..options(api.base_url())
        });
        assert_eq!(fault.await, Fault::Timeout);
    }
}

#[tokio::test]
async fn where_nobody_listens_or_no_host_is_known_nothing_was_sent() {
    // Bound, so that nobody else takes the port, but not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let refusing = Url::parse(&format!("http://{address}")).unwrap();
    assert_eq!(fault_of(options(refusing)).await, Fault::Connect);

    // No name server is asked for a name that no name can be.
    let impossible = Url::parse(&format!("http://{}.test", "x".repeat(64))).unwrap();
    assert_eq!(fault_of(options(impossible)).await, Fault::Dns);
}

#[tokio::test]
async fn nothing_is_sent_without_a_secret() {
    let api = Api::answering(ok(OK)).await;
    let error = SecretError::Unreadable(io::ErrorKind::PermissionDenied);
    let fault = fault_of(Options {
        credential: Credential::UserSig {
            load: Arc::new(move || Err(error)),
        },
        ..options(api.base_url())
    });
    assert_eq!(fault.await, Fault::Secret(error));
    assert_eq!(api.connections(), 0);
}

#[tokio::test]
async fn a_renewed_user_sig_is_made_with_the_key_of_that_moment() {
    let api = Api::answering(ok(OK)).await;
    let key = Arc::new(Mutex::new(KEY));
    let load: SecretSource = {
        let key = key.clone();
        Arc::new(move || Ok((*key.lock().unwrap_or_else(PoisonError::into_inner)).into()))
    };
    let client = Client::new(Options {
        credential: Credential::SecretKey {
            load,
            lifetime: Duration::from_secs(86_400),
        },
        ..options(api.base_url())
    })
    .unwrap();

    client.probe().await;
    *key.lock().unwrap() = "another key";
    client.probe().await;
    client.renew_user_sig();
    client.probe().await;

    let user_sigs: Vec<_> = api
        .requests()
        .iter()
        .map(|request| request.query()["usersig"].clone())
        .collect();
    assert_eq!(user_sigs[0], user_sigs[1]);
    assert_ne!(user_sigs[1], user_sigs[2]);
}

#[tokio::test]
async fn the_clock_skew_is_what_the_last_answer_showed() {
    let two_minutes_ago = jiff::Timestamp::now() - SignedDuration::from_mins(2);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&two_minutes_ago)
        .unwrap();
    // Even an answer that is of no use otherwise.
    let api = Api::answering(Answer::Close(format!(
        "HTTP/1.1 503 X\r\nDate: {date}\r\n\r\n"
    )))
    .await;
    let client = api.client();
    assert_eq!(client.clock_skew(), None);
    client.probe().await;
    let skew = client.clock_skew().unwrap().as_secs();
    assert!((120..130).contains(&skew), "{skew}");

    let without_date = Api::answering(ok(OK)).await.client();
    without_date.probe().await;
    assert_eq!(without_date.clock_skew(), None);
}
