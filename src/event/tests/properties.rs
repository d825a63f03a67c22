use proptest::prelude::*;

use super::*;

/// Bytes that come closer to events than pure noise does.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(":"),
        Just(","),
        Just("\"type\":\"user.deleted\""),
        Just("\"user_id\":"),
        Just("\"user_ids\":"),
        Just("\"data\":"),
        Just("\"data_base64\":\"e30=\""),
        Just("\"specversion\":\"1.0\""),
        Just("\"time\":"),
        Just("null"),
        Just("-1"),
        Just("1e400"),
        Just("\"\\ud800\""),
        Just("\"a\""),
    ];
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        proptest::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat().into_bytes()),
    ]
}

proptest! {
    #[test]
    fn nothing_that_arrives_makes_it_panic(
        body in body(),
        text in proptest::option::of(".{0,40}"),
        header in proptest::option::of(".{0,40}"),
        timestamp in any::<Option<u64>>(),
        format in prop_oneof![Just(Format::Auto), Just(Format::Plain), Just(Format::CloudEvents)],
    ) {
        let message = Message {
            body: &body,
            content_type: text.as_deref(),
            content_encoding: None,
            kind: text.as_deref(),
            message_id: text.as_deref(),
            timestamp,
            exchange: None,
            routing_key: text.as_deref().unwrap_or_default(),
            header: &|_| header.as_deref().map(Cow::Borrowed),
            surroundings: &Surroundings::default,
        };
        let rules = Rules { types: text.iter().cloned().collect(), ..rules(format) };
        if let Decoded::Event(event) = decode(&message, &rules) {
            prop_assert!(!event.users.is_empty() || !event.invalid.is_empty());
        }
    }

    #[test]
    fn what_is_written_as_an_event_is_read_back(
        ids in proptest::collection::vec("[ -~]{1,32}", 1..20),
        seconds in 0_i64..4_000_000_000,
        id in ".{1,40}",
    ) {
        let time = jiff::Timestamp::from_second(seconds).unwrap();
        let plain = serde_json::json!({
            "id": id, "type": "user.deleted", "time": time.to_string(), "user_ids": ids,
        });
        let cloud = serde_json::json!({
            "specversion": "1.0", "source": "/idp", "id": id, "type": "user.deleted",
            "time": time.to_string(), "data": { "user_ids": ids },
        });
        for body in [plain, cloud] {
            let body = serde_json::to_vec(&body).unwrap();
            let event = event(&message(&body));
            prop_assert_eq!(users(&event), ids.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(event.time, Some(time.into()));
            prop_assert_eq!(event.kind, "user.deleted");
            prop_assert!(event.invalid.is_empty() && event.key.is_some());
        }
    }
}
