//! What answers instead of the API: gateways, proxies, captive portals; and the proxy of the configuration.

use std::io::Write;
use std::time::Duration;

use im_simulator::{Fault, Page};
use testkit::proxy::FaultProxy;
use testkit::tls::{Certificates, TlsFront};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::program::{Program, Running};
use crate::stage::*;

async fn ends_in_order(worker: Running) -> String {
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
    log
}

/// A page that names a user, whom no log may name.
fn page(status: u16, headers: Vec<(&'static str, String)>) -> Fault {
    let body = format!("<html>{} is not welcome</html>", user(7));
    Fault::Page(Page {
        status,
        headers,
        body: body.into_bytes(),
    })
}

#[tokio::test]
async fn no_call_is_made_before_the_time_that_retry_after_names() {
    let date = |seconds| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
        printer.timestamp_to_rfc9110_string(&at).unwrap()
    };
    for (status, form) in [(429, "seconds"), (503, "date")] {
        let stage = Stage::new().await;
        stage.import(0..300);
        let worker = stage.worker().await;
        let retry_after = match form {
            "seconds" => "3".to_owned(),
            _ => date(4),
        };
        let fault = page(status, vec![("retry-after", retry_after)]);
        let fault = stage.simulator.add_fault(fault);
        stage.delete(0..1).await;
        worker.says("something other than the API answered").await;
        stage.simulator.remove_fault(fault);
        stage.delete(1..300).await;
        stage.cleared(300).await;
        let calls = stage.simulator.journal_since(Duration::ZERO);
        let refused: Vec<_> = calls.iter().filter(|call| call.fault.is_some()).collect();
        let cleared = calls.iter().find(|call| call.code == Some(0)).unwrap();
        let waited = cleared.at - refused[0].at;
        assert!(waited >= Duration::from_millis(2_900), "{form}: {waited:?}");
        // The event's own call, and at most what was in flight with it.
        assert!(refused.len() <= 2, "{form}: {} calls", refused.len());
        let metrics = worker.ask("/metrics").await;
        let counted = format!("tagsweep_api_calls_total{{code=\"http-{status}\"}}");
        assert!(metrics.contains(&counted), "{metrics}");
        let log = ends_in_order(worker).await;
        assert!(log.contains("\"retry_after_seconds\":3"), "{log}");
        assert!(log.contains("slowing down"), "{log}");
    }
}

#[tokio::test]
async fn whatever_answers_instead_of_the_api_is_named_and_the_work_goes_on_when_it_is_gone() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let login = format!("http://{}/{}", elsewhere.local_addr().unwrap(), user(7));
    let location = vec![("location", login)];
    let stage = Stage::new().await;
    let cases = [
        (
            page(307, location.clone()),
            "config, HTTP status 307: a redirect",
            "http-3xx",
        ),
        (
            page(302, location),
            "(the latest call: redirect to 127.0.0.1)",
            "http-3xx",
        ),
        (
            page(401, vec![]),
            "config, HTTP status 401: a proxy or gateway asks for a login",
            "http-401",
        ),
        (
            page(407, vec![]),
            "config, HTTP status 407: a proxy or gateway asks for a login",
            "http-407",
        ),
        (page(403, vec![]), "config, HTTP status 403: ", "http-403"),
        (
            page(404, vec![]),
            "config, HTTP status 404: nothing takes such a call there",
            "http-404",
        ),
        (page(413, vec![]), "oversize, HTTP status 413: ", "http-413"),
        (page(421, vec![]), "config, HTTP status 421: ", "http-421"),
        (
            page(511, vec![]),
            "config, HTTP status 511: the network asks for a login",
            "http-511",
        ),
        (
            page(502, vec![]),
            "transient, HTTP status 502: ",
            "http-502",
        ),
        (
            page(200, vec![]),
            "transient, HTTP status 200: a page without the API's JSON",
            "not-json",
        ),
        (
            Fault::Page(Page {
                status: 200,
                headers: vec![],
                body: vec![],
            }),
            "HTTP status 200",
            "not-json",
        ),
    ];
    for (number, (fault, named, counted)) in cases.into_iter().enumerate() {
        stage.import([number]);
        let worker = stage.worker().await;
        let fault = stage.simulator.add_fault(fault);
        stage.delete([number]).await;
        worker.answers("/readyz", named).await;
        let counted = format!("tagsweep_api_calls_total{{code=\"{counted}\"}}");
        worker.answers("/metrics", &counted).await;
        stage.simulator.remove_fault(fault);
        stage.cleared(number as u64 + 1).await;
        let log = ends_in_order(worker).await;
        assert!(log.contains("paused"), "{named}: {log}");
    }
    stage.waits_in_the_queue(0).await;
    assert!(stage.letters().await.is_empty());
    // A redirect is never followed.
    let followed = tokio::time::timeout(Duration::ZERO, elsewhere.accept()).await;
    assert!(followed.is_err());
}

