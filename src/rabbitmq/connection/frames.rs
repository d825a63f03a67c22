//! A stream from the broker on which every frame is [sanitized](super::sanitize) before lapin sees it.

#![expect(
    clippy::indexing_slicing,
    reason = "every position is kept within the bytes that are there, next to where they are used"
)]

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::backlog::Backlog;
use super::sanitize::{BODY, HEADER, METHOD, offered_frame_max, sanitize, shrink};

/// Frame type, channel, and the size of the payload; the payload is followed by one more byte.
const HEAD: usize = 7;
const CHUNK: usize = 64 * 1024;
/// Larger frames pass unchanged. A broker's largest is 128 KiB by default.
const LARGEST: usize = 16 << 20;

/// The code and text with which a broker closes a connection. lapin reports them to only one of the waiting
/// callers.
#[derive(Clone, Default)]
pub(crate) struct Farewell(Arc<OnceLock<(u16, String)>>);

impl Farewell {
    fn note(&self, method: &[u8]) {
        // connection.close: class, method, reply code, reply text
        if let Some([a, b, length, text @ ..]) = method.strip_prefix(&[0, 10, 0, 50])
            && let Some(text) = text.get(..usize::from(*length))
        {
            let code = u16::from_be_bytes([*a, *b]);
            // A second one would be no protocol.
            let _ = self
                .0
                .set((code, String::from_utf8_lossy(text).into_owned()));
        }
    }

    pub(crate) fn reply(&self) -> Option<(u16, &str)> {
        let (code, text) = self.0.get()?;
        Some((*code, text))
    }
}

/// `S` with its incoming frames sanitized.
pub(crate) struct Sanitized<S> {
    stream: S,
    incoming: Incoming,
}

/// Bytes that have arrived and were not read yet.
#[derive(Default)]
struct Incoming {
    bytes: Vec<u8>,
    /// How many of them may be read.
    ready: usize,
    /// How many of the bytes to come belong to a frame that needs no change.
    passing: usize,
    ended: bool,
    /// lapin gives up a connection on which a larger frame arrives; 0 is any.
    frame_max: usize,
    /// The size of the body that is arriving, and how much of it is missing.
    body: (usize, usize),
    /// The size of a body whose last frame is passing.
    ending: Option<usize>,
    backlog: Backlog,
    farewell: Farewell,
}

impl<S> Sanitized<S> {
    /// `frame_max` is what lapin asks for; the broker may offer less. 0 is any.
    pub(crate) fn new(
        stream: S,
        frame_max: u32,
        (backlog, farewell): (Backlog, Farewell),
    ) -> Sanitized<S> {
        let incoming = Incoming {
            frame_max: frame_max as usize,
            backlog,
            farewell,
            ..Incoming::default()
        };
        Sanitized { stream, incoming }
    }
}

impl Incoming {
    /// Sanitizes the frames that have arrived completely.
    fn advance(&mut self) {
        loop {
            let passing = self.passing.min(self.bytes.len() - self.ready);
            self.ready += passing;
            self.passing -= passing;
            if self.passing == 0
                && let Some(bytes) = self.ending.take()
            {
                self.backlog.arrived(bytes);
            }
            let rest = &self.bytes[self.ready..];
            let Some(&[kind, _, _, a, b, c, d]) = rest.first_chunk::<HEAD>() else {
                break;
            };
            let size = u32::from_be_bytes([a, b, c, d]) as usize;
            let frame = HEAD + size + 1;
            let is_whole = frame <= rest.len();
            if kind == BODY {
                self.body_arrives(size);
            }
            if !matches!(kind, METHOD | HEADER) || frame > LARGEST {
                self.passing = frame;
            } else if is_whole {
                self.ready += self.sanitize_frame(kind, size);
            } else {
                break;
            }
        }
        if self.ended {
            self.ready = self.bytes.len();
        }
    }

