//! `tagsweep health`: asks the worker that runs with the same configuration. For container health checks,
//! where the image has no other client.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{FAILED, Failure, Globals, output};
use crate::config::Admin;

/// The worker takes up to two seconds to see that its own loop does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer has well under 1 KiB.
const MOST: u64 = 64 * 1024;

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  tagsweep --config /etc/tagsweep/config.toml health --ready\n\n\
                  Exit codes: 0 live (or ready), 1 not, or no worker is listening on admin.listen."
)]
pub(super) struct Arguments {
    /// Ask whether it is ready to work, instead of whether it is live.
    #[arg(long)]
    ready: bool,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// All that it needs to know.
#[derive(Deserialize, JsonSchema)]
struct Settings {
    admin: Admin,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<(), Failure> {
    let Settings { admin } = globals.settings()?;
    let address = admin.listen.context("admin.listen is off")?;
    let address = reachable(address);
    let (path, what) = match arguments.ready {
        true => ("/readyz", "ready"),
        false => ("/livez", "live"),
    };
    let answer =
        ask(address, path).with_context(|| format!("no worker is listening on {address}"))?;
    let (well, line) =
        read(&answer).with_context(|| format!("no tagsweep worker is listening on {address}"))?;
    match arguments.json {
        true => output::print(json!({ what: well, "detail": line }))?,
        false if well && globals.is_quiet() => {}
        false => output::print(line)?,
    }
    match well {
        true => Ok(()),
        false => Err(Failure::Said(FAILED)),
    }
}

/// Where a listener on all addresses is found.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Of version 1.0, the answer comes in one piece and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MOST).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Whether the status is 200, and the body.
fn read(answer: &str) -> anyhow::Result<(bool, &str)> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .filter(|_| answer.starts_with("HTTP/1."))
        .context("the answer is not HTTP")?;
    let is_ours = |line: &str| line.to_ascii_lowercase().starts_with("server: tagsweep");
    ensure!(head.lines().any(is_ours), "another program answers");
    let status = head.split(' ').nth(1);
    Ok((status == Some("200"), body.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_status_200_is_well() {
        let answer = |status| format!("HTTP/1.0 {status}\r\nServer: tagsweep/1\r\n\r\nlive\n");
        assert_eq!(read(&answer("200 OK")).unwrap(), (true, "live"));
        assert_eq!(
            read(&answer("503 Service Unavailable")).unwrap(),
            (false, "live")
        );
        assert!(read("HTTP/1.0 200 OK\r\nserver: nginx\r\n\r\nlive\n").is_err());
        assert!(read("SSH-2.0-OpenSSH_9.2\r\n").is_err());
        assert!(read("").is_err());
    }

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_this_machine() {
        let reached = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(reached("[::]:9464"), "[::1]:9464");
        assert_eq!(reached("10.0.0.7:9464"), "10.0.0.7:9464");
    }
}
