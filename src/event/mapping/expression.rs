//! Expressions of RFC 9535, as rules use them: a filter on the document, and queries in it.

use serde_json::Value;
use serde_json_path::JsonPath;

use super::problem::Fault;
use super::scan::{Scan, scan};

/// Bytes of one expression.
const LONGEST: usize = 4096;
/// Characters of a value that are shown.
const SHOWN: usize = 80;

/// A filter: `@.body.type == 'user.deleted'`.
#[derive(Debug)]
pub(super) struct Condition {
    path: JsonPath,
    parts: Vec<Part>,
}

/// What must hold together with the other parts, to tell why a condition does not hold.
#[derive(Debug)]
struct Part {
    text: String,
    path: JsonPath,
    /// What the part looks at, if that is one place.
    operand: Option<Query>,
}

impl Condition {
    pub(super) fn parse(text: &str) -> Result<Condition, Fault> {
        if text.trim().is_empty() {
            let what =
                "is missing; write a filter, such as when = \"@.body.type == 'user.deleted'\"";
            return Err(Fault::new(text, what));
        }
        if text.trim_start().starts_with("$[?") || text.trim_start().starts_with('?') {
            return Err(Fault::new(
                text,
                "write the filter alone, without $[? and ]",
            ));
        }
        let scanned = scanned(text)?;
        if let Some(at) = scanned.comma {
            return Err(Fault::at(text, at, "a comma joins nothing; write && or ||"));
        }
        Ok(Condition {
            path: filter(text, &scanned)?,
            parts: parts(text, &scanned)?,
        })
    }

    /// `value` is the list of one document.
    pub(super) fn holds(&self, value: &Value) -> bool {
        !self.path.query(value).is_empty()
    }

    /// The first part that does not hold, with what stands in the document.
    pub(super) fn why_not(&self, value: &Value, root: &Value) -> Option<String> {
        if self.holds(value) {
            return None;
        }
        let part = self
            .parts
            .iter()
            .find(|part| part.path.query(value).is_empty());
        part.map(|part| match &part.operand {
            Some(operand) => format!("{} (it is {})", part.text, shown(operand.first(root))),
            None => part.text.clone(),
        })
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "absent".to_owned();
    };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// The conditions that `&&` joins, unless `||` does as well.
fn parts(text: &str, scanned: &Scan<'_>) -> Result<Vec<Part>, Fault> {
    let mut ends = match scanned.has_or {
        true => Vec::new(),
        false => scanned.ands.clone(),
    };
    ends.push(text.len());
    let mut start = 0;
    let mut parts = Vec::new();
    for end in ends {
        let text = text.get(start..end).unwrap_or_default().trim();
        let scanned = scanned_part(text)?;
        parts.push(Part {
            path: filter(text, &scanned)?,
            operand: scanned.operand.and_then(|operand| {
                let path = operand.trim().strip_prefix('@')?;
                Query::parse(&format!("${path}")).ok()
            }),
            text: text.to_owned(),
        });
        start = end + "&&".len();
    }
    Ok(parts)
}

fn scanned_part(text: &str) -> Result<Scan<'_>, Fault> {
    scan(text, true).map_err(|(at, what)| Fault::at(text, at, what))
}

fn scanned(text: &str) -> Result<Scan<'_>, Fault> {
    if text.len() > LONGEST {
        return Err(Fault::new(
            text.get(..0).unwrap_or_default(),
            "is longer than 4096 bytes",
        ));
    }
    scanned_part(text)
}

/// A filter chooses from a list, so it is applied to a list of the document alone. For the filter's author the
/// document is the root as well.
fn filter(text: &str, scanned: &Scan<'_>) -> Result<JsonPath, Fault> {
    const OPEN: &str = "$[?";
    const ROOT: &str = "$[0]";
    let mut path = OPEN.to_owned();
    let mut copied = 0;
    for root in &scanned.roots {
        path += text.get(copied..*root).unwrap_or_default();
        path += ROOT;
        copied = root + 1;
    }
    path += text.get(copied..).unwrap_or_default();
    path.push(']');
    JsonPath::parse(&path).map_err(|error| {
        let mut at = error.position().saturating_sub(OPEN.len());
        for root in &scanned.roots {
            if *root < at {
                at -= (at - root).min(ROOT.len() - 1);
            }
        }
        Fault::at(text, at.min(text.len()), refusal(error.message(), "filter"))
    })
}

/// A query: `$.body.user_id`.
#[derive(Debug)]
pub(super) struct Query(JsonPath);

impl Query {
    pub(super) fn parse(text: &str) -> Result<Query, Fault> {
        if !text.starts_with('$') {
            return Err(Fault::new(
                text,
                match text.strip_prefix('@') {
                    Some(rest) => format!("begins with @; write \"${rest}\""),
                    None if text.starts_with('/') => {
                        format!(
                            "is a JSON Pointer; write \"$.body{}\"",
                            text.replace('/', ".")
                        )
                    }
                    None => "must begin with $, the document; write \"$.body.user_id\"".to_owned(),
                },
            ));
        }
        scanned(text)?;
        match JsonPath::parse(text) {
            Ok(path) => Ok(Query(path)),
            Err(error) => {
                let what = refusal(error.message(), "query");
                Err(Fault::at(text, error.position(), what))
            }
        }
    }

    pub(super) fn all<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        self.0.query(root).all()
    }

    pub(super) fn first<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.query(root).first()
    }

    /// What it selects, with the JSON Pointer to it.
    pub(super) fn located<'a>(&self, root: &'a Value) -> Vec<(String, &'a Value)> {
        let nodes = self.0.query_located(root);
        let node = |node: &serde_json_path::LocatedNode<'a>| {
            (node.location().to_json_pointer(), node.node())
        };
        nodes.iter().map(node).collect()
    }
}

/// What the library says, where that says anything.
fn refusal(message: &str, what: &str) -> String {
    let said = message.rsplit_once(", ").map_or(message, |(_, last)| last);
    match said {
        "expected closing ']'" => {
            "the filter ends here; a comparison takes two single values (no * and no ..)".to_owned()
        }
        "parser error" => {
            format!("is no {what} of RFC 9535 from here on; docs/EVENTS.md has examples")
        }
        _ => format!("{message}; docs/EVENTS.md has examples"),
    }
}
