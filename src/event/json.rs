//! JSON as a tree of values, in bounded memory, and whether it says each thing once.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// So much memory the values of one text may take, in bytes. What counts is how many values there are and not how long
/// the text is: 100,000 user IDs take a tenth of this, and the smallest values fill it with 4 MiB of text.
const ROOM: usize = 64 << 20;
/// Beyond its own size, what a field of an object or a text takes on the heap.
const ALLOCATED: usize = 32;

/// What a text holds.
pub(crate) struct Json {
    pub(crate) value: Value,
    /// An object has a field twice. Two programs would take two different ones of them.
    pub(crate) has_repeated: bool,
    /// How many bytes it may still take.
    pub(crate) room: usize,
}

/// It would take more memory than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Json {
    /// What a text holds, if it is JSON. A number beyond 64 bits is a float.
    pub(crate) fn read(text: &[u8]) -> Result<Option<Json>, TooLarge> {
        Json::read_within(text, ROOM)
    }

    /// As part of another one that leaves so much room.
    pub(crate) fn read_within(text: &[u8], room: usize) -> Result<Option<Json>, TooLarge> {
        let mut tree = Tree {
            room,
            is_full: false,
            has_repeated: false,
        };
        let mut json = serde_json::Deserializer::from_slice(text);
        let value = (&mut tree).deserialize(&mut json);
        if tree.is_full {
            return Err(TooLarge);
        }
        let (Ok(value), Ok(())) = (value, json.end()) else {
            return Ok(None);
        };
        Ok(Some(Json {
            value,
            has_repeated: tree.has_repeated,
            room: tree.room,
        }))
    }

    /// A value that was not read, with what it takes.
    pub(crate) fn of(value: Value, bytes: usize) -> Result<Json, TooLarge> {
        Ok(Json {
            value,
            has_repeated: false,
            room: ROOM.checked_sub(bytes).ok_or(TooLarge)?,
        })
    }
}

/// Reads any value, and says what it found on the way.
struct Tree {
    room: usize,
    is_full: bool,
    has_repeated: bool,
}

impl Tree {
    /// Takes room for a value and what it has on the heap.
    fn take<E: Error>(&mut self, heap: usize) -> Result<(), E> {
        let left = self.room.checked_sub(size_of::<Value>() + heap);
        self.is_full = left.is_none();
        self.room = left.ok_or_else(|| E::custom("too large"))?;
        Ok(())
    }

    fn scalar<E: Error>(&mut self, value: impl Into<Value>) -> Result<Value, E> {
        self.take(0)?;
        Ok(value.into())
    }
}

impl<'de> DeserializeSeed<'de> for &mut Tree {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.scalar(Value::Null)
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Value, E> {
        self.scalar(yes)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        self.scalar(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        self.scalar(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("no JSON number"))?;
        self.scalar(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.take(ALLOCATED + text.len())?;
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        self.take(0)?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(&mut *self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        self.take(0)?;
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<Cow<'de, str>>()? {
            self.take(ALLOCATED + name.len())?;
            let value = object.next_value_seed(&mut *self)?;
            self.has_repeated |= fields.insert(name.into_owned(), value).is_some();
        }
        Ok(Value::Object(fields))
    }
}
