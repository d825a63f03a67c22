//! Rewrites frames that lapin cannot parse.
//!
//! A broker delivers what publishers sent, unchecked: with names and strings that are not UTF-8, lapin drops the
//! connection; with deeply nested tables, its thread overflows the stack and the process ends. Either would repeat
//! with every redelivery and block the queue. Every change is in place and keeps the length. This module knows
//! single frames, not streams of them.

use lapin::protocol::basic::{gen_properties, parse_properties};
use lapin::types::ShortString;

use crate::rabbitmq::headers::{fitting, size};

/// Maximum nesting of tables and lists that lapin gets; deeper ones become bytes. What the broker adds itself is
/// two deep.
const DEEPEST: u8 = 32;

/// Replacement for each byte that is not valid UTF-8.
const SUBSTITUTE: u8 = b'?';

/// Class, weight, and size of the body.
const BEFORE_PROPERTIES: usize = 12;

/// The type octets of frames that hold texts.
pub(crate) const METHOD: u8 = 1;
pub(crate) const HEADER: u8 = 2;
pub(crate) const BODY: u8 = 3;

/// Sanitizes the payload of one frame of this type. An invalid frame stays unchanged.
pub(crate) fn sanitize(kind: u8, payload: &mut [u8]) {
    let mut fields = Fields(payload);
    // A field that is cut short ends it, and lapin will say so.
    let _ = match kind {
        METHOD => fields.method(),
        HEADER => fields.header(),
        _ => None,
    };
}

/// The payload of a header frame without the largest headers, so that it has at most so many bytes. A
/// broker counts deliveries in a header, and adds it even where the publisher left no room for one.
pub(crate) fn shrink(payload: &[u8], most: usize) -> Option<Vec<u8>> {
    let (around, properties) = payload.split_at_checked(BEFORE_PROPERTIES)?;
    let (_, properties) = parse_properties(properties).ok()?;
    let headers = properties.headers().clone()?;
    let bytes = |(name, value): (&ShortString, _)| size(name.as_str(), value);
    let bytes: usize = headers.inner().iter().map(bytes).sum();
    let excess = payload.len().saturating_sub(most);
    let (fitting, _) = fitting(headers.inner(), bytes.checked_sub(excess)?);
    let properties = properties.with_headers(fitting);
    let written = gen_properties(&properties)(around.to_vec().into());
    Some(written.ok()?.into_inner().0)
}

/// The maximum frame size that the broker offers, if this method contains it.
pub(crate) fn offered_frame_max(method: &[u8]) -> Option<u32> {
    // connection.tune: class, method, channels, frame, heartbeat
    let arguments = method.strip_prefix(&[0, 10, 0, 30])?;
    arguments
        .get(2..)?
        .first_chunk()
        .copied()
        .map(u32::from_be_bytes)
}

/// What is left of a payload. `None` is an end that comes too early, or a field of unknown length.
struct Fields<'a>(&'a mut [u8]);

impl<'a> Fields<'a> {
    /// Of all methods only those that carry a message repeat what a publisher wrote.
    fn method(&mut self) -> Option<()> {
        match (self.short()?, self.short()?) {
            // basic.deliver: consumer tag, delivery tag, redelivered, exchange, routing key
            (60, 60) => {
                self.text()?;
                self.skip(9)?;
            }
            // basic.return: reply code, reply text, exchange, routing key
            (60, 50) => {
                self.skip(2)?;
                self.text()?;
            }
            // basic.get-ok: delivery tag, redelivered, exchange, routing key, message count
            (60, 71) => self.skip(9)?,
            _ => return None,
        }
        self.text()?;
        self.text()
    }

    /// The properties of a message: a flag for each, the highest bit first, and those that are there.
    fn header(&mut self) -> Option<()> {
        self.skip(BEFORE_PROPERTIES)?;
        let flags = self.short()?;
        for property in (0..14).filter(|property| flags & (0x8000 >> property) != 0) {
            match property {
                2 => self.table(DEEPEST)?,
                // delivery mode, priority
                3 | 4 => self.skip(1)?,
                // timestamp
                9 => self.skip(8)?,
                _ => self.text()?,
            }
        }
        Some(())
    }

    fn table(&mut self, depth: u8) -> Option<()> {
        let mut entries = self.counted()?;
        while !entries.0.is_empty() {
            entries.text()?;
            entries.value(depth)?;
        }
        Some(())
    }

    fn list(&mut self, depth: u8) -> Option<()> {
        let mut values = self.counted()?;
        while !values.0.is_empty() {
            values.value(depth)?;
        }
        Some(())
    }

    fn value(&mut self, depth: u8) -> Option<()> {
        let kind = self.take(1)?.first_mut()?;
        match (*kind, depth.checked_sub(1)) {
            (b'F', Some(depth)) => self.table(depth),
            (b'A', Some(depth)) => self.list(depth),
            (b'F' | b'A', None) => {
                // The same on the wire: a length, and so many bytes.
                *kind = b'x';
                self.counted().map(|_| ())
            }
            (b'S' | b'x', _) => self.counted().map(|_| ()),
            (b't' | b'b' | b'B', _) => self.skip(1),
            (b's' | b'u' | b'U', _) => self.skip(2),
            (b'I' | b'i' | b'f', _) => self.skip(4),
            (b'D', _) => self.skip(5),
            (b'l' | b'L' | b'd' | b'T', _) => self.skip(8),
            (b'V', _) => Some(()),
            _ => None,
        }
    }

