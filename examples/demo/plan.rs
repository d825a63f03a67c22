//! What the demo publishes, and what must have become of it in the end.

use std::collections::BTreeSet;

use serde_json::json;
use testkit::amqp::Outgoing;

const EVENTS: usize = 20_000;
/// Producers with forms of their own, which the worker reads by presets.
pub const PRESETS: [&str; 3] = ["keycloak", "clerk", "okta"];
pub const ROUTING_KEYS: [&str; 5] = [
    "user.deleted",
    "user.reset",
    "KK.EVENT.ADMIN.*.SUCCESS.USER.DELETE",
    "clerk",
    "okta",
];
/// Deletes users, and must not be taken for one of them.
const ADMIN: &str = "demo-admin";
const MALFORMED: [&str; 6] = [
    "this is no JSON",
    r#"{"type":"user.deleted","user_id":"#,
    r#"{"type":"user.deleted"}"#,
    r#"{"type":"user.deleted","user_id":true}"#,
    r#"{"type":"user.deleted","user_ids":[{"id":"x"}]}"#,
    r#"{"type":"user.deleted","user_ids":[]}"#,
];

/// All events in the order in which they are published, and the promise about each user in them.
#[derive(Default)]
pub struct Plan {
    pub events: Vec<Outgoing>,
    /// Must have no tags in the end.
    pub cleared: BTreeSet<String>,
    /// The API rejects every call with one of them: must be dead-lettered, alone.
    pub rejected: BTreeSet<String>,
    /// Never imported into the app: done without a trace.
    pub unknown: BTreeSet<String>,
    pub malformed: usize,
    pub with_invalid_id: usize,
    pub foreign: usize,
    pub duplicates: usize,
    users: usize,
}

impl Plan {
    /// The same plan each time.
    pub fn new() -> Plan {
        let mut plan = Plan::default();
        let mut random = fastrand::Rng::with_seed(2026);
        let mut earlier: Vec<Vec<String>> = Vec::new();
        while plan.events.len() < EVENTS {
            let number = plan.events.len();
            let late = number > EVENTS / 2;
            let event = match random.u32(..1_000) {
                0..30 if !earlier.is_empty() => {
                    plan.duplicates += 1;
                    let users = earlier[random.usize(..earlier.len())].clone();
                    event(&users, number, &mut random)
                }
                // What costs extra calls comes late, so that the first half shows undisturbed full load.
                30..33 if late && plan.rejected.len() < 8 => {
                    let bad = plan.user("bad");
                    let mut users = vec![bad.clone()];
                    users.extend((0..random.usize(..4)).map(|_| plan.good_user()));
                    plan.rejected.insert(bad);
                    event(&users, number, &mut random)
                }
                33..43 => {
                    let user = plan.user("unknown");
                    plan.unknown.insert(user.clone());
                    event(&[user], number, &mut random)
                }
                43..45 if plan.malformed < 12 => {
                    let body = MALFORMED[plan.malformed % MALFORMED.len()];
                    plan.malformed += 1;
                    Outgoing::json("user.deleted", body)
                }
                45..47 if plan.with_invalid_id < 5 => {
                    plan.with_invalid_id += 1;
                    let too_long = "demo-user-".to_owned() + &"x".repeat(30);
                    event(&[plan.good_user(), too_long], number, &mut random)
                }
                47..50 => {
                    plan.foreign += 1;
                    Outgoing::json(
                        "user.deleted",
                        json!({"type": "user.renamed", "user_id": "whoever"}),
                    )
                }
                50..200 => {
                    let users: Vec<String> =
                        (0..random.usize(2..40)).map(|_| plan.good_user()).collect();
                    earlier.push(users.clone());
                    event(&users, number, &mut random)
                }
                _ => {
                    let users = vec![plan.good_user()];
                    earlier.push(users.clone());
                    event(&users, number, &mut random)
                }
            };
            plan.events.push(event);
        }
        plan
    }

