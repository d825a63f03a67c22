//! The names of an event's fields, and the ways in which programs write them.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// What a field is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Type,
    Id,
    Time,
    SpecVersion,
    Source,
    Subject,
    Data,
    DataBase64,
    UserId,
    UserIdCamel,
    UserIds,
    UserIdsCamel,
    /// A person, who may be another than the user beside it.
    User,
    /// It names whom something was done to, so that the user beside it may be the one who did it.
    Target,
    /// It says what happened, in a form that only a rule can read.
    SaysWhatHappened,
    Other,
}

impl Field {
    fn of(name: &str) -> Field {
        match name {
            "type" => Field::Type,
            "id" => Field::Id,
            "time" => Field::Time,
            "user_id" => Field::UserId,
            "user_ids" => Field::UserIds,
            "userId" => Field::UserIdCamel,
            "userIds" => Field::UserIdsCamel,
            "user" => Field::User,
            "specversion" => Field::SpecVersion,
            "source" => Field::Source,
            "subject" => Field::Subject,
            "data" => Field::Data,
            "data_base64" => Field::DataBase64,
            name => Field::of_family(name),
        }
    }

    /// The same words in other spellings: `eventType`, `event-type`, `__op`, `TargetUserID`.
    fn of_family(name: &str) -> Field {
        let mut letters = [0; LONGEST];
        let mut length = 0;
        for byte in name.bytes().filter(u8::is_ascii_alphanumeric) {
            let Some(letter) = letters.get_mut(length) else {
                return Field::Other;
            };
            *letter = byte.to_ascii_lowercase();
            length += 1;
        }
        let (word, _) = letters.split_at(length);
        match word {
            b"event"
            | b"events"
            | b"eventtype"
            | b"eventname"
            | b"eventkind"
            | b"eventcode"
            | b"eventaction"
            | b"eventclass"
            | b"eventkey"
            | b"eventtopic"
            | b"eventtypename"
            | b"type"
            | b"typename"
            | b"kind"
            | b"action"
            | b"actiontype"
            | b"actionname"
            | b"activity"
            | b"activityname"
            | b"activitytype"
            | b"change"
            | b"mutation"
            | b"transition"
            | b"trigger"
            | b"triggertype"
            | b"op"
            | b"optype"
            | b"opcode"
            | b"operation"
            | b"operationtype"
            | b"operationname"
            | b"pattern"
            | b"topic"
            | b"method"
            | b"verb"
            | b"command"
            | b"commandtype"
            | b"commandname"
            | b"cmd"
            | b"changetype"
            | b"detailtype"
            | b"messagetype"
            | b"messagename"
            | b"messagekind"
            | b"msgtype"
            | b"notificationtype"
            | b"subjectrequesttype"
            | b"requesttype"
            | b"deleted"
            | b"isdeleted" => Field::SaysWhatHappened,
            b"victim" | b"victimid" | b"affecteduser" | b"affecteduserid" | b"deleteduser"
            | b"deleteduserid" | b"removeduser" | b"removeduserid" | b"subjectid"
            | b"subjectuser" | b"subjectuserid" | b"datasubject" | b"datasubjectid"
            | b"entityid" | b"objectid" | b"resourceid" => Field::Target,
            word if word.starts_with(b"target") => Field::Target,
            _ => Field::Other,
        }
    }

    pub(super) fn names_users(self) -> bool {
        matches!(
            self,
            Field::UserId | Field::UserIdCamel | Field::UserIds | Field::UserIdsCamel
        )
    }

    /// Whether an event may have several of it.
    fn is_manifold(self) -> bool {
        matches!(
            self,
            Field::User | Field::Target | Field::SaysWhatHappened | Field::Other
        )
    }
}

/// Longer names belong to no family.
const LONGEST: usize = 24;

/// A field's name, read without a copy where it has no escapes.
pub(super) struct Name(pub(super) Field);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_identifier(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Name(Field::of(name)))
    }
}

/// The fields that an object has shown so far.
#[derive(Default)]
pub(super) struct Seen(u32);

impl Seen {
    /// Refuses a field's second appearance: two programs would take two different ones of them.
    pub(super) fn once<E: de::Error>(&mut self, field: Field) -> Result<(), E> {
        let bit = 1 << field as u32;
        if self.0 & bit != 0 && !field.is_manifold() {
            return Err(E::custom("a field appears twice"));
        }
        self.0 |= bit;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_in_every_spelling_and_none_is_known_by_a_part_of_it() {
        use Field::{Other, SaysWhatHappened, Target};
        for (names, expected) in [
            (
                &[
                    "event",
                    "event_type",
                    "eventType",
                    "EventType",
                    "event-name",
                    "eventName",
                    "action",
                    "Action",
                    "op",
                    "__op",
                    "operation",
                    "operationType",
                    "operation_type",
                    "pattern",
                    "kind",
                    "topic",
                    "detail-type",
                    "detailType",
                    "messageType",
                    "message_type",
                    "__deleted",
                    "$type",
                    "@type",
                    "Type",
                    "__typename",
                ][..],
                SaysWhatHappened,
            ),
            (
                &[
                    "target",
                    "target_id",
                    "targetId",
                    "target_user_id",
                    "targetUserId",
                    "TargetUserID",
                    "target-user",
                    "targets",
                    "deletedUserId",
                    "affected_user",
                    "subject_id",
                    "entityId",
                    "resource_id",
                ],
                Target,
            ),
            (
                &[
                    "event_id",
                    "eventId",
                    "eventTime",
                    "deleted_at",
                    "deletedBy",
                    "users",
                    "actor_id",
                    "email",
                    "",
                    "optional",
                    "typed",
                    "kindness",
                    "é",
                    "UserId",
                    "job",
                    "class",
                    "name",
                    "status",
                    "a_name_that_is_longer_than_any_of_the_families",
                ],
                Other,
            ),
        ] {
            for name in names {
                assert_eq!(Field::of(name), expected, "{name}");
            }
        }
    }
}
