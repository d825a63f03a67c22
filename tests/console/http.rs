//! Who may do what, without a browser: statuses, headers, log lines, metrics.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, COOKIE, HOST, HeaderMap, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};

use crate::program::Running;
use crate::stage::*;

pub const TOKEN: &str = "pa55word-of-the-console";

/// Asks one worker's console, as a browser would, with a session or without.
struct Asker {
    client: Client,
    base: String,
    cookie: Option<String>,
}

impl Asker {
    async fn of(worker: &Running) -> Asker {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        Asker {
            client: client.build().unwrap(),
            base: format!("http://{}", worker.admin_address().await),
            cookie: None,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn post(&self, path: &str, form: &str) -> Response {
        let request = self
            .request(Method::POST, path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.to_owned());
        request.send().await.unwrap()
    }

    async fn log_in(&mut self) {
        let answer = self.post("/login", &format!("token={TOKEN}")).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
        self.cookie = cookie.split(';').next().map(str::to_owned);
    }

    async fn status(&self) -> serde_json::Value {
        self.get("/api/status").await.json().await.unwrap()
    }
}

async fn ends_in_order(worker: Running) -> String {
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
    log
}

#[tokio::test]
async fn an_operators_pause_stops_all_calls_is_visible_everywhere_and_ends_when_the_operator_says_so()
 {
    let stage = Stage::new().await;
    stage.import(0..40);
    let worker = stage.program("run").set("admin.token", TOKEN).start();
    worker.says("broker session open").await;
    stage.delete(0..1).await;
    stage.cleared(1).await;
    let mut asker = Asker::of(&worker).await;
    asker.log_in().await;

    let answer = asker.post("/actions/pause", "").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[LOCATION], "/");
    let before = stage.simulator.journal_since(Duration::ZERO).len();
    stage.delete(1..40).await;
    worker
        .answers("/metrics", "tagsweep_unsettled_deliveries 39")
        .await;
    let ready = asker.get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let ready = ready.text().await.unwrap();
    assert!(ready.contains("class operator"), "{ready}");
    assert_eq!(asker.get("/livez").await.status(), StatusCode::OK);
    let metrics = worker.ask("/metrics").await;
    for line in [
        "tagsweep_state{state=\"paused\"} 1",
        "tagsweep_pause_reason{class=\"operator\"} 1",
        "tagsweep_pause_reason{class=\"config\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    let status = asker.status().await;
    assert_eq!(status["state"], "paused");
    assert_eq!(status["pause"]["class"], "operator");
    assert_eq!(stage.simulator.journal_since(Duration::ZERO).len(), before);
    // To pause twice is no error, and changes nothing.
    let again = asker.post("/actions/pause", "").await;
    assert_eq!(again.status(), StatusCode::SEE_OTHER);

    let answer = asker.post("/actions/resume", "").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    stage.cleared(40).await;
    stage.all_settled().await;
    assert_eq!(asker.get("/readyz").await.status(), StatusCode::OK);
    let log = ends_in_order(worker).await;
    assert_eq!(log.matches("\"paused by an operator: ").count(), 1, "{log}");
    assert_eq!(
        log.matches("\"resumed by an operator\"").count(),
        1,
        "{log}"
    );
    let line = log
        .lines()
        .find(|line| line.contains("\"paused by an operator"));
    let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(line["class"], "operator");
    assert_eq!(line["operator_address"], "127.0.0.1");
    assert_eq!(line["operator_session"].as_str().map(str::len), Some(8));
}

#[tokio::test]
async fn a_worker_that_is_told_to_end_in_an_operators_pause_ends_in_order_and_leaves_the_events() {
    let stage = Stage::new().await;
    stage.import(0..20);
    let worker = stage.program("run").set("admin.token", TOKEN).start();
    worker.says("broker session open").await;
    let mut asker = Asker::of(&worker).await;
    asker.log_in().await;
    asker.post("/actions/pause", "").await;
    stage.delete(0..20).await;
    worker
        .answers("/metrics", "tagsweep_unsettled_deliveries 20")
        .await;
    ends_in_order(worker).await;
    stage.waits_in_the_queue(20).await;
    assert_eq!(stage.simulator.journal_since(Duration::ZERO).len(), 0);
    // The next one knows nothing of the pause.
    let next = stage.worker().await;
    stage.cleared(20).await;
    ends_in_order(next).await;
}

#[tokio::test]
async fn without_a_token_the_console_is_read_only_and_says_why() {
    let stage = Stage::new().await;
    let worker = stage.worker().await;
    let asker = Asker::of(&worker).await;
    assert_eq!(asker.get("/").await.status(), StatusCode::OK);
    assert_eq!(asker.status().await["queue"], QUEUE);
    for path in ["/actions/pause", "/actions/resume", "/login"] {
        let answer = asker.post(path, "token=").await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
        let why = answer.text().await.unwrap();
        assert!(why.contains("admin.token"), "{path}: {why}");
    }
    let log = ends_in_order(worker).await;
    assert!(!log.contains("by an operator"), "{log}");
}

#[tokio::test]
async fn actions_need_a_session_and_wrong_tokens_are_counted() {
    let stage = Stage::new().await;
    let worker = stage.program("run").set("admin.token", TOKEN).start();
    worker.says("broker session open").await;
    let mut asker = Asker::of(&worker).await;
    asker.cookie = Some("tagsweep-session=0123456789abcdef".to_owned());
    for path in ["/actions/pause", "/actions/resume"] {
        let answer = asker.post(path, "").await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    asker.cookie = None;
    for try_number in 1..=5 {
        let answer = asker.post("/login", "token=pa55word-guess").await;
        assert_eq!(
            answer.status(),
            StatusCode::UNAUTHORIZED,
            "try {try_number}"
        );
        assert!(!answer.headers().contains_key(SET_COOKIE));
    }
    // A right one is still taken; the contract allows five tries and more a minute.
    asker.log_in().await;
    asker.cookie = None;
    let mut refused = StatusCode::UNAUTHORIZED;
    for _ in 0..20 {
        refused = asker.post("/login", "token=pa55word-guess").await.status();
    }
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    let right = asker.post("/login", &format!("token={TOKEN}")).await;
    assert_eq!(right.status(), StatusCode::TOO_MANY_REQUESTS);
    let log = ends_in_order(worker).await;
    assert!(log.contains("wrong token at the console"), "{log}");
}

#[tokio::test]
async fn a_post_from_another_site_changes_nothing_even_with_a_session() {
    let stage = Stage::new().await;
    let worker = stage.program("run").set("admin.token", TOKEN).start();
    worker.says("broker session open").await;
    let mut asker = Asker::of(&worker).await;
    asker.log_in().await;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        (ORIGIN.as_str(), "http://evil.example"),
        (ORIGIN.as_str(), "null"),
    ] {
        let request = asker.request(Method::POST, "/actions/pause");
        let answer = request.header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}: {value}");
    }
    assert_ne!(asker.status().await["state"], "paused");
    // Its own page may.
    let own = asker.request(Method::POST, "/actions/pause");
    let own = own.header("sec-fetch-site", "same-origin").send();
    assert_eq!(own.await.unwrap().status(), StatusCode::SEE_OTHER);
    assert_eq!(asker.status().await["state"], "paused");
    ends_in_order(worker).await;
}

#[tokio::test]
async fn the_console_answers_under_known_names_only_and_health_under_any() {
    let stage = Stage::new().await;
    let worker = stage
        .program("run")
        .set("admin.hosts", "tagsweep.example.com,other.example.com")
        .start();
    worker.says("broker session open").await;
    let asker = Asker::of(&worker).await;
    let under = async |host: &str, path: &str| {
        let request = asker.request(Method::GET, path).header(HOST, host);
        request.send().await.unwrap().status()
    };
    for host in [
        "localhost:1",
        "192.168.0.7",
        "tagsweep.example.com",
        "OTHER.example.com:443",
    ] {
        assert_eq!(under(host, "/").await, StatusCode::OK, "{host}");
    }
    for path in ["/", "/api/status", "/fragment", "/login", "/console.js"] {
        let status = under("rebound.evil.example", path).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let status = under("rebound.evil.example", path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
    }
    ends_in_order(worker).await;
}

#[tokio::test]
async fn every_page_forbids_what_it_does_not_need() {
    let stage = Stage::new().await;
    let worker = stage.program("run").set("admin.token", TOKEN).start();
    worker.says("broker session open").await;
    let asker = Asker::of(&worker).await;
    for path in [
        "/",
        "/login",
        "/fragment",
        "/api/status",
        "/console.css",
        "/confirm/pause",
    ] {
        let answer = asker.get(path).await;
        let header = |name: &str| header_of(answer.headers(), name);
        let policy = header("content-security-policy");
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(directive), "{path}: {policy}");
        }
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
    }
    ends_in_order(worker).await;
}

fn header_of(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(|value| value.to_str().unwrap());
    value.unwrap_or_default().to_owned()
}
