//! Who has logged in. Sessions live in memory: a restart ends them, and so does a new token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use rustls::crypto::ring::default_provider;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Secret;
use crate::shell::Who;

const NAME: &str = "tagsweep-session";
/// A working day: after that an operator logs in again.
const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// More sessions than operators. The oldest one goes.
const MOST: usize = 100;
/// Wrong tokens in a minute from one address.
const TRIES: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// Addresses whose tries are counted apart. Whoever has more of them shares one count.
const ADDRESSES: usize = 1_000;

type Sha = [u8; 32];

#[derive(Default)]
pub(super) struct Sessions(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// By the hash of the cookie's value, so that no comparison tells how much of a guess is right.
    sessions: HashMap<Sha, Session>,
    tries: Tries,
}

struct Session {
    who: Who,
    since: Instant,
    /// Hash of the token that it was opened with.
    token: Sha,
}

/// Wrong tokens in the present minute.
#[derive(Default)]
struct Tries {
    since: Option<Instant>,
    of: HashMap<IpAddr, u32>,
    of_others: u32,
}

/// Why nobody is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No token is configured, or its file cannot be read.
    NoToken,
    Wrong,
    TooManyTries,
}

/// A session that was opened.
pub(super) struct Opened {
    pub(super) who: Who,
    /// The value of `Set-Cookie`.
    pub(super) cookie: String,
}

impl Sessions {
    pub(super) fn log_in(
        &self,
        given: &str,
        address: IpAddr,
        token: Option<&Secret>,
        now: Instant,
    ) -> Result<Opened, Refused> {
        let expected = hash_of(token).ok_or(Refused::NoToken)?;
        let mut known = self.known();
        let tries = known.tries.of(address, now);
        if *tries >= TRIES {
            return Err(Refused::TooManyTries);
        }
        if !bool::from(sha(given.as_bytes()).ct_eq(&expected)) {
            *tries += 1;
            return Err(Refused::Wrong);
        }
        let mut value = [0; 32];
        let random = default_provider().secure_random;
        random.fill(&mut value).map_err(|_| Refused::NoToken)?;
        let value = hexadecimal(&value);
        let key = sha(value.as_bytes());
        let who = Who {
            // A hash of a hash tells nothing of the cookie.
            session: hexadecimal(&sha(&key)).chars().take(8).collect(),
            address,
        };
        known.insert(
            key,
            Session {
                who: who.clone(),
                since: now,
                token: expected,
            },
        );
        let seconds = LASTS.as_secs();
        let cookie =
            format!("{NAME}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}");
        Ok(Opened { who, cookie })
    }

    /// Ends the session of these headers. Returns whose it was, and the value of `Set-Cookie`.
    pub(super) fn log_out(&self, headers: &HeaderMap) -> (Option<Who>, String) {
        let mut known = self.known();
        let ended = cookie(headers).and_then(|key| known.sessions.remove(&key));
        let cookie = format!("{NAME}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
        (ended.map(|session| session.who), cookie)
    }

    pub(super) fn who(&self, headers: &HeaderMap, token: Option<&Secret>) -> Option<Who> {
        let key = cookie(headers)?;
        let token = hash_of(token)?;
        let known = self.known();
        let session = known.sessions.get(&key)?;
        let valid = session.token == token && session.since.elapsed() < LASTS;
        valid.then(|| session.who.clone())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn insert(&mut self, key: Sha, session: Session) {
        self.sessions
            .retain(|_, session| session.since.elapsed() < LASTS);
        if self.sessions.len() >= MOST {
            let oldest = self
                .sessions
                .iter()
                .min_by_key(|(_, session)| session.since);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.sessions.remove(&oldest);
            }
        }
        self.sessions.insert(key, session);
    }
}

impl Tries {
    fn of(&mut self, address: IpAddr, now: Instant) -> &mut u32 {
        if self.since.is_none_or(|since| now >= since + MINUTE) {
            *self = Tries {
                since: Some(now),
                ..Tries::default()
            };
        }
        match self.of.len() >= ADDRESSES && !self.of.contains_key(&address) {
            true => &mut self.of_others,
            false => self.of.entry(address).or_default(),
        }
    }
}

/// The token as it is now: its file is read anew each time.
fn hash_of(token: Option<&Secret>) -> Option<Sha> {
    let token = token?.load().ok()?;
    Some(sha(token.expose_secret().as_bytes()))
}

/// The hash of the session cookie's value.
fn cookie(headers: &HeaderMap) -> Option<Sha> {
    let lines = headers.get_all(COOKIE).iter();
    let mut pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == NAME)?;
    Some(sha(value.as_bytes()))
}

