//! From a host name to an open socket.
//!
//! A name may have addresses that drop packets: IPv6 where the network has none, or a node that is gone. So the
//! addresses are raced as in RFC 8305 (Happy Eyeballs).

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{sleep, timeout},
};

use super::cause::Cause;

/// Delay before the next address is tried in parallel.
const HEAD_START: Duration = Duration::from_millis(250);

/// All addresses of a host, in turn of IPv6 and IPv4 as the resolver prefers them.
pub(super) async fn resolve(
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, Cause> {
    let found = timeout(limit, lookup_host((host, port))).await;
    let found = found.map_err(|_| Cause::LookupTimeout { limit })?;
    let addresses = found.map_err(|_| Cause::UnknownHost)?;
    let addresses = alternating(addresses.collect());
    match addresses.is_empty() {
        true => Err(Cause::UnknownHost),
        false => Ok(addresses),
    }
}

fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_ipv6);
    let (mut preferred, mut others) = (preferred.into_iter(), others.into_iter());
    let mut turns = Vec::new();
    loop {
        let pair = [preferred.next(), others.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

/// The first of `addresses` that takes a connection. It and those that failed are removed.
pub(super) async fn race(
    addresses: &mut Vec<SocketAddr>,
    limit: Duration,
) -> Result<(SocketAddr, TcpStream), Cause> {
    let mut failures: Vec<(SocketAddr, Cause)> = Vec::new();
    let mut attempts = FuturesUnordered::new();
    let mut waiting = addresses.clone().into_iter();
    loop {
        let next = waiting.next();
        let is_last = next.is_none();
        attempts.extend(next.map(|address| attempt(address, limit)));
        let ended = tokio::select! {
            ended = attempts.next() => ended,
            () = sleep(HEAD_START), if !is_last => continue,
        };
        match ended {
            Some((address, Ok(stream))) => {
                addresses.retain(|other| {
                    *other != address && !failures.iter().any(|(failed, _)| failed == other)
                });
                return Ok((address, stream));
            }
            Some((address, Err(cause))) => failures.push((address, cause)),
            None => {
                addresses.clear();
                return Err(Cause::of_addresses(failures));
            }
        }
    }
}

async fn attempt(address: SocketAddr, limit: Duration) -> (SocketAddr, Result<TcpStream, Cause>) {
    let connecting = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        io::Result::Ok(stream)
    };
    let connected = match timeout(limit, connecting).await {
        Ok(connected) => connected.map_err(|error| Cause::of_io(&error)),
        Err(_) => Err(Cause::Timeout {
            step: "TCP connection",
            limit,
        }),
    };
    (address, connected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        let parse = |text: &&str| text.parse().expect("an address");
        texts.iter().map(parse).collect()
    }

    #[test]
    fn ipv6_and_ipv4_take_turns_and_the_resolver_says_who_is_first() {
        let mixed = addresses(&["[::1]:1", "[::2]:1", "10.0.0.1:1", "[::3]:1"]);
        let turns = addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(alternating(mixed), turns);
        let plain = addresses(&["10.0.0.1:1", "10.0.0.2:1"]);
        assert_eq!(alternating(plain.clone()), plain);
    }

    /// A listener that accepts nothing, with a full backlog: the system drops what else arrives.
    async fn black_hole() -> (SocketAddr, Vec<TcpStream>, tokio::net::TcpListener) {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket
            .bind("127.0.0.2:0".parse().expect("an address"))
            .expect("bound");
        let listener = socket.listen(0).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut inside = Vec::new();
        while let Ok(stream) =
            timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            inside.push(stream.expect("a connection"));
        }
        (address, inside, listener)
    }

    #[tokio::test]
    async fn an_address_that_swallows_packets_does_not_keep_us_from_the_next_one() {
        let (hole, _inside, _listener) = black_hole().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a listener");
        let open = listener.local_addr().expect("an address");
        let mut addresses = vec![hole, open];
        let connected = race(&mut addresses, Duration::from_secs(60)).await;
        let (address, _) = connected.expect("the second address answers");
        assert_eq!(address, open);
        assert_eq!(addresses, [hole]);
    }

    #[tokio::test]
    async fn where_no_address_answers_each_is_named_with_its_reason() {
        let (hole, _inside, _listener) = black_hole().await;
        let closed = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            listener.local_addr().expect("an address")
        };
        let raced = race(&mut vec![hole, closed], Duration::from_millis(500)).await;
        let text = raced.expect_err("nobody answers").to_string();
        assert!(
            text.contains("127.0.0.2: TCP connection timed out"),
            "{text}"
        );
        assert!(text.contains("127.0.0.1: connection refused"), "{text}");
    }
}
