//! One RabbitMQ node: its start, its end and its faults.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::timeout;

use super::console::{self, Console};
use super::guard::{self, Guard};
use super::installation::Installation;
use super::vhost::{Vhost, binary};
use crate::port::ReservedPort;
use crate::tls::Certificates;

/// A start takes some seconds of CPU; a busy machine makes minutes of them.
const START_TIMEOUT: Duration = Duration::from_secs(180);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
const CTL_TIMEOUT: Duration = Duration::from_secs(60);

/// A private RabbitMQ node. Dropping it kills the node and everything it has
/// started, removes its data and returns when both are done.
#[derive(Debug)]
pub struct Node {
    // Dropped in this order: first the VM, then whatever it leaves, and the
    // ports last, when nobody uses them any more.
    vm: Option<Vm>,
    guard: Guard,
    installation: Installation,
    name: String,
    amqp: ReservedPort,
    amqps: Option<ReservedPort>,
    // Shared by the nodes of a cluster.
    epmd: Arc<ReservedPort>,
}

#[derive(Debug)]
struct Vm {
    process: Child,
    console: Console,
}

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
pub(super) struct Membership {
    pub(super) cookie: String,
    pub(super) epmd: Arc<ReservedPort>,
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

    pub(super) fn member_of(mut self, cluster: &Membership) -> Self {
        self.member_of = Some(cluster.clone());
        self
    }

