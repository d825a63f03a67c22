//! Whatever a broker sends can be mended: it keeps its length, lapin gets through it with its stack,
//! and it does not matter in what pieces it arrives.

use std::io::{self, Read};

use amq_protocol::protocol::basic::parse_properties;
use tagsweep::rabbitmq::fuzzing::{HEADER, METHOD, mend, mended, shrink};

/// Class, weight, and size of the body.
const BEFORE_PROPERTIES: usize = 12;

pub fn frame(input: &[u8]) {
    is_mended(METHOD, input);
    is_mended(HEADER, input);
    let whole = mended(Pieces(input, usize::MAX));
    assert_eq!(whole.len(), input.len());
    for at_once in [1, 5, 8, 100] {
        assert!(
            mended(Pieces(input, at_once)) == whole,
            "{at_once} bytes at once"
        );
    }
}

fn is_mended(kind: u8, payload: &[u8]) {
    let mut mended = payload.to_vec();
    mend(kind, &mut mended);
    let changed = payload
        .iter()
        .zip(&mended)
        .filter(|(before, after)| before != after);
    for (before, after) in changed {
        // A byte of no text, or the type of what is nested too deeply.
        assert!(
            (*after == b'?' && !before.is_ascii()) || (*after == b'x' && b"AF".contains(before))
        );
    }
    let mut again = mended.clone();
    mend(kind, &mut again);
    assert!(again == mended, "it is mended once and for all");
    if kind == HEADER
        && let Some(properties) = mended.get(BEFORE_PROPERTIES..)
    {
        let before = parse_properties(properties).is_ok();
        let most = mended.len() - mended.len() / 4;
        if let Some(shrunk) = shrink(&mended, most) {
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
