//! `tagsweep check`: is everything outside as the worker needs it?

use std::path::PathBuf;
use std::time::{Duration, Instant};

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
const WIDTH: usize = "dead-letter exchange".len();
const DETAIL_COLUMN: usize = "fail  ".len() + WIDTH + "  ".len();

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tagsweep --config /etc/tagsweep/config.toml check\n  \
                  tagsweep check --declare --deny-warnings\n\n\
                  Without --declare, nothing is changed on the broker. To test the dead-letter route,\n\
                  one message is published that expires at once.\n\n\
                  Exit codes: 0 no check failed, 1 a check failed, 78 invalid configuration."
)]
pub(super) struct Arguments {
    /// Stop after the configuration: connect to nothing.
    #[arg(long)]
    offline: bool,
    /// Create the exchanges, queues and bindings that are missing.
    #[arg(long, conflicts_with = "offline")]
    declare: bool,
    /// Exit with 1 if there are warnings.
    #[arg(long)]
    deny_warnings: bool,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<(), Failure> {
    let mut report = Report {
        json: arguments.json,
        quiet: globals.is_quiet(),
        colour: output::takes_colour(&std::io::stdout()),
        findings: Vec::new(),
    };
    let loaded = globals.sources().and_then(|sources| {
        let settings: Settings = sources.load()?;
        Ok((settings, sources))
    });
    let exit_code = match loaded {
        Ok((settings, sources)) => {
            report.add(CONFIGURATION, Outcome::Ok, valid(&sources.files))?;
            for warning in settings.warnings() {
                report.add(CONFIGURATION, Outcome::Warn, warning)?;
            }
            if !arguments.offline {
                super::block_on(outside(&settings, arguments.declare, &mut report))?;
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
    report.finish(exit_code, arguments.deny_warnings)
}

fn valid(files: &[PathBuf]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    match files.as_slice() {
        [] => "valid: no file, environment and defaults only".to_owned(),
        files => format!("valid: {}", files.join(", ")),
    }
}

async fn outside(settings: &Settings, declare: bool, report: &mut Report) -> Result<(), Failure> {
    let options = worker::broker_options(&settings.rabbitmq, settings.prefetch())?;
    for finding in rabbitmq::inspect(&options, declare).await {
        report.add(finding.what, finding.outcome, finding.detail)?;
    }
    let client = Client::new(shell::client_options(&settings.im)?)?;
    let asked = Instant::now();
    let reply = client.probe().await;
    let (outcome, detail) = api(&reply, settings.im.base_url.as_str(), asked.elapsed());
    report.add(API, outcome, detail)?;
    let control_user = UserId::parse(&settings.im.control_user);
    if outcome == Outcome::Ok
        && let Ok(user) = control_user
        && let Some((outcome, detail)) = control(&client.probe_user(user).await)
    {
        report.add(CONTROL_USER, outcome, detail)?;
    }
    // Who does not answer tells no time.
    if !matches!(reply, Reply::Fault(_)) {
        let (outcome, detail) = clock(client.clock_skew());
        report.add(CLOCK, outcome, detail)?;
    }
    Ok(())
}

/// What the API says to `im_get_tag` of the admin itself, which changes nothing.
fn api(reply: &Reply, base_url: &str, took: Duration) -> (Outcome, String) {
    match reply {
        Reply::Done { .. } => (
            Outcome::Ok,
            format!("{base_url} answered im_get_tag in {} ms", took.as_millis()),
        ),
        Reply::Refused(code) => {
            let meaning = error_code(*code).map_or("in no published table", |known| known.meaning);
            (
                Outcome::Fail,
                format!("error code {code}: {meaning} (what to do: `tagsweep explain {code}`)"),
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

/// How far this machine's clock is ahead of the API's, as far as its answers tell.
fn clock(skew: Option<SignedDuration>) -> (Outcome, String) {
    let Some(skew) = skew else {
        let detail = "not compared: the API's answer has no Date header; check that this machine's clock is synchronised";
        return (Outcome::Warn, detail.to_owned());
    };
    let seconds = skew.as_secs();
    let difference = match seconds {
        0 => "in step with the API's".to_owned(),
        1.. => format!("{seconds} s ahead of the API's"),
        _ => format!("{} s behind the API's", -seconds),
    };
    match skew.abs() > SKEW_LIMIT {
        true => (
            Outcome::Warn,
            format!("{difference}: set this machine's clock, or the API will refuse UserSigs"),
        ),
        false => (Outcome::Ok, difference),
    }
}

/// What was found so far. As text it is printed at once, because a part that does not answer takes
/// its time; as JSON at the end.
struct Report {
    json: bool,
    /// Only what is wrong is printed.
    quiet: bool,
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
        if !self.json && !(self.quiet && outcome == Outcome::Ok) {
            let (word, colour) = shown(outcome);
            let word = self.coloured(&format!("{word:<4}"), colour);
            let detail = output::hanging(&detail, DETAIL_COLUMN);
            output::print(format_args!("{word}  {what:<WIDTH$}  {detail}"))?;
        }
        self.findings.push(Finding {
            what,
            outcome,
            detail,
        });
        Ok(())
    }

    fn finish(self, exit_code: u8, deny_warnings: bool) -> Result<(), Failure> {
        let count = |outcome| {
            let findings = self.findings.iter();
            findings
                .filter(|finding| finding.outcome == outcome)
                .count()
        };
        let [ok, warnings, failures] = [Outcome::Ok, Outcome::Warn, Outcome::Fail].map(count);
        if self.json {
            output::print(self.as_json()?)?;
        } else if !self.quiet {
            let (_, colour) = shown(match (failures, warnings) {
                (0, 0) => Outcome::Ok,
                (0, _) => Outcome::Warn,
                _ => Outcome::Fail,
            });
            let summary = format!(
                "{ok} ok, {}, {}",
                output::counted(warnings, "warning"),
                output::counted(failures, "failure")
            );
            output::print(format_args!("\n{}", self.coloured(&summary, colour)))?;
        }
        match failures > 0 || (deny_warnings && warnings > 0) {
            true => Err(Failure::Said(exit_code)),
            false => Ok(()),
        }
    }

    fn as_json(&self) -> serde_json::Result<String> {
        let findings = self.findings.iter().map(|finding| {
            json!({
                "what": finding.what,
                "outcome": shown(finding.outcome).0,
                "detail": finding.detail,
            })
        });
        serde_json::to_string_pretty(&Vec::from_iter(findings))
    }

    fn coloured(&self, text: &str, colour: &str) -> String {
        match self.colour {
            true => format!("{colour}{text}\x1b[0m"),
            false => text.to_owned(),
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
