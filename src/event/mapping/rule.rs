//! One rule, compiled: whether it holds for a document, and whom it names there.

use std::borrow::Cow;
use std::time::SystemTime;

use serde_json::Value;

use super::Definition;
use super::document::Document;
use super::expression::{Condition, Query};
use super::problem::{Fault, Problem};
use super::transform::{self, Step};
use crate::event::ids::Ids;
use crate::event::json::{Json, TooLarge};
use crate::event::key::EventKey;
use crate::event::{Decoded, Event, Malformed, Message, NotForUs, body};

/// Of one event.
const MOST_USERS: usize = 100_000;
/// Texts of one document that a rule may parse.
const MOST_PARSED: usize = 16;

#[derive(Debug)]
pub(super) struct Rule {
    pub name: String,
    pub reset: bool,
    when: Condition,
    parse: Vec<Query>,
    users: Vec<Query>,
    transform: Vec<Step>,
    id: Option<Query>,
    time: Option<Query>,
    ignore: bool,
}

impl Rule {
    pub(super) fn compile(index: usize, definition: &Definition) -> Result<Rule, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut refuse = |key, fault| {
            problems.push(Problem {
                rule: index,
                key,
                fault,
            });
        };
        let when = Condition::parse(&definition.when).map_err(|fault| refuse("when", fault));
        let users = each("users", &definition.users, Query::parse, &mut refuse);
        let parse = each("parse", &definition.parse, Query::parse, &mut refuse);
        let transform = each("transform", &definition.transform, Step::parse, &mut refuse);
        let mut path = |key, text: &Option<String>| {
            let query = Query::parse(text.as_deref()?);
            query.map_err(|fault| refuse(key, fault)).ok()
        };
        let id = path("id", &definition.id);
        let time = path("time", &definition.time);
        for (key, fault) in contradictions(definition) {
            refuse(key, fault);
        }
        match when {
            Ok(when) if problems.is_empty() => Ok(Rule {
                name: definition.name.clone(),
                reset: definition.reset,
                when,
                parse,
                users,
                transform,
                id,
                time,
                ignore: definition.ignore,
            }),
            _ => Err(problems),
        }
    }

    /// What the message is, if the rule holds.
    pub(super) fn read(
        &self,
        document: &Document,
        message: &Message<'_>,
    ) -> Option<Result<Decoded, Malformed>> {
        let Ok(parsed) = self.parsed(document) else {
            return Some(Err(Malformed::TooLarge));
        };
        let document = parsed.as_ref().unwrap_or(document);
        self.when
            .holds(&document.value)
            .then(|| self.decode(document, message))
    }

    /// The part of `when` that does not hold.
    pub(super) fn why_not(&self, document: &Document) -> Option<String> {
        let parsed = self.parsed(document).ok()?;
        let document = parsed.as_ref().unwrap_or(document);
        self.when.why_not(&document.value, document.root())
    }

    fn decode(&self, document: &Document, message: &Message<'_>) -> Result<Decoded, Malformed> {
        if self.ignore {
            return Ok(Decoded::NotForUs(NotForUs::Rule));
        }
        if document.has_repeated {
            return Err(Malformed::RepeatedField);
        }
        let ids = self.ids(document.root())?;
        let selected = |query: &Option<Query>| query.as_ref()?.first(document.root());
        let time = selected(&self.time).and_then(time);
        let id = selected(&self.id).and_then(text);
        let id = id.as_deref().or(message.message_id);
        let key = match id.filter(|id| !id.is_empty()) {
            Some(id) => EventKey::of("", id, &self.name, time, &ids),
            None => {
                // The document has everything but the order of the body's fields.
                let everything = document.value.to_string();
                EventKey::of("", &everything, &self.name, time, &ids)
            }
        };
        let published = || body::since_1970(i64::try_from(message.timestamp?).ok()?);
        Ok(Decoded::Event(Event {
            kind: self.name.clone(),
            key: Some(key),
            users: ids.users,
            invalid: ids.invalid,
            time: time.or_else(published),
        }))
    }

    fn ids(&self, root: &Value) -> Result<Ids, Malformed> {
        let selected = self.users.iter().map(|query| query.all(root));
        let mut selected = selected.filter(|nodes| !nodes.is_empty());
        let nodes = selected.next().ok_or(Malformed::SelectsNothing)?;
        if nodes.len() > MOST_USERS {
            return Err(Malformed::SelectsTooMany);
        }
        let mut ids = Ids::default();
        for node in nodes {
            let text = text(node).ok_or(Malformed::SelectsNoText)?;
            let text = transform::apply(&self.transform, text);
            ids.take(&text.ok_or(Malformed::TakesNothing)?);
        }
        Ok(ids)
    }

    /// The document with the texts that hold JSON replaced by what they hold; nothing where it is the same.
    fn parsed(&self, document: &Document) -> Result<Option<Document>, TooLarge> {
        let mut parsed: Option<Document> = None;
        for query in &self.parse {
            let before = parsed.as_ref().unwrap_or(document);
            let mut room = before.room;
            let mut found = Vec::new();
            for (place, value) in query.located(before.root()).into_iter().take(MOST_PARSED) {
                let Some(text) = value.as_str() else { continue };
                if let Some(json) = Json::read_within(text.as_bytes(), room)? {
                    room = json.room;
                    found.push((place, json));
                }
            }
            for (place, json) in found {
                let parsed = parsed.get_or_insert_with(|| document.clone());
                parsed.room = room;
                parsed.has_repeated |= json.has_repeated;
                if let Some(text) = parsed.root_mut().pointer_mut(&place) {
                    *text = json.value;
                }
            }
        }
        Ok(parsed)
    }
}

fn each<T>(
    key: &'static str,
    texts: &[String],
    parse: fn(&str) -> Result<T, Fault>,
    refuse: &mut impl FnMut(&'static str, Fault),
) -> Vec<T> {
    let parsed = texts.iter().map(|text| parse(text));
    parsed
        .filter_map(|parsed| parsed.map_err(|fault| refuse(key, fault)).ok())
        .collect()
}

fn contradictions(definition: &Definition) -> Vec<(&'static str, Fault)> {
    let mut found = Vec::new();
    let mut refuse = |key, text: &str, what| found.push((key, Fault::new(text, what)));
    match (definition.ignore, definition.users.is_empty()) {
        (false, true) => refuse(
            "users",
            "",
            "is missing; write users = \"$.body.user_id\", or ignore = true",
        ),
        (true, false) => refuse(
            "users",
            "",
            "is set together with ignore = true, which clears nobody; remove one of them",
        ),
        _ => {}
    }
    if definition.ignore && definition.reset {
        refuse(
            "reset",
            "",
            "is set together with ignore = true, which clears nobody; remove one of them",
        );
    }
    found
}

/// A text, or an integer in decimal. The parser gives wider integers than 64 bits as floats, rounded: as text that
/// would be another user's ID.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string().into()),
        _ => None,
    }
}

fn time(value: &Value) -> Option<SystemTime> {
    match value {
        Value::Number(number) => body::since_1970(number.as_i64()?),
        Value::String(text) => body::time_of(text),
        _ => None,
    }
}
