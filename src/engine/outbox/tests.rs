use super::*;

fn failure(reason: Reason, code: Option<i64>, user: &str) -> Failure {
    Failure {
        reason,
        code,
        http: None,
        user: UserId::parse(user).ok(),
        invalid: 0,
        attempts: 1,
    }
}

const DELIVERY: Delivery = Delivery { session: 1, tag: 1 };

#[test]
fn each_reason_gets_one_letter_that_names_its_own_users_only() {
    let now = Instant::now();
    let mut letters = Letters::default();
    let failures = vec![
        failure(Reason::RejectedByApi, Some(90001), "a"),
        failure(Reason::InvalidUserId, None, ""),
        failure(Reason::RejectedByApi, Some(90001), "b"),
    ];
    assert_eq!(letters.write(DELIVERY, failures, now, now), 2);
    let first = letters.send(now).unwrap();
    assert_eq!(
        first.users.iter().map(UserId::as_str).collect::<Vec<_>>(),
        ["a", "b"]
    );
    let second = letters.send(now).unwrap();
    assert_eq!(
        (second.reason, second.users.len()),
        (Reason::InvalidUserId, 0)
    );
    assert!(letters.send(now).is_none());
}

#[test]
fn a_refused_letter_is_sent_again_until_it_is_confirmed() {
    let now = Instant::now();
    let mut letters = Letters::default();
    letters.write(
        DELIVERY,
        vec![failure(Reason::MalformedEvent, None, "")],
        now,
        now,
    );
    let letter = letters.send(now).unwrap();
    letters.refused(letter.id, now);
    assert!(!letters.is_stuck(), "one message stops nothing");
    assert!(letters.send(now).is_none());
    let later = letters.deadline().unwrap();
    assert_eq!(later, now + BACKOFF_MIN);
    assert_eq!(letters.send(later).unwrap(), letter);
    letters.refused(letter.id, later);
    assert_eq!(letters.deadline().unwrap(), later + 2 * BACKOFF_MIN);
    assert!(letters.confirmed(letter.id).is_some());
    assert!(letters.is_empty() && !letters.is_stuck());
    assert!(letters.confirmed(letter.id).is_none());
}
