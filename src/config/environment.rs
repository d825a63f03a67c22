//! Settings from the environment: which variables are ours, and what their texts mean.

use serde_json::Value;

use super::keys::{Key, Keys, Kind};
use super::problem::{Origin, Problem, Problems};
use super::remedy::written;

const PREFIX: &str = "TAGSWEEP_";
const SEPARATOR: &str = "__";

/// What a variable is, by its name.
pub(super) enum Meaning {
    /// `TAGSWEEP__SECTION__KEY`, as a dotted key that may not exist.
    Key(String),
    /// Not ours.
    Foreign,
    /// It looks like ours and is none. The text says so; the key that was probably meant.
    Unknown {
        nearest: Option<String>,
        text: String,
    },
}

/// The variables of this process that begin like ours. The others may hold secrets of other programs, and
/// need not be UTF-8.
pub(super) fn of_process() -> Result<Vec<(String, String)>, Problems> {
    let mut environment = Vec::new();
    let mut problems = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else {
            continue;
        };
        if !name.to_uppercase().starts_with(PREFIX) {
            continue;
        }
        match value.into_string() {
            Ok(value) => environment.push((name, value)),
            Err(_) => problems.push(Problem::of_source(
                name,
                "the variable is not UTF-8; write the value in a file",
            )),
        }
    }
    // In a stable order, as problems are told in it.
    environment.sort();
    if problems.is_empty() {
        Ok(environment)
    } else {
        Err(Problems(problems))
    }
}

/// The environment variable of a key: `im.admin` is `TAGSWEEP__IM__ADMIN`.
pub(super) fn variable(key: &str) -> String {
    let key = key.to_uppercase().replace('.', SEPARATOR);
    format!("{PREFIX}_{key}")
}

pub(super) fn meaning(name: &str, known: &Keys) -> Meaning {
    let upper = name.to_uppercase();
    let Some(rest) = upper.strip_prefix(PREFIX) else {
        return Meaning::Foreign;
    };
    match rest.strip_prefix('_') {
        Some(key) => Meaning::Key(key.to_lowercase().replace(SEPARATOR, ".")),
        None if is_of_kubernetes(rest) => Meaning::Foreign,
        None => {
            let nearest = nearest(&upper, known);
            let text = match &nearest {
                Some(key) => format!("no such variable; did you mean {}?", variable(key)),
                None => format!(
                    "no such variable; settings are {}, and no other variable may begin with {PREFIX}",
                    variable("section.key")
                ),
            };
            Meaning::Unknown { nearest, text }
        }
    }
}

/// Kubernetes tells of a Service named tagsweep by TAGSWEEP_SERVICE_HOST, TAGSWEEP_PORT_9464_TCP_ADDR and others.
fn is_of_kubernetes(rest: &str) -> bool {
    rest.ends_with("SERVICE_HOST") || rest.split('_').any(|word| word == "PORT")
}

fn nearest(name: &str, known: &Keys) -> Option<String> {
    let plain = |name: &str| name.replace(SEPARATOR, "_");
    let wrong = plain(name);
    let distance = |key: &String| strsim::levenshtein(&wrong, &plain(&variable(key)));
    let nearest = known.keys().min_by_key(|key| distance(key))?;
    (distance(nearest) <= variable(nearest).len() / 6).then(|| nearest.clone())
}

/// A text of the environment or of `--set` as what its key wants, as far as it can be read as that.
pub(super) fn value(name: &str, key: &Key, origin: &Origin, text: String) -> Result<Value, String> {
    if !key.secret
        && let Some(right) = without_notation(&text)
    {
        return Err(format!(
            "must be without quotes, semicolons and JSON; write {}",
            written(name, origin, &right.into())
        ));
    }
    let items = |items: Vec<&str>| {
        let items = items.into_iter().map(str::trim);
        items.filter(|item| !item.is_empty()).collect()
    };
    if key.kind == Kind::Rules && !text.is_empty() {
        return Err(
            "takes rules, which only a file can hold; write them as [[events.mapping]]".into(),
        );
    }
    Ok(match key.kind {
        Kind::Integer { .. } => text
            .trim()
            .parse::<u64>()
            .map_or(Value::String(text), Value::from),
        Kind::Boolean => text
            .trim()
            .parse::<bool>()
            .map_or(Value::String(text), Value::from),
        Kind::List | Kind::Presets => items(text.split(',').collect()),
        Kind::TextOrList => items(urls(&text)),
        Kind::Rules => Value::Array(Vec::new()),
        Kind::Duration | Kind::Address | Kind::Choice(_) | Kind::Text => Value::String(text),
    })
}

