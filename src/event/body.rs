//! A JSON body, read in one pass into the fields of every form at once: which form it is may only
//! show in the last of them. Only user IDs are copied; other fields are borrowed or passed over.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Malformed;
use super::fields::{Field, Name, Seen};
use super::ids::Ids;

/// The fields of every form.
#[derive(Default)]
pub(super) struct Body<'a> {
    pub(super) kind: Scalar<'a>,
    /// Another field that says what happened. What it says is for a rule to judge.
    pub(super) says_otherwise: bool,
    pub(super) id: Scalar<'a>,
    pub(super) time: Scalar<'a>,
    pub(super) users: Users,
    pub(super) specversion: Scalar<'a>,
    pub(super) source: Scalar<'a>,
    pub(super) subject: Scalar<'a>,
    /// Nothing where the event has no data, or null.
    pub(super) data: Option<Box<Users>>,
    pub(super) data_base64: Scalar<'a>,
    /// The users of `user`.
    pub(super) person: Option<Box<Users>>,
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
    pub(super) says_otherwise: bool,
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
        while let Some(Name(name)) = object.next_key()? {
            match name {
                Field::Type => match object.next_value()? {
                    Scalar::Text(kind) => self.kinds.push(kind.into_owned()),
                    Scalar::Absent => {}
                    Scalar::Number(_) | Scalar::Other => self.is_ill_typed = true,
                },
                Field::SaysWhatHappened => {
                    self.says_otherwise |= object.next_value::<Scalar<'_>>()?.is_present();
                }
                Field::SpecVersion => {
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

    pub(super) fn time(&self) -> Option<SystemTime> {
        match self {
            Scalar::Text(text) => time_of(text),
            Scalar::Number(count) => since_1970(i64::try_from(*count).ok()?),
            Scalar::Absent | Scalar::Other => None,
        }
    }
}

/// Reads RFC 3339, a count of seconds or milliseconds since 1970, or the form of NServiceBus.
pub(super) fn time_of(text: &str) -> Option<SystemTime> {
    if let Ok(count) = text.parse() {
        return since_1970(count);
    }
    let timestamp = text.parse().or_else(|_| nservicebus(text).parse());
    timestamp
        .ok()
        .map(|timestamp: jiff::Timestamp| timestamp.into())
}

/// `2026-11-22 10:00:00:493470 Z` as RFC 3339: a colon stands before the fraction, and a space before the zone.
fn nservicebus(text: &str) -> String {
    match text
        .strip_suffix(" Z")
        .and_then(|time| time.rsplit_once(':'))
    {
        Some((seconds, fraction)) => format!("{seconds}.{fraction}Z"),
        None => String::new(),
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

impl<'de: 'a, 'a> Deserialize<'de> for Body<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Body<'a>, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Body<'de>, A::Error> {
        let mut body = Body::default();
        let mut seen = Seen::default();
        while let Some(Name(name)) = object.next_key()? {
            seen.once(name)?;
            match name {
                Field::Type => body.kind = object.next_value()?,
                Field::Id => body.id = object.next_value()?,
                Field::Time => body.time = object.next_value()?,
                Field::SpecVersion => body.specversion = object.next_value()?,
                Field::Source => body.source = object.next_value()?,
                Field::Subject => body.subject = object.next_value()?,
                Field::Data => body.data = object.next_value::<Payload>()?.0,
                Field::User => body.person = object.next_value::<Person>()?.0,
                Field::DataBase64 => body.data_base64 = object.next_value()?,
                Field::SaysWhatHappened => {
                    body.says_otherwise |= object.next_value::<Scalar<'_>>()?.is_present();
                }
                name => body.users.read(name, &mut object)?,
            }
        }
        Ok(body)
    }
}

/// The users that an object names.
#[derive(Default)]
pub(super) struct Users {
    user_id: Ids,
    /// Of `userId`, `user_ids` and `userIds`. An event rarely has more than one of the four, and each is copied around.
    others: Option<Box<[Ids; 3]>>,
    /// It also names whom something was done to: its users may be those who did it.
    names_target: bool,
}

impl Users {
    /// All of them, in the order of the fields' names.
    pub(super) fn ids(self) -> Result<Ids, Malformed> {
        let names_target = self.names_target;
        let ids = self.all();
        match names_target && !ids.is_empty() {
            true => Err(Malformed::ActorAndTarget),
            false => Ok(ids),
        }
    }

    /// All of them, in the plain form. Where the event names somebody else as well, they may be those who did it.
    pub(super) fn beside(
        self,
        data: Option<Box<Users>>,
        person: Option<Box<Users>>,
    ) -> Result<Ids, Malformed> {
        let ids = self.ids()?;
        let is_another = |users: Box<Users>| users.names_target || !ids.has_all_of(&users.all());
        match !ids.is_empty() && data.into_iter().chain(person).any(is_another) {
            true => Err(Malformed::ActorAndTarget),
            false => Ok(ids),
        }
    }

    fn all(self) -> Ids {
        let mut ids = self.user_id;
        for others in self.others.into_iter().flat_map(|others| *others) {
            ids.append(others);
        }
        ids
    }

    /// Reads data that stands on its own. Data in another form than a JSON object names no user.
    pub(super) fn parse(text: &[u8]) -> Result<Option<Box<Users>>, Malformed> {
        let text = trim(text);
        if text.is_empty() {
            return Ok(None);
        }
        if !is_object(text) && text != b"null" {
            return Ok(Some(Box::default()));
        }
        let Payload(users) = serde_json::from_slice(text).map_err(why)?;
        Ok(users)
    }

    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: Field,
        object: &mut A,
    ) -> Result<(), A::Error> {
        let ids = match name {
            Field::UserId => &mut self.user_id,
            Field::UserIdCamel => &mut self.others()[0],
            Field::UserIds => &mut self.others()[1],
            Field::UserIdsCamel => &mut self.others()[2],
            Field::Target => {
                self.names_target |= object.next_value::<Scalar<'_>>()?.is_present();
                return Ok(());
            }
            _ => return object.next_value::<IgnoredAny>().map(|_| ()),
        };
        ids.append(object.next_value()?);
        Ok(())
    }

    fn others(&mut self) -> &mut [Ids; 3] {
        self.others.get_or_insert_default()
    }
}

/// The data of a CloudEvent, of which only the users count; nothing where it is null.
struct Payload(Option<Box<Users>>);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        deserializer.deserialize_any(PayloadVisitor { is_person: false })
    }
}

