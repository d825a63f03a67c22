//! One connection to the API: the part of HTTP/1.1 with keep-alive that clients of this interface
//! need.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;
use crate::user;

const OK: &str = r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"","ErrorList":[]}"#;
/// The API's own code for a body that it cannot read.
const REFUSED: &str = r#"{"ActionStatus":"FAIL","ErrorCode":90001,"ErrorInfo":"","ErrorList":[]}"#;
/// Bytes of a request; a window of 100 users has 2,000.
const MOST: usize = 1 << 20;

/// Answers calls until the client closes the connection.
pub(super) async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (ok, refused) = (answer(OK), answer(REFUSED));
    let mut bytes = Vec::with_capacity(16 * 1024);
    while let Some(request) = next_request(&mut stream, &mut bytes).await? {
        let body = &bytes[request.head..request.end];
        let users = body
            .starts_with(br#"{"To_Account":"#)
            .then(|| user::numbers(body))
            .filter(|users| !users.is_empty());
        let answer = match &users {
            Some(users) => {
                shared.arrived(users);
                shared.wait().await;
                shared.cleared(users);
                &ok
            }
            None => {
                shared.refused();
                &refused
            }
        };
        stream.write_all(answer).await?;
        bytes.drain(..request.end);
    }
    Ok(())
}

fn answer(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Where the head of a request ends, and the request.
struct Extent {
    head: usize,
    end: usize,
}

/// Reads until `bytes` begin with a whole request. None when the client has closed the connection
/// between two of them.
async fn next_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<Extent>> {
    loop {
        match extent(bytes)? {
            Some(extent) if bytes.len() >= extent.end => return Ok(Some(extent)),
            _ if bytes.len() > MOST => return Err(io::ErrorKind::InvalidData.into()),
            _ => {}
        }
        if stream.read_buf(bytes).await? == 0 {
            return match bytes.is_empty() {
                true => Ok(None),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
    }
}

/// None while the head is not whole.
fn extent(bytes: &[u8]) -> io::Result<Option<Extent>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request
        .parse(bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let httparse::Status::Complete(head) = parsed else {
        return Ok(None);
    };
    let length = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    // A body in chunks has none; no contestant sends one.
    let length: usize = length.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some(Extent {
        head,
        end: head.saturating_add(length),
    }))
}
