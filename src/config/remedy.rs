//! The corrected value, written out as it would stand where the wrong one came from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use jiff::SignedDuration;
use serde_json::Value;

use super::environment;
use super::in_units;
use super::keys::{self, Key, Kind};
use super::problem::Origin;
use super::secret;

const QUOTES: [char; 8] = ['"', '\'', '`', '“', '”', '‘', '’', ' '];

/// What was probably meant by a text that its key does not take; never for a secret.
pub(super) fn meant(key: &Key, text: &str) -> Option<Value> {
    let plain = text.trim_matches([';', ',']).trim_matches(QUOTES);
    if key.secret || plain.is_empty() {
        return None;
    }
    match &key.kind {
        Kind::Integer { min, max } => {
            let digits = plain.replace(['_', ',', ' ', '\''], "");
            // A float holds every bound. What is beyond a bound becomes that bound, unless the number is a name.
            let number = digits.parse::<f64>().ok()? as u64;
            let right = number.clamp(*min, *max);
            (right == number || key.default.is_some()).then(|| right.into())
        }
        Kind::Boolean => match plain.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true.into()),
            "false" | "no" | "off" | "0" => Some(false.into()),
            _ => None,
        },
        Kind::Duration => duration(plain, key.default.as_ref()).map(Value::from),
        Kind::Address => Some(address(plain).to_string().into()),
        Kind::Choice(choices) => {
            let lower = plain.to_lowercase().replace('_', "-");
            let distance = |choice: &&String| strsim::levenshtein(choice, &lower);
            let nearest = choices.iter().min_by_key(distance)?;
            (distance(&nearest) <= 2).then(|| nearest.as_str().into())
        }
        Kind::Text => Some(plain.into()),
        Kind::Rules | Kind::Presets => None,
        Kind::List | Kind::TextOrList => {
            let items = plain.trim_matches(['[', ']']).split([',', '"', '\'']);
            let items: Value = items
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .collect();
            Some(items).filter(|items| *items != Value::Array(Vec::new()))
        }
    }
}

/// A number without a unit is taken as seconds, a large one of a key whose default is in milliseconds as those.
fn duration(text: &str, default: Option<&Value>) -> Option<String> {
    if let Ok(number) = text.parse::<u64>() {
        let short = default.and_then(Value::as_str);
        let short = short.is_some_and(|default| default.ends_with("ms"));
        let unit = if short && number >= 100 { "ms" } else { "s" };
        return Some(format!("{number}{unit}"));
    }
    let duration = text.to_lowercase().parse::<SignedDuration>().ok()?;
    let right = in_units::print(duration.try_into().ok()?);
    in_units::read(&right).is_ok().then_some(right)
}

/// The address that was probably meant: a port alone, a name, or all interfaces.
fn address(text: &str) -> SocketAddr {
    const PORT: u16 = 9464;
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let host = match host {
        "" | "*" => Ipv4Addr::UNSPECIFIED.into(),
        host => host.parse().unwrap_or(IpAddr::from(Ipv4Addr::LOCALHOST)),
    };
    SocketAddr::new(host, port.parse().unwrap_or(PORT))
}

/// What to write, as the end of a sentence; nothing where nothing can be told.
pub(super) fn advice(name: &str, origin: &Origin, right: Option<Value>) -> String {
    let right = right.map(|right| written(name, origin, &right));
    let right = right.filter(|right| !secret::may_hold_one(right));
    right.map_or_else(String::new, |right| format!("; write {right}"))
}

/// `max_ids = 100` in a file, `TAGSWEEP__WINDOW__MAX_IDS=100` in the environment, `--set window.max_ids=100`.
pub(super) fn written(name: &str, origin: &Origin, value: &Value) -> String {
    let key = keys::last_part(name);
    match origin {
        Origin::Default | Origin::File(_) => format!("{key} = {}", in_toml(value)),
        Origin::Variable(_) => format!("{}={}", environment::variable(name), plain(value)),
        Origin::Argument => format!("--set {name}={}", plain(value)),
    }
}

/// A value without nulls in TOML, tables in one line each.
pub(super) fn in_toml(value: &Value) -> String {
    match value {
        Value::Array(list) if list.iter().any(Value::is_object) => {
            let items = list.iter().map(|item| format!("  {},\n", in_toml(item)));
            format!("[\n{}]", items.collect::<String>())
        }
        Value::Array(list) => {
            let items: Vec<_> = list.iter().map(in_toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields: Vec<_> = fields
                .map(|(name, value)| format!("{name} = {}", in_toml(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        value => value.to_string(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(","),
        value => value.to_string(),
    }
}
