//! Options of a simulator; most can be changed while it runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::faults::Rule;
use crate::tls::Tls;
use crate::users::UnknownAccounts;

/// How to start a [`Simulator`](crate::Simulator). It has no `Debug`: it holds a key, and rules may name users.
#[derive(Clone)]
pub struct Options {
    pub listen: SocketAddr,
    /// `None`: plain HTTP.
    pub tls: Option<Tls>,
    pub sdk_app_id: u64,
    /// As the console shows it; never hex-decoded.
    pub secret_key: String,
    /// Accounts with the admin right. The app knows them without an import.
    pub admins: Vec<String>,
    /// The quota of each interface, counted over a sliding second; `None`: no quota.
    pub calls_per_second: Option<u32>,
    /// Before each answer. The work is done, and the quota counted, at arrival.
    pub latency: Duration,
    /// Adds a uniformly random part of this to `latency`.
    pub latency_jitter: Duration,
    pub unknown_accounts: UnknownAccounts,
    /// 90045 for every call while false.
    pub feature_enabled: bool,
    /// So many bad UserSigs in a row are answered with 70050 for a minute; `None`: never.
    pub lock_out_after: Option<u32>,
    /// How far the API's clock is ahead of this machine's: by it UserSigs expire and answers are dated.
    pub clock_ahead: Duration,
    /// Fault rules to begin with.
    pub faults: Vec<Rule>,
    /// For the faults' probabilities and the jitter.
    pub seed: u64,
    /// The journal drops its oldest entries beyond this.
    pub journal_capacity: usize,
    /// Keeps the user IDs of each call in the journal.
    pub journal_users: bool,
}

impl Default for Options {
    /// A free port of 127.0.0.1, Tencent's public demo key, `administrator`, the documented quota.
    fn default() -> Options {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            sdk_app_id: 1_400_000_000,
            secret_key: "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"
                .to_owned(),
            admins: vec!["administrator".to_owned()],
            calls_per_second: Some(100),
            latency: Duration::ZERO,
            latency_jitter: Duration::ZERO,
            unknown_accounts: UnknownAccounts::default(),
            feature_enabled: true,
            lock_out_after: None,
            clock_ahead: Duration::ZERO,
            faults: vec![],
            seed: 0,
            journal_capacity: 100_000,
            journal_users: false,
        }
    }
}
