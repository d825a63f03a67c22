//! The console as an operator sees it, in a real browser.

use std::path::{Path, PathBuf};
use std::time::Duration;

use im_simulator::UnknownAccounts;
use serde_json::json;
use testkit::amqp::Outgoing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::browser::{Browser, Theme};
use crate::http::TOKEN;
use crate::program::{Program, Running};
use crate::stage::*;

/// What a script would do that runs and must not.
const SCRIPT: &str = "<script>window.ran=1</script>";
const PICTURE: &str = "<img src=x onerror=ran=1>";

/// A worker whose dead letters are users that the API does not know: to put one right, the user is imported.
fn program(stage: &Stage) -> Program {
    stage
        .simulator
        .set_unknown_accounts(UnknownAccounts::ErrorList);
    stage
        .program("run")
        .set("admin.token", TOKEN)
        .set("im.missing_account", "dead-letter")
}

async fn started(stage: &Stage) -> (Running, String) {
    let worker = program(stage).start();
    worker.says("broker session open").await;
    let url = format!("http://{}/", worker.admin_address().await);
    (worker, url)
}

async fn log_in(browser: &Browser, url: &str) {
    browser.open(&format!("{url}login")).await;
    browser.write("#token", TOKEN).await;
    browser.click("Log in").await;
    browser.shows("Log out").await;
}

