//! A dead letter is the original, whatever that was, and headers of ours that fit beside its own.
//!
//! The input is what the broker sends of a message's properties, and then its body.

use std::time::Instant;

use amq_protocol::protocol::basic::{gen_properties, parse_properties};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tagsweep::engine::{Delivery, Letter, LetterId, Reason};
use tagsweep::event::mapping::Mapping;
use tagsweep::event::{Decoded, Format, Rules, UserId};
use tagsweep::rabbitmq::{self, Message};
use tagsweep::worker;

const REASONS: [Reason; 6] = [
    Reason::MalformedEvent,
    Reason::InvalidUserId,
    Reason::RejectedByApi,
    Reason::UnknownAccount,
    Reason::RetriesExhausted,
    Reason::UnrecognisedEvent,
];
const MARKS: [&str; 12] = [
    "tagsweep-letter-id",
    "tagsweep-reason",
    "tagsweep-detail",
    "tagsweep-attempts",
    "tagsweep-first-seen",
    "tagsweep-dead-lettered-at",
    "tagsweep-exchange",
    "tagsweep-routing-key",
    "tagsweep-version",
    DROPPED,
    "tagsweep-error-code",
    "tagsweep-failed-users",
];
const DROPPED: &str = "tagsweep-dropped-headers";
/// As many as the engine names in one letter.
const MOST_USERS: usize = 500;
/// What RabbitMQ and lapin agree on by default, and the smallest that the protocol knows.
const FRAMES: [u32; 2] = [131_072, 4_096];
/// Of a frame: what stands around the properties.
const AROUND: usize = 8 + 12;

pub fn letter(input: &[u8]) {
    let Ok((body, original)) = parse_properties(input) else {
        return;
    };
    #[expect(clippy::eq_op, reason = "not a number is not equal to itself")]
    if original != original {
        return;
    }
    let message = rabbitmq::fuzzing::message("user.deleted", original.clone(), body);
    let (users, invalid, malformed) = match decode(&message) {
        Decoded::Event(event) => (event.users, event.invalid, None),
        Decoded::Malformed(why) => (Vec::new(), Vec::new(), Some(why)),
        Decoded::NotForUs(_) if body.is_empty() => {
            (longest_users(), vec!["\u{e9}".repeat(500); 200], None)
        }
        Decoded::NotForUs(_) | Decoded::Unrecognised => return,
    };
    for (reason, frame_max) in REASONS
        .iter()
        .flat_map(|reason| FRAMES.map(|max| (*reason, max)))
    {
        let due = due(reason, &users);
        let letter = worker::fuzzing::letter(&due, message.clone(), invalid.clone(), malformed);
        let (properties, published) = rabbitmq::fuzzing::published(letter, frame_max);
        assert_eq!(published, body, "the body is another");
        is_original(&original, &properties);
        is_read(&properties, reason, &message);
        let written = written(&properties);
        assert!(
            AROUND + written.len() <= frame_max as usize,
            "the headers do not fit"
        );
        assert_eq!(
            parse_properties(written.as_slice()),
            Ok((&[] as &[u8], properties))
        );
    }
}

/// The letter says why it failed; of the original, nothing is taken for a word of ours.
fn is_read(properties: &BasicProperties, reason: Reason, original: &Message) {
    let letter = rabbitmq::fuzzing::message("user.deleted", properties.clone(), b"");
    let letter = tagsweep::letter::Letter::read(&|name| letter.mark(name)).expect("a letter");
    assert_eq!(letter.reason, reason.name());
    assert_eq!(
        letter.origin.routing_key,
        original.published_to().routing_key
    );
    let redriven = letter.redriven();
    assert_eq!(redriven.times, letter.redriven + 1);
    // Whatever it is.
    let _ = tagsweep::letter::Letter::read(&|name| original.mark(name));
    let _ = (original.redriven(), original.death());
}

