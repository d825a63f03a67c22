//! Messages that are almost those of a producer: whatever is changed in them, nobody is cleared who does not stand where
//! the producer names the deleted, and nobody at all once the message does not say that somebody was deleted.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tagsweep::event::{Rules, Written};

use crate::change::{self, Change, OTHER, STRANGER};
use crate::fixtures::{self, Fixture, read, users};

/// Where the contract has users without any rule.
const BY_CONTRACT: [&str; 10] = [
    "/user_id",
    "/userId",
    "/user_ids",
    "/userIds",
    "/data/user_id",
    "/data/userId",
    "/data/user_ids",
    "/data/userIds",
    "/user_ids/*",
    "/subject",
];

/// A message with a JSON body, and the rules that it is read with.
pub struct Subject {
    pub fixture: Fixture,
    pub body: Value,
    pub rules: Rules,
}

impl Subject {
    pub fn new(fixture: Fixture, rules: Rules) -> Option<Subject> {
        let body = serde_json::from_slice(fixture.written().body).ok()?;
        Some(Subject {
            fixture,
            body,
            rules,
        })
    }

    fn head(&self) -> &str {
        let own = self.fixture.written().body.len();
        let head = &self.fixture.message[..self.fixture.message.len() - own];
        str::from_utf8(head).expect("a text")
    }

    fn cleared(&self, head: &str, body: &Value) -> Vec<String> {
        let message = format!("{head}{body}");
        let written = Written::parse(message.as_bytes()).expect("a message");
        let decoded = read(&written, &self.rules).decoded;
        users(&decoded).into_iter().map(str::to_owned).collect()
    }

    /// Whether a user may be cleared who is named in this body.
    fn may_be_cleared(&self, user: &str, body: &Value) -> bool {
        let expected = &self.fixture.expected;
        if expected.never.iter().any(|never| never == user) {
            return false;
        }
        if expected.users.iter().any(|right| right == user) {
            return true;
        }
        let is_placed = [STRANGER, OTHER].contains(&user) && !self.fixture.is_sibling();
        let places = change::places_of(user, body);
        is_placed && places.iter().any(|place| self.names_users(place))
    }

    fn names_users(&self, place: &str) -> bool {
        let own = self.fixture.expected.names.iter().map(String::as_str);
        let mut all = own.chain(BY_CONTRACT);
        all.any(|pattern| {
            let (pattern, place) = (pattern.split('/'), place.split('/'));
            pattern.clone().count() == place.clone().count()
                && pattern
                    .zip(place)
                    .all(|(part, here)| part == "*" || part == here)
        })
    }

    /// Who is cleared although a place that decides was changed, with how.
    pub fn cleared_in_spite(&self) -> Option<String> {
        let values = [json!(OTHER), json!(7), Value::Null];
        for place in &self.fixture.expected.decides {
            let mut changed = Vec::new();
            if place.starts_with('/') {
                // Where nothing stands, nothing is as good as null.
                let is_set = self
                    .body
                    .pointer(place)
                    .is_some_and(|value| !value.is_null());
                let withs = values.iter().filter(|value| is_set || !value.is_null());
                let withs = withs.map(Some).chain(is_set.then_some(None));
                let bodies = withs.filter_map(|with| change::replaced(&self.body, place, with));
                changed.extend(bodies.map(|body| (self.head().to_owned(), body)));
            } else {
                let lines = self.head().split_inclusive('\n');
                let is_it = |line: &str| line.starts_with(&format!("{place}:"));
                let without: String = lines.clone().filter(|line| !is_it(line)).collect();
                let other = format!("{place}: {OTHER}\n{without}");
                assert!(lines.clone().any(is_it), "{}: {place}", self.fixture.name);
                changed.extend([without, other].map(|head| (head, self.body.clone())));
            }
            assert!(!changed.is_empty(), "{}: {place}", self.fixture.name);
            for (head, body) in changed {
                let cleared: BTreeSet<_> = self.cleared(&head, &body).into_iter().collect();
                let expected: BTreeSet<_> = self.fixture.expected.users.iter().cloned().collect();
                if !cleared.is_subset(&expected) || cleared == expected {
                    return Some(format!("{place} in {head}{body}"));
                }
            }
        }
        None
    }
}

/// Somebody who is wrongly cleared after `cases` random changes of messages, with how.
pub fn wrongly_cleared(subjects: &[Subject], cases: u32) -> Option<String> {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let changes = proptest::collection::vec((0_usize..40, change::any()), 1..4);
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&(0..subjects.len(), changes), |(number, changes)| {
        let subject = &subjects[number];
        let mut body = subject.body.clone();
        for (at, change) in &changes {
            Change::apply(change, &mut body, *at);
        }
        for user in subject.cleared(subject.head(), &body) {
            let is_right = subject.may_be_cleared(&user, &body);
            prop_assert!(is_right, "{}: {user} in {body}", subject.fixture.name);
        }
        Ok(())
    });
    outcome.err().map(|error| error.to_string())
}

fn subjects() -> Vec<Subject> {
    let fixtures = fixtures::all().into_iter();
    let subjects = fixtures.filter_map(|fixture| {
        let rules = fixture.rules();
        Subject::new(fixture, rules)
    });
    subjects.collect()
}

#[test]
fn a_changed_message_clears_only_whom_it_names_where_the_producer_names_the_deleted() {
    assert_eq!(wrongly_cleared(&subjects(), 10_000), None);
}

#[test]
fn a_message_that_does_not_say_that_somebody_was_deleted_clears_nobody() {
    for subject in subjects() {
        assert_eq!(subject.cleared_in_spite(), None, "{}", subject.fixture.name);
    }
}

#[test]
fn of_each_message_under_a_preset_it_is_known_what_decides_and_whom_it_names() {
    for Subject { fixture, .. } in subjects() {
        if fixture.events.is_some() && !fixture.expected.users.is_empty() {
            assert!(!fixture.expected.decides.is_empty(), "{}", fixture.name);
        }
        for user in &fixture.expected.never {
            assert!(!fixture.expected.users.contains(user), "{}", fixture.name);
        }
    }
}
