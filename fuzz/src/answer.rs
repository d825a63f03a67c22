//! Nothing that an API says is taken for done unless it says so.

use serde::de::IgnoredAny;
use serde_json::Value;
use tagsweep::event::UserId;
use tagsweep::im::{Reply, fuzzing};

/// Those who were asked for, with IDs that need care in JSON.
const ASKED: [&str; 6] = ["pii-1", "pii-2", "42", "-7", " ", "\"\\|"];

pub fn answer(input: &[u8]) {
    let asked = ASKED.map(|id| UserId::parse(id).expect("a user ID"));
    let reply = fuzzing::reply(input, &asked);
    assert_eq!(reply, fuzzing::reply(input, &asked), "it is deterministic");
    assert!(!format!("{reply:?}").contains("pii-"), "an ID shows");
    let is_understood = matches!(reply, Reply::Done { .. } | Reply::Refused(_));
    let Ok(body) = serde_json::from_slice::<Value>(input) else {
        // In what it passes over, a tree of values sees more than JSON asks for.
        let is_json = serde_json::from_slice::<IgnoredAny>(input).is_ok();
        assert!(!is_understood || is_json && str::from_utf8(input).is_ok());
        return;
    };
    match reply {
        Reply::Done { failed, strangers } => {
            assert_eq!(
                (&body["ErrorCode"], &body["ActionStatus"]),
                (&0.into(), &"OK".into())
            );
            agrees_with_the_list(&body["ErrorList"], &failed, strangers);
        }
        Reply::Refused(code) => {
            assert_eq!(
                (&body["ErrorCode"], &body["ActionStatus"]),
                (&code.into(), &"FAIL".into())
            );
            assert_ne!(code, 0);
        }
        Reply::Http(_) | Reply::Fault(_) => panic!("JSON is taken for none"),
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
