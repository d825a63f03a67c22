//! A JSON body, read in one pass into the fields of every form at once: which form it is may only
//! show in the last of them. Only user IDs are copied; other fields are borrowed or passed over.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Malformed;
use super::ids::Ids;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Body<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Scalar<'a>,
    #[serde(borrow)]
    pub(super) id: Scalar<'a>,
    #[serde(borrow)]
    pub(super) time: Scalar<'a>,
    pub(super) user_id: Ids,
    pub(super) user_ids: Ids,
    #[serde(borrow)]
    pub(super) specversion: Scalar<'a>,
    #[serde(borrow)]
    pub(super) source: Scalar<'a>,
    #[serde(borrow)]
    pub(super) subject: Scalar<'a>,
    pub(super) data: Payload,
    #[serde(borrow)]
    pub(super) data_base64: Scalar<'a>,
}

impl<'a> Body<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Result<Body<'a>, Malformed> {
        // One look at the whole is cheaper than one at each text. What is passed over may be broken.
        match str::from_utf8(text) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(text),
        }
        .map_err(why)
    }
}

/// Takes any JSON value, so the only one that has the wrong shape is an object with a field twice.
fn why(error: serde_json::Error) -> Malformed {
    if error.is_data() {
        Malformed::RepeatedField
    } else {
        Malformed::BrokenJson
    }
}

/// What can still be told of a body that cannot be read as an event: its type. It may be one that is not acted on,
/// and then nothing else of the body matters.
#[derive(Default)]
pub(super) struct Outline {
    /// Every text that the body gives as its type.
    pub(super) kinds: Vec<String>,
    /// It gives something else as its type.
    pub(super) is_ill_typed: bool,
    pub(super) has_specversion: bool,
    /// It was read to its end, so that it has no other type.
    pub(super) is_whole: bool,
}

impl Outline {
    pub(super) fn read(text: &[u8]) -> Outline {
        let text = String::from_utf8_lossy(text);
        let mut outline = Outline::default();
        let mut json = serde_json::Deserializer::from_str(&text);
        outline.is_whole = (&mut json).deserialize_map(&mut outline).is_ok() && json.end().is_ok();
        outline
    }
}

impl<'de> Visitor<'de> for &mut Outline {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(name) = object.next_key::<Cow<'de, str>>()? {
            match name.as_ref() {
                "type" => match object.next_value()? {
                    Scalar::Text(kind) => self.kinds.push(kind.into_owned()),
                    Scalar::Absent => {}
                    Scalar::Number(_) | Scalar::Other => self.is_ill_typed = true,
                },
                "specversion" => {
                    self.has_specversion = true;
                    object.next_value::<IgnoredAny>()?;
                }
                _ => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Cuts off the byte order mark and the white space that surround a JSON text.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(text)
        .trim_ascii()
}

/// Whether `text`, trimmed, set out to be an object; it may be broken further on.
pub(super) fn is_object(text: &[u8]) -> bool {
    text.first() == Some(&b'{')
}

/// A field that should hold a text or a number but may hold anything.
#[derive(Default)]
pub(super) enum Scalar<'a> {
    /// Not there, or `null`.
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Number(i128),
    Other,
}

impl Scalar<'_> {
    pub(super) fn is_present(&self) -> bool {
        !matches!(self, Scalar::Absent)
    }

    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Scalar::Text(text) => Some(Cow::Borrowed(text)),
            Scalar::Number(number) => Some(Cow::Owned(number.to_string())),
            Scalar::Absent | Scalar::Other => None,
        }
    }

    /// Reads RFC 3339, or a count of seconds or milliseconds since 1970.
    pub(super) fn time(&self) -> Option<SystemTime> {
        let count = match self {
            Scalar::Text(text) => match text.parse() {
                Ok(count) => count,
                Err(_) => return text.parse::<jiff::Timestamp>().ok().map(SystemTime::from),
            },
            Scalar::Number(count) => i64::try_from(*count).ok()?,
            Scalar::Absent | Scalar::Other => return None,
        };
        since_1970(count)
    }
}

/// The time that `count` names, in seconds or in milliseconds; nobody means the year 5138.
pub(super) fn since_1970(count: i64) -> Option<SystemTime> {
    let timestamp = if count >= 100_000_000_000 {
        jiff::Timestamp::from_millisecond(count)
    } else {
        jiff::Timestamp::from_second(count)
    };
    timestamp.ok().map(SystemTime::from)
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar<'a>, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(number.into()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Scalar<'de>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

/// The data of a CloudEvent, of which only the users count.
#[derive(Default)]
pub(super) struct Payload(pub(super) Ids);

impl Payload {
    /// Reads data that stands on its own. Data in another form than a JSON object names no user.
    pub(super) fn parse(text: &[u8]) -> Result<Payload, Malformed> {
        let text = trim(text);
        if !is_object(text) {
            return Ok(Payload::default());
        }
        let users: Users = serde_json::from_slice(text).map_err(why)?;
        Ok(users.into())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Users {
    user_id: Ids,
    #[serde(rename = "userId")]
    user_id_camel: Ids,
    user_ids: Ids,
    #[serde(rename = "userIds")]
    user_ids_camel: Ids,
}

impl From<Users> for Payload {
    fn from(users: Users) -> Payload {
        let mut ids = users.user_id;
        ids.append(users.user_id_camel);
        ids.append(users.user_ids);
        ids.append(users.user_ids_camel);
        Payload(ids)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        deserializer.deserialize_any(PayloadVisitor)
    }
}

struct PayloadVisitor;

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Payload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Payload, A::Error> {
        Users::deserialize(MapAccessDeserializer::new(object)).map(Payload::from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Payload, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Payload::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Payload, E> {
        Ok(Payload::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Payload, E> {
        Ok(Payload::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Payload, E> {
        Ok(Payload::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Payload, E> {
        Ok(Payload::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Payload, E> {
        Ok(Payload::default())
    }

    fn visit_unit<E>(self) -> Result<Payload, E> {
        Ok(Payload::default())
    }
}
