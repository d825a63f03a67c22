//! A browser: Debian's chromium without a window, driven by chromedriver. The protocol is a few JSON requests, for
//! which the HTTP client of the tests is enough.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::program::PATIENCE;

/// Figures are fetched every two seconds, and letters some seconds after their number has changed.
const SHOWN_WITHIN: Duration = Duration::from_secs(180);

/// The name of an element's ID in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub struct Browser {
    client: Client,
    /// Of the session.
    url: String,
    _driver: Child,
    _profile: tempfile::TempDir,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Theme {
    Light,
    Dark,
}

impl Browser {
    pub async fn start() -> Browser {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            // What a browser writes goes with the test.
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is missing: run scripts/install-chromium.sh");
        let port = port(&mut driver).await;
        let arguments = [
            "--headless=new".to_owned(),
            // Tests may run as root in a container, where chromium's own sandbox cannot.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--no-first-run".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let base = format!("http://127.0.0.1:{port}/session");
        let answer = post(&client, &base, &wanted).await;
        let session = answer["sessionId"].as_str().expect("a session");
        Browser {
            url: format!("{base}/{session}"),
            client,
            _driver: driver,
            _profile: profile,
        }
    }

    pub async fn open(&self, url: &str) {
        self.command("url", json!({ "url": url })).await;
    }

    /// Runs a script in the page and gives what it returns.
    pub async fn run(&self, script: &str) -> Value {
        let arguments = json!({ "script": script, "args": [] });
        self.command("execute/sync", arguments).await
    }

    /// The same for one that returns a promise.
    pub async fn run_async(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; (async () => {{ {script} }})().then(done, error => done(String(error)));"
        );
        let arguments = json!({ "script": script, "args": [] });
        self.command("execute/async", arguments).await
    }

    pub async fn text(&self) -> String {
        let text = self.run("return document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page, as it is seen, contains this.
    pub async fn shows(&self, text: &str) {
        let mut seen = String::new();
        let shown = tokio::time::timeout(SHOWN_WITHIN, async {
            while !seen.contains(text) {
                tokio::task::yield_now().await;
                seen = self.text().await;
            }
        });
        if shown.await.is_err() {
            panic!("the page does not show {text:?}, but:\n{seen}");
        }
    }

    /// Clicks on the first link or button with this text.
    pub async fn click(&self, text: &str) {
        let path = format!(
            "//a[normalize-space()='{text}']|//button[normalize-space()='{text}']|//summary[normalize-space()='{text}']"
        );
        let element = self.find("xpath", &path).await;
        self.command(&format!("element/{element}/click"), json!({}))
            .await;
    }

    pub async fn write(&self, css: &str, text: &str) {
        let element = self.find("css selector", css).await;
        let keys = json!({ "text": text });
        self.command(&format!("element/{element}/value"), keys)
            .await;
    }

    pub async fn press(&self, key: &str) {
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": [
            { "type": "keyDown", "value": key },
            { "type": "keyUp", "value": key },
        ] }] });
        self.command("actions", actions).await;
    }

    /// The element, which a page that is just loading may not have yet.
    async fn find(&self, using: &str, value: &str) -> String {
        let wanted = json!({ "using": using, "value": value });
        testkit::eventually(Duration::from_secs(20), value, async || {
            let url = format!("{}/element", self.url);
            let answer = self.client.post(url).json(&wanted).send().await.ok()?;
            let answer: Value = answer.json().await.ok()?;
            answer["value"][ELEMENT].as_str().map(str::to_owned)
        })
        .await
    }

    /// Sets the size of the page and the theme that its reader prefers.
    pub async fn look(&self, width: u32, height: u32, theme: Theme) {
        let size = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        } });
        self.command("goog/cdp/execute", size).await;
        let value = match theme {
            Theme::Light => "light",
            Theme::Dark => "dark",
        };
        let theme = json!({ "cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{ "name": "prefers-color-scheme", "value": value }],
        } });
        self.command("goog/cdp/execute", theme).await;
    }

    /// Writes the whole page as a picture.
    pub async fn picture(&self, file: &Path) {
        let capture = json!({ "cmd": "Page.captureScreenshot", "params": {
            "format": "png", "captureBeyondViewport": true,
        } });
        let picture = self.command("goog/cdp/execute", capture).await;
        let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes.unwrap()).unwrap();
    }

    /// What the browser complained of: violations of the policy, errors of scripts.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.command("se/log", json!({ "type": "browser" })).await;
        let lines = log.as_array().cloned().unwrap_or_default();
        let texts = lines.iter().filter_map(|line| line["message"].as_str());
        texts.map(str::to_owned).collect()
    }

    async fn command(&self, path: &str, arguments: Value) -> Value {
        post(&self.client, &format!("{}/{path}", self.url), &arguments).await
    }
}

/// A driver that is killed leaves its browser behind: it is told to end that first, also where a test has failed.
impl Drop for Browser {
    fn drop(&mut self) {
        let end = || -> std::io::Result<()> {
            let (address, path) = self.url["http://".len()..]
                .split_once('/')
                .unwrap_or_default();
            let mut driver = TcpStream::connect(address)?;
            driver.set_read_timeout(Some(PATIENCE))?;
            write!(
                driver,
                "DELETE /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
            )?;
            // It answers when the browser has ended, and keeps the connection.
            driver.read(&mut [0; 1024]).map(drop)
        };
        if let Err(error) = end() {
            eprintln!("the browser may still run: {error}");
        }
    }
}

/// It chooses a port itself and says which.
async fn port(driver: &mut Child) -> u16 {
    let output = driver.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(output).lines();
    let said = tokio::time::timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let port = line.rsplit_once("on port ").map(|(_, port)| port);
            let port = port.and_then(|port| port.trim_end_matches('.').parse().ok());
            // It first says what it was asked for, which is none.
            if let Some(port) = port.filter(|port| *port != 0) {
                return port;
            }
        }
        panic!("chromedriver ends without a port");
    });
    let port = said.await.expect("chromedriver starts");
    // It must never wait for somebody to read on.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    port
}

async fn post(client: &Client, url: &str, arguments: &Value) -> Value {
    let answer = client.post(url).json(arguments).send().await;
    let answer: Value = answer.expect("an answer").json().await.expect("JSON");
    let value = answer["value"].clone();
    assert!(value.get("error").is_none(), "{url}: {value}");
    value
}
