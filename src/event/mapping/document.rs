//! The document that rules see of a message.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, json};

use crate::event::{Message, Surroundings, body};

/// So many bytes of a body are read for rules. As a tree of values they take some ten times as many.
pub(super) const LARGEST: usize = 4 << 20;

/// The parts of a document, which paths begin with.
pub(super) const PARTS: [&str; 5] = ["body", "headers", "properties", "routing_key", "exchange"];

/// The properties that AMQP knows.
pub(super) const PROPERTIES: [&str; 13] = [
    "content_type",
    "content_encoding",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
];

#[derive(Clone)]
pub(super) struct Document {
    /// A list of the document alone: a filter needs a list to choose from.
    pub value: Value,
    pub is_json: bool,
    /// An object of the body has a field twice. Two programs would take two different ones of them.
    pub has_repeated: bool,
}

impl Document {
    pub(super) fn of(message: &Message<'_>) -> Document {
        let text = body::trim(message.body);
        let (body, is_json, has_repeated) = match (text, json(text)) {
            (b"", _) => (Value::Null, true, false),
            (_, Some((value, has_repeated))) => (value, true, has_repeated),
            (text, None) => (String::from_utf8_lossy(text).into(), false, false),
        };
        let Surroundings {
            headers,
            properties,
        } = (message.surroundings)();
        let value = json!([{
            "body": body,
            "headers": headers,
            "properties": properties,
            "routing_key": message.routing_key,
            "exchange": message.exchange,
        }]);
        Document {
            value,
            is_json,
            has_repeated,
        }
    }

    /// The document itself.
    #[expect(clippy::indexing_slicing, reason = "it is made as a list of one")]
    pub(super) fn root(&self) -> &Value {
        &self.value[0]
    }

    #[expect(clippy::indexing_slicing, reason = "it is made as a list of one")]
    pub(super) fn root_mut(&mut self) -> &mut Value {
        &mut self.value[0]
    }
}

/// The value that a text holds, and whether an object in it has a field twice. A number beyond 64 bits is a float.
pub(super) fn json(text: &[u8]) -> Option<(Value, bool)> {
    let mut has_repeated = false;
    let mut json = serde_json::Deserializer::from_slice(text);
    let tree = Tree(&mut has_repeated);
    let value = tree.deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some((value, has_repeated))
}

/// Reads any value, and sets the flag where a field is repeated.
struct Tree<'a>(&'a mut bool);

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Value, E> {
        Ok(yes.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        let number = Number::from_f64(number);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("no JSON number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Tree(self.0))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<Cow<'de, str>>()? {
            let value = object.next_value_seed(Tree(self.0))?;
            *self.0 |= fields.insert(name.into_owned(), value).is_some();
        }
        Ok(Value::Object(fields))
    }
}