    pub fn letters(&self) -> usize {
        self.malformed + self.with_invalid_id + self.rejected.len()
    }

    fn good_user(&mut self) -> String {
        let user = self.user("user");
        self.cleared.insert(user.clone());
        user
    }

    fn user(&mut self, kind: &str) -> String {
        self.users += 1;
        format!("demo-{kind}-{:06}", self.users)
    }
}

/// One event about `users`, in one of the forms that the worker reads by itself or by presets.
fn event(users: &[String], number: usize, random: &mut fastrand::Rng) -> Outgoing {
    let kind = if random.bool() {
        "user.deleted"
    } else {
        "user.reset"
    };
    let id = format!("event-{number}");
    let time = "2026-11-22T10:00:00Z";
    let data = match users {
        [user] => json!({ "userId": user }),
        users => json!({ "user_ids": users }),
    };
    match (random.u32(..13), users) {
        (10, [user]) => keycloak(user),
        (11, [user]) => clerk(user),
        (12, users) => okta(users, &id),
        (0, _) => {
            let body = json!({
                "specversion": "1.0", "type": kind, "source": "/demo", "id": id, "time": time, "data": data,
            });
            Outgoing::json(kind, body).with_content_type("application/cloudevents+json")
        }
        (form @ (1 | 2), _) => {
            let prefix = if form == 1 {
                "cloudEvents:"
            } else {
                "cloudEvents_"
            };
            let names = ["specversion", "type", "source", "id", "time"]
                .map(|name| format!("{prefix}{name}"));
            let values = ["1.0", kind, "/demo", &id, time];
            let headers: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(values).collect();
            Outgoing::json(kind, data).with_headers(&headers)
        }
        _ => {
            let mut body = json!({ "type": kind, "id": id, "time": time });
            match users {
                [user] => body["user_id"] = json!(user),
                users => body["user_ids"] = json!(users),
            }
            Outgoing::json(kind, body)
        }
    }
}

/// As the RabbitMQ plugin of Keycloak says that an admin deleted a user.
fn keycloak(user: &str) -> Outgoing {
    let body = json!({
        "@class": "com.github.aznamier.keycloak.event.provider.EventAdminNotificationMqMsg",
        "time": 1_795_341_600_408_u64,
        "realmId": "shop",
        "authDetails": { "realmId": "master", "clientId": "c1", "userId": ADMIN, "ipAddress": "192.0.2.1" },
        "resourceType": "USER",
        "operationType": "DELETE",
        "resourcePath": format!("users/{user}"),
        "representation": null,
        "error": null,
        "resourceTypeAsString": "USER",
    });
    Outgoing::json("KK.EVENT.ADMIN.shop.SUCCESS.USER.DELETE", body)
}

/// As Clerk's webhook says it.
fn clerk(user: &str) -> Outgoing {
    let body = json!({
        "object": "event",
        "type": "user.deleted",
        "timestamp": 1_795_341_600_000_u64,
        "data": { "object": "user", "id": user, "deleted": true },
    });
    Outgoing::json("clerk", body)
}

/// As an event hook of Okta says it: an event per user, of whom an admin deleted each.
fn okta(users: &[String], id: &str) -> Outgoing {
    let event = |user: &String| {
        json!({
            "uuid": format!("{id}-{user}"),
            "published": "2026-11-22T10:00:00Z",
            "eventType": "user.lifecycle.delete.initiated",
            "actor": { "id": ADMIN, "type": "User" },
            "outcome": { "result": "SUCCESS" },
            "target": [{ "id": user, "type": "User" }],
        })
    };
    let events: Vec<_> = users.iter().map(event).collect();
    let body = json!({
        "eventType": "com.okta.event_hook",
        "eventTypeVersion": "1.0",
        "source": "https://shop.okta.com/api/v1/eventHooks/w1",
        "eventId": id,
        "data": { "events": events },
    });
    Outgoing::json("okta", body)
}