async fn ends(worker: Running, browser: Browser) {
    // A violation of the policy, or a script that failed.
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:?}");
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn a_poison_event_is_shown_put_right_redriven_and_its_user_cleared() {
    let stage = Stage::new().await;
    stage.declare().await;
    let (worker, url) = started(&stage).await;
    stage.delete(0..2).await;
    stage.letters_wait(2).await;
    let browser = Browser::start().await;
    browser.open(&url).await;
    browser.shows("unknown-account").await;
    // Whoever has not logged in sees what is wrong, and nothing to act with.
    let text = browser.text().await;
    assert!(
        !text.contains("Redrive") && !text.contains("Pause…"),
        "{text}"
    );

    log_in(&browser, &url).await;
    browser.click("Letters").await;
    browser.shows("hidden").await;
    assert!(!browser.text().await.contains(&user(0)));
    browser.click("Show users").await;
    browser.shows(&user(0)).await;
    browser.shows(&user(1)).await;

    stage.import(0..2);
    browser.click("Redrive all 2…").await;
    browser.shows("2 letters of unknown-account · code").await;
    browser.click("Redrive").await;
    browser.shows("2 letters redriven").await;
    stage.cleared(2).await;
    browser
        .shows("None. Events that cannot be processed end here")
        .await;
    stage.all_settled().await;
    assert!(stage.letters().await.is_empty());
    let log = worker.log();
    for said in ["an operator acts on dead letters", "dead letters redriven"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    ends(worker, browser).await;
}

#[tokio::test]
async fn letters_are_purged_only_when_somebody_says_that_they_are_exported() {
    let stage = Stage::new().await;
    stage.declare().await;
    let (worker, url) = started(&stage).await;
    stage.delete(0..3).await;
    stage.letters_wait(3).await;
    let browser = Browser::start().await;
    log_in(&browser, &url).await;
    browser.click("Purge…").await;
    browser.shows("3 letters").await;
    let exported = "const form = document.querySelector('form[action=\"/actions/export\"]');
        const answer = await fetch(form.action, { method: 'POST', body: new URLSearchParams(new FormData(form)) });
        return [answer.headers.get('content-type'), await answer.text()];";
    let exported = browser.run_async(exported).await;
    assert_eq!(exported[0], "application/x-ndjson", "{exported}");
    let lines = exported[1].as_str().unwrap();
    assert_eq!(lines.lines().count(), 3);
    assert!(lines.contains(&user(2)), "the export is whole");
    // The browser itself wants the box ticked.
    browser.click("Purge").await;
    stage.letters_wait(3).await;
    browser
        .run("document.querySelector('[name=no_export]').click()")
        .await;
    browser.click("Purge").await;
    browser.shows("3 letters purged").await;
    assert!(stage.letters().await.is_empty());
    ends(worker, browser).await;
}

#[tokio::test]
async fn nothing_that_a_producer_controls_runs_in_the_browser() {
    let stage = Stage::new().await;
    stage.declare().await;
    let (worker, url) = started(&stage).await;
    let headers =
        |names: &[&'static str]| names.iter().map(|name| (*name, SCRIPT)).collect::<Vec<_>>();
    // An event of ours with a script for its user, its ID and its headers …
    let body = json!({ "type": "user.deleted", "user_id": PICTURE, "id": SCRIPT });
    let mut event = Outgoing::json("user.deleted", body).with_headers(&headers(&["name"]));
    event.properties = event.properties.with_message_id(SCRIPT.into());
    // … a body that is no event …
    let malformed = Outgoing::json("user.deleted", format!("{SCRIPT}{PICTURE}"));
    stage.publish([event, malformed]).await;
    stage.letters_wait(2).await;
    // … and what another program put straight into the dead-letter queue, as a letter of ours and as none.
    let forged = Outgoing::json(SCRIPT, SCRIPT).with_headers(&headers(&[
        "tagsweep-reason",
        "tagsweep-detail",
        "tagsweep-letter-id",
        "tagsweep-exchange",
        "tagsweep-routing-key",
        "tagsweep-failed-users",
        "tagsweep-history",
    ]));
    let foreign = Outgoing::json(PICTURE, PICTURE);
    let amqp = &stage.amqp;
    amqp.publish(DEAD_LETTERS, [forged, foreign]).await.unwrap();
    stage.letters_wait(4).await;

    let browser = Browser::start().await;
    log_in(&browser, &url).await;
    browser.shows(SCRIPT).await;
    let pages = "return [...document.querySelectorAll('.groups a')].map(link => link.href)";
    let pages = browser.run(pages).await;
    let pages: Vec<String> = serde_json::from_value(pages).unwrap();
    assert!(pages.len() >= 3 * 3, "{pages:?}");
    let mut seen = String::new();
    for page in pages {
        for page in [page.clone(), format!("{page}&users=show")] {
            browser.open(&page).await;
            assert_eq!(browser.run("return window.ran || 0").await, 0, "{page}");
            assert_eq!(
                browser
                    .run("return document.querySelectorAll('main script, main img').length")
                    .await,
                0
            );
            seen += &browser.text().await;
        }
    }
    assert!(
        seen.contains(SCRIPT) && seen.contains(PICTURE),
        "they are shown as text"
    );
    ends(worker, browser).await;
}

#[tokio::test]
async fn a_wrong_token_and_a_form_of_another_site_change_nothing() {
    let stage = Stage::new().await;
    let (worker, url) = started(&stage).await;
    let browser = Browser::start().await;
    browser.open(&format!("{url}login")).await;
    browser.write("#token", "pa55word-guess").await;
    browser.click("Log in").await;
    browser.shows("This is not the token.").await;
    log_in(&browser, &url).await;

    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // To a browser localhost is another site than 127.0.0.1.
    let evil = format!(
        "http://localhost:{}/",
        elsewhere.local_addr().unwrap().port()
    );
    let page = format!(
        "<!doctype html><form method=post action='{url}actions/pause'></form><script>document.forms[0].submit()</script>"
    );
    tokio::spawn(async move {
        while let Ok((mut browser, _)) = elsewhere.accept().await {
            let _ = browser.read(&mut [0; 4096]).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                page.len()
            );
            let _ = browser.write_all((head + &page).as_bytes()).await;
        }
    });
    browser.open(&evil).await;
    browser.shows("a page of another site").await;
    // The refusal is what the browser reports.
    let complaints = browser.complaints().await;
    assert!(
        complaints.iter().all(|line| line.contains("40")),
        "{complaints:?}"
    );
    browser.open(&url).await;
    browser.shows("Log out").await;
    assert!(!browser.text().await.contains("Paused"));
    assert!(!worker.log().contains("paused by an operator"));
    ends(worker, browser).await;
}

#[tokio::test]
async fn the_keyboard_is_enough_and_a_change_of_state_is_announced_and_nothing_else() {
    const ENTER: &str = "\u{e007}";
    const TAB: &str = "\u{e004}";
    let stage = Stage::new().await;
    let (worker, url) = started(&stage).await;
    stage.import(0..1);
    stage.delete(0..1).await;
    stage.all_settled().await;
    let browser = Browser::start().await;
    log_in(&browser, &url).await;
    browser.shows("Consuming").await;
    let focused = "return document.activeElement.innerText || ''";
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != "Pause…") {
        browser.press(TAB).await;
        names.push(
            browser
                .run(focused)
                .await
                .as_str()
                .unwrap()
                .trim()
                .to_owned(),
        );
        assert!(names.len() < 10, "{names:?}");
    }
    assert_eq!(names[0], "Skip to content");
    // Two refreshes later it is still where it was.
    let refreshed = "const before = document.querySelector('#live'); let count = 0;
        await new Promise(done => new MutationObserver((_, me) => { if (++count == 2) { me.disconnect(); done(); } })
            .observe(document.querySelector('main'), { childList: true }));
        return document.activeElement.innerText;";
    let still = browser.run_async(refreshed).await;
    assert_eq!(still, "Pause…");
    assert_eq!(browser.run("return announced.textContent").await, "");
    // The page knows of the change by itself: another session makes it.
    let paused = "return (await fetch('/actions/pause', { method: 'POST' })).status";
    assert_eq!(browser.run_async(paused).await, 200);
    let announced = "return document.getElementById('announced').textContent";
    testkit::eventually(Duration::from_secs(20), "it is announced", async || {
        (browser.run(announced).await == "Paused by an operator").then_some(())
    })
    .await;
    let mut label = String::new();
    for _ in 0..10 {
        browser.press(TAB).await;
        label = browser.run(focused).await.as_str().unwrap().to_owned();
        if label == "Resume…" {
            break;
        }
    }
    assert_eq!(label, "Resume…");
    browser.press(ENTER).await;
    browser.shows("Resume this worker?").await;
    browser.click("Resume").await;
    browser.shows("Pause…").await;
    ends(worker, browser).await;
}

