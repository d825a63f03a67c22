use std::collections::BTreeSet;

use super::*;
use crate::engine::{Class, Reason, error_code};
use crate::explain::{self as table, KINDS, Line};
use crate::shell::{Pause, State};

fn names(kind: &str) -> Vec<&'static str> {
    let lines = table::lines().filter(|line| line.kind == kind);
    lines.map(|line| line.name).collect()
}

#[test]
fn every_class_reason_and_state_is_explained_and_no_other() {
    // The last one is no class of codes, but what `class` says of an operator's pause.
    let mut classes = Class::ALL.map(Class::name).to_vec();
    classes.push(Pause::OPERATOR);
    assert_eq!(names("class"), classes);
    assert_eq!(names("reason"), Reason::ALL.map(Reason::name));
    let states = BTreeSet::from(State::NAMES);
    assert_eq!(BTreeSet::from_iter(names("state")), states);
}

#[test]
fn every_explanation_says_what_to_do() {
    let mut known = listed().collect::<Vec<_>>();
    known.extend((100..600).map(|status| table::of_status(String::new(), status)));
    known.extend([0, -1, 1_000_000].map(table::of_code));
    assert!(known.len() > 600, "{} are not all", known.len());
    for Explanation {
        name,
        advice,
        reaction,
        kind,
        ..
    } in known
    {
        assert!(!advice.is_empty(), "{name}");
        assert!(!reaction.is_empty() || kind == "state", "{name}");
    }
}

#[test]
fn an_advice_of_its_own_is_for_codes_that_exist() {
    let listed: Vec<&str> = names("code")
        .iter()
        .flat_map(|names| names.split(' '))
        .collect();
    assert_eq!(
        BTreeSet::from_iter(&listed).len(),
        listed.len(),
        "one is there twice"
    );
    for code in listed {
        let code = code.parse().unwrap();
        assert!(code == 0 || error_code(code).is_some(), "{code}");
    }
}

#[test]
fn names_are_found_as_people_write_them() {
    for (written, name) in [
        ("Config", "config"),
        ("retries_exhausted", "retries-exhausted"),
        ("70009", "70009"),
        ("429", "http-429"),
        ("HTTP-5xx", "http-5xx"),
        ("0", "0"),
    ] {
        assert_eq!(find(written).unwrap().name, name);
    }
    for unknown in [
        "",
        "http-",
        "http-42",
        "http-600x",
        "code",
        "99999999999999999999",
    ] {
        assert!(find(unknown).is_none(), "{unknown}");
    }
}

/// The tables of the runbook. `TAGSWEEP_WRITE_DOCS=1 cargo test --lib runbook` writes them.
#[test]
fn the_runbook_has_what_explain_says() {
    const BEGIN: &str = "<!-- Written from src/explain/explanations.tsv. -->\n";
    const END: &str = "<!-- End. -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md");
    let runbook = std::fs::read_to_string(path).unwrap();
    let (before, rest) = runbook.split_once(BEGIN).expect("its beginning");
    let (_, after) = rest.split_once(END).expect("its end");
    let written = format!("{before}{BEGIN}\n{}{END}{after}", markdown());
    if std::env::var_os("TAGSWEEP_WRITE_DOCS").is_some() {
        std::fs::write(path, &written).unwrap();
    }
    assert!(
        runbook == written,
        "docs/OPERATIONS.md is not what explain says: see this test"
    );
}

fn markdown() -> String {
    let mut text = String::new();
    for (kind, heading) in KINDS {
        let lines = table::lines().filter(|line| line.kind == kind);
        text +=
            &format!("**{heading}**\n\n| name | means | the worker | you |\n|---|---|---|---|\n");
        for Line {
            name,
            meaning,
            reaction,
            advice,
            ..
        } in lines
        {
            text += &format!("| `{name}` | {meaning} | {reaction} | {advice} |\n");
        }
        text.push('\n');
    }
    text += "**Error codes for which there is more to say than for their class**\n\n| codes | you |\n|---|---|\n";
    for Line { name, advice, .. } in
        table::lines().filter(|line| line.kind == "code" && line.name != "0")
    {
        let codes: Vec<String> = name.split(' ').map(|code| format!("`{code}`")).collect();
        text += &format!("| {} | {advice} |\n", codes.join(" "));
    }
    text.push('\n');
    text
}

#[test]
fn a_name_that_resembles_none_is_not_taken_for_the_nearest() {
    let Err(Failure::Other(error)) = explain("foo", false) else {
        panic!("it is no name");
    };
    assert!(
        error
            .to_string()
            .ends_with("`tagsweep explain --list` shows all"),
        "{error}"
    );
}
