//! User IDs and the numbers by which plans name them.

use std::ops::Range;
use std::sync::LazyLock;

use crate::event::UserId;

/// The users of the app. Few enough that events meet the same ones again.
pub const USERS: Range<u32> = 0..3_000;
/// Bad users that stand at the head of a queue.
pub const AHEAD: Range<u32> = 3_000..6_000;
/// Users that only the good events at the end of a run name.
pub const AFTERWARDS: Range<u32> = 6_000..7_000;
/// Users that only a very long event names.
pub const LONG: Range<u32> = 7_000..17_000;
/// The control user.
pub const CONTROL: u32 = u32::MAX;

static NAMES: LazyLock<Vec<UserId>> = LazyLock::new(|| {
    (0..LONG.end)
        .map(|number| name(&format!("u{number}")))
        .collect()
});
static CONTROL_NAME: LazyLock<UserId> = LazyLock::new(|| name("nobody"));

fn name(text: &str) -> UserId {
    UserId::parse(text).expect("it keeps to the rule")
}

pub fn user(number: u32) -> UserId {
    match number {
        CONTROL => *CONTROL_NAME,
        _ => NAMES[number as usize],
    }
}

pub fn number(user: &UserId) -> u32 {
    user.as_str()[1..].parse().unwrap_or(CONTROL)
}