    /// Sanitizes the next frame, and returns its length.
    fn sanitize_frame(&mut self, kind: u8, size: usize) -> usize {
        let begin = self.ready + HEAD;
        let payload = &mut self.bytes[begin..begin + size];
        sanitize(kind, payload);
        // Class, weight, and the size of the body.
        if kind == HEADER
            && let Some(&bytes) = payload.get(4..).and_then(<[u8]>::first_chunk)
        {
            let bytes = usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX);
            self.body = (bytes, bytes);
        }
        if kind == METHOD {
            self.farewell.note(payload);
        }
        if kind == METHOD
            && let Some(offered) = offered_frame_max(payload).filter(|offered| *offered > 0)
        {
            let offered = offered as usize;
            self.frame_max = match self.frame_max {
                0 => offered,
                asked => asked.min(offered),
            };
        }
        let around = HEAD + 1;
        let is_too_large = self.frame_max > 0 && size + around > self.frame_max;
        if kind == HEADER
            && is_too_large
            && let Some(shrunk) = shrink(payload, self.frame_max.saturating_sub(around))
        {
            let length = shrunk.len();
            self.bytes[begin - 4..begin].copy_from_slice(&(length as u32).to_be_bytes());
            self.bytes.splice(begin..begin + size, shrunk);
            return length + around;
        }
        size + around
    }

    /// A message counts when the last frame of its body has passed.
    fn body_arrives(&mut self, bytes: usize) {
        let (whole, missing) = &mut self.body;
        if *missing > 0 {
            *missing = missing.saturating_sub(bytes);
            if *missing == 0 {
                self.ending = Some(*whole);
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sanitized<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Sanitized { stream, incoming } = &mut *self;
        while incoming.ready == 0 && !incoming.ended {
            ready!(incoming.backlog.poll_room(cx));
            incoming.bytes.reserve(CHUNK);
            let read = poll_read_buf(Pin::new(&mut *stream), cx, &mut incoming.bytes);
            incoming.ended = ready!(read)? == 0;
            incoming.advance();
        }
        let count = incoming.ready.min(target.remaining());
        target.put_slice(&incoming.bytes[..count]);
        incoming.bytes.drain(..count);
        incoming.ready -= count;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::rabbitmq::connection::backlog::MOST;

    /// Gives its bytes a few at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl AsyncRead for Trickle<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            target: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let count = self.1.min(self.0.len()).min(target.remaining());
            let (given, rest) = self.0.split_at(count);
            target.put_slice(given);
            self.0 = rest;
            Poll::Ready(Ok(()))
        }
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = (payload.len() as u32).to_be_bytes();
        [&[kind, 0, 1], &size[..], payload, &[0xce]].concat()
    }

    #[tokio::test]
    async fn frames_are_sanitized_however_they_arrive_and_all_else_goes_by() {
        let header = |id: u8| [&[0; 12][..], &[0, 0x80, 1, id]].concat();
        let body = vec![0xff; 1_000];
        let stream = |id| {
            [
                frame(8, b""),
                frame(HEADER, &header(id)),
                frame(3, &body),
                frame(HEADER, &header(id)),
            ]
        };
        let cut = &frame(METHOD, &[0xff; 50])[..20];
        let sent = [&stream(0xff).concat(), cut].concat();
        let expected = [&stream(b'?').concat(), cut].concat();
        for at_once in [1, 2, 7, 11, 500, 100_000] {
            let mut given = Vec::new();
            let mut sanitized = Sanitized::new(Trickle(&sent, at_once), 0, Default::default());
            sanitized
                .read_to_end(&mut given)
                .await
                .expect("it has an end");
            assert_eq!(given, expected, "{at_once} at once");
        }
    }

    #[tokio::test]
    async fn no_header_frame_is_larger_than_what_was_agreed_on() {
        let tune = |frame_max: u32| {
            let arguments = [&[0, 0][..], &frame_max.to_be_bytes(), &[0, 60]].concat();
            frame(METHOD, &[&[0, 10, 0, 30][..], &arguments].concat())
        };
        let text = [&b"\x01aS\x00\x00\x00\x64"[..], &[b'x'; 100]].concat();
        let header = |entries: &[u8]| {
            let table = [&(entries.len() as u32).to_be_bytes(), entries].concat();
            frame(HEADER, &[&[0; 12][..], &[0x20, 0], &table].concat())
        };
        let [full, short] = [header(&text), header(b"")];
        let largest = full.len() as u32;
        for (asked, offered, expected) in [
            (0, 0, &full),
            (0, largest, &full),
            (largest, 0, &full),
            (0, largest - 1, &short),
            (largest - 1, 0, &short),
            (largest - 1, largest, &short),
        ] {
            let sent = [tune(offered), full.clone(), frame(3, b"x")].concat();
            let mut given = Vec::new();
            let mut sanitized = Sanitized::new(Trickle(&sent, 1_000), asked, Default::default());
            sanitized
                .read_to_end(&mut given)
                .await
                .expect("it has an end");
            assert_eq!(
                given,
                [&tune(offered)[..], expected, &frame(3, b"x")].concat()
            );
        }
    }

    #[tokio::test]
    async fn no_more_is_read_while_too_much_waits_to_be_taken_and_a_message_is_read_to_its_end() {
        let size = MOST + 1_000;
        let header = frame(
            HEADER,
            &[&[0; 4][..], &(size as u64).to_be_bytes(), &[0; 2]].concat(),
        );
        let half = frame(BODY, &vec![0; size / 2]);
        let message = [header, half.clone(), half].concat();
        let sent = message.repeat(2);
        let backlog = Backlog::default();
        backlog.limit();
        let parts = (backlog.clone(), Farewell::default());
        let mut sanitized = Sanitized::new(Trickle(&sent, 10_000), 0, parts);
        let mut given = Vec::new();
        let mut read_on = async |given: &mut Vec<u8>| {
            let mut bytes = [0; 10_000];
            while let Some(count) = sanitized.read(&mut bytes).now_or_never() {
                match count.expect("bytes") {
                    0 => return true,
                    count => given.extend_from_slice(&bytes[..count]),
                }
            }
            false
        };
        assert!(!read_on(&mut given).await);
        let ahead = given.len() - message.len();
        assert!(ahead < 10_000, "{ahead} bytes of the next message");
        backlog.taken(size);
        assert!(!read_on(&mut given).await);
        assert_eq!(given.len(), sent.len());
        backlog.lift();
        assert!(read_on(&mut given).await, "it has an end");
        assert!(given == sent);
    }

    #[tokio::test]
    async fn what_is_no_amqp_at_all_goes_by() {
        let mut given = Vec::new();
        let stream = Trickle(b"AMQP\x00\x00\x09\x01", 3);
        let mut sanitized = Sanitized::new(stream, 0, Default::default());
        sanitized
            .read_to_end(&mut given)
            .await
            .expect("it has an end");
        assert_eq!(given, b"AMQP\x00\x00\x09\x01");
    }
}
