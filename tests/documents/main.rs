//! Keeps the documents true, by reading the sources: the log lines in docs/LOGGING.md, the metrics in
//! docs/METRICS.md, what docs/OPERATIONS.md names, and where links lead.

mod log_lines;
mod markdown;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tagsweep::engine::{Class, Ending, Reason, Trigger};
use tagsweep::shell::State;

use log_lines::{LogLine, log_lines, said_lines};
use markdown::{first_column, headings, local_links, quoted, rows, section, slug};

#[test]
fn every_log_line_of_the_sources_is_in_the_document_and_no_other() {
    let said = said_lines();
    let documented = documented_lines();
    assert!(said.len() > 20, "{} lines are not all", said.len());
    let missing: Vec<_> = said.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&said).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "docs/LOGGING.md lacks {missing:#?}\nand has, though no source says it, {gone:#?}"
    );
}

#[test]
fn every_field_of_a_log_line_is_explained_and_no_other() {
    let used: BTreeSet<String> = said_lines()
        .into_iter()
        .flat_map(|line| line.fields)
        .collect();
    let explained = first_column(&section(&read("docs/LOGGING.md"), "## Fields"));
    assert_eq!(used, explained.into_iter().collect::<BTreeSet<_>>());
}

#[test]
fn every_example_of_a_log_line_is_one_that_the_sources_write() {
    let said = said_lines();
    let document = read("docs/LOGGING.md");
    let examples = document
        .lines()
        .filter(|line| line.starts_with(r#"{"timestamp""#));
    let mut messages = BTreeSet::new();
    for example in examples {
        let Ok(Value::Object(line)) = serde_json::from_str(example) else {
            panic!("no JSON: {example}");
        };
        let text = |name: &str| line[name].as_str().expect("a text");
        let known = said.iter().find(|known| {
            known.target == text("target")
                && known.message == text("message")
                && known.level == text("level").to_lowercase()
        });
        let known = known.unwrap_or_else(|| panic!("nothing writes {example}"));
        let common = ["timestamp", "level", "message", "target"];
        for field in line
            .keys()
            .filter(|field| !common.contains(&field.as_str()))
        {
            assert!(known.fields.contains(field), "no {field} in {example}");
        }
        messages.insert(text("message").to_owned());
    }
    assert!(messages.len() > 10, "{messages:?} are not all");
}

#[test]
fn a_log_line_is_understood_however_it_is_written() {
    let source = r#"
fn f() { my_info!("not one"); }
fn g() {
    tracing::warn!("{warning}");
    tracing::info!(%address, reason = ?why(a, "b, (c)"), "said, (so)");
    tracing::debug!(
        ids,
        class = class.name(),
        "call done",
    );
}
#[cfg(test)]
mod tests { fn h() { tracing::error!("in a test"); } }
"#;
    let line = |level: &str, message: &str, fields: &[&str]| LogLine {
        target: "t".to_owned(),
        message: message.to_owned(),
        level: level.to_owned(),
        fields: fields.iter().copied().map(str::to_owned).collect(),
    };
    assert_eq!(
        log_lines("t", source),
        [
            line("warn", "{warning}", &[]),
            line("info", "said, (so)", &["address", "reason"]),
            line("debug", "call done", &["ids", "class"]),
        ]
    );
    // A line without its path, or with a target of its own, would be missed or misplaced.
    for unclear in [
        r#"info!("said")"#,
        r#"tracing::info!(target: "other", "said")"#,
        "tracing::info!(field = 1)",
    ] {
        let read = std::panic::catch_unwind(|| log_lines("t", unclear));
        assert!(read.is_err(), "{unclear}: {read:?}");
    }
}

#[test]
fn the_runbook_has_a_section_for_every_alert_and_for_no_other() {
    let rules = read("deploy/prometheus/alerts.yaml");
    let alerts: BTreeSet<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 5, "{alerts:?} are not all");
    let runbook = read("docs/OPERATIONS.md");
    let sections: BTreeSet<&str> = headings(&runbook)
        .filter(|heading| heading.starts_with("Tagsweep"))
        .collect();
    assert_eq!(alerts, sections);
}

#[test]
fn the_metrics_and_keys_that_the_runbook_names_exist() {
    let runbook = read("docs/OPERATIONS.md");
    let meters = read("src/shell/watch/meters.rs");
    let name = |character: char| !(character.is_ascii_alphanumeric() || character == '_');
    let metrics = runbook
        .split(name)
        .filter(|word| word.starts_with("tagsweep_"));
    for metric in metrics {
        // A histogram is exported as several.
        let parts = ["_bucket", "_sum", "_count"];
        let family = parts.iter().find_map(|part| metric.strip_suffix(part));
        let family = family.unwrap_or(metric);
        assert!(meters.contains(&format!("\"{family}\"")), "{metric}");
    }
    let keys = keys();
    let mut named = 0;
    for word in quoted(&runbook) {
        // `im.ca_file` and `im.ca_file = "…"` are keys, and so is what begins like one.
        let key = word.split([' ', '=']).next().unwrap_or_default();
        let section = key.split('.').next().unwrap_or_default();
        let plain = key
            .chars()
            .all(|next| next.is_ascii_lowercase() || "._".contains(next));
        if plain && key.contains('.') && keys.iter().any(|(known, _)| known == section) {
            named += 1;
            let known = keys.iter().any(|(of, name)| format!("{of}.{name}") == key);
            assert!(known, "{key} is no key of the configuration");
        }
    }
    assert!(named > 10, "{named} keys are not all");
}

/// Which ones there are, a test that scrapes a running worker holds true.
#[test]
fn every_metric_that_the_worker_exports_is_in_the_document_with_its_labels_and_no_other() {
    let list = read("tests/deploy/metrics.txt");
    let samples: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    let is_histogram = |family: &str| samples.contains(&format!("{family}_bucket{{le}}").as_str());
    let mut exported = BTreeSet::new();
    for sample in &samples {
        let (name, labels) = sample.split_once('{').unwrap_or((*sample, ""));
        let labels = labels.trim_end_matches('}').split(',');
        let labels: BTreeSet<String> = labels
            .filter(|label| !["", "le"].contains(label))
            .map(str::to_owned)
            .collect();
        // A histogram is exported as several.
        let parts = ["_bucket", "_sum", "_count"];
        let family = parts.iter().find_map(|part| name.strip_suffix(part));
        let family = family.filter(|family| is_histogram(family));
        exported.insert((family.unwrap_or(name).to_owned(), labels));
    }
    let document = read("docs/METRICS.md");
    let (metrics, _) = document
        .split_once("\n## Values of labels\n")
        .expect("a section");
    let explained = rows(metrics).into_iter().flat_map(|row| {
        let labels: BTreeSet<String> = quoted(&row[2]).into_iter().collect();
        let names = quoted(&row[0]).into_iter();
        names.map(move |name| (name, labels.clone()))
    });
    assert_eq!(exported, explained.collect());
}

#[test]
fn every_value_of_a_label_is_in_the_document() {
    let document = section(&read("docs/METRICS.md"), "## Values of labels");
    for (label, values) in [
        ("result", Ending::ALL.map(Ending::name).as_slice()),
        ("reason", &Reason::ALL.map(Reason::name)),
        ("trigger", &Trigger::ALL.map(Trigger::name)),
        ("class", &Class::ALL.map(Class::name)),
        ("state", &State::NAMES),
    ] {
        let rows = rows(&document);
        let row = rows.iter().find(|row| row[0] == format!("`{label}`"));
        let explained = quoted(&row.expect("a row")[1]);
        for value in values {
            assert!(
                explained.iter().any(|known| known == value),
                "{label}: {value}"
            );
        }
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() > 6, "{documents:?} are not all");
    let mut links = 0;
    let mut broken = Vec::new();
    for document in &documents {
        let text = std::fs::read_to_string(document).expect("a document");
        for link in local_links(&text) {
            links += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let there = match path {
                "" => document.clone(),
                path => document.with_file_name("").join(path),
            };
            let found = match anchor {
                "" => there.exists(),
                anchor => std::fs::read_to_string(&there)
                    .is_ok_and(|text| headings(&text).any(|heading| slug(heading) == anchor)),
            };
            if !found {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(links > 10, "{links} links are not all");
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below `folder` whose names end so; not those that a build or a tool has made.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules"].contains(&name.as_str()) {
                files(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(root(), ".md", &mut found);
    found
}

/// What docs/LOGGING.md lists: below a heading for each target, a table.
fn documented_lines() -> BTreeSet<LogLine> {
    let document = section(&read("docs/LOGGING.md"), "## Events");
    let mut lines = BTreeSet::new();
    for part in document.split("\n### `").skip(1) {
        let (target, table) = part.split_once('`').expect("a target in backticks");
        for row in rows(table) {
            let [level, message, fields, _when] = row.as_slice() else {
                panic!("not four cells: {row:?}");
            };
            let line = LogLine {
                target: target.to_owned(),
                message: message.trim_matches('`').to_owned(),
                level: level.clone(),
                fields: quoted(fields).into_iter().collect(),
            };
            assert!(lines.insert(line), "twice: {row:?}");
        }
    }
    lines
}

/// Sections and names of the configuration's keys, those that are commented out among them.
fn keys() -> Vec<(String, String)> {
    let mut section = "";
    let mut keys = Vec::new();
    let defaults = read("config/default.toml");
    for line in defaults.lines() {
        let line = line.trim_start_matches("# ");
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((name, _)) = line.split_once(" = ") {
            keys.push((section.to_owned(), name.to_owned()));
        }
    }
    keys
}
