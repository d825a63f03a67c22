use super::*;

fn rejected(times: u32) -> Refusals {
    Refusals([0, times])
}

/// Refusals until the verdict, when so many other calls go through and so many are wrongly refused
/// between one refusal and the next.
fn refusals(through: u32, wronged: u32) -> Option<u32> {
    let now = Instant::now();
    let mut record = Record::default();
    for _ in 0..1_000 {
        record.through.add(now);
    }
    let mut suspect = record.suspect(now);
    (1..=1_000).find(|refusals| {
        (0..through).for_each(|_| record.through.add(now));
        record.wronged(rejected(wronged), now);
        suspect.refusals = rejected(*refusals);
        record.condemns(&suspect, true, now)
    })
}

#[test]
fn the_more_goes_through_the_fewer_refusals_condemn_and_what_was_before_says_nothing() {
    assert_eq!(refusals(0, 0), Some(30));
    assert_eq!(refusals(1, 0), Some(9));
    assert_eq!(refusals(100, 0), Some(4));
}

#[test]
fn while_many_are_refused_wrongly_it_takes_many_refusals() {
    assert!(refusals(10, 1).unwrap() >= 8);
    assert!(refusals(1, 1).unwrap() >= 28);
    assert_eq!(refusals(0, 1), None);
}

#[test]
fn wrong_refusals_are_forgotten_after_some_minutes_but_not_for_who_was_suspected_by_then() {
    let now = Instant::now();
    let mut record = Record::default();
    let early = record.suspect(now);
    record.wronged(rejected(100), now + COUNTED_TOGETHER);
    for _ in 0..100 {
        record.through.add(now);
    }
    let condemns = |suspect: Suspect, at| {
        let suspect = Suspect {
            refusals: rejected(8),
            through: 0,
            ..suspect
        };
        record.condemns(&suspect, true, at)
    };
    let later = now + LATELY + 4 * COUNTED_TOGETHER;
    assert!(!condemns(early, later));
    assert!(!condemns(record.suspect(now + LATELY), now + LATELY));
    assert!(condemns(record.suspect(later), later));
}

#[test]
fn no_such_account_is_a_witness_against_rejections_only() {
    let now = Instant::now();
    let mut record = Record::default();
    let mut suspect = record.suspect(now);
    for _ in 0..1_000 {
        record.found_nobody.add(now);
    }
    suspect.refusals = Refusals([20, 20]);
    assert_eq!(record.witness(false), None);
    assert!(!record.condemns(&suspect, false, now));
    assert_eq!(record.witness(true), Some(now));
    assert!(record.condemns(&suspect, true, now));
}

#[test]
fn that_the_api_was_out_of_reach_says_nothing_about_whom_it_rejects() {
    let now = Instant::now();
    let mut record = Record::default();
    record.wronged(Refusals([1_000, 0]), now);
    let mut suspect = record.suspect(now);
    for _ in 0..100 {
        record.through.add(now);
    }
    suspect.refusals = Refusals([8, 8]);
    assert!(record.condemns(&suspect, true, now));
    assert!(!record.condemns(&suspect, false, now));
}
