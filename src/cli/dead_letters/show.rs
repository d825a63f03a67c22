//! `tagsweep dead-letters show`.

use anyhow::Context;
use serde_json::Value;

use super::list::{advice, counts};
use super::words::{self, BOLD, DIM};
use super::{Force, Work, with_letters};
use crate::cli::{Failure, Globals, output};
use crate::dead_letters::{Entry, Filter, Keep, Letters, Writer, explain, whole};
use crate::event::PROPERTIES;

/// Where values begin.
const COLUMN: usize = 16;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tagsweep dead-letters show 5d41402abc4b2a76-17\n  \
                  tagsweep dead-letters show 5d41402abc4b2a76-17 --json | jq .headers\n\n\
                  The ID is the `letter` of the log line `dead-lettering an event`; `list --each` shows it too."
)]
pub(super) struct Arguments {
    /// ID of the letter.
    #[arg(value_name = "LETTER")]
    letter: String,
    /// Print the letter as a JSON object, as export does.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    force: Force,
}

pub(super) fn run(globals: &Globals, arguments: Arguments) -> Result<(), Failure> {
    let filter = Filter {
        ids: vec![arguments.letter.clone()],
        ..Filter::default()
    };
    let force = arguments.force.force;
    let act = async |work: Work<'_>| Ok(work.letters);
    with_letters(globals, &filter, Keep::Messages, force, act, |letters| {
        tell(&letters, &arguments.letter, arguments.json)
    })
}

fn tell(letters: &Letters, id: &str, json: bool) -> Result<(), Failure> {
    if letters.matched.is_empty() {
        return Err(anyhow::anyhow!(
            "no letter {id:?} ({}); `tagsweep dead-letters list --each` shows their IDs",
            counts(letters)
        )
        .into());
    }
    for letter in &letters.matched {
        match json {
            true => output::print(whole(letter).context("its message was not kept")?)?,
            false => output::print(in_words(letter))?,
        }
    }
    Ok(())
}

fn in_words(letter: &Entry) -> String {
    let mut lines = Vec::new();
    let mut say = |name: &str, text: &str| {
        let text = output::hanging(text, COLUMN);
        let name = words::coloured(&format!("{name:<COLUMN$}"), DIM);
        lines.push(format!("{name}{text}"));
    };
    let told = explain(&letter.reason, letter.code);
    let code = letter
        .code
        .map_or_else(String::new, |code| format!(", error code {code}"));
    say("letter", &words::plain(&letter.id));
    say("reason", &format!("{}{code}", words::plain(&letter.reason)));
    say("meaning", told.meaning);
    for advice in advice(told) {
        say("what to do", advice);
    }
    say("detail", &words::plain(&letter.detail));
    let users = match (letter.users.is_empty(), letter.users_cut) {
        (true, _) => "none named".to_owned(),
        (_, cut) => {
            let users: Vec<String> = letter.users.iter().map(|user| words::plain(user)).collect();
            format!(
                "{}{}",
                users.join(", "),
                if cut {
                    ", and more that did not fit"
                } else {
                    ""
                }
            )
        }
    };
    say("failed users", &users);
    if letter.writer == Writer::Tagsweep {
        say("attempts", &letter.attempts.to_string());
        say("first seen", &words::at(letter.first_seen));
    }
    say("dead-lettered", &words::at(letter.dead_lettered_at));
    if letter.redriven > 0 {
        say(
            "redriven",
            &output::counted(letter.redriven as usize, "time"),
        );
    }
    for failure in &letter.history {
        say("failed before", &words::plain(failure));
    }
    let (exchange, key) = (
        words::plain(&letter.exchange),
        words::plain(&letter.routing_key),
    );
    say(
        "published to",
        &format!("exchange {exchange:?}, routing key {key:?}"),
    );
    beside_the_body(letter, &mut say);
    lines.push(String::new());
    lines.push(body(letter));
    lines.join("\n")
}

/// Properties and headers, as the broker has them.
fn beside_the_body(letter: &Entry, say: &mut impl FnMut(&str, &str)) {
    let Some(message) = letter.message() else {
        return;
    };
    for (name, all) in [
        ("property", message.properties_as_json(&PROPERTIES)),
        ("header", message.headers_as_json()),
    ] {
        for (key, value) in all {
            let value = match value {
                Value::String(text) => text,
                value => value.to_string(),
            };
            say(
                name,
                &format!("{}: {}", words::plain(&key), words::plain(&value)),
            );
        }
    }
}

fn body(letter: &Entry) -> String {
    if letter.body_left_out {
        return words::coloured(&format!("body left out ({} bytes)", letter.bytes), BOLD);
    }
    let heading = words::coloured(&format!("body ({} bytes)", letter.bytes), BOLD);
    let body = letter
        .message()
        .map_or(&[] as &[u8], |message| &message.body);
    let text = match (serde_json::from_slice::<Value>(body), str::from_utf8(body)) {
        (Ok(json), _) => serde_json::to_string_pretty(&json).unwrap_or_default(),
        (Err(_), Ok(text)) => text.to_owned(),
        (Err(_), Err(_)) => {
            "not a text: `tagsweep dead-letters export` writes it in Base64".to_owned()
        }
    };
    format!("{heading}\n{}", words::plain_lines(&text))
}
