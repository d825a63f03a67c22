//! What a run measured, as JSON, and the table in `docs/RELIABILITY.md` that is made of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::table::{ROWS, Row};

/// How often each fault strikes; only where it is set is anything written down.
const TORTURE: &str = "TAGSWEEP_TORTURE";
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/RELIABILITY.md");
const BEGIN: &str = "<!-- written by `make torture`: begin -->\n";
const TABLE: &str = "\n### RabbitMQ ";
const MEANINGS: &str = "\n### What the rows mean\n\n";
const END: &str = "<!-- written by `make torture`: end -->";

#[derive(Serialize, Deserialize)]
struct Measured {
    events: usize,
    accounted_for: usize,
    lost: usize,
    double_calls: u64,
    /// What was not as it must be.
    complaints: Vec<String>,
    /// From the end of each fault until work went on.
    seconds: Vec<f64>,
}

/// How often this run strikes.
pub fn injections() -> usize {
    match std::env::var(TORTURE) {
        Ok(count) => count.parse().expect("TAGSWEEP_TORTURE is a number"),
        Err(_) => 1,
    }
}

/// Before a row is run: should it not come to its end, no older figures stand for it.
pub fn forget(name: &str, version: &str) {
    if std::env::var_os(TORTURE).is_some() {
        // It is not there in a first run.
        let _ = fs::remove_file(file(name, version));
    }
}

pub fn write(name: &str, version: &str, seconds: &[f64], account: &Account, complaints: &[String]) {
    if std::env::var_os(TORTURE).is_none() {
        return;
    }
    let measured = Measured {
        events: account.events,
        accounted_for: account.accounted_for,
        lost: account.lost,
        double_calls: account.double_calls,
        complaints: complaints.to_vec(),
        seconds: seconds.to_vec(),
    };
    let file = file(name, version);
    fs::create_dir_all(file.parent().expect("it is in a folder")).unwrap();
    fs::write(file, serde_json::to_vec_pretty(&measured).unwrap()).unwrap();
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("reliability")
}

fn file(name: &str, version: &str) -> PathBuf {
    folder().join(version).join(name).with_extension("json")
}

/// The last step of `make torture`, after all rows.
#[test]
#[ignore = "make torture runs it when all rows are through"]
fn the_document_is_written() {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the first marker");
    let (written, after) = rest.split_once(END).expect("the second marker");
    let mut tables = tables(written);
    for entry in fs::read_dir(folder()).expect("make torture has run some rows") {
        let version = entry.unwrap().file_name().into_string().unwrap();
        let table = table(&version);
        tables.insert(version, table);
    }
    let tables: String = tables.into_values().collect();
    let document = format!("{before}{BEGIN}{tables}{}\n{END}{after}", meanings());
    fs::write(DOCUMENT, document).unwrap();
}

/// The tables that stand in the document, by version: those of a version that this clone has never
/// run stay as they are.
fn tables(written: &str) -> BTreeMap<String, String> {
    let (tables, _) = written.split_once(MEANINGS).expect("the rows' meanings");
    tables
        .split(TABLE)
        .skip(1)
        .map(|table| {
            let (version, _) = table.split_once('\n').expect("a heading is a line");
            (version.to_owned(), format!("{TABLE}{table}"))
        })
        .collect()
}

#[test]
fn the_table_of_a_version_that_was_not_run_stays() {
    let written = format!("{}{}{}", table("3.0.0"), table("4.0.0"), meanings());
    let kept = tables(&written);
    assert_eq!(kept["3.0.0"], table("3.0.0"));
    assert_eq!(kept["4.0.0"], table("4.0.0"));
    assert_eq!(kept.len(), 2);
}

#[test]
fn every_fault_of_the_table_stands_in_the_document() {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    for Row { title, .. } in ROWS {
        let line = format!("| {title} ");
        assert!(document.contains(&line), "no {line}: run `make torture`");
    }
}

fn table(version: &str) -> String {
    let mut text = format!("{TABLE}{version}\n\n");
    text += "| fault | strikes | events | users accounted for | lost | double calls | goes on after: median | worst |\n";
    text += "|---|--:|--:|--:|--:|--:|--:|--:|\n";
    for row in ROWS {
        let measured = fs::read(file(row.name, version)).ok();
        let measured = measured.and_then(|text| serde_json::from_slice(&text).ok());
        text += &line(row, measured);
    }
    text
}

fn line(row: &Row, measured: Option<Measured>) -> String {
    let Some(Measured {
        events,
        accounted_for,
        lost,
        double_calls,
        complaints,
        mut seconds,
    }) = measured
    else {
        return format!("| {} | not run to its end | | | | | | |\n", row.title);
    };
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let worst = seconds[seconds.len() - 1];
    let failed: String = complaints
        .iter()
        .map(|complaint| format!(" **{complaint}**"))
        .collect();
    format!(
        "| {}{failed} | {} | {events} | {accounted_for} | {lost} | {double_calls} | {median:.1} s | {worst:.1} s |\n",
        row.title,
        seconds.len(),
    )
}

fn meanings() -> String {
    let mut text = MEANINGS.to_owned();
    for Row { title, meaning, .. } in ROWS.iter().filter(|row| !row.meaning.is_empty()) {
        writeln!(text, "- *{title}*: {meaning}").unwrap();
    }
    text
}
