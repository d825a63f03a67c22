//! `tagsweep publish`: one event per user, confirmed by the broker.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;

use super::{Failure, print_out};
use crate::event::UserId;
use crate::rabbitmq::{Publisher, Publishing};
use crate::worker;

#[derive(clap::Args)]
#[command(after_help = "Example: tagsweep publish --reason reset --file users.txt")]
pub(super) struct Arguments {
    /// User IDs.
    #[arg(value_name = "USER", required_unless_present = "file")]
    users: Vec<String>,
    /// A file with one user ID a line; - for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What happened to the users.
    #[arg(long, value_enum, default_value_t = Reason::Deleted)]
    reason: Reason,
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

/// The plain form of an event.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    user_id: &'a str,
    id: &'a str,
    time: String,
}

pub(super) fn run(files: &[PathBuf], arguments: Arguments) -> Result<(), Failure> {
    let settings = super::settings(files)?;
    let users = users(arguments.users, arguments.file.as_deref())?;
    let options = worker::broker_options(&settings)?;
    let bar = progress_bar(users.len());
    let published = super::runtime()?.block_on(async {
        let mut publisher = Publisher::connect(options).await?;
        for user in &users {
            publish(&mut publisher, user, arguments.reason.event_type()).await?;
            bar.set_position(publisher.confirmed());
        }
        publisher.close().await
    });
    bar.finish_and_clear();
    published.context("not every event is known to be in the queue")?;
    let count = users.len();
    if arguments.json {
        print_out!(
            "{}",
            serde_json::json!({ "published": count, "confirmed": count })
        );
    } else {
        print_out!(
            "published {count} events of type {}, all confirmed",
            arguments.reason.event_type()
        );
    }
    Ok(())
}

async fn publish(
    publisher: &mut Publisher,
    user: &UserId,
    kind: &'static str,
) -> Result<(), crate::rabbitmq::PublishError> {
    let id = format!("{:032x}", fastrand::u128(..));
    let event = Event {
        kind,
        user_id: user.as_str(),
        id: &id,
        time: Timestamp::now().to_string(),
    };
    let Ok(body) = serde_json::to_vec(&event) else {
        unreachable!("four texts are JSON")
    };
    publisher
        .publish(Publishing {
            routing_key: kind,
            body: &body,
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
        let user = line.trim_end_matches('\r');
        if !user.is_empty() {
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
    let bar = ProgressBar::new(users as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} confirmed, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
