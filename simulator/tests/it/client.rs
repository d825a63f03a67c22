//! A client made of nothing but a socket: it shows exactly which bytes come back.

use std::io;
use std::time::{Duration, SystemTime};

use im_simulator::{Interface, Options, Simulator};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// One answer, taken apart.
pub(crate) struct Reply {
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    pub(crate) fn code(&self) -> i64 {
        self.json()["ErrorCode"]
            .as_i64()
            .expect("there is an ErrorCode")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub(crate) async fn start(options: Options) -> Simulator {
    let started = Simulator::start(options).await;
    started.expect("a free port of 127.0.0.1 can be bound")
}

/// A POST with a good query for `administrator`.
pub(crate) async fn call(simulator: &Simulator, interface: Interface, body: &Value) -> Reply {
    let target = format!("{}?{}", interface.path(), good_query(simulator));
    post(simulator, &target, &body.to_string()).await
}

pub(crate) async fn clear(simulator: &Simulator, ids: &[&str]) -> Reply {
    call(
        simulator,
        Interface::ImRemoveAllTags,
        &json!({ "To_Account": ids }),
    )
    .await
}

pub(crate) fn good_query(simulator: &Simulator) -> String {
    let lifetime = Duration::from_secs(86_400);
    let user_sig = simulator.user_sig("administrator", SystemTime::now(), lifetime);
    format!(
        "sdkappid=1400000000&identifier=administrator&usersig={user_sig}&random=4294967295&contenttype=json"
    )
}

pub(crate) async fn post(simulator: &Simulator, target: &str, body: &str) -> Reply {
    send(simulator, "POST", target, body)
        .await
        .expect("there is an answer")
}

/// One request on a connection of its own, and all that comes back until the server closes it.
pub(crate) async fn send(
    simulator: &Simulator,
    method: &str,
    target: &str,
    body: &str,
) -> io::Result<Reply> {
    exchange(
        TcpStream::connect(simulator.address()).await?,
        method,
        target,
        body,
    )
    .await
}

/// As [`send`], on a connection that stands already.
pub(crate) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    target: &str,
    body: &str,
) -> io::Result<Reply> {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: simulator\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut received = Vec::new();
    let all = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut received)).await?;
    match all {
        // What TLS says of an end that was not announced; what came before it is in the buffer.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        all => {
            all?;
        }
    }
    let received = String::from_utf8(received).map_err(io::Error::other)?;
    let (head, body) = received.split_once("\r\n\r\n").unwrap_or((&received, ""));
    Ok(Reply {
        head: head.to_lowercase(),
        body: body.to_owned(),
    })
}
