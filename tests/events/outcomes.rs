//! Each message comes to what the table says, and none clears anybody else.

use tagsweep::config;
use tagsweep::event::{Decoded, NotForUs};

use crate::fixtures::{self, Default, Fixture, read, rules, users};

#[test]
fn the_right_users_come_out_under_the_configuration_that_the_producer_needs() {
    for fixture in fixtures::all() {
        let Fixture { name, expected, .. } = &fixture;
        let read = fixture.read();
        assert_eq!(users(&read.decoded), expected.users, "{name}");
        if let Decoded::Event(event) = &read.decoded {
            assert_eq!(event.invalid, [] as [&str; 0], "{name}");
        }
        if fixture.is_sibling() {
            let is_left_alone =
                matches!(read.decoded, Decoded::NotForUs(_) | Decoded::Unrecognised);
            assert!(is_left_alone, "{name}: {:?}", read.decoded);
        }
    }
}

#[test]
fn without_rules_nobody_is_cleared_whom_the_message_does_not_say_to_be_deleted() {
    let defaults = rules("");
    for fixture in fixtures::all() {
        let Fixture { name, expected, .. } = &fixture;
        let decoded = read(&fixture.written(), &defaults).decoded;
        let default = match &decoded {
            Decoded::Event(event) if event.users.is_empty() => Default::Other("invalid".into()),
            Decoded::Event(_) => {
                let users = users(&decoded).into_iter().map(str::to_owned);
                Default::Users(users.collect())
            }
            Decoded::NotForUs(NotForUs::Tombstone) => Default::Other("tombstone".into()),
            Decoded::NotForUs(_) => Default::Other("foreign".into()),
            Decoded::Malformed(_) => Default::Other("malformed".into()),
            Decoded::Unrecognised => Default::Other("unrecognised".into()),
        };
        assert_eq!(default, expected.default, "{name}");
        for user in users(&decoded) {
            assert!(expected.users.iter().any(|right| right == user), "{name}");
        }
    }
}

/// A queue may have several producers, and presets in any number.
#[test]
fn all_presets_together_take_nobody_else_and_lose_nobody() {
    let fixtures = fixtures::all();
    let sections = fixtures
        .iter()
        .filter_map(|fixture| fixture.events.as_deref());
    let mut uses: Vec<&str> = sections
        .filter_map(|section| {
            section
                .trim()
                .strip_prefix("presets = [")?
                .strip_suffix(']')
        })
        .collect();
    uses.sort_unstable();
    uses.dedup();
    // Two of the fixtures name the same message type or job, and mean two.
    let is_second = |uses: &str| uses.contains("wolverine") || uses.contains("user.id");
    uses.retain(|preset| !is_second(preset));
    let forward = rules(&format!("presets = [{}]", uses.join(", ")));
    uses.reverse();
    let backward = rules(&format!("presets = [{}]", uses.join(", ")));
    for fixture in &fixtures {
        let has_presets = |events: &String| events.contains("presets") && !is_second(events);
        if !fixture.events.as_ref().is_none_or(has_presets) {
            continue;
        }
        for rules in [&forward, &backward] {
            let read = read(&fixture.written(), rules);
            assert_eq!(
                users(&read.decoded),
                fixture.expected.users,
                "{}",
                fixture.name
            );
        }
    }
}

#[test]
fn every_preset_has_a_message_that_it_reads() {
    let fixtures = fixtures::all();
    for preset in config::presets() {
        let named = format!("\"{}\"", preset.name);
        let is_read = |fixture: &Fixture| {
            let events = fixture.events.as_deref().unwrap_or_default();
            events.contains(&named) && !fixture.expected.users.is_empty()
        };
        assert!(fixtures.iter().any(is_read), "{}", preset.name);
    }
}
