//! docs/EVENTS.md: its examples are the fixtures, and what it shows as configuration is one.

use std::fs;
use std::path::PathBuf;

use tagsweep::config::{self, Preset};
use tagsweep::event::Form;

use crate::fixtures::{self, Fixture, rules, users};

const MARKER: &str = "<!-- Below this line `cargo test --test events -- --ignored` writes what the fixtures give. -->\n";

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/EVENTS.md"))
}

fn document() -> String {
    fs::read_to_string(path()).expect("the document")
}

/// A worked example for each preset.
fn examples() -> String {
    let fixtures = fixtures::all();
    let examples = config::presets().map(|preset| {
        let named = format!("\"{}\"", preset.name);
        let example = fixtures.iter().find(|fixture| {
            let events = fixture.events.as_deref().unwrap_or_default();
            events.contains(&named) && !fixture.expected.users.is_empty()
        });
        example_of(&preset, example.expect("a message of each preset"))
    });
    examples.collect()
}

fn example_of(preset: &Preset, fixture: &Fixture) -> String {
    let rules = fixture.rules();
    let read = fixture.read();
    let Some(Form::Rule(rule)) = read.form else {
        panic!("{}: {:?}", fixture.name, read.form);
    };
    let (rule, _) = rules.mapping.rule(rule).expect("the rule that held");
    let message = str::from_utf8(&fixture.message).expect("a text").trim_end();
    format!(
        "\n### {}\n\n{}.\n\n{}\n\n```toml\n[events]\n{}\n```\n\n```text\n{message}\n```\n\nRule `{rule}` clears {}.\n",
        preset.name,
        preset.about,
        comment(preset),
        fixture.events.as_deref().unwrap_or_default().trim(),
        users(&read.decoded)
            .iter()
            .map(|user| format!("`{user}`"))
            .collect::<Vec<_>>()
            .join(" and "),
    )
}

/// What the preset's file says above its rules.
fn comment(preset: &Preset) -> String {
    let lines = preset.text.lines().take_while(|line| line.starts_with('#'));
    let lines = lines.map(|line| line.trim_start_matches('#').trim_start());
    lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace('_', "\\_")
        .replace('*', "\\*")
}

#[test]
fn the_examples_are_what_the_fixtures_give() {
    let document = document();
    let (_, written) = document.split_once(MARKER).expect("the marker");
    assert!(
        written == examples(),
        "docs/EVENTS.md is not up to date: cargo test --test events -- --ignored writes it"
    );
}

#[test]
#[ignore = "it writes docs/EVENTS.md"]
fn the_document_is_written() {
    let document = document();
    let (by_hand, _) = document.split_once(MARKER).expect("the marker");
    fs::write(path(), format!("{by_hand}{MARKER}{}", examples())).expect("it can be written");
}

/// Blocks of the document in this language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    let blocks = document.split(opening.as_str()).skip(1);
    blocks
        .filter_map(|block| Some(block.split_once("```")?.0))
        .collect()
}

#[test]
fn what_the_document_shows_as_configuration_is_one() {
    let document = document();
    let shown = blocks(&document, "toml");
    assert!(shown.len() > 30, "{} are not all", shown.len());
    for block in shown {
        let section = block
            .replace("[events]\n", "")
            .replace("[[events.mapping]]", "[[mapping]]");
        let section = section.replace("unmatched = \"dead-letter\"\n", "");
        assert!(!rules(&section).mapping.is_empty(), "{block}");
    }
}

#[test]
fn the_first_rule_of_the_document_reads_the_message_above_it() {
    let document = document();
    let rule = blocks(&document, "toml")[0].replace("[[events.mapping]]", "[[mapping]]");
    let message = blocks(&document, "text")[0];
    let written = tagsweep::event::Written::parse(message.as_bytes()).expect("a message");
    let read = fixtures::read(&written, &rules(&rule));
    assert_eq!(read.form, Some(Form::Rule(0)));
    assert_eq!(users(&read.decoded), ["u_5c0b6aee57201d8b48d9"]);
}
