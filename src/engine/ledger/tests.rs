use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const HOLD_LIMIT: Duration = Duration::from_secs(600);

fn delivery(tag: u64) -> Delivery {
    Delivery { session: 1, tag }
}

/// Settlements that are due at `now`, written into `settled`. Panics if one is settled twice.
fn settle(ledger: &mut Ledger, now: Instant, open: &BTreeSet<u64>, settled: &mut BTreeSet<u64>) {
    while let Some(settlement) = ledger.settle(now, false) {
        match settlement {
            Settlement::UpTo(last) => {
                assert!(!settled.contains(&last.tag), "{last:?} was settled before");
                assert_eq!(
                    open.range(..=last.tag).next(),
                    None,
                    "an open delivery was acknowledged"
                );
                settled.extend(1..=last.tag);
            }
            Settlement::One(one) => {
                assert!(
                    !open.contains(&one.tag),
                    "an open delivery was acknowledged"
                );
                assert!(settled.insert(one.tag), "{one:?} was settled before");
            }
            Settlement::HandBack(_) => panic!("not asked for"),
        }
    }
}

proptest! {
    /// Deliveries wait for so many users each, which are done in any order.
    #[test]
    fn every_delivery_is_settled_exactly_once_and_only_when_it_is_done(
        users in proptest::collection::vec(0u32..4, 1..60),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 200),
        pauses in proptest::collection::vec(0u64..2_000, 200),
    ) {
        let mut now = Instant::now();
        let mut ledger = Ledger::new(8, HOLD_LIMIT);
        let mut left: Vec<(u64, u32)> = Vec::new();
        let mut open: BTreeSet<u64> = BTreeSet::new();
        let mut settled = BTreeSet::new();
        for (place, count) in users.iter().enumerate() {
            let tag = place as u64 + 1;
            prop_assert!(ledger.arrive(delivery(tag), false, now));
            open.insert(tag);
            prop_assert_eq!(ledger.next_unread(), Some(delivery(tag)));
            prop_assert_eq!(ledger.open(delivery(tag), None), Some(false));
            (0..*count).for_each(|_| ledger.wait_for_user(delivery(tag)));
            if *count == 0 {
                open.remove(&tag);
                ledger.advance(delivery(tag), now);
            } else {
                left.push((tag, *count));
            }
            settle(&mut ledger, now, &open, &mut settled);
        }
        for (index, pause) in order.iter().zip(pauses) {
            if left.is_empty() {
                break;
            }
            now += Duration::from_millis(pause);
            let place = index.index(left.len());
            let (tag, count) = &mut left[place];
            let tag = *tag;
            *count -= 1;
            if *count == 0 {
                left.remove(place);
                open.remove(&tag);
            }
            prop_assert!(ledger.resolve(delivery(tag)));
            let finished = matches!(ledger.advance(delivery(tag), now), Advance::Finished { .. });
            prop_assert_eq!(finished, !open.contains(&tag));
            settle(&mut ledger, now, &open, &mut settled);
        }
        settle(&mut ledger, now + PATIENCE, &open, &mut settled);
        let done: BTreeSet<u64> = (1..=users.len() as u64).filter(|tag| !open.contains(tag)).collect();
        prop_assert_eq!(&settled, &done);
        prop_assert_eq!(ledger.unsettled(), open.len());

        // What is left goes back when it was held for long enough, and is done then.
        let mut handed_back = BTreeSet::new();
        while let Some(HandedBack::Returned(back, _)) = ledger.hand_back(now) {
            prop_assert!(handed_back.insert(back.tag));
        }
        prop_assert_eq!(handed_back, open);
        prop_assert_eq!(ledger.unsettled(), 0);
        prop_assert_eq!(ledger.settle(now + HOLD_LIMIT, false), None);
    }
}

#[test]
fn a_finished_run_is_one_acknowledgement() {
    let now = Instant::now();
    let mut ledger = Ledger::new(8, HOLD_LIMIT);
    for tag in 1..=5 {
        ledger.arrive(delivery(tag), false, now);
        ledger.open(delivery(tag), None);
        ledger.wait_for_user(delivery(tag));
    }
    for tag in [2, 3, 1, 5] {
        ledger.resolve(delivery(tag));
        ledger.advance(delivery(tag), now);
    }
    assert_eq!(
        ledger.settle(now, false),
        Some(Settlement::UpTo(delivery(3)))
    );
    assert_eq!(ledger.settle(now, false), None);
    assert_eq!(
        ledger.settle(now + PATIENCE, false),
        Some(Settlement::One(delivery(5)))
    );
}

#[test]
fn tags_of_a_lost_session_settle_nothing() {
    let now = Instant::now();
    let mut ledger = Ledger::new(8, HOLD_LIMIT);
    ledger.arrive(delivery(1), false, now);
    ledger.open(delivery(1), None);
    ledger.wait_for_user(delivery(1));
    ledger.lose_session(1);
    assert!(!ledger.resolve(delivery(1)));
    assert_eq!(ledger.advance(delivery(1), now), Advance::None);
    assert!(
        !ledger.arrive(delivery(2), false, now),
        "it was on its way when the session was lost"
    );
    let first = Delivery { session: 2, tag: 1 };
    assert!(ledger.arrive(first, true, now));
    assert_eq!(ledger.settle(now + PATIENCE, false), None);
    assert_eq!(ledger.unsettled(), 1);
}

#[test]
fn a_tag_that_the_broker_left_out_is_acknowledged_with_no_other_and_goes_back() {
    let now = Instant::now();
    let mut ledger = Ledger::new(8, HOLD_LIMIT);
    assert!(ledger.arrive(delivery(2), false, now));
    assert_eq!(ledger.next_unread(), Some(delivery(2)));
    ledger.open(delivery(2), None);
    ledger.advance(delivery(2), now);
    assert_eq!(
        ledger.settle(now + PATIENCE, false),
        Some(Settlement::One(delivery(2)))
    );
    let back = ledger.hand_back(now);
    assert_eq!(back, Some(HandedBack::Returned(delivery(1), None)));
    assert_eq!(ledger.unsettled(), 0);
}
