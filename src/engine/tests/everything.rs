//! Everything at once, in any order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<usize>),
    Run(u64),
    LoseSession,
    Weather(usize),
    Letters(bool),
    Sharing(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::collection::vec(0usize..400, 0..6).prop_map(Step::Publish),
        2 => proptest::collection::vec(0usize..400, 50..300).prop_map(Step::Publish),
        6 => (0u64..3_000).prop_map(Step::Run),
        1 => (3_000u64..900_000).prop_map(Step::Run),
        1 => Just(Step::LoseSession),
        2 => (0usize..9).prop_map(Step::Weather),
        1 => any::<bool>().prop_map(Step::Letters),
        1 => (1u32..4).prop_map(Step::Sharing),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The world asserts at each step that nothing is settled twice or early, that no window is too
    /// large or repeats an ID, and that no deadline spins; here come the end and the quota.
    #[test]
    fn whatever_happens_every_delivery_is_settled_once_and_the_quota_is_kept(
        steps in steps(),
        max_ids in 1usize..=100,
        calls_per_second in 1u32..=100,
        latency in 1u64..900,
        seed in any::<u64>(),
    ) {
        use std::cell::Cell;
        use std::rc::Rc;

        let weather = Rc::new(Cell::new(0));
        let seen = Rc::clone(&weather);
        let settings = Settings { max_ids, calls_per_second, seed, prefetch: 500, ..settings() };
        let mut world = World::new(settings, move |world, users| match seen.get() {
            0 => refuse_if(users, &[13], 90001),
            1 => Answer::Refused(91000),
            2 => Answer::Fault,
            3 => Answer::Refused(60007),
            4 => Answer::Refused(70009),
            5 => Answer::Refused(90001),
            6 => Answer::Done { failed: users.iter().step_by(3).map(|id| (*id, 70500)).collect() },
            7 => if world.calls.len() % 2 == 0 { Answer::Unclear } else { ok() },
            _ => refuse_if(users, &[7, 11, 200], 70107),
        });
        world.latency = Duration::from_millis(latency);
        for step in steps {
            match step {
                Step::Publish(users) => world.publish(users),
                Step::Run(millis) => world.run_for(Duration::from_millis(millis)),
                Step::LoseSession => world.lose_session(),
                Step::Weather(kind) => weather.set(kind),
                Step::Letters(refuse) => world.refuse_letters = refuse,
                Step::Sharing(workers) => {
                    world.engine.handle(world.now, Input::Sharing { workers });
                }
            }
        }
        prop_assert!(world.busiest_second() <= calls_per_second as usize);
        weather.set(8);
        world.refuse_letters = false;
        world.engine.handle(world.now, Input::Sharing { workers: 1 });
        world.run_for(Duration::from_secs(3 * 3_600));
        world.assert_all_settled();
    }
}
