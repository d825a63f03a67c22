//! `tagsweep publish`: one event per user, confirmed by the broker.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{ArgGroup, ValueEnum};
use indicatif::ProgressBar;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Failure, Globals, output};
use crate::config::{Events, RabbitMq};
use crate::event::UserId;
use crate::rabbitmq::{self, PublishError, Publisher, Publishing};
use crate::shutdown::Signals;
use crate::worker;

#[derive(clap::Args)]
#[command(
    group = ArgGroup::new("whom").args(["users", "file"]).required(true).multiple(true),
    after_help = "Examples:\n  tagsweep publish alice bob\n  \
                  tagsweep publish --reason reset --file users.txt\n  \
                  tail -n +2 export.csv | cut -d, -f1 | tagsweep publish --dry-run --file -\n\n\
                  Exit codes: 0 all events confirmed, 1 not all, 78 invalid configuration."
)]
pub(super) struct Arguments {
    /// User IDs.
    #[arg(value_name = "USER")]
    users: Vec<String>,
    /// A file with one user ID a line; - for standard input. Blank lines and lines that begin with # are skipped.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What happened to the users.
    #[arg(long, value_enum, default_value_t = Reason::Deleted)]
    reason: Reason,
    /// Check the user IDs and publish nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON object at the end.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Reason {
    Deleted,
    Reset,
}

impl Reason {
    fn event_type(self) -> &'static str {
        match self {
            Reason::Deleted => "user.deleted",
            Reason::Reset => "user.reset",
        }
    }
}

/// All that it needs to know.
#[derive(Deserialize, JsonSchema)]
struct Settings {
    rabbitmq: RabbitMq,
    events: Events,
}

pub(super) fn run(globals: &Globals, arguments: Arguments) -> Result<(), Failure> {
    let Settings { rabbitmq, events } = globals.settings()?;
    let kind = arguments.reason.event_type();
    acted_on(kind, &events)?;
    let users = users(arguments.users, arguments.file.as_deref())?;
    let count = users.len();
    if arguments.dry_run {
        return match arguments.json {
            true => output::print(json!({ "events": count, "confirmed": 0 })),
            false => output::print(format_args!(
                "{} of type {kind} would be published to {:?}",
                output::counted(count, "event"),
                rabbitmq.exchange
            )),
        };
    }
    let options = worker::broker_options(&rabbitmq, 0)?;
    let bar = match globals.is_quiet() {
        true => ProgressBar::hidden(),
        false => progress_bar(count),
    };
    let end = super::block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            end = publish_all(options, &users, kind, &bar) => Ok(end?),
            signal = signals.next() => Err(anyhow::anyhow!("stopped by {signal}; events on the way may be in the queue too").into()),
        }
    });
    let confirmed = bar.position();
    bar.finish_and_clear();
    if arguments.json {
        output::print(json!({ "events": count, "confirmed": confirmed }))?;
    }
    match end {
        Ok(()) if arguments.json || globals.is_quiet() => Ok(()),
        Ok(()) => output::print(format_args!(
            "published {} of type {kind}, all confirmed",
            output::counted(count, "event")
        )),
        Err(Failure::Other(error)) => Err(Failure::Other(
            error.context(format!("{confirmed} of {count} events are confirmed")),
        )),
        Err(failure) => Err(failure),
    }
}

/// An event that no worker acts on would only be acknowledged.
fn acted_on(kind: &str, events: &Events) -> anyhow::Result<()> {
    ensure!(
        events.types.iter().any(|known| known == kind),
        "workers would ignore events of type {kind}: add \"{kind}\" to events.types"
    );
    Ok(())
}

/// The bar's position tells how many are confirmed, also after an error.
async fn publish_all(
    options: rabbitmq::Options,
    users: &[UserId],
    kind: &'static str,
    bar: &ProgressBar,
) -> Result<(), PublishError> {
    let mut publisher = Publisher::connect(options).await?;
    let mut published = Ok(());
    for user in users {
        published = publish(&mut publisher, user, kind).await;
        bar.set_position(publisher.confirmed());
        if published.is_err() {
            break;
        }
    }
    let flushed = publisher.flush().await;
    bar.set_position(publisher.confirmed());
    published.and(flushed)?;
    publisher.close().await
}

async fn publish(
    publisher: &mut Publisher,
    user: &UserId,
    kind: &'static str,
) -> Result<(), PublishError> {
    let id = format!("{:032x}", fastrand::u128(..));
    let time = Timestamp::now().to_string();
    let event = json!({ "type": kind, "user_id": user.as_str(), "id": id, "time": time });
    publisher
        .publish(Publishing {
            routing_key: kind,
            body: event.to_string().as_bytes(),
            content_type: "application/json",
            message_id: &id,
            kind,
        })
        .await
}

/// All users that were named. An ID that the API would not take is refused before anything is sent;
/// the error names its place and not the ID.
fn users(named: Vec<String>, file: Option<&Path>) -> Result<Vec<UserId>, anyhow::Error> {
    let mut users = Vec::new();
    for (place, user) in named.iter().enumerate() {
        users.push(UserId::parse(user).with_context(|| format!("user number {}", place + 1))?);
    }
    let Some(file) = file else { return Ok(users) };
    let reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let open = std::fs::File::open(file).with_context(|| file.display().to_string())?;
        Box::new(BufReader::new(open))
    };
    for (place, line) in reader.lines().enumerate() {
        let line = line.with_context(|| file.display().to_string())?;
        let user = line.trim();
        if !user.is_empty() && !user.starts_with('#') {
            let user = UserId::parse(user)
                .with_context(|| format!("{}, line {}", file.display(), place + 1))?;
            users.push(user);
        }
    }
    Ok(users)
}

fn progress_bar(users: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    output::bar(users as u64, "confirmed")
}
