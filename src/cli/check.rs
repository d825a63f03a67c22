//! `tagsweep check`: is everything outside as the worker needs it?

use std::path::PathBuf;

use jiff::SignedDuration;
use serde::Serialize;

use super::{Failure, print_out};
use crate::config::Settings;
use crate::engine::error_code;
use crate::im::{Client, Reply};
use crate::rabbitmq::{self, Outcome};
use crate::worker;

/// A clock that is further off than this makes UserSigs fail sooner or later.
const SKEW_LIMIT: SignedDuration = SignedDuration::from_secs(60);

#[derive(clap::Args)]
#[command(after_help = "Example: tagsweep --config /etc/tagsweep/config.toml check")]
pub(super) struct Arguments {
    /// Stop after the configuration: connect to nothing.
    #[arg(long)]
    offline: bool,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

/// One line of the outcome.
#[derive(Serialize)]
struct Line {
    what: &'static str,
    outcome: &'static str,
    detail: String,
}

pub(super) fn run(files: &[PathBuf], arguments: &Arguments) -> Result<(), Failure> {
    let settings = super::settings(files)?;
    let mut lines = vec![line("configuration", "ok", "in order")];
    lines.extend(
        settings
            .warnings()
            .into_iter()
            .map(|warning| line("configuration", "warn", warning)),
    );
    if !arguments.offline {
        super::runtime()?.block_on(outside(&settings, &mut lines))?;
    }
    if arguments.json {
        print_out!("{}", serde_json::to_string_pretty(&lines)?);
    } else {
        for Line {
            what,
            outcome,
            detail,
        } in &lines
        {
            print_out!("{outcome:<5}{what}: {detail}");
        }
    }
    let failed = lines.iter().any(|line| line.outcome == "fail");
    if failed { Err(Failure::Silent) } else { Ok(()) }
}

async fn outside(settings: &Settings, lines: &mut Vec<Line>) -> Result<(), Failure> {
    for finding in rabbitmq::inspect(&worker::broker_options(settings)?).await {
        let outcome = match finding.outcome {
            Outcome::Ok => "ok",
            Outcome::Warn => "warn",
            Outcome::Fail => "fail",
        };
        lines.push(line(finding.what, outcome, finding.detail));
    }
    let client = Client::new(worker::client_options(&settings.im)?)?;
    lines.push(api(&client.probe().await));
    lines.extend(client.clock_skew().map(clock));
    Ok(())
}

/// What the API says to `im_get_tag` of the admin itself, which changes nothing.
fn api(reply: &Reply) -> Line {
    let line = |outcome, detail: String| line("API and UserSig", outcome, detail);
    match reply {
        Reply::Done { .. } => line(
            "ok",
            "im_get_tag of the admin itself was answered".to_owned(),
        ),
        Reply::Refused(code) => {
            let advice = error_code(*code).map_or("in no published table", |known| known.meaning);
            line(
                "fail",
                format!("error code {code}: {advice} (more: tagsweep explain {code})"),
            )
        }
        Reply::Unclear => line(
            "fail",
            "the answer is none of this API: check im.base_url and im.path".to_owned(),
        ),
        Reply::Fault(fault) => line(
            "fail",
            format!("{fault}: check im.base_url and the way to it"),
        ),
    }
}

fn clock(skew: SignedDuration) -> Line {
    let seconds = skew.as_secs();
    if skew.abs() > SKEW_LIMIT {
        let detail = format!(
            "{seconds} s between this machine and the API: set the clock, or UserSigs will fail"
        );
        line("clock", "warn", detail)
    } else {
        line(
            "clock",
            "ok",
            format!("{seconds} s between this machine and the API"),
        )
    }
}

fn line(what: &'static str, outcome: &'static str, detail: impl Into<String>) -> Line {
    Line {
        what,
        outcome,
        detail: detail.into(),
    }
}
