//! `tagsweep check`: is everything outside as the worker needs it?

use jiff::SignedDuration;
use serde_json::json;

use super::{CONFIGURATION_REFUSED, FAILED, Failure, Globals, output};
use crate::config::Settings;
use crate::engine::{Class, class, error_code, http_status};
use crate::event::UserId;
use crate::im::{Client, Reply, SKEW_LIMIT};
use crate::rabbitmq::{self, Finding, Outcome};
use crate::{shell, worker};

const CONFIGURATION: &str = "configuration";
const API: &str = "API and UserSig";
const CONTROL_USER: &str = "control user";
const CLOCK: &str = "clock";
/// The longest name of a part: the details begin in one column.
const WIDTH: usize = "queues and exchanges".len();

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  tagsweep --config /etc/tagsweep/config.toml check\n\n\
                  With rabbitmq.declare = true, queues and exchanges that are missing are made, as run would."
)]
pub(super) struct Arguments {
    /// Stop after the configuration: connect to nothing.
    #[arg(long)]
    offline: bool,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<(), Failure> {
    let mut report = Report {
        json: arguments.json,
        colour: output::takes_colour(&std::io::stdout()),
        findings: Vec::new(),
    };
    let exit_code = match globals.load::<Settings>() {
        Ok(settings) => {
            report.add(CONFIGURATION, Outcome::Ok, "in order")?;
            for warning in settings.warnings() {
                report.add(CONFIGURATION, Outcome::Warn, warning)?;
            }
            if !arguments.offline {
                super::block_on(outside(&settings, &mut report))?;
            }
            FAILED
        }
        Err(problems) => {
            for problem in &problems.0 {
                report.add(CONFIGURATION, Outcome::Fail, problem.to_string())?;
            }
            CONFIGURATION_REFUSED
        }
    };
    report.finish(exit_code)
}

async fn outside(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    for Finding {
        what,
        outcome,
        detail,
    } in rabbitmq::inspect(&worker::broker_options(
        &settings.rabbitmq,
        settings.prefetch(),
    )?)
    .await
    {
        report.add(what, outcome, detail)?;
    }
    let client = Client::new(shell::client_options(&settings.im)?)?;
    let (outcome, detail) = api(&client.probe().await);
    report.add(API, outcome, detail)?;
    let control_user = UserId::parse(&settings.im.control_user);
    if outcome == Outcome::Ok
        && let Ok(user) = control_user
        && let Some((outcome, detail)) = control(&client.probe_user(user).await)
    {
        report.add(CONTROL_USER, outcome, detail)?;
    }
    if let Some(skew) = client.clock_skew() {
        let (outcome, detail) = clock(skew);
        report.add(CLOCK, outcome, detail)?;
    }
    Ok(())
}

/// What the API says to `im_get_tag` of the admin itself, which changes nothing.
fn api(reply: &Reply) -> (Outcome, String) {
    match reply {
        Reply::Done { .. } => (
            Outcome::Ok,
            "im_get_tag of the admin itself was answered".to_owned(),
        ),
        Reply::Refused(code) => {
            let meaning = error_code(*code).map_or("in no published table", |known| known.meaning);
            (
                Outcome::Fail,
                format!("error code {code}: {meaning} (more: tagsweep explain {code})"),
            )
        }
        Reply::Unclear => (
            Outcome::Fail,
            "the answer is none of this API: check im.base_url and im.path".to_owned(),
        ),
        Reply::Http(answer) => {
            let status = answer.status;
            let known = http_status(status, answer.retry_after.is_some());
            let to = answer.redirect_host.as_ref();
            let to = to.map_or_else(String::new, |host| format!(" to {host}"));
            (
                Outcome::Fail,
                format!("HTTP status {status}{to}: {}", known.meaning),
            )
        }
        Reply::Fault(fault) => (
            Outcome::Fail,
            format!("{fault}: check im.base_url and the way to it"),
        ),
    }
}

/// What the API says to `im_get_tag` of the control user. How it tells that an account is unknown is not
/// documented: it may do so for the whole call, in `ErrorList`, or not at all. Any other error says nothing of this.
fn control(reply: &Reply) -> Option<(Outcome, String)> {
    let code = match reply {
        Reply::Done { failed, .. } => failed.first().map(|(_, code)| *code),
        Reply::Refused(code) => Some(*code),
        Reply::Unclear | Reply::Http(_) | Reply::Fault(_) => return None,
    };
    match code {
        None => Some((
            Outcome::Ok,
            "im_get_tag of im.control_user was answered".to_owned(),
        )),
        Some(code) if class(code) == Class::Missing => Some((
            Outcome::Warn,
            "the account im.control_user does not exist: import it once (account_import), so that calls for it show that the API works for real accounts".to_owned(),
        )),
        Some(_) => None,
    }
}

fn clock(skew: SignedDuration) -> (Outcome, String) {
    let seconds = skew.as_secs();
    let difference = format!("{seconds} s ahead of the API's");
    if skew.abs() > SKEW_LIMIT {
        (
            Outcome::Warn,
            format!("{difference}: set this machine's clock, or UserSigs will fail"),
        )
    } else {
        (Outcome::Ok, difference)
    }
}

/// What was found so far. As text it is printed at once, because a part that does not answer takes
/// its time; as JSON at the end.
struct Report {
    json: bool,
    colour: bool,
    findings: Vec<Finding>,
}

impl Report {
    fn add(
        &mut self,
        what: &'static str,
        outcome: Outcome,
        detail: impl Into<String>,
    ) -> Result<(), Failure> {
        let detail = detail.into();
        if !self.json {
            let (word, colour) = shown(outcome);
            let word = format!("{word:<4}");
            let word = match self.colour {
                true => format!("{colour}{word}\x1b[0m"),
                false => word,
            };
            output::print(format_args!("{word}  {what:<WIDTH$}  {detail}"))?;
        }
        self.findings.push(Finding {
            what,
            outcome,
            detail,
        });
        Ok(())
    }

    fn finish(self, exit_code: u8) -> Result<(), Failure> {
        if self.json {
            let findings: Vec<_> = self
                .findings
                .iter()
                .map(|finding| {
                    json!({
                        "what": finding.what,
                        "outcome": shown(finding.outcome).0,
                        "detail": finding.detail,
                    })
                })
                .collect();
            output::print(serde_json::to_string_pretty(&findings)?)?;
        }
        let mut outcomes = self.findings.iter().map(|finding| finding.outcome);
        match outcomes.any(|outcome| outcome == Outcome::Fail) {
            true => Err(Failure::Said(exit_code)),
            false => Ok(()),
        }
    }
}

/// The word of an outcome, and the colour of that word on a terminal.
fn shown(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Ok => ("ok", "\x1b[32m"),
        Outcome::Warn => ("warn", "\x1b[33m"),
        Outcome::Fail => ("fail", "\x1b[31m"),
    }
}
