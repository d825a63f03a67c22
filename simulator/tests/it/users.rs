//! Tags that vanish, users who are unknown, users who are rejected.

use im_simulator::{Clears, Interface, Options, Simulator, UnknownAccounts};
use serde_json::{Value, json};

use crate::client::{call, clear, start};

async fn simulator(unknown_accounts: UnknownAccounts) -> Simulator {
    let options = Options {
        unknown_accounts,
        ..Options::default()
    };
    let simulator = start(options).await;
    simulator.set_tags("alice", &["vip", "beta"]);
    simulator.set_tags("bob", &["vip"]);
    simulator
}

async fn tags_over_the_wire(simulator: &Simulator, ids: &[&str]) -> Value {
    let body = json!({ "To_Account": ids });
    call(simulator, Interface::ImGetTag, &body).await.json()["UserTags"].clone()
}

#[tokio::test]
async fn cleared_tags_are_gone_and_other_users_keep_theirs() {
    for interface in [Interface::ImRemoveAllTags, Interface::ClearAllTags] {
        let simulator = simulator(UnknownAccounts::ErrorList).await;
        let added = json!({ "UserTags": [{ "To_Account": "alice", "Tags": ["vip", "new"] }] });
        assert_eq!(
            call(&simulator, Interface::ImAddTag, &added).await.code(),
            0
        );
        assert_eq!(
            tags_over_the_wire(&simulator, &["alice", "bob"]).await,
            json!([
                { "To_Account": "alice", "Tags": ["vip", "beta", "new"] },
                { "To_Account": "bob", "Tags": ["vip"] },
            ])
        );
        let body = json!({ "To_Account": ["alice"] });
        assert_eq!(call(&simulator, interface, &body).await.code(), 0);
        assert_eq!(
            tags_over_the_wire(&simulator, &["alice", "bob"]).await,
            json!([
                { "To_Account": "alice", "Tags": [] },
                { "To_Account": "bob", "Tags": ["vip"] },
            ])
        );
    }
}

#[tokio::test]
async fn unknown_users_are_listed_and_the_others_done() {
    let simulator = simulator(UnknownAccounts::ErrorList).await;
    let reply = clear(&simulator, &["alice", "nobody", "bob"]).await;
    assert_eq!(reply.code(), 0);
    let list = &reply.json()["ErrorList"];
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert_eq!(list[0]["To_Account"], "nobody");
    assert_eq!(list[0]["ErrorCode"], 70107);
    assert_eq!(simulator.tags("alice"), Some(vec![]));
    assert_eq!(simulator.tags("bob"), Some(vec![]));
    assert_eq!(simulator.tags("nobody"), None);
    assert_eq!(simulator.clears("nobody"), Clears::default());
}

#[tokio::test]
async fn unknown_users_can_be_ignored() {
    let simulator = simulator(UnknownAccounts::Ignore).await;
    let reply = clear(&simulator, &["alice", "nobody"]).await;
    assert_eq!(
        reply.body,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#
    );
    assert_eq!(simulator.clears("nobody").count, 1);
    assert_eq!(simulator.tags("nobody"), None);
}

#[tokio::test]
async fn unknown_users_can_fail_the_whole_call() {
    let simulator = simulator(UnknownAccounts::FailAll).await;
    assert_eq!(clear(&simulator, &["alice", "nobody"]).await.code(), 70107);
    assert_eq!(simulator.clears("alice").count, 0);
}

#[tokio::test]
async fn an_admin_is_known_without_an_import() {
    let simulator = simulator(UnknownAccounts::FailAll).await;
    assert_eq!(
        tags_over_the_wire(&simulator, &["administrator"]).await,
        json!([{ "To_Account": "administrator", "Tags": [] }])
    );
}

#[tokio::test]
async fn a_rejected_user_fails_every_call_that_names_them() {
    let simulator = simulator(UnknownAccounts::ErrorList).await;
    simulator.reject_user("bob", 70402);
    assert_eq!(clear(&simulator, &["alice", "bob"]).await.code(), 70402);
    assert_eq!(simulator.clears("alice").count, 0);
    assert_eq!(clear(&simulator, &["alice"]).await.code(), 0);
    simulator.accept_user("bob");
    assert_eq!(clear(&simulator, &["bob"]).await.code(), 0);
}

#[tokio::test]
async fn a_user_can_be_rejected_alone() {
    let simulator = simulator(UnknownAccounts::ErrorList).await;
    simulator.reject_user_in_error_list("bob", 91000);
    let reply = clear(&simulator, &["alice", "bob"]).await;
    assert_eq!(reply.code(), 0);
    assert_eq!(reply.json()["ErrorList"][0]["To_Account"], "bob");
    assert_eq!(reply.json()["ErrorList"][0]["ErrorCode"], 91000);
    assert_eq!(simulator.clears("alice").count, 1);
    assert_eq!(simulator.tags("bob"), Some(vec!["vip".to_owned()]));
}

#[tokio::test]
async fn it_can_be_proved_who_was_cleared_how_often() {
    let simulator = simulator(UnknownAccounts::ErrorList).await;
    simulator.import_users((0..100).map(|number| format!("user-{number}")));
    clear(&simulator, &["alice"]).await;
    clear(&simulator, &["alice", "user-7"]).await;
    assert_eq!(simulator.clears("alice").count, 2);
    assert!(simulator.clears("alice").last >= simulator.clears("user-7").last);
    assert_eq!(simulator.clear_counts(), [(0, 100), (1, 1), (2, 1)].into());
    let stats = simulator.stats();
    assert_eq!((stats.users_cleared, stats.distinct_users_cleared), (3, 2));
    assert_eq!((stats.accepted, stats.ids), (2, 3));
}
