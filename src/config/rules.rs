//! The rules: combinations that cannot work, one small function each.
//!
//! A rule looks at values and at the files that they name, and at nothing else. Ranges of single
//! numbers are no rules; they stand at the fields.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{Log, Settings, Window};

mod events;
mod im;
mod rabbitmq;
mod timing;

/// What a rule found.
#[derive(Debug)]
pub(super) struct Finding {
    /// The keys that it looked at; the first is the one to change.
    pub keys: Vec<&'static str>,
    /// Which item of the first key's list it is about.
    pub item: Option<usize>,
    /// What is wrong.
    pub text: String,
    pub remedy: Remedy,
}

/// What to write instead.
#[derive(Debug)]
pub(super) enum Remedy {
    /// The text says it.
    InText,
    /// The key's default.
    Default,
    Value(Value),
}

impl Finding {
    fn or(self, value: impl Into<Value>) -> Finding {
        let remedy = Remedy::Value(value.into());
        Finding { remedy, ..self }
    }

    fn or_default(self) -> Finding {
        let remedy = Remedy::Default;
        Finding { remedy, ..self }
    }
}

fn finding<const N: usize>(keys: [&'static str; N], text: impl Into<String>) -> Finding {
    Finding {
        keys: keys.to_vec(),
        item: None,
        text: text.into(),
        remedy: Remedy::InText,
    }
}

/// All that the rules find. No file of a section that is not needed is opened; what ties such a section to others
/// is found all the same.
pub(super) fn check(settings: &Settings, needed: &BTreeSet<String>) -> Vec<Finding> {
    let needs = |section| needed.contains(section);
    let mut found = Vec::new();
    if needs("im") {
        found.extend(im::check(&settings.im));
    }
    found.extend(wait_is_above_zero(&settings.window));
    found.extend(events::check(&settings.events));
    if needs("rabbitmq") {
        found.extend(rabbitmq::check(settings));
    }
    found.extend(timing::check(settings));
    if needs("admin") {
        found.extend(admin_token(settings));
        found.extend(admin_hosts(settings));
    }
    found.extend(log_level(&settings.log));
    found
}

fn wait_is_above_zero(window: &Window) -> Option<Finding> {
    above_zero("window.max_wait", window.max_wait)
}

fn admin_token(settings: &Settings) -> Vec<Finding> {
    let admin = &settings.admin;
    let mut found = Vec::new();
    if admin.token.is_some() && admin.token_file.is_some() {
        found.push(both_forms("admin.token", "admin.token_file"));
    }
    if let Some(Err(error)) = admin.token().map(|token| token.load()) {
        found.push(finding(["admin.token_file"], unreadable_secret(&error)));
    }
    found
}

/// Names as browsers send them, without a port.
fn admin_hosts(settings: &Settings) -> Option<Finding> {
    let is_name = |host: &String| {
        !host.is_empty()
            && host
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "-._".contains(character))
    };
    let hosts = &settings.admin.hosts;
    let wrong = hosts.iter().find(|host| !is_name(host))?;
    let name = wrong.rsplit("://").next().unwrap_or_default();
    let name = name.split(['/', ':']).next().unwrap_or_default();
    let finding = finding(
        ["admin.hosts"],
        format!("{wrong:?} is no host name: no scheme, port or path, and no wildcard"),
    );
    Some(match is_name(&name.to_owned()) {
        true => finding.or(vec![name]),
        false => finding.or_default(),
    })
}

/// `EnvFilter` takes a bare word that is no level for the name of a target, with all of its logs on;
/// so a misspelt level has to be found here.
fn log_level(log: &Log) -> Option<Finding> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |text: &str| LEVELS.contains(&text);
    let is_target = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "_:-".contains(character))
    };
    let fine = log.level.split(',').all(|part| match part.split_once('=') {
        Some((target, level)) => is_target(target) && is_level(level),
        None => is_level(part),
    });
    (!fine).then(|| {
        finding(
            ["log.level"],
            "must be off, error, warn, info, debug or trace, or a list with targets such as warn,tagsweep::shutdown=info",
        )
        .or_default()
    })
}

fn above_zero(key: &'static str, duration: Duration) -> Option<Finding> {
    duration
        .is_zero()
        .then(|| finding([key], "must be above zero").or_default())
}

fn both_forms(text: &'static str, file: &'static str) -> Finding {
    finding(
        [text, file],
        format!("is set together with {file}; remove one of them"),
    )
}

fn unreadable_secret(error: &super::SecretError) -> String {
    format!("{error}; check the path, its permissions and its contents")
}

/// Whether a file can be read and holds PEM.
fn pem_file(key: &'static str, path: Option<&Path>) -> Option<Finding> {
    let error = super::read_pem(path?).err()?;
    Some(finding(
        [key],
        format!("{error}; name a PEM file that this user may read"),
    ))
}
