//! Which events name the held users, and the spans that those events came from. Kept only while traces are on;
//! separate from the engine's state, which traces must not affect.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::engine::{Delivery, Settlement};
use crate::event::UserId;
use crate::traces::Origin;

#[derive(Default)]
pub(super) struct Origins {
    /// Those that are not settled.
    events: BTreeMap<Delivery, Event>,
    /// For each user the events that name it.
    claims: HashMap<UserId, Vec<Claim>>,
}

struct Event {
    origin: Option<Origin>,
    users: Vec<UserId>,
}

struct Claim {
    delivery: Delivery,
    /// The first window that was called for this event's user.
    first: Option<Origin>,
}

impl Origins {
    pub(super) fn insert(&mut self, delivery: Delivery, origin: Option<Origin>, users: &[UserId]) {
        for user in users {
            let claims = self.claims.entry(*user).or_default();
            // An event may name a user twice.
            if claims.last().is_none_or(|last| last.delivery != delivery) {
                let first = None;
                claims.push(Claim { delivery, first });
            }
        }
        let users = users.to_vec();
        self.events.insert(delivery, Event { origin, users });
    }

    /// The window in which one of these users was called first.
    pub(super) fn first_window(&self, users: &[UserId]) -> Option<Origin> {
        let claims = users.iter().filter_map(|user| self.claims.get(user));
        claims.flatten().find_map(|claim| claim.first.clone())
    }

    /// The events that `window` is called for: `again` for those whose users were called before, else for
    /// those that came since.
    pub(super) fn called(
        &mut self,
        users: &[UserId],
        again: bool,
        window: &Origin,
    ) -> BTreeSet<Delivery> {
        let mut events = BTreeSet::new();
        for user in users {
            for claim in self.claims.get_mut(user).into_iter().flatten() {
                if claim.first.is_some() == again {
                    claim.first.get_or_insert_with(|| window.clone());
                    events.insert(claim.delivery);
                }
            }
        }
        events
    }

    /// Where these events came from, as far as they say.
    pub(super) fn of(&self, events: &BTreeSet<Delivery>) -> impl Iterator<Item = &Origin> {
        let events = events.iter().filter_map(|event| self.events.get(event));
        events.filter_map(|event| event.origin.as_ref())
    }

    pub(super) fn settled(&mut self, settlement: Settlement) {
        match settlement {
            Settlement::UpTo(last) => {
                while let Some(first) = self.events.first_entry() {
                    if *first.key() > last {
                        break;
                    }
                    let (delivery, event) = first.remove_entry();
                    self.forget(delivery, &event);
                }
            }
            Settlement::One(delivery) | Settlement::HandBack(delivery) => {
                if let Some(event) = self.events.remove(&delivery) {
                    self.forget(delivery, &event);
                }
            }
        }
    }

    /// Nothing of a lost session is in hand any more.
    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.claims.clear();
    }

    fn forget(&mut self, delivery: Delivery, event: &Event) {
        for user in &event.users {
            if let Some(claims) = self.claims.get_mut(user) {
                claims.retain(|claim| claim.delivery != delivery);
                if claims.is_empty() {
                    self.claims.remove(user);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: u32 = 1;

    fn delivery(tag: u64) -> Delivery {
        Delivery {
            session: SESSION,
            tag,
        }
    }

    fn users(names: &str) -> Vec<UserId> {
        let names = names.split_whitespace();
        names.map(|name| UserId::parse(name).unwrap()).collect()
    }

    fn origin(number: u64) -> Origin {
        let text = format!("00-{number:032x}-{number:016x}-01");
        Origin::read(|name| (name == "traceparent").then_some(text.as_str())).unwrap()
    }

    fn with(events: &[(u64, &str)]) -> Origins {
        let mut origins = Origins::default();
        for (tag, names) in events {
            origins.insert(delivery(*tag), Some(origin(*tag)), &users(names));
        }
        origins
    }

    /// The tags of the events that a window for these users is called for.
    fn called(origins: &mut Origins, names: &str, again: bool, window: u64) -> Vec<u64> {
        let events = origins.called(&users(names), again, &origin(window));
        let from: Vec<Origin> = origins.of(&events).cloned().collect();
        let tags: Vec<u64> = events.into_iter().map(|event| event.tag).collect();
        assert_eq!(from, tags.iter().copied().map(origin).collect::<Vec<_>>());
        tags
    }

    #[test]
    fn a_window_is_for_all_events_of_its_users_and_no_others() {
        let mut origins = with(&[(1, "a b a"), (2, "b"), (3, "c"), (4, "d")]);
        assert_eq!(called(&mut origins, "a b d", false, 9), [1, 2, 4]);
    }

    #[test]
    fn an_event_that_comes_while_its_user_is_called_belongs_to_the_next_window() {
        let mut origins = with(&[(1, "a")]);
        assert_eq!(called(&mut origins, "a", false, 8), [1]);
        origins.insert(delivery(2), Some(origin(2)), &users("a"));
        assert_eq!(called(&mut origins, "a", true, 9), [1]);
        assert_eq!(called(&mut origins, "a", false, 9), [2]);
    }

    #[test]
    fn windows_that_follow_know_the_first_one() {
        let mut origins = with(&[(1, "a b"), (2, "c")]);
        assert_eq!(origins.first_window(&users("a b c")), None);
        called(&mut origins, "a b", false, 7);
        called(&mut origins, "b", true, 8);
        assert_eq!(origins.first_window(&users("b")), Some(origin(7)));
        assert_eq!(origins.first_window(&users("c")), None);
    }

    #[test]
    fn what_is_settled_is_forgotten_and_nothing_else() {
        let mut origins = with(&[(1, "a"), (2, "a b"), (3, "b c"), (4, "a"), (5, "c")]);
        origins.settled(Settlement::One(delivery(4)));
        origins.settled(Settlement::UpTo(delivery(2)));
        origins.settled(Settlement::HandBack(delivery(5)));
        origins.settled(Settlement::HandBack(delivery(5)));
        assert_eq!(origins.claims.len(), 2);
        assert_eq!(called(&mut origins, "a b c", false, 9), [3]);
        origins.settled(Settlement::UpTo(delivery(3)));
        assert!(origins.events.is_empty() && origins.claims.is_empty());
    }
}
