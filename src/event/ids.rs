//! User IDs where a body may hold one, several or none: a string, an integer, or a list of them.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::UserId;

/// The IDs found so far. It reads any JSON value whatever: whether a wrong one matters depends on
/// the type of the event, which may stand behind it.
#[derive(Default)]
pub(super) struct Ids {
    pub(super) users: Vec<UserId>,
    /// Text that is not a user ID.
    pub(super) invalid: Vec<String>,
    ill_typed: bool,
}

impl Ids {
    pub(super) fn of(text: Option<&str>) -> Ids {
        let mut ids = Ids::default();
        if let Some(text) = text {
            ids.take(text);
        }
        ids
    }

    pub(super) fn take(&mut self, text: &str) {
        match UserId::parse(text) {
            Ok(user) => self.users.push(user),
            Err(_) => self.invalid.push(text.to_owned()),
        }
    }

    pub(super) fn append(&mut self, mut other: Ids) {
        self.users.append(&mut other.users);
        self.invalid.append(&mut other.invalid);
        self.ill_typed |= other.ill_typed;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.invalid.is_empty()
    }

    pub(super) fn has_all_of(&self, other: &Ids) -> bool {
        other.users.iter().all(|user| self.users.contains(user))
            && other.invalid.iter().all(|text| self.invalid.contains(text))
    }

    /// Whether something stood there that is neither string nor 64-bit integer. The parser gives
    /// wider integers as floats, rounded: as text that would be another user's ID.
    pub(super) fn is_ill_typed(&self) -> bool {
        self.ill_typed
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ids, D::Error> {
        let mut ids = Ids::default();
        deserializer.deserialize_any(Gather {
            ids: &mut ids,
            in_list: false,
        })?;
        Ok(ids)
    }
}

struct Gather<'a> {
    ids: &'a mut Ids,
    in_list: bool,
}

impl Gather<'_> {
    fn ill_typed<E>(self) -> Result<(), E> {
        self.ids.ill_typed = true;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Gather<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Gather<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.ids.take(text);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.ids.take(&number.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.ids.take(&number.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.ill_typed()
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.ill_typed()
    }

    /// Many serialisers write `null` for a field that is not set; in a list it is a lost ID.
    fn visit_unit<E>(self) -> Result<(), E> {
        if self.in_list {
            self.ill_typed()
        } else {
            Ok(())
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.in_list {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return self.ill_typed();
        }
        while list
            .next_element_seed(Gather {
                ids: self.ids,
                in_list: true,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.ill_typed()
    }
}
