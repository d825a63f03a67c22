//! The identity of an event.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use siphasher::sip128::{Hasher128, SipHasher13};

use super::ids::Ids;

static KEYED: LazyLock<SipHasher13> = LazyLock::new(|| {
    let [first, second] = [(); 2].map(|()| RandomState::new().hash_one(()));
    SipHasher13::new_with_keys(first, second)
});

/// Names one event, so that its redelivery can be told from a new event of the same user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventKey(pub u128);

impl EventKey {
    /// A hash of the event's ID and of everything else that it says. An ID alone is not trusted:
    /// where two publishers count their events from 1, or one repeats the user's ID as the event's,
    /// taking a new event for a redelivered one would leave tags in place.
    ///
    /// It is SipHash under keys that are drawn anew for each process: nobody outside can make two events
    /// that share a key, and it costs a tenth of SHA-256 where the processor has no instructions for that.
    pub(super) fn of(
        source: &str,
        id: &str,
        kind: &str,
        time: Option<SystemTime>,
        ids: &Ids,
    ) -> EventKey {
        let mut hasher = *KEYED;
        // Each part goes in behind its length, so that no two lists of parts read the same.
        let mut add = |part: &[u8]| {
            hasher.write_usize(part.len());
            hasher.write(part);
        };
        add(source.as_bytes());
        add(id.as_bytes());
        add(kind.as_bytes());
        match time.map(|time| time.duration_since(UNIX_EPOCH)) {
            Some(Ok(after)) => add(&after.as_nanos().to_le_bytes()),
            // Before 1970 nothing happened to users of chat: no need to tell such times apart.
            Some(Err(_)) | None => add(&[]),
        }
        add(&(ids.users.len() as u64).to_le_bytes());
        for user in &ids.users {
            add(user.as_str().as_bytes());
        }
        for text in &ids.invalid {
            add(text.as_bytes());
        }
        EventKey(hasher.finish128().as_u128())
    }

    /// The key of this event once it was redriven so many times, with what tells one such event from another.
    pub fn redriven<'a>(self, times: u32, parts: impl Iterator<Item = &'a str>) -> EventKey {
        let mut hasher = *KEYED;
        hasher.write_u128(self.0);
        hasher.write_u32(times);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part.as_bytes());
        }
        EventKey(hasher.finish128().as_u128())
    }
}
