use super::*;

const LIFETIME: Duration = Duration::from_secs(60);

#[test]
fn as_many_events_as_the_capacity_are_remembered_and_at_most_twice_that() {
    let now = Instant::now();
    let mut remembered = Remembered::new(3, LIFETIME, now);
    for event in 1..=100 {
        remembered.insert(EventKey(event), now);
        let known = (1..=100).filter(|event| remembered.contains(EventKey(*event), now));
        let known: Vec<u128> = known.collect();
        assert!(known.len() <= 6, "{known:?}");
        let latest: Vec<u128> = (1..=event).rev().take(3).collect();
        assert!(
            latest.iter().all(|event| known.contains(event)),
            "{known:?}"
        );
    }
}

#[test]
fn an_event_is_remembered_for_its_lifetime_and_at_most_twice_that() {
    let start = Instant::now();
    for second in 0..180 {
        let inserted = start + Duration::from_secs(second);
        for looked in [0, 30, 59] {
            let mut remembered = Remembered::new(100, LIFETIME, start);
            remembered.insert(EventKey(1), inserted);
            assert!(remembered.contains(EventKey(1), inserted + Duration::from_secs(looked)));
            remembered.insert(EventKey(2), inserted + Duration::from_secs(looked));
            assert!(!remembered.contains(EventKey(1), inserted + LIFETIME * 2));
        }
    }
}
