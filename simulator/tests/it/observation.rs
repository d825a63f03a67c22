//! What the simulator counted, in stats and journal, and the quota that it counts by.

use std::time::{Duration, Instant};

use im_simulator::{Fault, Interface, Options, Rule, Simulator};
use serde_json::json;

use crate::client::{DEADLINE, call, clear, send, start};

async fn simulator_with_alice(options: Options) -> Simulator {
    let simulator = start(options).await;
    simulator.set_tags("alice", &["vip"]);
    simulator
}

/// Judged by the journal's own times, so that a slow machine cannot fail it.
#[tokio::test]
async fn the_quota_and_the_largest_second_hold_for_every_sliding_second() {
    const QUOTA: usize = 10;
    let simulator = simulator_with_alice(Options {
        calls_per_second: Some(QUOTA as u32),
        ..Options::default()
    })
    .await;
    for _ in 0..4 * QUOTA {
        clear(&simulator, &["alice"]).await;
    }

    let (mut arrived, mut accepted) = (Vec::new(), Vec::new());
    let mut largest = 0;
    for entry in simulator.journal().entries {
        let in_its_second = |times: &[Duration]| {
            let young = |&&time: &&Duration| entry.at - time < Duration::from_secs(1);
            times.iter().filter(young).count()
        };
        let has_room = in_its_second(&accepted) < QUOTA;
        assert_eq!(entry.code, Some(if has_room { 0 } else { 60007 }));
        if has_room {
            accepted.push(entry.at);
        }
        arrived.push(entry.at);
        largest = largest.max(in_its_second(&arrived));
    }
    let stats = simulator.stats();
    assert_eq!(stats.largest_second, largest);
    assert_eq!(stats.accepted, accepted.len() as u64);
    assert_eq!(
        stats.refused_with(60007),
        (arrived.len() - accepted.len()) as u64
    );
    assert_eq!(simulator.clears("alice").count as usize, accepted.len());
    assert!(accepted.len() < arrived.len(), "nothing was refused");
}

#[tokio::test]
async fn each_interface_has_a_quota_of_its_own() {
    let simulator = simulator_with_alice(Options {
        calls_per_second: Some(1),
        ..Options::default()
    })
    .await;
    let body = json!({ "To_Account": ["alice"] });
    let mut codes = vec![];
    for interface in [
        Interface::ImRemoveAllTags,
        Interface::ClearAllTags,
        Interface::ImGetTag,
    ] {
        codes.push(call(&simulator, interface, &body).await.code());
    }
    assert_eq!(codes, [0, 0, 0]);
    let stats = simulator.stats();
    assert_eq!(
        (stats.calls, stats.other_calls, stats.largest_second),
        (2, 1, 1)
    );
}

#[tokio::test]
async fn the_journal_tells_each_call_in_order_and_names_users_only_if_asked() {
    for journal_users in [false, true] {
        let simulator = simulator_with_alice(Options {
            journal_users,
            ..Options::default()
        })
        .await;
        clear(&simulator, &["alice", "bob"]).await;
        simulator.add_fault(Rule::new(Fault::ErrorStatus(502)).next_calls(1));
        let body = json!({ "To_Account": ["alice"] });
        call(&simulator, Interface::ClearAllTags, &body).await;

        let entries = simulator.journal().entries;
        let told: Vec<_> = entries
            .iter()
            .map(|entry| (entry.interface, entry.ids, entry.code, entry.fault))
            .collect();
        assert_eq!(
            told,
            [
                (Some(Interface::ImRemoveAllTags), 2, Some(0), None),
                (Some(Interface::ClearAllTags), 1, None, Some("status")),
            ]
        );
        assert!(entries[0].at < entries[1].at);
        let expected = journal_users.then(|| vec!["alice".to_owned(), "bob".to_owned()]);
        assert_eq!(entries[0].users, expected);
        assert!(!format!("{entries:?}").contains("alice"));
    }
}

#[tokio::test]
async fn the_journal_stays_within_its_capacity() {
    let simulator = simulator_with_alice(Options {
        journal_capacity: 2,
        ..Options::default()
    })
    .await;
    for ids in [&["a"][..], &["a", "b"], &["a", "b", "c"]] {
        clear(&simulator, ids).await;
    }
    let journal = simulator.journal();
    let sizes: Vec<_> = journal.entries.iter().map(|entry| entry.ids).collect();
    assert_eq!((sizes, journal.dropped), (vec![2, 3], 1));
}

#[tokio::test]
async fn stats_journal_and_imports_are_served_over_http() {
    let simulator = simulator_with_alice(Options::default()).await;
    let import = json!({ "users": ["bob", "carol"], "tags": ["vip"] }).to_string();
    send(&simulator, "POST", "/_sim/users", &import)
        .await
        .unwrap();
    clear(&simulator, &["alice", "bob", "carol"]).await;
    clear(&simulator, &["alice"]).await;
    clear(&simulator, &[]).await;

    let stats = send(&simulator, "GET", "/_sim/stats", "")
        .await
        .unwrap()
        .json();
    assert_eq!(stats["calls"], 3);
    assert_eq!(stats["accepted"], 2);
    assert_eq!(stats["users_cleared"], 4);
    assert_eq!(stats["distinct_users_cleared"], 3);
    assert_eq!(stats["mean_ids_per_accepted_call"], 2.0);
    assert_eq!(stats["refusals"], json!({ "90001": 1 }));
    let seconds = stats["per_second"].as_array().unwrap();
    let calls: u64 = seconds
        .iter()
        .filter_map(|second| second["calls"].as_u64())
        .sum();
    assert_eq!(calls, 3);

    let journal = send(&simulator, "GET", "/_sim/journal", "")
        .await
        .unwrap()
        .json();
    assert_eq!(journal["entries"][0]["interface"], "im_remove_all_tags");
    assert_eq!(journal["entries"][0]["ids"], 3);
    assert_eq!(journal["entries"][0].get("users"), None);
}

#[tokio::test]
async fn latency_holds_back_the_answer_but_not_the_count() {
    let simulator = simulator_with_alice(Options {
        latency: Duration::from_millis(100),
        ..Options::default()
    })
    .await;
    let begun = Instant::now();
    let (_, seen) = tokio::join!(clear(&simulator, &["alice"]), async {
        let seen = simulator
            .wait_for(DEADLINE, |stats| stats.accepted == 1)
            .await;
        seen.unwrap()
    });
    assert_eq!(seen.in_flight, 1);
    assert!(begun.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn waiting_in_vain_ends_with_the_latest_state() {
    let simulator = simulator_with_alice(Options::default()).await;
    clear(&simulator, &["alice"]).await;
    let waited = simulator
        .wait_for(Duration::from_millis(20), |stats| stats.calls == 2)
        .await;
    assert_eq!(waited.unwrap_err().stats.calls, 1);
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let simulator = simulator_with_alice(Options::default()).await;
    let second = Simulator::start(Options {
        listen: simulator.address(),
        ..Options::default()
    })
    .await;
    assert!(second.is_err());
}

#[tokio::test]
async fn the_journal_since_a_moment_holds_the_calls_that_came_after_it() {
    let simulator = simulator_with_alice(Options::default()).await;
    clear(&simulator, &["alice"]).await;
    let moment = simulator.now();
    assert_eq!(simulator.journal_since(moment), []);
    clear(&simulator, &["alice"]).await;
    let later = simulator.journal_since(moment);
    assert!(matches!(later.as_slice(), [call] if call.at > moment));
    assert_eq!(simulator.journal_since(later[0].at), []);
}