/// A comma separates URLs only where another one begins behind it: passwords have commas too.
fn urls(text: &str) -> Vec<&str> {
    let is_url = |text: &str| {
        let text = text.trim_start();
        text.starts_with("amqp://") || text.starts_with("amqps://")
    };
    let commas = text.match_indices(',');
    let between = commas.filter(|(at, _)| text.get(at + 1..).is_some_and(is_url));
    let mut urls = Vec::new();
    let mut rest = 0;
    for (at, _) in between {
        urls.extend(text.get(rest..at));
        rest = at + 1;
    }
    urls.extend(text.get(rest..));
    urls
}

/// What was meant by a value in the notation of a shell, of JSON or of TOML; none where it is in none of them.
fn without_notation(text: &str) -> Option<String> {
    let trimmed = text.trim();
    // A URL may hold any of this. An IPv6 address with a port has brackets, but not around all of it.
    if trimmed.contains("://") {
        return None;
    }
    let within = |open, close| trimmed.strip_prefix(open)?.strip_suffix(close);
    let inner = within('[', ']').or_else(|| within('{', '}'));
    if inner.is_none() && !trimmed.contains(['"', '\'', ';']) {
        return None;
    }
    let items = inner.unwrap_or(trimmed).split([',', ';']);
    let items: Vec<String> = items
        .map(|item| item.replace(['"', '\''], "").trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect();
    Some(items.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn a_comma_separates_urls_only_before_another_url() {
        for (text, expected) in [
            ("amqp://a", &["amqp://a"][..]),
            (
                "amqp://u:p,q@a, amqps://u:p,amqp:@b",
                &["amqp://u:p,q@a", " amqps://u:p,amqp:@b"],
            ),
            ("amqp://a,amqp://b", &["amqp://a", "amqp://b"]),
        ] {
            assert_eq!(urls(text), expected, "{text}");
        }
    }

    #[test]
    fn notations_that_a_variable_does_not_have_are_found_with_what_was_meant() {
        for (text, expected) in [
            (r#"["a","b"]"#, Some("a,b")),
            ("['a', 'b']", Some("a,b")),
            ("a;b", Some("a,b")),
            ("\"a\"", Some("a")),
            ("{a}", Some("a")),
            ("a,b", None),
            ("[::1]:9464", None),
            ("http://h/?a=b;c='d'", None),
        ] {
            assert_eq!(without_notation(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_variable_that_only_looks_like_ours_is_unknown_unless_kubernetes_sets_it() {
        let known = keys::known();
        for (name, expected) in [
            ("TAGSWEEP_IM_ADMIN", "did you mean TAGSWEEP__IM__ADMIN?"),
            (
                "TAGSWEEP_RABBITMQ__URL",
                "did you mean TAGSWEEP__RABBITMQ__URL?",
            ),
            (
                "tagsweep_window_max_id",
                "did you mean TAGSWEEP__WINDOW__MAX_IDS?",
            ),
            ("TAGSWEEP_COLOUR", "settings are TAGSWEEP__SECTION__KEY"),
        ] {
            let Meaning::Unknown { text, .. } = meaning(name, &known) else {
                panic!("{name}");
            };
            assert!(text.contains(expected), "{name}: {text}");
        }
        for name in [
            "TAGSWEEP_SERVICE_HOST",
            "TAGSWEEP_SERVICE_PORT",
            "TAGSWEEP_SERVICE_PORT_METRICS",
            "TAGSWEEP_PORT",
            "TAGSWEEP_PORT_9464_TCP_ADDR",
            "TAGSWEEP_METRICS_SERVICE_HOST",
            "TAGSWEEPER",
            "PATH",
        ] {
            assert!(matches!(meaning(name, &known), Meaning::Foreign), "{name}");
        }
    }
}
