//! Private RabbitMQ nodes, run from the system's `rabbitmq-server` package.
//!
//! A [`Node`] has its own ports on 127.0.0.1, data folder, node name, cookie
//! and port mapper (`epmd`), so any number of them can run beside each other
//! and beside the system's own service, as root or as an ordinary user.
//! Whatever ends the process that started a node - a panic, an abort, SIGKILL -
//! also ends the node and removes its folder.
//!
//! A [`Cluster`] is three of them that know each other, for queues with replicas.
//!
//! Tests that break the broker start a node of their own. All others take a
//! [`Vhost`] of the [`shared`] one, as a start costs seconds of CPU.

mod cluster;
mod console;
mod guard;
mod installation;
mod node;
mod vhost;

use tokio::sync::OnceCell;

pub use self::cluster::Cluster;
pub use self::node::{Builder, ClientCertificate, Node};
pub use self::vhost::Vhost;

/// The one node of this process, started on first use and gone with the
/// process. Nothing that would disturb its other users can be asked of it:
/// stopping, pausing and alarms need `&mut Node`.
///
/// # Panics
///
/// When the node does not start.
pub async fn shared() -> &'static Node {
    static SHARED: OnceCell<Node> = OnceCell::const_new();
    SHARED
        .get_or_init(async || {
            Node::start()
                .await
                .unwrap_or_else(|error| panic!("the shared RabbitMQ node must start: {error:#}"))
        })
        .await
}

/// `prefix` with a random ending: a queue or exchange name no other test uses.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}.{:016x}", fastrand::u64(..))
}
