use super::*;
use crate::config::{EventFormat, Events, Unmatched};

fn events(presets: Vec<PresetUse>) -> Events {
    Events {
        format: EventFormat::Auto,
        presets,
        mapping: Vec::new(),
        unmatched: Unmatched::Ignore,
        types: Vec::new(),
    }
}

fn table(pairs: &[(&str, &str)]) -> PresetUse {
    let pairs = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    PresetUse::Table(pairs.collect())
}

fn refused(preset: PresetUse) -> String {
    let errors = events(vec![preset]).rules().unwrap_err();
    errors.into_iter().map(|error| error.to_string()).collect()
}

/// With the examples of its parameters.
fn by_example(preset: &Preset) -> PresetUse {
    let parameters = preset.parameters.iter();
    let parameters = parameters.map(|(name, parameter)| (name.clone(), parameter.example.clone()));
    let name = ("name".to_owned(), preset.name.to_owned());
    PresetUse::Table(parameters.chain([name]).collect())
}

#[test]
fn every_preset_is_sound_and_says_whether_it_was_tested_with_a_sample_and_what_to_set() {
    for preset in presets() {
        let name = preset.name;
        let comment: String = preset
            .text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .collect();
        assert!(comment.contains("tested with a"), "{name}");
        assert!(comment.contains("You set:"), "{name}");
        assert!(
            preset.text.lines().all(|line| line.chars().count() <= 120),
            "{name}"
        );
        for (parameter, described) in &preset.parameters {
            assert!(
                preset.text.contains(&format!("{{{parameter}")),
                "{name}: {parameter} is not used"
            );
            assert!(
                comment.contains(&format!("{parameter} = ")),
                "{name}: {parameter}"
            );
            assert!(!described.about.is_empty());
        }
        let rules = events(vec![by_example(&preset)]).rules().unwrap();
        for rule in rules.mapping.names() {
            assert!(
                rule == name || rule.starts_with(&format!("{name}-")),
                "{rule}"
            );
        }
    }
}

#[test]
fn files_are_in_the_order_of_their_names_and_none_is_left_out() {
    let known: Vec<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/presets");
    let files = std::fs::read_dir(folder).unwrap();
    let mut found: Vec<_> = files
        .map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    found.sort();
    assert_eq!(known, found);
}

#[test]
fn a_parameter_is_a_text_and_never_a_part_of_the_expression() {
    for hostile in [
        "x' || @.body.a == 'y",
        "x\\",
        "x' || true || '\\",
        ".*|(",
        "{user}",
        "é\n",
    ] {
        for preset in presets() {
            for parameter in preset.parameters.keys() {
                let mut pairs = match by_example(&preset) {
                    PresetUse::Table(pairs) => pairs,
                    PresetUse::Name(name) => panic!("{name}"),
                };
                pairs.insert(parameter.clone(), hostile.to_owned());
                let asked = events(vec![PresetUse::Table(pairs)]);
                let name = preset.name;
                assert!(asked.rules().is_ok(), "{name} {parameter} {hostile}");
            }
        }
    }
}

#[test]
fn a_preset_that_is_asked_for_wrongly_is_refused_with_a_remedy() {
    for (preset, expected) in [
        (
            PresetUse::Name("clrek".into()),
            "events.presets: \"clrek\" is no preset; did you mean clerk?",
        ),
        (
            table(&[("message", "x")]),
            "events.presets: has no name; write { name = \"masstransit\"",
        ),
        (
            PresetUse::Name("masstransit".into()),
            "events.presets: \"masstransit\" needs message (the URN of your message type); write { name = \
             \"masstransit\", message = \"urn:message:Contracts:UserDeleted\" }",
        ),
        (
            table(&[("name", "masstransit"), ("mesage", "x")]),
            "events.presets: \"masstransit\" has no parameter mesage; did you mean message?",
        ),
        (
            table(&[("name", "debezium"), ("table", " ")]),
            "events.presets: \"debezium\" has an empty table",
        ),
    ] {
        let refused = refused(preset);
        assert!(refused.starts_with(expected), "{refused}");
    }
}
