//! How a duration is written in the configuration: with its unit.

use std::borrow::Cow;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serializer, de};

/// The units that have one meaning only. jiff knows more (`1.5 hours`, `PT1H`, `10s ago`), but one
/// way to write a duration is enough, and a schema can describe it.
const UNITS: [&str; 4] = ["h", "m", "s", "ms"];

/// What the schema says; [`parse`] also wants the units in falling order.
pub(super) const PATTERN: &str = "^([0-9]+(ms|s|m|h))+$";

/// 100 years. The clock of the process can hold no moment that lies much further ahead, and adding to
/// it would end the worker at its first delivery.
const LONGEST: Duration = Duration::from_secs(876_000 * 3600);

/// The serde form of a [`Duration`]: `#[serde(with = "InUnits")]`.
pub(super) struct InUnits;

impl InUnits {
    pub(super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&print(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        read(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Reads a duration, or says what is wrong with it.
pub(super) fn read(text: &str) -> Result<Duration, String> {
    match parse(text) {
        Some(duration) if duration <= LONGEST => Ok(duration),
        Some(_) => Err(format!("must not be above {} (100 years)", print(LONGEST))),
        None if text.trim().parse::<f64>().is_ok() => {
            Err("is a duration and needs a unit (ms, s, m or h)".into())
        }
        None => Err("is not a duration with units (ms, s, m, h), such as 1m30s".into()),
    }
}

impl JsonSchema for InUnits {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN })
    }
}

/// Prints a duration in the form that [`parse`] reads: `1m30s`.
pub(super) fn print(duration: Duration) -> String {
    SpanPrinter::new()
        .designator(Designator::Compact)
        .spacing(Spacing::None)
        .unsigned_duration_to_string(&duration)
}

fn parse(text: &str) -> Option<Duration> {
    let plain = text
        .split(|character: char| character.is_ascii_digit())
        .all(|unit| unit.is_empty() || UNITS.contains(&unit));
    if !plain {
        return None;
    }
    text.parse::<SignedDuration>().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_in_the_form_in_which_they_are_read() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("24h", 86_400_000),
            ("1m30s", 90_000),
            ("1h2m3s4ms", 3_723_004),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse(text), Some(duration), "{text}");
            assert_eq!(print(duration), text);
        }
        assert_eq!(parse("90s"), parse("1m30s"));
    }

    #[test]
    fn what_is_not_a_number_with_a_plain_unit_is_no_duration() {
        for text in [
            "",
            "10",
            "s",
            "1.5s",
            "-1s",
            "+1s",
            "10 s",
            "1d",
            "1M",
            "10us",
            "PT10S",
            "10s ago",
            "1minute",
            "30s1m",
            "1s1s",
            "99999999999999999999s",
            "9223372036854775807h",
            "ten seconds",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
