//! Queues that lose messages: none is used without somebody's word for it, and each way is named.

use lapin::{
    Channel,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use tagsweep::rabbitmq::{Broker, Loss, Options, Warning};

use crate::harness::*;

/// What a queue is declared with: an argument, or `durable`, `auto-delete`, `exclusive`.
type Settings = &'static [(&'static str, &'static str)];

const QUORUM: (&str, &str) = ("x-queue-type", "quorum");

/// Each with what the refusal says.
const LOSSY: [(Settings, &str); 12] = [
    (&[("x-queue-type", "stream")], "it is a stream"),
    (&[("durable", "false")], "it is not durable"),
    (&[("auto-delete", "true")], "it is auto-delete"),
    (&[("x-expires", "3600000")], "x-expires = 3600000"),
    (&[QUORUM, ("x-expires", "3600000")], "x-expires = 3600000"),
    (&[("x-max-length", "100")], "x-max-length = 100 without"),
    (
        &[
            QUORUM,
            ("x-max-length-bytes", "1000"),
            ("x-overflow", "drop-head"),
        ],
        "x-max-length-bytes = 1000 without x-overflow = reject-publish",
    ),
    (
        &[
            QUORUM,
            ("x-max-length", "100"),
            ("x-dead-letter-exchange", "others"),
        ],
        "x-max-length = 100 without",
    ),
    (
        &[("x-message-ttl", "60000")],
        "x-message-ttl = 60000 without",
    ),
    (
        &[QUORUM, ("x-message-ttl", "60000")],
        "x-message-ttl = 60000 without",
    ),
    // An exchange that nobody has made, and the default one without a queue.
    (
        &[
            QUORUM,
            ("x-message-ttl", "60000"),
            ("x-dead-letter-exchange", "nowhere"),
        ],
        "x-message-ttl = 60000 without",
    ),
    (
        &[
            ("x-message-ttl", "60000"),
            ("x-dead-letter-exchange", ""),
            ("x-dead-letter-routing-key", "nowhere"),
        ],
        "x-message-ttl = 60000 without",
    ),
];

pub(crate) async fn declare(channel: &Channel, settings: Settings) {
    let is = |name: &str, value: &str| settings.contains(&(name, value));
    let options = QueueDeclareOptions {
        durable: !is("durable", "false") && !is("exclusive", "true"),
        auto_delete: is("auto-delete", "true"),
        exclusive: is("exclusive", "true"),
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    for (name, value) in settings.iter().filter(|(name, _)| name.starts_with("x-")) {
        let value = match (value.parse(), value.parse()) {
            (Ok(number), _) => AMQPValue::LongInt(number),
            (_, Ok(value)) => AMQPValue::Boolean(value),
            _ => AMQPValue::LongString((*value).into()),
        };
        arguments.insert((*name).into(), value);
    }
    let declared = channel.queue_declare(QUEUE.into(), options, arguments);
    declared.await.expect("declared");
}

/// Everything but the queue of events is there, and nothing is made any more.
async fn passive(url: &str) -> Options {
    let mut made = options(url.to_owned());
    made.queue = "another".to_owned();
    let mut maker = Broker::new(made);
    opened(&mut maker).await;
    maker.close().await.expect("an orderly close");
    let mut passive = options(url.to_owned());
    passive.declare = false;
    passive
}

#[tokio::test]
async fn a_queue_that_loses_messages_is_refused_by_name_whether_or_not_queues_are_declared() {
    for (settings, named) in LOSSY {
        let vhost = shared_vhost().await;
        if settings.contains(&("durable", "false")) && !older_than(&vhost, (4, 3)).await {
            // There is none any more.
            continue;
        }
        let (_client, channel) = client(&vhost.url()).await;
        declare(&channel, settings).await;
        for options in [options(vhost.url()), passive(&vhost.url()).await] {
            match not_opened(&mut Broker::new(options)).await {
                Loss::LosesMessages { name, how } => {
                    assert_eq!(name, QUEUE);
                    assert!(how.contains(named), "{settings:?}: {how}");
                }
                other => panic!("{settings:?}: {other}"),
            }
        }
    }
}

#[tokio::test]
async fn an_exclusive_queue_is_refused_as_one() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    declare(&channel, &[("exclusive", "true")]).await;
    for options in [options(vhost.url()), passive(&vhost.url()).await] {
        let loss = not_opened(&mut Broker::new(options)).await;
        assert!(matches!(loss, Loss::Exclusive { .. }), "{loss}");
    }
}

#[tokio::test]
async fn every_way_in_which_a_queue_loses_messages_is_named_and_it_is_used_when_that_is_accepted() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    declare(
        &channel,
        &[
            ("x-expires", "3600000"),
            ("x-max-length", "100"),
            ("x-message-ttl", "60000"),
        ],
    )
    .await;
    let mut accepting = options(vhost.url());
    accepting.accept_lossy_queue = true;
    let mut broker = Broker::new(accepting);
    let warnings = opened(&mut broker).await.warnings;
    let losses = warnings.iter().find_map(|warning| match warning {
        Warning::LosesMessages { how, .. } => Some(how.as_str()),
        _ => None,
    });
    let losses = losses.expect("it is told");
    for named in ["x-expires", "x-max-length = 100", "x-message-ttl = 60000"] {
        assert!(losses.contains(named), "{losses}");
    }
    publish_events(&channel, 1).await;
    delivered(&mut broker).await;
}

#[tokio::test]
async fn a_queue_that_is_full_or_expires_into_another_exchange_is_used_and_the_exchange_is_named() {
    for settings in [
        &[
            ("x-message-ttl", "60000"),
            ("x-dead-letter-exchange", "others"),
        ][..],
        &[QUORUM, ("x-dead-letter-exchange", "others")],
        &[
            ("x-max-length", "9"),
            ("x-overflow", "reject-publish-dlx"),
            ("x-dead-letter-exchange", "others"),
        ],
    ] {
        let vhost = shared_vhost().await;
        let (_client, channel) = client(&vhost.url()).await;
        let kind = lapin::ExchangeKind::Fanout;
        let others = channel.exchange_declare(
            "others".into(),
            kind,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        );
        others.await.expect("declared");
        declare(&channel, settings).await;
        for options in [options(vhost.url()), passive(&vhost.url()).await] {
            let warnings = opened(&mut Broker::new(options)).await.warnings;
            let named = Warning::ForeignDeadLetters {
                name: QUEUE.to_owned(),
                exchange: "others".to_owned(),
            };
            assert!(warnings.contains(&named), "{settings:?}: {warnings:?}");
        }
    }
}

/// Who may not declare cannot be told what a queue is like, and that is said.
#[tokio::test]
async fn a_user_that_may_configure_nothing_is_told_that_the_settings_cannot_be_seen() {
    let vhost = shared_vhost().await;
    opened(&mut Broker::new(options(vhost.url()))).await;
    let url = vhost.url_with_permissions("^$", ".*", ".*").await;
    let mut passive = options(url.expect("a user"));
    passive.declare = false;
    let opened = opened(&mut Broker::new(passive)).await;
    let unknown = opened.warnings.iter();
    let unknown = unknown.filter(|warning| matches!(warning, Warning::SettingsUnknown { .. }));
    assert_eq!(unknown.count(), 1, "{:?}", opened.warnings);
}
