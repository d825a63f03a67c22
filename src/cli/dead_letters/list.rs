//! `tagsweep dead-letters list`.

use indicatif::HumanCount;
use serde_json::json;

use super::words::{self, BOLD, DIM, Table};
use super::{Force, Which, Work, with_letters};
use crate::cli::{Failure, Globals, output};
use crate::dead_letters::{Entry, Group, Keep, Letters, groups};

/// Users that a line names.
const NAMED: usize = 3;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tagsweep dead-letters list\n  \
                  tagsweep dead-letters list --reason rejected-by-api --since 2h --each\n  \
                  tagsweep dead-letters list --json | jq '.groups[] | [.reason, .count]'")]
pub(super) struct Arguments {
    /// List single letters, oldest first.
    #[arg(long)]
    each: bool,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(globals: &Globals, arguments: Arguments) -> Result<(), Failure> {
    let filter = arguments.which.filter();
    let (each, json) = (arguments.each, arguments.json);
    let force = arguments.force.force;
    let act = async |work: Work<'_>| Ok(work.letters);
    with_letters(
        globals,
        &filter,
        Keep::Entries,
        force,
        act,
        |letters| match (json, each) {
            (true, _) => output::print(as_json(&letters, each)),
            (false, true) => output::print(singly(&letters)),
            (false, false) => output::print(in_groups(&letters)),
        },
    )
}

fn as_json(letters: &Letters, each: bool) -> serde_json::Value {
    let groups: Vec<_> = groups(&letters.matched)
        .iter()
        .map(Group::as_json)
        .collect();
    let mut all = json!({
        "queue": letters.queue,
        "total": letters.total,
        "matched": letters.matched.len(),
        "groups": groups,
    });
    if each && let Some(all) = all.as_object_mut() {
        let letters = letters.matched.iter().map(Entry::as_json).collect();
        all.insert("letters".to_owned(), letters);
    }
    all
}

/// How many letters there are, and how many match. Where none does, what there is.
pub(super) fn counts(letters: &Letters) -> String {
    let queue = words::plain(&letters.queue);
    let matched = letters.matched.len() as u64;
    let count = |count: u64| match count {
        1 => "1 letter".to_owned(),
        count => format!("{} letters", HumanCount(count)),
    };
    let users = match letters.users() {
        0 => String::new(),
        1 => ", naming 1 user".to_owned(),
        users => format!(", naming {} users", HumanCount(users as u64)),
    };
    match (letters.total, matched) {
        (0, _) => format!("{queue}: no dead letters"),
        (total, 0) => {
            let reasons = letters.reasons.iter();
            let reasons: Vec<String> = reasons
                .map(|(reason, count)| format!("{} {}", HumanCount(*count), words::plain(reason)))
                .collect();
            format!(
                "{queue}: none of {} matches; there are {}",
                count(total),
                reasons.join(", ")
            )
        }
        (total, matched) if matched == total => format!("{queue}: {}{users}", count(total)),
        (total, matched) => format!(
            "{queue}: {} of {} match{users}",
            HumanCount(matched),
            count(total)
        ),
    }
}

/// By reason and code, with what to do.
pub(super) fn in_groups(letters: &Letters) -> String {
    let mut lines = vec![words::coloured(&counts(letters), BOLD)];
    let groups = groups(&letters.matched);
    if groups.is_empty() {
        return lines.concat();
    }
    let mut table = Table::new(&[
        ("REASON", false),
        ("CODE", true),
        ("COUNT", true),
        ("USERS", true),
        ("OLDEST", false),
        ("NEWEST", false),
    ]);
    for group in &groups {
        table.add(vec![
            words::plain(&group.reason),
            group
                .code
                .map_or_else(|| "-".to_owned(), |code| code.to_string()),
            HumanCount(group.count).to_string(),
            HumanCount(group.users as u64).to_string(),
            words::age(group.oldest),
            words::age(group.newest),
        ]);
    }
    let (heading, rows) = table.lines();
    lines.extend([String::new(), words::coloured(&heading, DIM)]);
    for (row, group) in rows.iter().zip(&groups) {
        let told = group.explanation();
        lines.push(words::coloured(row, BOLD));
        lines.push(format!("  {}", output::hanging(told.meaning, 2)));
        for advice in advice(told) {
            lines.push(format!("  > {}", output::hanging(advice, 4)));
        }
        lines.push(String::new());
    }
    lines.pop();
    lines.join("\n")
}

/// What to do, the most particular first.
pub(super) fn advice(told: crate::dead_letters::Explanation) -> impl Iterator<Item = &'static str> {
    told.code_advice.into_iter().chain([told.advice])
}

fn singly(letters: &Letters) -> String {
    let mut lines = vec![words::coloured(&counts(letters), BOLD)];
    if letters.matched.is_empty() {
        return lines.concat();
    }
    let mut table = Table::new(&[
        ("LETTER", false),
        ("DEAD-LETTERED", false),
        ("REASON", false),
        ("CODE", true),
        ("REDRIVEN", true),
        ("USERS", false),
    ]);
    for letter in &letters.matched {
        table.add(vec![
            words::plain(&letter.id),
            words::age(letter.dead_lettered_at),
            words::plain(&letter.reason),
            letter
                .code
                .map_or_else(|| "-".to_owned(), |code| code.to_string()),
            letter.redriven.to_string(),
            users(letter),
        ]);
    }
    let (heading, rows) = table.lines();
    lines.extend([String::new(), words::coloured(&heading, DIM)]);
    lines.extend(rows);
    lines.join("\n")
}

fn users(letter: &Entry) -> String {
    let named: Vec<String> = letter
        .users
        .iter()
        .take(NAMED)
        .map(|user| words::plain(user))
        .collect();
    let more = letter.users.len().saturating_sub(NAMED);
    match (named.is_empty(), more, letter.users_cut) {
        (true, ..) => "-".to_owned(),
        (_, 0, false) => named.join(", "),
        (_, 0, true) => format!("{} and more", named.join(", ")),
        (_, more, _) => format!("{} and {} more", named.join(", "), HumanCount(more as u64)),
    }
}