/// Where pictures go, to be looked at.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/console")
}

/// What axe-core finds wrong with the page.
async fn obstacles(browser: &Browser) -> Vec<String> {
    let files = std::fs::read_dir(folder()).into_iter().flatten().flatten();
    let mut files = files.map(|file| file.path());
    let axe = files.find(|file| file.extension().is_some_and(|end| end == "js"));
    let axe = axe.expect("axe-core is missing: run scripts/install-chromium.sh target/console");
    if browser.run("return !window.axe").await == true {
        browser.run(&std::fs::read_to_string(axe).unwrap()).await;
    }
    let found = "const found = await axe.run(document, { resultTypes: ['violations'] });
        return found.violations.map(each => `${each.id}: ${each.nodes.map(node => node.target.join(' ')).join(', ')}`);";
    let found = browser.run_async(found).await;
    serde_json::from_value(found.clone()).unwrap_or_else(|_| panic!("axe: {found}"))
}

/// Takes pictures of the page in both themes, wide and narrow. Returns what is wrong with it.
async fn looked_at(browser: &Browser, name: &str, page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    browser.open(page).await;
    for (width, theme) in [
        (1280, Theme::Dark),
        (1280, Theme::Light),
        (320, Theme::Dark),
        (320, Theme::Light),
    ] {
        browser.look(width, 800, theme).await;
        let label = format!("{name}-{width}-{theme:?}").to_lowercase();
        let across = browser
            .run("return document.documentElement.scrollWidth")
            .await;
        if across.as_u64() > Some(width.into()) {
            wrong.push(format!("{label}: {across} pixels wide"));
        }
        // Colours are the same at each width, and sizes in each theme.
        if (width, theme) != (320, Theme::Dark) {
            let found = obstacles(browser).await.into_iter();
            wrong.extend(found.map(|found| format!("{label}: {found}")));
        }
        browser
            .picture(&folder().join(format!("{label}.png")))
            .await;
    }
    wrong
}

#[tokio::test]
async fn every_page_reads_well_in_both_themes_and_at_320_pixels_and_is_accessible() {
    let stage = Stage::new().await;
    stage.declare().await;
    let (worker, url) = started(&stage).await;
    stage.import(0..500);
    stage.delete(0..505).await;
    let malformed = Outgoing::json("user.deleted", "no event");
    stage.publish([malformed]).await;
    stage.letters_wait(6).await;
    let browser = Browser::start().await;
    browser.open(&url).await;
    browser.shows("malformed-event").await;
    let letters = browser
        .run("return document.querySelector('.groups a').href")
        .await;
    let letters = letters.as_str().unwrap().to_owned();
    log_in(&browser, &url).await;
    let pages = [
        ("first", url.clone()),
        ("letters", format!("{letters}&users=show")),
        ("redrive", letters.replace("/letters?", "/confirm/redrive?")),
        ("purge", letters.replace("/letters?", "/confirm/purge?")),
        ("pause", format!("{url}confirm/pause")),
        ("login", format!("{url}login")),
    ];
    let mut wrong = Vec::new();
    for (name, page) in &pages {
        wrong.extend(looked_at(&browser, name, page).await);
    }
    browser.open(&format!("{url}confirm/pause")).await;
    browser.click("Pause").await;
    browser.shows("Paused by an operator").await;
    wrong.extend(looked_at(&browser, "paused", &url).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    ends(worker, browser).await;
}

/// The picture of the README: `cargo test --test console -- --ignored`.
#[tokio::test]
#[ignore = "takes a quarter of an hour, and writes docs/console.png"]
async fn the_picture_of_the_readme_is_written() {
    let stage = Stage::new().await;
    stage.declare().await;
    let (worker, url) = started(&stage).await;
    stage.import(0..2_000_000);
    let browser = Browser::start().await;
    let mut next = 0;
    let mut turn = tokio::time::interval(Duration::from_secs(1));
    for second in 0..880_usize {
        turn.tick().await;
        // A quiet day with a burst.
        let wave = 40.0 + 25.0 * (second as f64 / 60.0).sin();
        let burst = if (500..560).contains(&second) {
            1_500
        } else {
            0
        };
        let count = wave as usize + burst + second % 7;
        stage.delete(next..next + count).await;
        next += count;
        if second % 200 == 100 {
            stage.delete([3_000_000 + second]).await;
            stage
                .publish([Outgoing::json("user.deleted", "no event")])
                .await;
        }
    }
    log_in(&browser, &url).await;
    browser.shows("malformed-event").await;
    browser.look(1100, 860, Theme::Light).await;
    browser.open(&url).await;
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/console.png");
    browser.picture(&picture).await;
    ends(worker, browser).await;
}
