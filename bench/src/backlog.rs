//! The backlog in the queue when a contestant starts.

use anyhow::Context;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use testkit::amqp::{Amqp, Outgoing};
use tokio::task::JoinSet;

use crate::user;

pub const EXCHANGE: &str = "account.events";
pub const ROUTING_KEY: &str = "user.deleted";

/// One after the other they would wait for the broker's confirms most of the time.
const PUBLISHERS: u32 = 4;

/// In which form the contestant wants to be told of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 154 bytes of JSON.
    Event,
    /// A message of Celery's protocol, version 2.
    CeleryTask,
}

/// Events with distinct users, in the order of their numbers.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    pub users: u32,
    /// A divisor of `users`.
    pub users_per_event: u32,
    /// Whether each event comes again, about a hundred events later. With it `users` is a multiple of
    /// 100 times `users_per_event`.
    pub twice: bool,
    pub format: Format,
}

impl Backlog {
    /// An event for each user.
    pub fn of(users: u32, format: Format) -> Backlog {
        Backlog {
            users,
            users_per_event: 1,
            twice: false,
            format,
        }
    }

    pub fn events(&self) -> u32 {
        self.users / self.users_per_event * if self.twice { 2 } else { 1 }
    }

    /// Publishes all, persistent, and returns when the broker has confirmed each.
    ///
    /// # Errors
    /// When the broker refuses one.
    pub async fn publish(self, url: &str) -> anyhow::Result<()> {
        let mut publishers = JoinSet::new();
        for publisher in 0..PUBLISHERS {
            let url = url.to_owned();
            publishers.spawn(async move {
                let amqp = Amqp::connect(&url).await?;
                let mine = (publisher..self.events()).step_by(PUBLISHERS as usize);
                amqp.publish(EXCHANGE, mine.map(|number| self.message(number)))
                    .await
            });
        }
        let mut published = 0;
        while let Some(count) = publishers.join_next().await {
            published += count.context("a publisher panicked")??;
        }
        anyhow::ensure!(published == self.events() as usize, "{published} published");
        Ok(())
    }

    fn message(&self, number: u32) -> Outgoing {
        let number = if self.twice { once(number) } else { number };
        match self.format {
            Format::Event => event(number, self.users_per_event),
            Format::CeleryTask => celery_task(number),
        }
    }
}

/// Of 200 events that follow each other, the second hundred repeats the first in another order.
fn once(number: u32) -> u32 {
    let (block, place) = (number / 200, number % 200);
    let place = if place < 100 { place } else { place * 37 % 100 };
    block * 100 + place
}

/// An event with one user or more, the first of them `number` times `users`.
pub fn event(number: u32, users: u32) -> Outgoing {
    let id = format!("{number:08x}-5bd1-4c2e-9f30-7a1d24e6b8c5");
    let rest =
        format!(r#""id":"{id}","time":"2026-11-22T10:00:00Z","source":"accounts/eu-central""#);
    let body = if users == 1 {
        format!(
            r#"{{"type":"user.deleted","user_id":"{}",{rest}}}"#,
            user::id(number)
        )
    } else {
        let ids: Vec<String> = (number * users..(number + 1) * users)
            .map(user::id)
            .collect();
        format!(
            r#"{{"type":"user.deleted","user_ids":["{}"],{rest}}}"#,
            ids.join("\",\"")
        )
    };
    Outgoing::json(ROUTING_KEY, body)
}

fn celery_task(number: u32) -> Outgoing {
    let id = format!("{number:08x}-5bd1-4c2e-9f30-7a1d24e6b8c5");
    let user = user::id(number);
    let embed = r#"{"callbacks":null,"errbacks":null,"chain":null,"chord":null}"#;
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("lang", "py"),
        ("task", "clear_tags"),
        ("id", &id),
        ("root_id", &id),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    Outgoing {
        routing_key: ROUTING_KEY.into(),
        body: format!(r#"[["{user}"],{{}},{embed}]"#).into_bytes(),
        properties: BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(2)
            .with_correlation_id(id.into())
            .with_headers(headers),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn users(backlog: Backlog) -> Vec<u32> {
        let bodies = (0..backlog.events()).map(|number| backlog.message(number).body);
        bodies.flat_map(|body| user::numbers(&body)).collect()
    }

    #[test]
    fn an_event_has_154_bytes() {
        assert_eq!(event(7, 1).body.len(), 154);
        serde_json::from_slice::<serde_json::Value>(&event(7, 1).body).unwrap();
    }

    #[test]
    fn every_user_comes_exactly_once() {
        for users_per_event in [1, 10, 1_000] {
            let backlog = Backlog {
                users_per_event,
                ..Backlog::of(2_000, Format::Event)
            };
            assert_eq!(users(backlog), (0..2_000).collect::<Vec<_>>());
        }
        let tasks = Backlog::of(2_000, Format::CeleryTask);
        assert_eq!(users(tasks), (0..2_000).collect::<Vec<_>>());
    }

    #[test]
    fn of_a_doubled_backlog_every_second_event_is_a_duplicate() {
        let doubled = Backlog {
            twice: true,
            ..Backlog::of(1_000, Format::Event)
        };
        let users = users(doubled);
        assert_eq!(users.len(), 2_000);
        assert_eq!(BTreeSet::from_iter(users), BTreeSet::from_iter(0..1_000));
    }
}
