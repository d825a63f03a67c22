//! Virtual hosts: each test gets its own namespace of queues on a shared node.

use anyhow::Context;

use super::Node;

/// Of the users that are made here.
const PASSWORD: &str = "pa55word";

/// A virtual host of a node. It is as private as its name is random, costs
/// milliseconds to make and goes with its node.
#[derive(Clone, Debug)]
pub struct Vhost<'node> {
    node: &'node Node,
    name: String,
}

impl<'node> Vhost<'node> {
    pub(super) fn new(node: &'node Node, name: String) -> Self {
        Self { node, name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn node(&self) -> &'node Node {
        self.node
    }

    /// AMQP URL for `guest`.
    pub fn url(&self) -> String {
        self.url_through(self.node.port())
    }

    /// The same by way of a proxy that listens on 127.0.0.1.
    pub fn url_through(&self, port: u16) -> String {
        let name = self.name.replace('/', "%2f");
        format!("amqp://guest:guest@127.0.0.1:{port}/{name}")
    }

    /// AMQP URL for a new user who may do here what these regular expressions allow, and nothing elsewhere.
    pub async fn url_with_permissions(
        &self,
        configure: &str,
        write: &str,
        read: &str,
    ) -> anyhow::Result<String> {
        let user = super::unique("user");
        self.node
            .eval(&format!(
                "User = {user}, By = <<\"test\">>, \
                 ok = rabbit_auth_backend_internal:add_user(User, {password}, By), \
                 ok = rabbit_auth_backend_internal:set_permissions(User, {}, {}, {}, {}, By)",
                binary(&self.name),
                binary(configure),
                binary(write),
                binary(read),
                user = binary(&user),
                password = binary(PASSWORD),
            ))
            .await?;
        let login = format!("{user}:{PASSWORD}");
        Ok(self.url().replace("guest:guest", &login))
    }

    /// Gives a user that was made here another password, for the next login.
    pub async fn change_password(&self, user: &str, password: &str) -> anyhow::Result<()> {
        let (user, password) = (binary(user), binary(password));
        let changed = format!(
            "ok = rabbit_auth_backend_internal:change_password({user}, {password}, <<\"test\">>)"
        );
        self.node.eval(&changed).await.map(drop)
    }

    /// Messages of `queue` that are ready for delivery, right now; those out
    /// with consumers are not among them.
    pub async fn ready(&self, queue: &str) -> anyhow::Result<u64> {
        Ok(self.stat(queue).await?.0)
    }

    /// Consumers of `queue`, right now.
    pub async fn consumers(&self, queue: &str) -> anyhow::Result<u64> {
        Ok(self.stat(queue).await?.1)
    }

    /// Messages of `queue`, ready and delivered.
    pub async fn messages(&self, queue: &str) -> anyhow::Result<u64> {
        let messages = self
            .node
            .eval(&format!(
                "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r({}, queue, {})), \
                 [{{messages, Messages}}] = rabbit_amqqueue:info(Queue, [messages]), \
                 Messages",
                binary(&self.name),
                binary(queue),
            ))
            .await?;
        Ok(messages.trim().parse()?)
    }

    async fn stat(&self, queue: &str) -> anyhow::Result<(u64, u64)> {
        let stat = self
            .node
            .eval(&format!(
                "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r({}, queue, {})), \
                 {{ok, Ready, Consumers}} = rabbit_amqqueue:stat(Queue), \
                 {{Ready, Consumers}}",
                binary(&self.name),
                binary(queue),
            ))
            .await
            .with_context(|| format!("no such queue: {queue}"))?;
        stat.trim_matches(['{', '}'])
            .split_once(',')
            .and_then(|(ready, consumers)| Some((ready.parse().ok()?, consumers.parse().ok()?)))
            .with_context(|| format!("not two numbers: {stat}"))
    }

    /// Closes every connection to this virtual host from the broker's side
    /// (`CONNECTION_FORCED`, with `reason`) and says how many there were.
    pub async fn close_connections(&self, reason: &str) -> anyhow::Result<usize> {
        // On a node that others use, some connection may end while we look.
        let closed = self
            .node
            .eval(&format!(
                "Here = [C || C <- rabbit_networking:connections(), \
                    (catch rabbit_networking:connection_info(C, [vhost])) =:= [{{vhost, {}}}]], \
                 [catch rabbit_networking:close_connection(C, binary_to_list({})) || C <- Here], \
                 length(Here)",
                binary(&self.name),
                binary(reason),
            ))
            .await?;
        closed
            .parse()
            .with_context(|| format!("not a number: {closed}"))
    }
}

/// `text` as an Erlang binary, whatever characters it has.
pub(super) fn binary(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    format!("<<{}>>", bytes.join(","))
}
