//! Options of a node, and its first start.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Node;
use crate::port::ReservedPort;
use crate::rabbitmq::guard::Guard;
use crate::rabbitmq::installation::Installation;
use crate::tls::Certificates;

/// What a TLS listener asks of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    NotAsked,
    Required,
}

/// What is special about a node, before its start.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    settings: Vec<(String, String)>,
    tls: Option<(Certificates, ClientCertificate)>,
    member_of: Option<Membership>,
}

/// What nodes must have in common to become a cluster.
#[derive(Debug, Clone)]
pub(in crate::rabbitmq) struct Membership {
    pub(in crate::rabbitmq) cookie: String,
    pub(in crate::rabbitmq) epmd: Arc<ReservedPort>,
}

impl Builder {
    /// How long the broker lets a delivery go unacknowledged. It looks every
    /// second instead of once a minute then.
    pub fn consumer_timeout(self, timeout: Duration) -> Self {
        self.setting("consumer_timeout", &timeout.as_millis().to_string())
            .setting("channel_tick_interval", "1000")
    }

    /// Adds a listener with TLS on [`Node::tls_port`].
    pub fn tls(mut self, certificates: &Certificates, client: ClientCertificate) -> Self {
        self.tls = Some((certificates.clone(), client));
        self
    }

    /// Sets a key of RabbitMQ's application environment, the value in Erlang's
    /// syntax: `setting("channel_max", "10")`.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(in crate::rabbitmq) fn member_of(mut self, cluster: &Membership) -> Self {
        self.member_of = Some(cluster.clone());
        self
    }

    /// Starts the node and returns when it takes connections.
    ///
    /// # Errors
    ///
    /// When RabbitMQ is not installed (the text gives the remedy) or does not start (the text holds
    /// what it said last). Nothing is left behind.
    pub async fn start(self) -> anyhow::Result<Node> {
        let installation = Installation::find()?;
        let amqps = self
            .tls
            .as_ref()
            .map(|_| ReservedPort::choose())
            .transpose()?;
        let mut node = Node {
            vm: None,
            guard: Guard::start()?,
            installation,
            name: format!("testkit-{:08x}@localhost", fastrand::u32(..)),
            amqp: ReservedPort::choose()?,
            amqps,
            epmd: match &self.member_of {
                Some(cluster) => Arc::clone(&cluster.epmd),
                None => Arc::new(ReservedPort::choose()?),
            },
        };
        fs::create_dir(node.file("home"))?;
        if let Some(Membership { cookie, .. }) = &self.member_of {
            write_cookie(&node.file("home/.erlang.cookie"), cookie)?;
        }
        fs::create_dir(node.file("plugins"))?;
        fs::write(node.file("enabled_plugins"), "[].")?;
        fs::write(node.file("rabbitmq-env.conf"), "")?;
        fs::write(node.file("advanced.config"), self.configuration(&node))?;
        node.start_again().await?;
        Ok(node)
    }

    fn configuration(&self, node: &Node) -> String {
        let mut settings = vec![format!(
            r#"{{tcp_listeners, [{{"127.0.0.1", {}}}]}}"#,
            node.port()
        )];
        if let (Some((certificates, client)), Some(port)) = (&self.tls, node.tls_port()) {
            let (verify, required) = match client {
                ClientCertificate::NotAsked => ("verify_none", false),
                ClientCertificate::Required => ("verify_peer", true),
            };
            settings.push(format!(r#"{{ssl_listeners, [{{"127.0.0.1", {port}}}]}}"#));
            settings.push(format!(
                "{{ssl_options, [{{certfile, {:?}}}, {{keyfile, {:?}}}, {{cacertfile, {:?}}}, \
                 {{verify, {verify}}}, {{fail_if_no_peer_cert, {required}}}]}}",
                certificates.server.certificate,
                certificates.server.key,
                certificates.client_authority,
            ));
        }
        settings.extend(
            self.settings
                .iter()
                .map(|(key, value)| format!("{{{key}, {value}}}")),
        );
        format!("[{{rabbit, [{}]}}].\n", settings.join(",\n"))
    }
}

/// Erlang takes a cookie that only its owner can read.
fn write_cookie(path: &Path, cookie: &str) -> anyhow::Result<()> {
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(path)?;
    file.write_all(cookie.as_bytes())?;
    Ok(())
}
