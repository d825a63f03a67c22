//! A cluster of three nodes: quorum queues have a replica on each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{sleep, timeout};

use super::node::{Builder, Membership, Node};
use super::vhost::binary;
use crate::port::ReservedPort;

/// The longest that the members may take to agree on the leader of a queue; one
/// that was killed has to read its log again first.
const AGREEMENT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(50);

/// A cluster of three nodes, called by their numbers 0, 1 and 2. Each is a
/// [`Node`] of its own, so whatever can be done to a node can be done to a
/// member. Dropping the cluster drops all of them.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Node>,
}

impl Builder {
    /// Starts three such nodes and joins them. It takes the CPU of three starts
    /// and then some seconds more.
    ///
    /// # Errors
    ///
    /// When a node does not start or join. Nothing is left behind.
    pub async fn start_cluster(self) -> anyhow::Result<Cluster> {
        let membership = Membership {
            cookie: format!("{:032x}", fastrand::u128(..)),
            epmd: Arc::new(ReservedPort::choose()?),
        };
        let start = || self.clone().member_of(&membership).start();
        let (first, second, third) = tokio::try_join!(start(), start(), start())?;
        for node in [&second, &third] {
            join(node, &first).await?;
        }
        Ok(Cluster {
            members: vec![first, second, third],
        })
    }
}

impl Cluster {
    /// Three nodes with nothing special about them: see [`Builder::start_cluster`].
    pub async fn start() -> anyhow::Result<Self> {
        Node::builder().start_cluster().await
    }

    /// AMQP URLs of the virtual host `/`, one of each member in order.
    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(Node::url).collect()
    }

    /// # Panics
    ///
    /// Where there is no such member, here and below.
    pub fn member(&self, number: usize) -> &Node {
        &self.members[number]
    }

    /// To kill, stop, pause or start again.
    pub fn member_mut(&mut self, number: usize) -> &mut Node {
        &mut self.members[number]
    }

    /// The member that leads the quorum queue `queue` of the virtual host `/`.
    /// Returns when all running members have a replica that follows this one:
    /// of three, any one can be lost then.
    ///
    /// # Errors
    ///
    /// When there is no such queue, or the members do not agree within a minute,
    /// as they cannot with less than two of them running or one of them paused.
    pub async fn leader(&self, queue: &str) -> anyhow::Result<usize> {
        let agreed = timeout(AGREEMENT, async {
            loop {
                if let Some(leader) = self.agreed_leader(queue).await? {
                    return anyhow::Ok(leader);
                }
                sleep(INTERVAL).await;
            }
        });
        agreed
            .await
            .with_context(|| format!("the members do not agree on the leader of {queue}"))?
    }

    async fn agreed_leader(&self, queue: &str) -> anyhow::Result<Option<usize>> {
        let mut leaders = BTreeSet::new();
        for node in self.members.iter().filter(|node| node.is_running()) {
            leaders.insert(leader_known_to(node, queue).await?);
        }
        let agreed = leaders.pop_first().flatten();
        // Who was lost a moment ago may still be taken for the leader.
        let leads = |node: &Node| node.is_running() && agreed.as_deref() == Some(node.name());
        let number = self.members.iter().position(leads);
        Ok(number.filter(|_| leaders.is_empty()))
    }
}

/// The leader that the replica on `node` follows or is.
async fn leader_known_to(node: &Node, queue: &str) -> anyhow::Result<Option<String>> {
    let answer = node
        .eval(&format!(
            "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, {})), \
             {{Name, _}} = amqqueue:get_pid(Queue), \
             case ra:members({{Name, node()}}, 1000) of \
                 {{ok, _, {{_, Leader}}}} -> atom_to_binary(Leader); \
                 _ -> none \
             end",
            binary(queue),
        ))
        .await
        .with_context(|| format!("no such queue: {queue}"))?;
    let name = answer.strip_prefix("<<\"");
    let name = name.and_then(|name| name.strip_suffix("\">>"));
    Ok(name.map(ToOwned::to_owned))
}

/// What `rabbitmqctl stop_app`, `join_cluster` and `start_app` do.
async fn join(node: &Node, seed: &Node) -> anyhow::Result<()> {
    node.eval(&format!(
        "Seed = binary_to_atom({}), \
         ok = rabbit:stop(), \
         ok = case code:ensure_loaded(rabbit_db_cluster) of \
             {{module, _}} -> rabbit_db_cluster:join(Seed, disc); \
             _ -> rabbit_mnesia:join_cluster(Seed, disc) \
         end, \
         ok = rabbit:start()",
        binary(seed.name()),
    ))
    .await
    .with_context(|| format!("{} cannot join {}", node.name(), seed.name()))?;
    Ok(())
}
