//! What a real broker refuses, told by its cause.

use lapin::{
    options::{BasicConsumeOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tagsweep::rabbitmq::{Broker, Cause, Loss, Part};
use testkit::rabbitmq::{Node, Vhost, unique};

use crate::harness::*;

/// A user with a password, and all permissions in the virtual host.
async fn user(vhost: &Vhost<'_>) -> (String, String) {
    let name = unique("user");
    let node = vhost.node();
    let added = node.ctl(&["add_user", &name, "password"]).await;
    added.expect("a user");
    let vhost_name = vhost.name();
    let permitted = ["set_permissions", "-p", vhost_name, &name, ".*", ".*", ".*"];
    node.ctl(&permitted).await.expect("permissions");
    let url = vhost
        .url()
        .replace("guest:guest", &format!("{name}:password"));
    (name, url)
}

async fn loss(url: String) -> Loss {
    not_opened(&mut Broker::new(options(url))).await
}

#[tokio::test]
async fn logins_and_virtual_hosts_are_told_apart() {
    let vhost = shared_vhost().await;
    let wrong = vhost.url().replace("guest:guest", "guest:wrong");
    assert_eq!(cause(loss(wrong).await), Cause::Credentials);
    let missing = format!("{}-unknown", vhost.url());
    assert_eq!(cause(loss(missing).await), Cause::VhostMissing);
    let (name, url) = user(&vhost).await;
    let node = vhost.node();
    let cleared = ["clear_permissions", "-p", vhost.name(), &name];
    node.ctl(&cleared).await.expect("cleared");
    assert_eq!(cause(loss(url).await), Cause::VhostRefused);
}

#[tokio::test]
async fn limits_of_user_and_virtual_host_are_told_with_the_limit() {
    let vhost = shared_vhost().await;
    let node = vhost.node();
    let (name, url) = user(&vhost).await;
    let limits = async |json: &str| {
        node.ctl(&["set_user_limits", &name, json])
            .await
            .expect("limits");
    };
    // The broker counts a little late: of two connections at the same time, both may get in at a limit of 1.
    limits(r#"{"max-connections": 0}"#).await;
    let limit = Some(0);
    let reached = Cause::UserConnections { limit };
    assert_eq!(cause(loss(url.clone()).await), reached);
    limits(r#"{"max-connections": -1, "max-channels": 3}"#).await;
    let limit = Some(3);
    let reached = Loss::Ended(Cause::UserChannels { limit });
    assert_eq!(loss(url.clone()).await, reached);

    let limits = async |json: &str| {
        node.ctl(&["set_vhost_limits", "-p", vhost.name(), json])
            .await
            .expect("limits");
    };
    limits(r#"{"max-connections": 0}"#).await;
    let limit = Some(0);
    let reached = Cause::VhostConnections { limit };
    assert_eq!(cause(loss(vhost.url()).await), reached);
    limits(r#"{"max-connections": -1, "max-queues": 1}"#).await;
    let limit = Some(1);
    let mut another = options(vhost.url());
    another.queue = unique("another");
    let reached = Loss::Ended(Cause::QueueLimit { limit });
    assert_eq!(not_opened(&mut Broker::new(another)).await, reached);
}

#[tokio::test]
async fn exclusive_use_reserved_names_and_missing_permissions_are_no_missing_queue() {
    let vhost = shared_vhost().await;
    let (_connection, channel) = client(&vhost.url()).await;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let theirs = unique("exclusive");
    channel
        .queue_declare(theirs.as_str().into(), exclusive, FieldTable::default())
        .await
        .expect("an exclusive queue");
    let part = Part::Queue;
    let declaring = async |queue: &str| {
        let mut options = options(vhost.url());
        options.queue = queue.to_owned();
        not_opened(&mut Broker::new(options)).await
    };
    let name = theirs.clone();
    assert_eq!(declaring(&theirs).await, Loss::Exclusive { part, name });

    let name = "amq.tagsweep".to_owned();
    assert_eq!(
        declaring(&name).await,
        Loss::Reserved {
            part,
            name: name.clone()
        }
    );

    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let consumed = unique("consumed");
    channel
        .queue_declare(consumed.as_str().into(), durable, FieldTable::default())
        .await
        .expect("a queue");
    let alone = BasicConsumeOptions {
        exclusive: true,
        ..BasicConsumeOptions::default()
    };
    let _consumer = channel
        .basic_consume(
            consumed.as_str().into(),
            "alone".into(),
            alone,
            FieldTable::default(),
        )
        .await
        .expect("an exclusive consumer");
    let name = consumed.clone();
    assert_eq!(declaring(&consumed).await, Loss::Exclusive { part, name });

    let (user, url) = user(&vhost).await;
    let none = [
        "set_permissions",
        "-p",
        vhost.name(),
        &user,
        "^$",
        ".*",
        ".*",
    ];
    vhost.node().ctl(&none).await.expect("fewer permissions");
    let denied = loss(url).await;
    let Loss::Denied { part, .. } = &denied else {
        panic!("{denied:?}");
    };
    assert_eq!(*part, Part::Exchange);
}

#[tokio::test]
async fn settings_of_a_node_that_leave_no_way_in_are_told() {
    let node = Node::start().await.expect("a node");
    let set = async |key: &str, value: &str| {
        node.eval(&format!("application:set_env(rabbit, {key}, {value})"))
            .await
            .expect("set");
    };
    set("auth_mechanisms", "['AMQPLAIN']").await;
    let unoffered = Cause::Mechanism {
        asked: "PLAIN".to_owned(),
        offered: "AMQPLAIN".to_owned(),
    };
    assert_eq!(cause(loss(node.url()).await), unoffered);
    opened(&mut Broker::new(options(format!(
        "{}?auth_mechanism=amqplain",
        node.url()
    ))))
    .await;
    set("auth_mechanisms", "['PLAIN']").await;

    set("channel_max", "4").await;
    assert_eq!(loss(node.url()).await, Loss::Ended(Cause::ChannelMax));
    set("channel_max", "2047").await;

    // A broker may want smaller frames than we do. All of them are used.
    set("frame_max", "8192").await;
    opened(&mut Broker::new(options(node.url()))).await;
}
