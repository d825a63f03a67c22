//! The private nodes, against the real rabbitmq-server.

use testkit::rabbitmq::{self, Node};

#[tokio::test]
async fn a_fresh_vhost_is_seen_by_rabbitmqctl() {
    let node = rabbitmq::shared().await;
    let vhost = node.vhost().await.unwrap();
    let listed = node.ctl(&["list_vhosts"]).await.unwrap();
    assert!(listed.lines().any(|line| line == vhost.name()), "{listed}");
}

#[tokio::test]
async fn a_killed_or_stopped_node_starts_again_on_its_port() {
    let mut node = Node::start().await.unwrap();
    let port = node.port();
    node.kill().unwrap();
    node.start_again().await.unwrap();
    node.stop().await.unwrap();
    node.start_again().await.unwrap();
    assert_eq!(node.port(), port);
}