fn decode(message: &Message) -> Decoded {
    let rules = Rules {
        format: Format::Auto,
        types: vec!["user.deleted".to_owned()],
        mapping: Mapping::default(),
    };
    worker::fuzzing::decode(message, &rules)
}

fn due(reason: Reason, users: &[UserId]) -> Letter {
    let session = 1;
    Letter {
        id: LetterId(1),
        delivery: Delivery { session, tag: 1 },
        reason,
        code: (reason == Reason::RejectedByApi).then_some(90_001),
        http: None,
        users: users.iter().take(MOST_USERS).copied().collect(),
        invalid: 0,
        attempts: 3,
        first_seen: Instant::now(),
    }
}

fn longest_users() -> Vec<UserId> {
    let user = |number| UserId::parse(&format!("{number:032}")).expect("a user ID");
    (0..MOST_USERS).map(user).collect()
}

/// Everything that the publisher set is there, but for what would end, copy or refuse the letter.
fn is_original(original: &BasicProperties, letter: &BasicProperties) {
    let [before, after] = [original, letter].map(|it| {
        let texts = [
            it.content_type(),
            it.content_encoding(),
            it.correlation_id(),
            it.reply_to(),
        ];
        let names = [it.message_id(), it.kind(), it.app_id()];
        (
            texts.map(Clone::clone),
            names.map(Clone::clone),
            *it.priority(),
            *it.timestamp(),
        )
    });
    assert_eq!(before, after);
    assert_eq!(letter.delivery_mode(), &Some(2));
    assert_eq!(
        (letter.expiration(), letter.user_id(), letter.cluster_id()),
        (&None, &None, &None)
    );

    let none = FieldTable::default();
    let before = original.headers().as_ref().unwrap_or(&none).inner();
    let after = letter.headers().as_ref().expect("headers of ours").inner();
    let is_ours = |name: &ShortString| name.as_str().starts_with("tagsweep-");
    let mut lost = Vec::new();
    for (name, value) in before.iter().filter(|(name, _)| !is_ours(name)) {
        match after.get(name) {
            Some(kept) => assert!(kept == value && !is_dropped(name.as_str())),
            None if is_dropped(name.as_str()) => {}
            None => lost.push(AMQPValue::LongString(name.as_str().into())),
        }
    }
    // A list of users that ends earlier than it should is named, too.
    let users = AMQPValue::LongString("tagsweep-failed-users".into());
    let mut told = match after.get(DROPPED) {
        Some(AMQPValue::FieldArray(told)) => told.as_slice().to_vec(),
        told => {
            assert_eq!(told, None);
            Vec::new()
        }
    };
    told.retain(|name| *name != users);
    // As many names as there is room for.
    assert!(told.iter().all(|name| lost.contains(name)));
    assert!(
        after.contains_key(DROPPED) || lost.is_empty(),
        "headers are lost in silence"
    );
    for (name, value) in after.iter().filter(|(name, _)| is_ours(name)) {
        assert!(MARKS.contains(&name.as_str()), "no header of the contract");
        let is_of_a_kind = |value: &AMQPValue| {
            matches!(
                value,
                AMQPValue::LongString(_) | AMQPValue::LongLongInt(_) | AMQPValue::FieldArray(_)
            )
        };
        assert!(is_of_a_kind(value));
    }
    let others = after.keys().filter(|name| !is_ours(name));
    assert!(
        others.into_iter().all(|name| before.contains_key(name)),
        "a header out of nowhere"
    );
}

fn is_dropped(name: &str) -> bool {
    [
        "CC",
        "BCC",
        "x-delivery-count",
        "x-acquired-count",
        "x-death",
    ]
    .contains(&name)
        || name.starts_with("x-first-death-")
        || name.starts_with("x-last-death-")
}

fn written(properties: &BasicProperties) -> Vec<u8> {
    let buffer = Vec::new();
    let written = gen_properties(properties)(buffer.into());
    written.expect("properties can be written").into_inner().0
}
