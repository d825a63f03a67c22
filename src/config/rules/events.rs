//! Rules for the section `events`.

use super::{Finding, finding};
use crate::config::{EventFormat, Events};

pub(super) fn check(events: &Events) -> Vec<Finding> {
    let mut found = Vec::from_iter(event_types_are_given(events));
    found.extend(format_none_has_rules(events));
    for error in events.rules().err().into_iter().flatten() {
        let key = match error.key {
            "mapping" => "events.mapping",
            _ => "events.presets",
        };
        found.push(Finding {
            item: error.item,
            ..finding([key], error.text)
        });
    }
    found
}

fn event_types_are_given(events: &Events) -> Option<Finding> {
    let useless = events.types.is_empty() || events.types.iter().any(String::is_empty);
    useless.then(|| {
        finding(
            ["events.types"],
            "must name at least one event type, and no empty one",
        )
        .or_default()
    })
}

fn format_none_has_rules(events: &Events) -> Option<Finding> {
    let is_deaf = events.format == EventFormat::None
        && events.presets.is_empty()
        && events.mapping.is_empty();
    is_deaf.then(|| {
        finding(
            ["events.format", "events.mapping", "events.presets"],
            "leaves everything to rules, and there are none; add [[events.mapping]] or events.presets",
        )
        .or_default()
    })
}
