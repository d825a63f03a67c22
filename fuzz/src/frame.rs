//! Whatever a broker sends can be sanitized: it keeps its length, lapin gets through it with its stack,
//! and it does not matter in what pieces it arrives.

use std::io::{self, Read};

use amq_protocol::protocol::basic::parse_properties;
use tagsweep::rabbitmq::fuzzing::{HEADER, METHOD, sanitize, sanitized, shrink};

/// Class, weight, and size of the body.
const BEFORE_PROPERTIES: usize = 12;

pub fn frame(input: &[u8]) {
    is_sanitized(METHOD, input);
    is_sanitized(HEADER, input);
    let whole = sanitized(Pieces(input, usize::MAX));
    assert_eq!(whole.len(), input.len());
    for at_once in [1, 5, 8, 100] {
        assert!(
            sanitized(Pieces(input, at_once)) == whole,
            "{at_once} bytes at once"
        );
    }
}

fn is_sanitized(kind: u8, payload: &[u8]) {
    let mut sanitized = payload.to_vec();
    sanitize(kind, &mut sanitized);
    let changed = payload
        .iter()
        .zip(&sanitized)
        .filter(|(before, after)| before != after);
    for (before, after) in changed {
        // A byte of no text, or the type of what is nested too deeply.
        assert!(
            (*after == b'?' && !before.is_ascii()) || (*after == b'x' && b"AF".contains(before))
        );
    }
    let mut again = sanitized.clone();
    sanitize(kind, &mut again);
    assert!(again == sanitized, "it is sanitized once and for all");
    if kind == HEADER
        && let Some(properties) = sanitized.get(BEFORE_PROPERTIES..)
    {
        let before = parse_properties(properties).is_ok();
        let most = sanitized.len() - sanitized.len() / 4;
        if let Some(shrunk) = shrink(&sanitized, most) {
            assert!(before && shrunk.len() <= most, "it is still too large");
            assert!(parse_properties(&shrunk[BEFORE_PROPERTIES..]).is_ok());
        }
    }
}

/// Gives so many bytes at once.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(target.len());
        self.0.read(&mut target[..count])
    }
}