/// The object of a person, whose `id` is a user's.
struct Person(Option<Box<Users>>);

impl<'de> Deserialize<'de> for Person {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Person, D::Error> {
        let Payload(users) = deserializer.deserialize_any(PayloadVisitor { is_person: true })?;
        Ok(Person(users))
    }
}

struct PayloadVisitor {
    is_person: bool,
}

impl PayloadVisitor {
    fn without_users<E>() -> Result<Payload, E> {
        Ok(Payload(Some(Box::default())))
    }
}

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Payload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Payload, A::Error> {
        let mut users = Users::default();
        let mut seen = Seen::default();
        while let Some(Name(name)) = object.next_key()? {
            if name.names_users() {
                seen.once(name)?;
            }
            match name {
                Field::Id if self.is_person => users.read(Field::UserId, &mut object)?,
                name => users.read(name, &mut object)?,
            }
        }
        Ok(Payload(Some(Box::new(users))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Payload, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        PayloadVisitor::without_users()
    }

    fn visit_unit<E>(self) -> Result<Payload, E> {
        Ok(Payload(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Payload, E> {
        PayloadVisitor::without_users()
    }

    fn visit_u64<E>(self, _: u64) -> Result<Payload, E> {
        PayloadVisitor::without_users()
    }

    fn visit_i64<E>(self, _: i64) -> Result<Payload, E> {
        PayloadVisitor::without_users()
    }

    fn visit_f64<E>(self, _: f64) -> Result<Payload, E> {
        PayloadVisitor::without_users()
    }

    fn visit_bool<E>(self, _: bool) -> Result<Payload, E> {
        PayloadVisitor::without_users()
    }
}