    /// Starts the node and returns when it takes connections.
    ///
    /// # Errors
    ///
    /// When RabbitMQ is not installed (the text says how to mend it) or does
    /// not start (the text holds what it said last). Nothing is left behind.
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

impl Node {
    pub async fn start() -> anyhow::Result<Self> {
        Self::builder().start().await
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it was started and neither stopped nor killed since.
    pub fn is_running(&self) -> bool {
        self.vm.is_some()
    }

    /// The AMQP port on 127.0.0.1. It stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.amqp.number()
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port()))
    }

    /// The port with TLS on 127.0.0.1, for a node built with [`Builder::tls`].
    pub fn tls_port(&self) -> Option<u16> {
        self.amqps.as_ref().map(ReservedPort::number)
    }

    /// AMQP URL of the default virtual host, for `guest`.
    pub fn url(&self) -> String {
        self.default_vhost().url()
    }

    /// The virtual host `/`.
    pub fn default_vhost(&self) -> Vhost<'_> {
        Vhost::new(self, "/".to_owned())
    }

    /// A new virtual host with a random name, open to `guest`.
    pub async fn vhost(&self) -> anyhow::Result<Vhost<'_>> {
        let name = super::unique("test");
        self.eval(&format!(
            "Name = {name}, Guest = <<\"guest\">>, All = <<\".*\">>, \
             ok = rabbit_vhost:add(Name, Guest), \
             ok = rabbit_auth_backend_internal:set_permissions(Guest, Name, All, All, All, Guest)",
            name = binary(&name),
        ))
        .await?;
        Ok(Vhost::new(self, name))
    }

    /// RabbitMQ's version, such as `3.10.8`.
    pub async fn version(&self) -> anyhow::Result<String> {
        let version = self.eval("rabbit_misc:version()").await?;
        Ok(version.trim_matches('"').to_owned())
    }

    /// The value of Erlang expressions evaluated inside the node, as a printed
    /// term on one line. Takes milliseconds. Comments are not understood.
    pub async fn eval(&self, code: &str) -> anyhow::Result<String> {
        self.vm()?.console.eval(code).await
    }

    /// What `rabbitmqctl` prints for these arguments. Every call is an Erlang
    /// VM of its own and takes a second of CPU or two: prefer [`Node::eval`]
    /// and [`Vhost`] where a test asks often.
    pub async fn ctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command(&self.installation.ctl());
        command.arg("--quiet").args(arguments).stdin(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        let output = timeout(CTL_TIMEOUT, command.kill_on_drop(true).output())
            .await
            .with_context(|| format!("rabbitmqctl {arguments:?} does not end"))?
            .context("cannot run rabbitmqctl")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("rabbitmqctl {arguments:?} failed: {said}");
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends the node in an orderly way, as a SIGTERM would. Data stay for
    /// [`Node::start_again`].
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let mut vm = self.vm.take().context("the node does not run")?;
        vm.console.eval("init:stop()").await?;
        timeout(STOP_TIMEOUT, vm.console.closed())
            .await
            .context("the node does not stop")?;
        vm.process.wait()?;
        Ok(())
    }

    /// Kills the Erlang VM with SIGKILL, as a power cut would. What was
    /// confirmed stays for [`Node::start_again`].
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut vm = self.vm.take().context("the node does not run")?;
        vm.process.kill()?;
        vm.process.wait()?;
        Ok(())
    }

    /// Starts a stopped or killed node on the same ports and data.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        if self.vm.is_some() {
            bail!("the node runs already");
        }
        let vm = self.vm.insert(spawn(self.server_command()?)?);
        let started = timeout(START_TIMEOUT, vm.console.ready())
            .await
            .context("it takes too long")
            .and_then(|ready| ready);
        if let Err(error) = started {
            let said = vm.console.last_lines();
            let cried = fs::read_to_string(self.file("stderr")).unwrap_or_default();
            self.kill()?;
            return Err(error.context(format!("RabbitMQ does not start:\n{said}{cried}")));
        }
        Ok(())
    }

    /// Freezes the node (SIGSTOP): connections stay open, nothing answers.
    pub async fn pause(&mut self) -> anyhow::Result<()> {
        self.signal("STOP").await
    }

    /// Undoes [`Node::pause`].
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        self.signal("CONT").await
    }

    /// Raises the memory alarm: the broker stops reading from connections that
    /// publish and tells them so (`connection.blocked`).
    pub async fn raise_memory_alarm(&mut self) -> anyhow::Result<()> {
        self.set_alarm("memory").await
    }

    /// Undoes [`Node::raise_memory_alarm`].
    pub async fn clear_memory_alarm(&mut self) -> anyhow::Result<()> {
        self.clear_alarm("memory").await
    }

    /// Raises the alarm of a disk that is almost full; to clients it is the same as that of the memory.
    pub async fn raise_disk_alarm(&mut self) -> anyhow::Result<()> {
        self.set_alarm("disk").await
    }

    /// Undoes [`Node::raise_disk_alarm`].
    pub async fn clear_disk_alarm(&mut self) -> anyhow::Result<()> {
        self.clear_alarm("disk").await
    }

    async fn set_alarm(&self, resource: &str) -> anyhow::Result<()> {
        let alarm = format!("{{{{resource_limit, {resource}, node()}}, []}}");
        self.eval(&format!("rabbit_alarm:set_alarm({alarm})"))
            .await
            .map(drop)
    }

    async fn clear_alarm(&self, resource: &str) -> anyhow::Result<()> {
        let alarm = format!("{{resource_limit, {resource}, node()}}");
        self.eval(&format!("rabbit_alarm:clear_alarm({alarm})"))
            .await
            .map(drop)
    }

    /// Where the node's files are; its log is `log/node.log` there.
    pub fn folder(&self) -> &Path {
        self.guard.folder()
    }

    /// An environment variable for other processes that shall not outlive the node: whoever bears it
    /// is killed when the node's owner ends, however that ends.
    pub fn mark(&self) -> (&'static str, &Path) {
        (guard::MARK, self.folder())
    }

    fn vm(&self) -> anyhow::Result<&Vm> {
        self.vm.as_ref().context("the node does not run")
    }

    async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let pid = self.vm()?.process.id().to_string();
        let status = tokio::process::Command::new("/bin/sh")
            .args(["-c", r#"kill -s "$1" "$2""#, "kill", signal, &pid])
            .status()
            .await?;
        success(status).with_context(|| format!("cannot send SIG{signal} to the Erlang VM"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.guard.folder().join(name)
    }

    fn server_command(&self) -> anyhow::Result<Command> {
        let mut command = self.command(&self.installation.server());
        command
            .args(["-sname", &self.name])
            .args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"])
            // 0 lets the operating system choose; epmd tells it to whom it matters.
            .args([
                "-kernel",
                "inet_dist_listen_min",
                "0",
                "inet_dist_listen_max",
                "0",
            ])
            .args(["-noshell", "-eval", console::PROGRAM])
            // Leaves standard input to us, and the script becomes the VM
            // instead of waiting for it: its process ID is the VM's.
            .env("RABBITMQ_ALLOW_INPUT", "true")
            // Leaves the boot to our program.
            .env("RABBITMQ_NODE_ONLY", "true")
            .env("RABBITMQ_PLUGINS_DIR", self.file("plugins"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(self.file("stderr"))?)
            .process_group(0);
        Ok(command)
    }

    /// A command of this installation that deals with this node and looks at
    /// no file outside its folder.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.guard.folder())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("HOME", self.file("home"))
            .env(guard::MARK, self.guard.folder())
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.epmd.number().to_string())
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_CONF_ENV_FILE", self.file("rabbitmq-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", self.file("none"))
            .env("RABBITMQ_CONFIG_FILES", self.file("none.d"))
            .env(
                "RABBITMQ_ADVANCED_CONFIG_FILE",
                self.file("advanced.config"),
            )
            .env("RABBITMQ_GENERATED_CONFIG_DIR", self.file("generated"))
            .env(
                "RABBITMQ_ENABLED_PLUGINS_FILE",
                self.file("enabled_plugins"),
            )
            .env("RABBITMQ_MNESIA_BASE", self.file("mnesia"))
            .env("RABBITMQ_LOG_BASE", self.file("log"))
            .env("RABBITMQ_LOGS", self.file("log/node.log"))
            .env("RABBITMQ_PID_FILE", self.file("pid"))
            .env("RABBITMQ_CTL_DIST_PORT_MIN", "0")
            .env("RABBITMQ_CTL_DIST_PORT_MAX", "0")
            .env(
                "RABBITMQ_CTL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            );
        command
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(mut command: Command) -> anyhow::Result<Vm> {
    let mut process = command.spawn().context("cannot run rabbitmq-server")?;
    let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
        bail!("the Erlang VM has no pipes");
    };
    Ok(Vm {
        process,
        console: Console::new(input, output),
    })
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

fn success(status: ExitStatus) -> anyhow::Result<()> {
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}
