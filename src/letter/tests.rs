use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn read<T>(marks: Marks, read: impl Fn(Lookup<'_>) -> T) -> T {
    let marks: BTreeMap<_, _> = marks.into_iter().collect();
    read(&|name| marks.get(name).cloned())
}

/// To the millisecond, as it is written.
fn times() -> impl Strategy<Value = Option<Timestamp>> {
    let milliseconds = 0..4_000_000_000_000_i64;
    prop::option::of(milliseconds.prop_map(|at| Timestamp::from_millisecond(at).unwrap()))
}

fn origins() -> impl Strategy<Value = Origin> {
    (".{0,40}", ".{0,40}").prop_map(|(exchange, routing_key)| Origin {
        exchange,
        routing_key,
    })
}

fn digests() -> impl Strategy<Value = Option<Digest>> {
    let bytes = any::<u64>().prop_map(|bytes| bytes >> 1);
    let digest = ("[0-9a-f]{64}", bytes).prop_map(|(sha256, bytes)| Digest { sha256, bytes });
    prop::option::of(digest)
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(any::<String>(), 0..5)
}

fn letters() -> impl Strategy<Value = Letter> {
    let words = (
        any::<String>(),
        any::<String>(),
        any::<String>(),
        any::<String>(),
    );
    let numbers = (any::<Option<i64>>(), any::<u32>(), any::<u32>());
    let lists = (
        texts(),
        texts(),
        prop::collection::vec("[a-z]{1,9}", 0..4),
        any::<bool>(),
    );
    (
        words,
        numbers,
        lists,
        (times(), times()),
        origins(),
        digests(),
    )
        .prop_map(
            |(
                (id, reason, detail, version),
                (code, attempts, redriven),
                lists,
                times,
                origin,
                body,
            )| {
                let (users, history, dropped, users_cut) = lists;
                Letter {
                    id,
                    reason,
                    code,
                    detail,
                    users,
                    users_cut,
                    attempts,
                    first_seen: times.0,
                    dead_lettered_at: times.1,
                    version,
                    origin,
                    body,
                    redriven,
                    history,
                    dropped,
                }
            },
        )
}

fn marks() -> impl Strategy<Value = Mark> {
    prop_oneof![
        any::<String>().prop_map(Mark::Text),
        any::<i64>().prop_map(Mark::Integer),
        texts().prop_map(Mark::Texts),
    ]
}

proptest! {
    #[test]
    fn what_is_written_of_a_letter_is_read(letter in letters()) {
        let read = read(letter.clone().marks(), Letter::read);
        prop_assert!(read.as_ref() == Some(&letter), "{:?}", letter.marks());
    }

    #[test]
    fn what_is_written_of_a_redriven_event_is_read(letter in letters()) {
        let redriven = letter.redriven();
        let read = read(redriven.clone().marks(), Redriven::read);
        prop_assert!(read.as_ref() == Some(&redriven), "{:?}", redriven.marks());
        prop_assert_eq!(redriven.times, letter.redriven.saturating_add(1));
        prop_assert!(redriven.history.len() <= LONGEST_HISTORY);
    }

    /// Whatever other programs write there.
    #[test]
    fn any_headers_can_be_read(odd in prop::collection::vec(marks(), 16)) {
        let names = [
            REASON, CODE, DETAIL, ID, USERS, ATTEMPTS, FIRST_SEEN, DEAD_LETTERED_AT, VERSION, TIMES, ONLY_USERS, HISTORY,
            BODY_HASH, BODY_SIZE, EXCHANGE, ROUTING_KEY,
        ];
        let odd: Marks = names.into_iter().zip(odd).collect();
        let _ = read(odd.clone(), Letter::read).map(|letter| letter.redriven());
        let _ = read(odd, Redriven::read);
    }
}

#[test]
fn a_letter_that_does_not_name_all_its_users_is_redriven_for_all_of_the_event() {
    let letter = Letter {
        users: vec!["a".to_owned()],
        ..Letter::default()
    };
    assert_eq!(letter.redriven().only_users, Some(vec!["a".to_owned()]));
    let cut = Letter {
        users_cut: true,
        ..letter
    };
    assert_eq!(cut.redriven().only_users, None);
    assert_eq!(Letter::default().redriven().only_users, None);
}

#[test]
fn the_history_keeps_the_latest_failures() {
    let mut redriven = Redriven::default();
    for failure in 0..30 {
        redriven = redriven.again(failure.to_string());
    }
    assert_eq!(redriven.times, 30);
    assert_eq!(redriven.history.len(), LONGEST_HISTORY);
    assert_eq!(redriven.history.last().map(String::as_str), Some("29"));
}

#[test]
fn debug_shows_no_user() {
    let letter = Letter {
        users: vec!["pii-1".to_owned()],
        ..Letter::default()
    };
    let shown = format!("{letter:?} {:?}", letter.redriven());
    assert!(!shown.contains("pii-1"), "{shown}");
}
