//! The connections to the API, and when they are replaced.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, Proxy};
use secrecy::ExposeSecret;

use super::{BuildError, Options};

/// Shorter than the 60 to 75 seconds after which servers and load balancers close an idle connection, so that no
/// call is sent on one that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// After this time without an API answer, connections are replaced and the name is resolved again: a host that has
/// moved may still accept connections at its old address.
const RENEW_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Connections {
    build: Box<dyn Fn() -> ClientBuilder + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    http: reqwest::Client,
    /// Since when the API has not answered, or the connections were last replaced.
    silent_since: Option<Instant>,
}

impl Connections {
    pub(super) fn new(options: &Options) -> Result<Connections, BuildError> {
        let build = builder(options)?;
        let http = build().build().map_err(BuildError::Tls)?;
        Ok(Connections {
            build: Box::new(build),
            state: Mutex::new(State {
                http,
                silent_since: None,
            }),
        })
    }

    pub(super) fn http(&self) -> reqwest::Client {
        let state = self.state.lock();
        state.unwrap_or_else(PoisonError::into_inner).http.clone()
    }

    /// Notes that a call ended at `now`, and whether the API itself answered.
    pub(super) fn answered(&self, by_the_api: bool, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if by_the_api {
            state.silent_since = None;
            return;
        }
        let since = *state.silent_since.get_or_insert(now);
        if now < since + RENEW_AFTER {
            return;
        }
        state.silent_since = Some(now);
        // It could be built before; where it cannot now, the old one is as good.
        if let Ok(http) = (self.build)().build() {
            state.http = http;
        }
    }
}

/// Proxy variables of the environment are ignored: only the configuration sets a proxy.
fn builder(options: &Options) -> Result<impl Fn() -> ClientBuilder + use<>, BuildError> {
    let proxy = options
        .proxy
        .as_ref()
        .map(|url| Proxy::all(url.expose_secret()).map_err(|_| BuildError::Proxy));
    let proxy = proxy.transpose()?;
    let tls_proxy = options
        .proxy
        .as_ref()
        .is_some_and(|url| url.expose_secret().starts_with("https"));
    // Nothing to trust, and a bare container may have no roots to load.
    let without_tls = options.base_url.scheme() == "http" && !tls_proxy;
    let roots = options.ca_pem.as_ref().filter(|_| !without_tls).map(|pem| {
        Certificate::from_pem_bundle(pem)
            .ok()
            .filter(|roots| !roots.is_empty())
            .ok_or(BuildError::TrustRoot)
    });
    let roots = roots.transpose()?.unwrap_or_default();
    let (connect, request) = (options.connect_timeout, options.request_timeout);
    let idle = options.max_idle_connections;
    Ok(move || {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("tagsweep/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect)
            .timeout(request)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(idle)
            .redirect(Policy::none())
            .no_proxy();
        if let Some(proxy) = &proxy {
            http = http.proxy(proxy.clone());
        }
        match without_tls {
            true => http.tls_certs_only([]),
            false => http.tls_certs_merge(roots.clone()),
        }
    })
}