    /// A text of up to 255 bytes.
    fn text(&mut self) -> Option<()> {
        let length = *self.take(1)?.first()?;
        let text = self.take(length.into())?;
        while let Err(error) = str::from_utf8(text) {
            let broken = text.get_mut(error.valid_up_to()..)?;
            let length = error.error_len().unwrap_or(broken.len());
            broken.get_mut(..length)?.fill(SUBSTITUTE);
        }
        Some(())
    }

    /// What stands behind a length of four bytes.
    fn counted(&mut self) -> Option<Fields<'a>> {
        let length = self.take(4)?.first_chunk().copied()?;
        self.take(u32::from_be_bytes(length) as usize).map(Fields)
    }

    fn short(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(|_| ())
    }

    fn take(&mut self, length: usize) -> Option<&'a mut [u8]> {
        self.0.split_off_mut(..length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: u16 = 0x2000;
    const MESSAGE_ID: u16 = 0x0080;

    fn text(text: &[u8]) -> Vec<u8> {
        [&[text.len() as u8], text].concat()
    }

    fn counted(kind: &[u8], bytes: &[u8]) -> Vec<u8> {
        [kind, &(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    fn header(flags: u16, properties: &[u8]) -> Vec<u8> {
        [&[0; 12], &flags.to_be_bytes()[..], properties].concat()
    }

    fn sanitized(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut sanitized = payload.to_vec();
        sanitize(kind, &mut sanitized);
        assert_eq!(sanitized.len(), payload.len());
        sanitized
    }

    #[test]
    fn a_byte_that_is_no_utf_8_becomes_a_question_mark_wherever_lapin_reads_text() {
        let deliver = |name: &[u8]| {
            [
                &[0, 60, 0, 60][..],
                &text(name),
                &[0; 9],
                &text(name),
                &text(name),
            ]
            .concat()
        };
        let returned = |name: &[u8]| {
            [
                &[0, 60, 0, 50, 1, 56][..],
                &text(name),
                &text(name),
                &text(name),
            ]
            .concat()
        };
        let got = |name: &[u8]| {
            [
                &[0, 60, 0, 71][..],
                &[0; 9],
                &text(name),
                &text(name),
                &[0; 4],
            ]
            .concat()
        };
        let broken = b"a\xffb\xe2\x82";
        for method in [&deliver as &dyn Fn(&[u8]) -> Vec<u8>, &returned, &got] {
            assert_eq!(sanitized(METHOD, &method(broken)), method(b"a?b??"));
            let sound = method("h\u{e9}".as_bytes());
            assert_eq!(sanitized(METHOD, &sound), sound);
        }
        let properties = |name: &[u8]| {
            let inner = [&text(name)[..], b"t\x01"].concat();
            let list = counted(b"A", &counted(b"F", &inner));
            let entries = [&text(name)[..], &list].concat();
            [counted(b"", &entries), text(name)].concat()
        };
        let both = HEADERS | MESSAGE_ID;
        assert_eq!(
            sanitized(HEADER, &header(both, &properties(broken))),
            header(both, &properties(b"a?b??"))
        );
    }

    #[test]
    fn the_text_of_a_header_may_be_any_bytes_and_stays_as_it_is() {
        let entries = [&text(b"a")[..], &counted(b"S", b"\xff")].concat();
        let sound = header(HEADERS, &counted(b"", &entries));
        assert_eq!(sanitized(HEADER, &sound), sound);
    }

    #[test]
    fn what_is_nested_too_deeply_for_a_stack_becomes_bytes() {
        for (kind, name) in [(b"A", &b""[..]), (b"F", b"\x01k")] {
            let mut nested = Vec::new();
            for _ in 0..10_000 {
                nested = [name, &counted(kind, &nested)].concat();
            }
            let properties = counted(b"", &[&text(b"deep")[..], &counted(kind, &nested)].concat());
            let payload = sanitized(HEADER, &header(HEADERS, &properties));
            let (rest, properties) = parse_properties(&payload[12..]).expect("lapin can read it");
            assert!(rest.is_empty() && properties.headers().is_some());
        }
    }

    #[test]
    fn a_header_that_is_too_large_for_lapin_loses_its_largest_entries() {
        let entry = |name, size| [&text(name)[..], &counted(b"S", &vec![b'x'; size])].concat();
        let table = |entries: &[Vec<u8>]| header(HEADERS, &counted(b"", &entries.concat()));
        let [a, b, c] = [entry(b"a", 10), entry(b"b", 200), entry(b"c", 100)];
        let large = table(&[a.clone(), b.clone(), c.clone()]);
        assert_eq!(shrink(&large, large.len()), Some(large.clone()));
        assert_eq!(
            shrink(&large, large.len() - 1),
            Some(table(&[a.clone(), c]))
        );
        assert_eq!(shrink(&large, 40), Some(table(&[a])));
        assert_eq!(shrink(&large, 10), None);
    }

    #[test]
    fn what_is_cut_short_or_unknown_stays_as_it_is() {
        let entries = [&text(b"a")[..], b"Q\xff"].concat();
        let odd = header(HEADERS, &counted(b"", &entries));
        for length in 0..odd.len() {
            assert_eq!(sanitized(HEADER, &odd[..length]), odd[..length]);
        }
        let start = [0, 10, 0, 10, 0, 9, 255, 255];
        assert_eq!(sanitized(METHOD, &start), start);
        assert_eq!(sanitized(3, &odd), odd);
    }
}
