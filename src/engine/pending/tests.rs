use proptest::prelude::*;

use super::*;

fn user(number: u8) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

fn delivery(tag: u64) -> Delivery {
    Delivery { session: 1, tag }
}

proptest! {
    /// Steps: (user, delivery, cut size), where a cut of 0 means none.
    #[test]
    fn every_wait_leaves_exactly_once_and_no_cut_repeats_an_id(
        steps in proptest::collection::vec((0u8..20, 1u64..8, 0usize..5), 1..200),
    ) {
        let mut pending = Pending::default();
        let mut waits = Vec::new();
        let mut left = Vec::new();
        let take = |pending: &mut Pending, limit, left: &mut Vec<_>| {
            let claims = pending.cut(limit);
            let mut users: Vec<_> = claims.iter().map(|claim| claim.user.as_str().to_owned()).collect();
            users.sort();
            users.dedup();
            assert_eq!(users.len(), claims.len(), "an ID twice in one cut");
            for claim in claims {
                left.extend(claim.waiters.iter().map(|w| (claim.user.as_str().to_owned(), w.tag)));
            }
        };
        for (step, (id, _, cut)) in steps.into_iter().enumerate() {
            // Each step is an event of its own, as a delivery's users join in one go.
            let tag = step as u64;
            let lane = if id % 3 == 0 { Lane::Long } else { Lane::Common };
            if pending.join(user(id), delivery(tag), lane) {
                waits.push((user(id).as_str().to_owned(), tag));
            }
            prop_assert!(!pending.join(user(id), delivery(tag), lane), "the same wait twice");
            take(&mut pending, cut, &mut left);
        }
        take(&mut pending, usize::MAX, &mut left);
        prop_assert!(pending.is_empty());
        waits.sort();
        left.sort();
        prop_assert_eq!(waits, left);
    }
}
