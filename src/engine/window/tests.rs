use proptest::prelude::*;

use super::*;

fn window(users: usize) -> Window {
    let claim = |number: usize| Claim {
        user: UserId::parse(&format!("u{number}")).unwrap(),
        waiters: smallvec![Delivery {
            session: 1,
            tag: number as u64,
        }],
    };
    Window::new((0..users).map(claim).collect(), Trigger::Full)
}

fn users(window: &Window) -> Vec<UserId> {
    window.claims.iter().map(|claim| claim.user).collect()
}

proptest! {
    #[test]
    fn splitting_until_users_stand_alone_loses_none_and_repeats_none(size in 2usize..=100) {
        let whole = window(size);
        let before = users(&whole);
        let mut after = Vec::new();
        let mut open = vec![(whole, 0)];
        while let Some((window, depth)) = open.pop() {
            if window.claims.len() == 1 {
                after.extend(users(&window));
                prop_assert!(depth <= size.next_power_of_two().ilog2(), "{depth} splits for {size} users");
            } else {
                let [first, second] = window.split();
                prop_assert!(!first.claims.is_empty() && !second.claims.is_empty());
                open.extend([(second, depth + 1), (first, depth + 1)]);
            }
        }
        prop_assert_eq!(after, before);
    }
}

#[test]
fn probes_go_round_the_waiting_windows() {
    let now = Instant::now();
    let mut windows = Windows::default();
    for (age, users) in [(1, 10), (3, 30), (2, 20)] {
        let called = now.checked_sub(std::time::Duration::from_secs(age));
        windows.wait(Window {
            called,
            due: Some(now),
            ..window(users)
        });
    }
    let order: Vec<usize> = std::iter::from_fn(|| windows.take_least_called())
        .map(|window| window.claims.len())
        .collect();
    assert_eq!(order, [30, 20, 10]);
}

#[test]
fn refusals_were_wrong_once_everybody_who_shares_them_went_through() {
    let mut whole = window(4);
    whole.history.refused(true);
    let [mut first, second] = whole.split();
    first.history.refused(true);
    first.history.refused(true);
    assert_eq!(
        second.history.went_through().of(true),
        0,
        "the first half may explain it"
    );
    let [third, fourth] = first.split();
    assert_eq!(third.history.went_through().of(true), 0);
    assert_eq!(fourth.history.went_through().of(true), 3);
}

#[test]
fn refusals_that_a_guilty_user_explains_were_not_wrong() {
    let mut whole = window(4);
    whole.history.refused(true);
    let [mut first, second] = whole.split();
    first.history.refused(true);
    let [guilty, innocent] = first.split();
    guilty.history.explain();
    drop(guilty);
    assert_eq!(
        [innocent, second].map(|window| window.history.went_through()),
        [Refusals::default(); 2]
    );
}
