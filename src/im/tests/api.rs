//! The API's side of the tests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// It gives every request the same answer and keeps what it saw.
pub(super) struct Api {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<Request>,
}

#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: Url,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

#[derive(Clone)]
pub(super) enum Answer {
    /// Bytes after which the connection stays open.
    Keep(String),
    /// Bytes after which the connection is closed.
    Close(String),
    CloseBytes(Vec<u8>),
}

/// An answer as the API gives it: without a content type.
pub(super) fn ok(body: &str) -> Answer {
    Answer::Keep(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

impl Api {
    pub(super) async fn answering(answer: Answer) -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let seen = api.seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.lock().unwrap().connections += 1;
                tokio::spawn(converse(stream, answer.clone(), seen.clone()));
            }
        });
        api
    }

    pub(super) fn base_url(&self) -> Url {
        Url::parse(&format!("http://{}", self.address)).unwrap()
    }

    pub(super) fn client(&self) -> Client {
        Client::new(options(self.base_url())).unwrap()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().requests.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }
}

async fn converse(stream: TcpStream, answer: Answer, seen: Arc<Mutex<Seen>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
                None => break,
            };
        }
        let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
        stream.read_exact(&mut body).await.ok()?;
        seen.lock().unwrap().requests.push(Request {
            method,
            url: Url::parse(&format!("http://api.test{target}")).unwrap(),
            headers,
            body: String::from_utf8(body).unwrap(),
        });
        match &answer {
            Answer::Keep(bytes) => stream.write_all(bytes.as_bytes()).await.ok()?,
            Answer::Close(bytes) => return stream.write_all(bytes.as_bytes()).await.ok(),
            Answer::CloseBytes(bytes) => return stream.write_all(bytes).await.ok(),
        }
    }
}

impl Request {
    pub(super) fn query(&self) -> HashMap<String, String> {
        self.url.query_pairs().into_owned().collect()
    }
}
