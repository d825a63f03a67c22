//! The error codes of the simulated API, with their documented meaning. This list is separate from
//! the engine's and shorter: a wrong row there must not make the oracle wrong.

use fastrand::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Transient,
    Throttle,
    Auth,
    Config,
    Reject,
    Oversize,
    /// The account does not exist.
    Missing,
    /// Either the UserSig or a user ID is wrong.
    Ambiguous,
    /// In no published table.
    Unknown,
}

const CODES: [(i64, Meaning); 24] = [
    (91000, Meaning::Transient),
    (70500, Meaning::Transient),
    (60008, Meaning::Transient),
    (60007, Meaning::Throttle),
    (60011, Meaning::Throttle),
    (70001, Meaning::Auth),
    (70052, Meaning::Auth),
    (90009, Meaning::Config),
    (90045, Meaning::Config),
    (70009, Meaning::Config),
    (70051, Meaning::Config),
    (60006, Meaning::Config),
    (90001, Meaning::Reject),
    (60015, Meaning::Reject),
    (70402, Meaning::Reject),
    (90010, Meaning::Reject),
    (90018, Meaning::Oversize),
    (70107, Meaning::Missing),
    (90048, Meaning::Missing),
    (60004, Meaning::Ambiguous),
    (60005, Meaning::Ambiguous),
    (12345, Meaning::Unknown),
    (-7, Meaning::Unknown),
    (-1, Meaning::Unknown),
];

/// The account of a user that the API does not know.
pub const NO_SUCH_ACCOUNT: i64 = 70107;

pub fn meaning(code: i64) -> Meaning {
    let known = CODES.iter().find(|(known, _)| *known == code);
    known.map_or(Meaning::Unknown, |(_, meaning)| *meaning)
}

pub fn is_missing(code: i64) -> bool {
    meaning(code) == Meaning::Missing
}

/// A code of any meaning that `wanted` takes.
pub fn draw(rng: &mut Rng, wanted: impl Fn(Meaning) -> bool) -> i64 {
    loop {
        let (code, meaning) = CODES[rng.usize(..CODES.len())];
        if wanted(meaning) {
            return code;
        }
    }
}