fn sha(bytes: &[u8]) -> Sha {
    Sha256::digest(bytes).into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn file(token: &str) -> (tempfile::NamedTempFile, Secret) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, token).unwrap();
        let secret = Secret::File(file.path().to_owned());
        (file, secret)
    }

    fn with_cookie(opened: &Opened) -> HeaderMap {
        let pair = opened.cookie.split(';').next().unwrap();
        let line = format!("other=1; {pair}");
        HeaderMap::from_iter([(COOKIE, line.parse().unwrap())])
    }

    #[test]
    fn a_session_is_known_until_it_is_logged_out_or_the_token_changes() {
        let sessions = Sessions::default();
        let (file, token) = file("pa55word-one\n");
        let log_in = |given| sessions.log_in(given, HERE, Some(&token), Instant::now());
        let first = log_in("pa55word-one").ok().unwrap();
        let second = log_in("pa55word-one").ok().unwrap();
        assert_ne!(first.who.session, second.who.session);
        for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
            assert!(first.cookie.contains(attribute), "{}", first.cookie);
        }
        let who = |opened| sessions.who(&with_cookie(opened), Some(&token));
        assert_eq!(who(&first), Some(first.who.clone()));
        assert!(
            !first.cookie.contains(&first.who.session),
            "a name is no secret"
        );
        let (ended, cookie) = sessions.log_out(&with_cookie(&first));
        assert_eq!(ended, Some(first.who.clone()));
        assert!(cookie.contains("Max-Age=0"));
        assert_eq!(
            (who(&first), who(&second)),
            (None, Some(second.who.clone()))
        );
        std::fs::write(&file, "pa55word-two").unwrap();
        assert_eq!(who(&second), None);
        assert_eq!(log_in("pa55word-one").err(), Some(Refused::Wrong));
        assert_eq!(sessions.who(&HeaderMap::new(), Some(&token)), None);
        assert_eq!(sessions.who(&with_cookie(&second), None), None);
    }

    #[test]
    fn ten_wrong_tokens_in_a_minute_are_all_that_an_address_gets() {
        let sessions = Sessions::default();
        let (_file, token) = file("pa55word");
        let start = Instant::now();
        let log_in = |given, address, now| {
            let end = sessions.log_in(given, address, Some(&token), now);
            end.err()
        };
        for _ in 0..10 {
            assert_eq!(log_in("wrong", HERE, start), Some(Refused::Wrong));
        }
        assert_eq!(log_in("pa55word", HERE, start), Some(Refused::TooManyTries));
        let there = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(log_in("pa55word", there, start), None);
        assert_eq!(log_in("pa55word", HERE, start + MINUTE), None);
    }

    #[test]
    fn without_a_token_nobody_logs_in_even_with_an_empty_one() {
        let sessions = Sessions::default();
        let end = sessions.log_in("", HERE, None, Instant::now());
        assert_eq!(end.err(), Some(Refused::NoToken));
        let (_file, empty) = file("");
        let end = sessions.log_in("", HERE, Some(&empty), Instant::now());
        assert_eq!(end.err(), Some(Refused::NoToken));
    }
}
