//! Measures the API itself, to show that it is not the limit.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Scale;
use crate::api::{Api, Latency};
use crate::results::ApiCeiling;
use crate::user;

const CONNECTIONS: u32 = 16;
const IDS: u32 = 100;

pub async fn run(api: &Api, scale: Scale) -> anyhow::Result<ApiCeiling> {
    let length = scale.pick(Duration::from_secs(5), Duration::from_millis(300));
    api.begin(CONNECTIONS * IDS, Latency::default());
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(api.address()).await?;
        stream.set_nodelay(true)?;
        let request = request(client * IDS..(client + 1) * IDS);
        clients.spawn(async move {
            let mut answer = [0; 1024];
            while began.elapsed() < length {
                stream.write_all(&request).await?;
                let read = stream.read(&mut answer).await?;
                ensure!(answer[..read].ends_with(b"}"), "half an answer");
            }
            Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(api.record(|record| ApiCeiling {
        calls_per_second: record.calls() as f64 / seconds,
        ids_per_second: record.ids() as f64 / seconds,
    }))
}

/// A call as clients write it.
pub fn request(users: impl Iterator<Item = u32>) -> Vec<u8> {
    let users: Vec<String> = users.map(user::id).collect();
    let body = format!(r#"{{"To_Account":["{}"]}}"#, users.join("\",\""));
    format!(
        "POST /v4/all_member_push/im_remove_all_tags?sdkappid=1400000000 HTTP/1.1\r\n\
         host: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
