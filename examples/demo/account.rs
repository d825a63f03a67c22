//! The account: what went in, what came of it, and whether a single user is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use im_simulator::{Entry, Interface, Simulator, Stats};
use serde_json::{Value, json};
use testkit::amqp::{Amqp, Incoming};

use super::parts::{Names, Worker};
use super::plan::Plan;

/// A line of the account, and whether it is as it must be; none where nothing must be.
type Line = (&'static str, String, Option<bool>);

pub struct Account {
    lines: Vec<Line>,
}

impl Account {
    /// Looks at everything once the worker has ended.
    ///
    /// `cut` is the number of calls until the broker connection was cut.
    pub async fn draw(
        plan: &Plan,
        simulator: &Simulator,
        amqp: &Amqp,
        names: &Names,
        worker: &Worker,
        cut: Option<u64>,
    ) -> anyhow::Result<Account> {
        let stats = simulator.stats();
        let calls: Vec<Entry> = simulator
            .journal()
            .entries
            .into_iter()
            .filter(|entry| entry.interface == Some(Interface::ImRemoveAllTags))
            .collect();
        let letters = amqp.take_all(&names.dead_letter_queue).await?;
        let (left, _) = amqp.depth(&names.queue).await?;
        let with_tags = users_with_tags(simulator, plan).await?;
        let log = std::fs::read_to_string(&worker.log)?;

        let mut lines = events(plan, left);
        lines.extend(users(plan, &letters, &with_tags));
        lines.extend(api(&stats, &calls, cut));
        let named = log.matches("demo-user").count() + log.matches("demo-bad").count();
        lines.push((
            "user IDs in the worker's log",
            format!("{named} in {} lines", log.lines().count()),
            Some(named == 0),
        ));
        Ok(Account { lines })
    }

    /// Prints the account; true when it balances.
    pub fn print(&self, exit_code: Option<i32>) -> bool {
        let code = exit_code.map_or("none, killed by a signal".to_owned(), |code| {
            code.to_string()
        });
        let end: Line = (
            "exit code of the worker after SIGTERM",
            code,
            Some(exit_code == Some(0)),
        );
        println!("\n  Account");
        let lines = || self.lines.iter().chain([&end]);
        for (what, value, sound) in lines() {
            let mark = match sound {
                Some(true) => "ok",
                Some(false) => "WRONG",
                None => "",
            };
            println!("    {what:<52} {value:<34} {mark}");
        }
        let sound = lines().all(|(_, _, sound)| *sound != Some(false));
        println!(
            "\n  {}",
            if sound {
                "Every user is accounted for."
            } else {
                "THE ACCOUNT DOES NOT BALANCE."
            }
        );
        sound
    }
}

fn events(plan: &Plan, left: u32) -> Vec<Line> {
    let Plan {
        malformed,
        with_invalid_id,
        foreign,
        duplicates,
        ..
    } = plan;
    vec![
        ("events published", plan.events.len().to_string(), None),
        (
            "  of these repeating users of an earlier one",
            duplicates.to_string(),
            None,
        ),
        (
            "  of these malformed / with an invalid ID",
            format!("{malformed} / {with_invalid_id}"),
            None,
        ),
        (
            "  of these of a foreign type, acknowledged",
            foreign.to_string(),
            None,
        ),
        (
            "events left in the queue",
            left.to_string(),
            Some(left == 0),
        ),
    ]
}

fn users(plan: &Plan, letters: &[Incoming], with_tags: &BTreeSet<String>) -> Vec<Line> {
    let mut by_reason: BTreeMap<String, usize> = BTreeMap::new();
    let mut rejected = BTreeSet::new();
    for letter in letters {
        let reason = letter
            .header("tagsweep-reason")
            .unwrap_or_else(|| "none given".to_owned());
        if reason == "rejected-by-api" {
            rejected.extend(letter.texts("tagsweep-failed-users"));
        }
        *by_reason.entry(reason).or_default() += 1;
    }
    let cleared = plan.cleared.difference(with_tags).count();
    let kept = plan.rejected.intersection(with_tags).count();
    let expected = BTreeMap::from([
        ("invalid-user-id".to_owned(), plan.with_invalid_id),
        ("malformed-event".to_owned(), plan.malformed),
        ("rejected-by-api".to_owned(), plan.rejected.len()),
    ]);
    let reasons: Vec<String> = by_reason
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    vec![
        ("users to be cleared", plan.cleared.len().to_string(), None),
        (
            "  without a tag now, says im_get_tag",
            cleared.to_string(),
            Some(cleared == plan.cleared.len()),
        ),
        (
            "users whom the API does not know, done",
            plan.unknown.len().to_string(),
            None,
        ),
        (
            "users whom the API rejects, dead-lettered by name",
            format!("{} ({kept} still have their tags)", rejected.len()),
            Some(rejected == plan.rejected && kept == plan.rejected.len()),
        ),
        (
            "dead letters",
            letters.len().to_string(),
            Some(by_reason == expected),
        ),
        ("  by reason", reasons.join(", "), None),
    ]
}

fn api(stats: &Stats, calls: &[Entry], cut: Option<u64>) -> Vec<Line> {
    let refused = stats.refused_with(60007);
    let backlog = &calls[..calls.len().min(cut.map_or(0, |cut| cut as usize))];
    let span = match backlog {
        [first, .., last] => (last.at - first.at).as_secs_f64(),
        _ => 0.0,
    };
    let rate = (backlog.len().saturating_sub(1)) as f64 / span.max(0.001);
    let undisturbed: Vec<usize> = calls
        .iter()
        .take_while(|call| call.code == Some(0))
        .map(|call| call.ids)
        .collect();
    let ids = undisturbed.iter().sum::<usize>() as f64 / undisturbed.len().max(1) as f64;
    let codes: Vec<String> = stats
        .refusals
        .iter()
        .map(|(code, count)| format!("{code} x {count}"))
        .collect();
    vec![
        (
            "calls",
            format!("{} (refused: {})", calls.len(), codes.join(", ")),
            None,
        ),
        (
            "calls in the API's busiest second",
            stats.largest_second.to_string(),
            Some(stats.largest_second <= 100),
        ),
        (
            "calls refused for their frequency (60007)",
            refused.to_string(),
            Some(refused == 0),
        ),
        (
            "calls a second with a backlog, until the cut",
            format!("{rate:.1} over {span:.1} s"),
            // A promise of speed, not of safety: a busy machine may miss it, and nobody is lost by that.
            (rate >= 97.0).then_some(true),
        ),
        (
            "IDs per call at full load, until the first refusal",
            format!("{ids:.1} over {} calls", undisturbed.len()),
            Some(ids >= 99.0),
        ),
    ]
}

/// Asks the API for the tags of every user, 100 at a time.
async fn users_with_tags(simulator: &Simulator, plan: &Plan) -> anyhow::Result<BTreeSet<String>> {
    // Proving is not the worker's business, so its quota need not slow it down.
    simulator.set_calls_per_second(None);
    simulator.set_latency(Duration::ZERO, Duration::ZERO);
    let user_sig = simulator.user_sig(
        "administrator",
        SystemTime::now(),
        Duration::from_secs(3_600),
    );
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .build()?;
    let users: Vec<&String> = plan.cleared.iter().chain(&plan.rejected).collect();
    let mut with_tags = BTreeSet::new();
    let mut seen = 0;
    for hundred in users.chunks(100) {
        let url = format!(
            "{}/v4/all_member_push/im_get_tag?sdkappid=1400000000&identifier=administrator&usersig={user_sig}&random={}&contenttype=json",
            simulator.url(),
            fastrand::u32(..),
        );
        let body = json!({ "To_Account": hundred }).to_string();
        let answer = client.post(url).body(body).send().await?.bytes().await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        for user in answer["UserTags"]
            .as_array()
            .context("im_get_tag gave no UserTags")?
        {
            seen += 1;
            if user["Tags"].as_array().is_some_and(|tags| !tags.is_empty()) {
                with_tags.insert(user["To_Account"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    ensure!(
        seen == users.len(),
        "im_get_tag told of {seen} of {} users",
        users.len()
    );
    Ok(with_tags)
}
