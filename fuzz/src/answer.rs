//! Nothing that an API says is taken for done unless it says so.

use serde_json::Value;
use tagsweep::event::UserId;
use tagsweep::im::{Fault, Reply, fuzzing};

/// Those who were asked for, with IDs that need care in JSON.
const ASKED: [&str; 6] = ["pii-1", "pii-2", "42", "-7", " ", "\"\\|"];

pub fn answer(input: &[u8]) {
    let asked = ASKED.map(|id| UserId::parse(id).expect("a user ID"));
    let reply = fuzzing::reply(input, &asked);
    assert_eq!(reply, fuzzing::reply(input, &asked), "it is deterministic");
    assert!(!format!("{reply:?}").contains("pii-"), "an ID shows");
    let body = serde_json::from_slice::<Value>(input);
    match reply {
        Reply::Done { failed, strangers } => {
            let body = body.expect("done, and no JSON");
            assert_eq!(
                (&body["ErrorCode"], &body["ActionStatus"]),
                (&0.into(), &"OK".into())
            );
            agrees_with_the_list(&body["ErrorList"], &failed, strangers);
        }
        Reply::Refused(code) => {
            let body = body.expect("refused, and no JSON");
            assert_eq!(
                (&body["ErrorCode"], &body["ActionStatus"]),
                (&code.into(), &"FAIL".into())
            );
            assert_ne!(code, 0);
        }
        Reply::Fault(fault) => {
            assert_eq!(fault, Fault::NotJson);
            assert!(body.is_err(), "JSON is taken for none");
        }
        Reply::Unclear => {}
    }
}

/// Every failure in the list is in the reply, once, or is a stranger's.
fn agrees_with_the_list(list: &Value, failed: &[(UserId, i64)], strangers: usize) {
    let list = list.as_array().map_or(&[] as &[Value], Vec::as_slice);
    let failures = list.iter().filter(|entry| entry["ErrorCode"] != 0);
    let accounts: Vec<String> = failures
        .map(|entry| match &entry["To_Account"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect();
    for (place, (user, code)) in failed.iter().enumerate() {
        assert!(accounts.iter().any(|account| account == user.as_str()));
        assert!(ASKED.contains(&user.as_str()) && *code != 0);
        assert!(
            failed[..place].iter().all(|(other, _)| other != user),
            "one user twice"
        );
    }
    let unknown = |account: &&String| !ASKED.contains(&account.as_str());
    assert_eq!(accounts.iter().filter(unknown).count(), strangers);
    let named = ASKED
        .iter()
        .filter(|id| accounts.iter().any(|account| account == *id));
    assert_eq!(named.count(), failed.len());
}
