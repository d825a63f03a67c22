//! The simulator as a program of its own. Prints `listening on http://…` (`https` with TLS) when it is
//! ready, and ends with 0 on SIGTERM or SIGINT.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgAction, Parser};
use im_simulator::{Options, Rule, Simulator, Tls, UnknownAccounts, duration};
use tokio::signal::unix::{SignalKind, signal};

const HEALTHY_WITHIN: Duration = Duration::from_secs(2);

/// A stand-in for the tag interface of Tencent Cloud Chat.
///
/// What it saw is at GET /_sim/stats and /_sim/journal; POST and DELETE /_sim/faults script faults;
/// POST /_sim/users imports users.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Address, or a port of 127.0.0.1; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_parser = address)]
    listen: SocketAddr,
    /// Serve HTTPS, with an authority made for this run; its certificate is written to DIR/ca.pem
    #[arg(long, value_name = "DIR")]
    tls_dir: Option<PathBuf>,
    /// A host name or address that the certificate is for; may be given several times
    #[arg(long, value_name = "NAME", default_values = ["localhost", "127.0.0.1"], requires = "tls_dir")]
    tls_name: Vec<String>,
    /// Only see whether something listens at that address, and end with 0 or 1
    #[arg(long)]
    healthy: bool,
    #[arg(long, default_value_t = Options::default().sdk_app_id)]
    sdk_app_id: u64,
    /// Signs UserSigs; Tencent's public demo key unless given
    #[arg(long, env = "IM_SIMULATOR_SECRET_KEY", hide_env_values = true)]
    secret_key: Option<String>,
    /// An App admin; may be given several times
    #[arg(long = "admin", default_value = "administrator")]
    admins: Vec<String>,
    /// Quota of each interface in any sliding second; 0: none
    #[arg(long, default_value_t = 100)]
    calls_per_second: u32,
    /// Wait before each answer, such as 20ms
    #[arg(long, default_value = "0ms", value_parser = duration)]
    latency: Duration,
    /// Uniformly random addition to the latency
    #[arg(long, default_value = "0ms", value_parser = duration)]
    latency_jitter: Duration,
    /// What happens to users who were not imported
    #[arg(long, value_enum, default_value_t)]
    unknown_accounts: UnknownAccounts,
    /// With false, every call is answered with 90045
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    feature_enabled: bool,
    /// So many bad UserSigs in a row are answered with 70050 for a minute
    #[arg(long)]
    lock_out_after: Option<u32>,
    /// How far the API's clock is ahead, such as 25h
    #[arg(long, default_value = "0ms", value_parser = duration)]
    clock_ahead: Duration,
    /// A fault rule, such as 91000:p=0.05 or hang:next=3 or reset:p=0.01,for=30s or delay=2s:user=alice;
    /// may be given several times
    #[arg(long = "fault")]
    faults: Vec<Rule>,
    /// For probabilities and jitter
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Calls kept in the journal
    #[arg(long, default_value_t = Options::default().journal_capacity)]
    journal_capacity: usize,
    /// Keep user IDs in the journal
    #[arg(long)]
    journal_users: bool,
}

impl From<Arguments> for Options {
    fn from(arguments: Arguments) -> Options {
        Options {
            listen: arguments.listen,
            tls: arguments.tls_dir.map(|folder| Tls {
                folder,
                names: arguments.tls_name,
            }),
            sdk_app_id: arguments.sdk_app_id,
            secret_key: arguments
                .secret_key
                .unwrap_or_else(|| Options::default().secret_key),
            admins: arguments.admins,
            calls_per_second: Some(arguments.calls_per_second).filter(|&quota| quota > 0),
            latency: arguments.latency,
            latency_jitter: arguments.latency_jitter,
            unknown_accounts: arguments.unknown_accounts,
            feature_enabled: arguments.feature_enabled,
            lock_out_after: arguments.lock_out_after,
            clock_ahead: arguments.clock_ahead,
            faults: arguments.faults,
            seed: arguments.seed,
            journal_capacity: arguments.journal_capacity,
            journal_users: arguments.journal_users,
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, std::net::AddrParseError> {
    match text.parse() {
        Ok(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => text.parse(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.healthy {
        TcpStream::connect_timeout(&arguments.listen, HEALTHY_WITHIN).context("nobody listens")?;
        return Ok(());
    }
    let options = Options::from(arguments);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let simulator = Simulator::start(options).await.context("failed to start")?;
    writeln!(std::io::stdout(), "listening on {}", simulator.url())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