#[tokio::test]
async fn explain_knows_http_statuses() {
    for code in ["http-429", "429"] {
        let ended = Program::new("explain").argument(code).run().await;
        assert_eq!(ended.code, Some(0));
        assert!(
            ended.stdout.starts_with("http-429 (throttle): "),
            "{ended:?}"
        );
    }
    let ended = Program::new("explain http-307 --json").run().await;
    assert_eq!(ended.json()["class"], "config");
    assert_eq!(Program::new("explain http-42").run().await.code, Some(1));
}

#[tokio::test]
async fn calls_pass_through_the_proxy_of_the_configuration_and_through_none_of_the_environment() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..2);
    let unwanted = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let variable = format!("http://{}", unwanted.local_addr().unwrap());
    let mut program = stage.program("run");
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        program = program.variable(name, &variable);
    }
    let worker = program.start();
    stage.delete(0..1).await;
    stage.cleared(1).await;
    ends_in_order(worker).await;
    let asked = tokio::time::timeout(Duration::ZERO, unwanted.accept()).await;
    assert!(asked.is_err(), "a variable of the environment was followed");

    // It gets whole URLs, of a host where nobody listens.
    let proxy = FaultProxy::start(stage.simulator.address()).unwrap();
    let url = format!("http://operator:pa55word@{}", proxy.address());
    let program = stage
        .program("run")
        .set("im.base_url", "http://127.0.0.1:1")
        .set("im.proxy_url", url);
    let worker = program.start();
    stage.delete(1..2).await;
    stage.cleared(2).await;
    ends_in_order(worker).await;
}

/// A proxy that makes tunnels for whoever logs in, and its requests' first lines.
async fn tunnels(listener: TcpListener, wants_login: bool) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut client = BufReader::new(client);
            let (mut target, mut logged_in) = (None, false);
            loop {
                let mut line = String::new();
                client.read_line(&mut line).await.ok()?;
                let line = line.trim().to_lowercase();
                logged_in |= line.starts_with("proxy-authorization: basic ");
                match line.strip_prefix("connect ") {
                    Some(rest) => target = rest.split(' ').next().map(str::to_owned),
                    None if line.is_empty() => break,
                    None => {}
                }
            }
            if wants_login && !logged_in {
                let refusal =
                    b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                return client.write_all(refusal).await.ok();
            }
            let mut server = TcpStream::connect(target?).await.ok()?;
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
            copy_bidirectional(&mut client, &mut server)
                .await
                .ok()
                .map(drop)
        });
    }
}

#[tokio::test]
async fn an_https_api_is_called_through_a_tunnel_and_a_proxy_that_wants_a_login_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path()).unwrap();
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..1);
    let front = TlsFront::start(stage.simulator.address(), &certificates.server);
    let front = front.await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    tokio::spawn(tunnels(listener, true));
    let program = stage
        .program("run")
        .set(
            "im.base_url",
            format!("https://127.0.0.1:{}", front.address().port()),
        )
        .set("im.ca_file", certificates.server_authority.display());
    let stranger = program
        .clone()
        .set("im.proxy_url", format!("http://{proxy}"))
        .start();
    stage.delete(0..1).await;
    let named = "config, HTTP status 407: a proxy or gateway asks for a login; check im.proxy_url";
    stranger.answers("/readyz", named).await;
    ends_in_order(stranger).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "http://operator:pa55word@{proxy}").unwrap();
    let known = program.set("im.proxy_url_file", file.path().display());
    let worker = known.start();
    stage.cleared(1).await;
    ends_in_order(worker).await;
}

#[tokio::test]
async fn a_proxy_url_that_cannot_be_one_is_refused_without_being_shown() {
    for (url, why) in [
        ("socks5://operator:pa55word@h:1", "http://"),
        ("operator:pa55word@h", "http://"),
        ("http://operator:pa55word@h/path", "end after host and port"),
        ("http://operator:pa55word@h:3128", "in the clear"),
    ] {
        let ended = sound("check --offline")
            .set("im.proxy_url", url)
            .run()
            .await;
        assert_eq!(ended.code, Some(78), "{ended:?}");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(
            said.contains("im.proxy_url") && said.contains(why),
            "{said}"
        );
    }
}
