//! `tagsweep events test`: what would become of messages, by which rule, and why not by another. This is the
//! operator's own screen: user IDs are shown.

use std::io::{Read, stdout};
use std::path::{Path, PathBuf};

use anyhow::Context;
use console::Style;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{Failure, Globals, output};
use crate::config::{Events, RuleError, Unmatched};
use crate::event::mapping::WhyNot;
use crate::event::{
    self, Decoded, Event, ForeignType, Form, Message, NotForUs, Rules, UserId, Written,
};

/// Some of the messages are malformed.
const MALFORMED: u8 = 3;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tagsweep --config config.toml events test body.json\n  \
                  tagsweep events test --routing-key user.deleted --header X-Kind=audit body.json\n  \
                  tagsweep events test --json messages/*.message\n\n\
                  A file that ends in .message holds properties and headers, an empty line and the body:\n\n  \
                  routing-key: user.deleted\n  content-type: application/json\n  header X-Kind: audit\n\n  \
                  {\"type\":\"user.deleted\",\"user_id\":\"alice\"}\n\n\
                  Any other file is a body. Nothing is connected to.\n\n\
                  Exit codes: 0 each message would be acted on or ignored, 3 some would be dead-lettered, 1 failed,\n\
                  78 invalid configuration."
)]
pub(super) struct Arguments {
    /// Files with a message each; - for standard input, which is a body.
    #[arg(value_name = "FILE", default_value = "-")]
    files: Vec<PathBuf>,
    /// Routing key of the messages. Wins over the file.
    #[arg(long, value_name = "KEY")]
    routing_key: Option<String>,
    /// Header of the messages. Repeatable; wins over the file.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = name_and_value)]
    headers: Vec<(String, String)>,
    /// Print a JSON object per message.
    #[arg(long)]
    json: bool,
}

fn name_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// All that it needs to know.
#[derive(Deserialize, JsonSchema)]
struct Settings {
    events: Events,
}

/// What a message would become.
struct Outcome<'a> {
    file: String,
    name: &'static str,
    users: Vec<UserId>,
    invalid: Vec<String>,
    rule: Option<&'a str>,
    form: Option<&'static str>,
    reset: bool,
    why: String,
    /// Of the rules that were tried before.
    why_not: Vec<WhyNot<'a>>,
}

const USERS: &str = "users";
const IGNORED: &str = "ignored";
const UNREADABLE: &str = "malformed";

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<(), Failure> {
    let Settings { events } = globals.settings()?;
    let rules = events.rules().map_err(|errors| first(&errors))?;
    let mut lines = Vec::new();
    let mut malformed = false;
    let paint = Paint(output::takes_colour(&stdout()));
    for path in &arguments.files {
        let content = content(path)?;
        let mut written = written(path, &content)?;
        for (name, value) in &arguments.headers {
            written.set_header(name, value);
        }
        if let Some(key) = &arguments.routing_key {
            written.set_routing_key(key);
        }
        let outcome = written.message(|message| outcome(path, message, &rules, events.unmatched));
        malformed |= outcome.name == UNREADABLE;
        lines.push(match arguments.json {
            true => outcome.as_json().to_string(),
            false => outcome.as_text(&paint),
        });
    }
    output::print(lines.join("\n"))?;
    match malformed {
        true => Err(Failure::Said(MALFORMED)),
        false => Ok(()),
    }
}

/// The configuration was checked with its rules: there is none.
fn first(errors: &[RuleError]) -> anyhow::Error {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!(texts.join("; "))
}

fn content(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    match path.as_os_str() == "-" {
        true => std::io::stdin()
            .read_to_end(&mut content)
            .context("standard input cannot be read")?,
        false => std::fs::File::open(path)
            .and_then(|mut file| file.read_to_end(&mut content))
            .with_context(|| format!("{} cannot be read", path.display()))?,
    };
    Ok(content)
}

fn written<'a>(path: &Path, content: &'a [u8]) -> Result<Written<'a>, Failure> {
    if path
        .extension()
        .is_none_or(|extension| extension != "message")
    {
        return Ok(Written::of_body(content));
    }
    let written = Written::parse(content);
    Ok(written.with_context(|| format!("{} is no message", path.display()))?)
}

fn outcome<'a>(
    path: &Path,
    message: &Message<'_>,
    rules: &'a Rules,
    unmatched: Unmatched,
) -> Outcome<'a> {
    let read = event::read(message, rules);
    let mapping = &rules.mapping;
    let rule = match read.form {
        Some(Form::Rule(index)) => mapping.rule(index),
        Some(Form::Plain | Form::CloudEvents) | None => None,
    };
    let mut outcome = Outcome {
        file: path.display().to_string(),
        name: IGNORED,
        users: Vec::new(),
        invalid: Vec::new(),
        rule: rule.map(|(name, _)| name),
        form: read.form.map(|form| match form {
            Form::Plain => "plain",
            Form::CloudEvents => "cloudevents",
            Form::Rule(_) => "rule",
        }),
        reset: false,
        why: String::new(),
        why_not: mapping.explain(message),
    };
    match read.decoded {
        Decoded::Event(event) => {
            outcome.reset = match rule {
                Some((_, reset)) => reset,
                None => event.kind.ends_with("user.reset"),
            };
            outcome.acted_on(event);
        }
        Decoded::NotForUs(why) => {
            outcome.why = match why {
                NotForUs::ForeignType(ForeignType { read_from, .. }) => {
                    format!("its type ({}) is not in events.types", read_from.name())
                }
                NotForUs::Tombstone => "its body is empty or null".to_owned(),
                NotForUs::Rule => "the rule has ignore = true".to_owned(),
            };
        }
        Decoded::Malformed(why) => {
            outcome.name = UNREADABLE;
            outcome.why = why.to_string();
        }
        Decoded::Unrecognised => {
            outcome.name = match unmatched {
                Unmatched::Ignore => IGNORED,
                Unmatched::DeadLetter => UNREADABLE,
            };
            outcome.form = None;
            outcome.why = "no rule holds, and neither a form nor a type was recognised".to_owned();
        }
    }
    outcome
}

impl Outcome<'_> {
    fn acted_on(&mut self, event: Event) {
        let invalid = event.invalid.len();
        self.name = if event.users.is_empty() {
            UNREADABLE
        } else {
            USERS
        };
        self.why = match (self.rule, invalid) {
            (_, 1..) => {
                let ids = output::counted(invalid, "user ID");
                format!("{ids} not of 1 to 32 bytes of printable ASCII, for a dead letter")
            }
            (Some(_), 0) => "the rule holds".to_owned(),
            (None, 0) => format!("its type, {}, is in events.types", event.kind),
        };
        self.users = event.users;
        self.invalid = event.invalid;
    }

    fn as_json(&self) -> Value {
        let users: Vec<_> = self.users.iter().map(UserId::as_str).collect();
        let why_not = self.why_not.iter();
        let why_not = why_not.map(|not| json!({ "rule": not.rule, "part": not.part }));
        json!({
            "file": self.file,
            "outcome": self.name,
            "users": users,
            "invalid": self.invalid,
            "rule": self.rule,
            "form": self.form,
            "reset": self.reset,
            "why": self.why,
            "why_not": why_not.collect::<Value>(),
        })
    }

    fn as_text(&self, paint: &Paint) -> String {
        let what = match self.name {
            USERS => {
                let users = output::counted(self.users.len(), "user");
                let what = if self.reset { "reset" } else { "deleted" };
                paint.good(&format!("{users} {what}"))
            }
            IGNORED => paint.bland(IGNORED),
            other => paint.bad(other),
        };
        let by = match (self.rule, self.form) {
            (Some(rule), _) => format!(" by rule {rule}"),
            (None, Some(form)) => format!(" as {form}"),
            (None, None) => String::new(),
        };
        let mut text = format!("{}: {what}{by}: {}", self.file, self.why);
        for user in &self.users {
            text += &format!("\n  user {}", user.as_str());
        }
        for id in &self.invalid {
            text += &format!("\n  not a user ID: {id:?}");
        }
        for WhyNot { rule, part } in &self.why_not {
            text += &paint.bland(&format!("\n  not by rule {rule}: {}", in_one_line(part)));
        }
        text
    }
}

/// Long expressions are written on several lines.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Colours, if they may be used.
struct Paint(bool);

impl Paint {
    fn good(&self, text: &str) -> String {
        self.with(Style::new().green(), text)
    }

    fn bland(&self, text: &str) -> String {
        self.with(Style::new().dim(), text)
    }

    fn bad(&self, text: &str) -> String {
        self.with(Style::new().red().bold(), text)
    }

    fn with(&self, style: Style, text: &str) -> String {
        style.force_styling(self.0).apply_to(text).to_string()
    }
}
