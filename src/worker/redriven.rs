//! An event that was redriven from the dead-letter queue is done for the users that its letter names, and no others.

use std::collections::HashSet;

use super::letter::cut;
use crate::event::{Decoded, Event};
use crate::letter::Redriven;

/// Leaves of the event the users that it was redriven for. Also returns those that it does not name: it may be read
/// by other rules than before, and they must not be taken for done.
pub(super) fn narrow(decoded: Decoded, redriven: &Redriven) -> (Decoded, Vec<String>) {
    let wanted = redriven.only_users.as_deref();
    let event = match (decoded, wanted) {
        (Decoded::Event(event), _) => event,
        (Decoded::NotForUs(_) | Decoded::Unrecognised, Some(_)) => nobody(),
        // Its letter names the same users again.
        (decoded, _) => return (decoded, Vec::new()),
    };
    let (event, absent) = narrow_event(event, redriven, wanted);
    (Decoded::Event(event), absent)
}

fn narrow_event(
    mut event: Event,
    redriven: &Redriven,
    wanted: Option<&[String]>,
) -> (Event, Vec<String>) {
    // It is another event than the original, whose end is remembered: a redelivery is not done.
    let parts = redriven.history.iter().chain(wanted.into_iter().flatten());
    let parts = parts.map(String::as_str);
    event.key = event.key.map(|key| key.redriven(redriven.times, parts));
    let Some(wanted) = wanted else {
        return (event, Vec::new());
    };
    let all: HashSet<&str> = wanted.iter().map(String::as_str).collect();
    let mut named: HashSet<&str> = HashSet::new();
    let mut keep = |name: &str| {
        let known = all.get(name).copied();
        named.extend(known);
        known.is_some()
    };
    event.users.retain(|user| keep(user.as_str()));
    event.invalid.retain(|id| keep(cut(id)));
    let absent = wanted.iter().filter(|user| !named.contains(user.as_str()));
    let absent = absent.cloned().collect();
    (event, absent)
}

fn nobody() -> Event {
    Event {
        kind: String::new(),
        users: Vec::new(),
        invalid: Vec::new(),
        key: None,
        time: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKey, NotForUs, UserId};

    fn event(users: &[&str], invalid: &[&str]) -> Decoded {
        Decoded::Event(Event {
            kind: "user.deleted".to_owned(),
            users: users.iter().map(|id| UserId::parse(id).unwrap()).collect(),
            invalid: invalid.iter().map(|id| (*id).to_owned()).collect(),
            key: Some(EventKey(7)),
            time: None,
        })
    }

    fn redriven(users: &[&str]) -> Redriven {
        Redriven {
            times: 1,
            only_users: Some(users.iter().map(|id| (*id).to_owned()).collect()),
            ..Redriven::default()
        }
    }

    #[test]
    fn only_the_named_users_are_left_and_none_that_is_missing_is_forgotten() {
        let long = "\u{e9}".repeat(300);
        let (decoded, absent) = narrow(
            event(&["a", "b", "a"], &["x\n", &long]),
            &redriven(&["a", cut(&long), "gone"]),
        );
        let Decoded::Event(event) = decoded else {
            panic!("an event");
        };
        let users: Vec<_> = event.users.iter().map(UserId::as_str).collect();
        assert_eq!((users, event.invalid), (vec!["a", "a"], vec![long]));
        assert_eq!(absent, ["gone"]);
    }

    #[test]
    fn an_event_that_is_ignored_now_gives_all_its_users_back() {
        for ignored in [Decoded::NotForUs(NotForUs::Rule), Decoded::Unrecognised] {
            let (decoded, absent) = narrow(ignored, &redriven(&["a", "b"]));
            assert_eq!(decoded, Decoded::Event(nobody()));
            assert_eq!(absent, ["a", "b"]);
        }
        let whole = Redriven::default();
        let (decoded, _) = narrow(Decoded::NotForUs(NotForUs::Rule), &whole);
        assert_eq!(decoded, Decoded::NotForUs(NotForUs::Rule));
    }

    #[test]
    fn a_redriven_event_is_another_event_than_any_before_it() {
        let key = |redriven: &Redriven| match narrow(event(&["a", "b"], &[]), redriven).0 {
            Decoded::Event(event) => event.key,
            _ => None,
        };
        let first = redriven(&["a"]);
        let keys = [
            Some(EventKey(7)),
            key(&first),
            key(&redriven(&["b"])),
            key(&first.clone().again("later".to_owned())),
            key(&Redriven::default()),
        ];
        for (place, one) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(one), "{place}");
        }
        assert_eq!(key(&first), keys[1]);
    }
}
