//! One RabbitMQ node: its start, its end and its faults.

mod builder;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
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

pub(super) use self::builder::Membership;
pub use self::builder::{Builder, ClientCertificate};

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

fn success(status: ExitStatus) -> anyhow::Result<()> {
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}
