//! The seeds of every target, once through it.

use std::path::Path;

/// Runs `target` on every file of the folders, which lie below the package `tagsweep`.
fn replay(target: impl Fn(&[u8]), folders: &[&str]) {
    for folder in folders {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let files = std::fs::read_dir(&folder).expect("a folder of seeds");
        let mut count = 0;
        for file in files {
            let path = file.expect("an entry").path();
            let seed = std::fs::read(&path).expect("a seed");
            let run = std::panic::AssertUnwindSafe(|| target(&seed));
            assert!(std::panic::catch_unwind(run).is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count > 0, "{} is empty", folder.display());
    }
}

#[test]
fn every_kind_of_message_is_read_without_harm() {
    replay(super::event, &["fuzz/seeds/event", "tests/fixtures/events"]);
}

#[test]
fn whatever_a_broker_sends_is_mended_in_place() {
    replay(super::frame, &["fuzz/seeds/frame"]);
}

#[test]
fn no_answer_is_taken_for_done_unless_it_says_so() {
    replay(super::answer, &["fuzz/seeds/answer"]);
}

#[test]
fn a_rule_is_refused_or_names_whom_the_message_names() {
    replay(super::rules, &["fuzz/seeds/rules"]);
}

#[test]
fn no_configuration_makes_a_secret_show() {
    replay(super::settings, &["fuzz/seeds/settings"]);
}

#[test]
fn a_dead_letter_is_the_original_with_headers_that_fit() {
    replay(super::letter, &["fuzz/seeds/letter"]);
}

#[test]
fn a_list_names_only_who_stands_in_it_and_loses_nobody() {
    replay(super::list, &["fuzz/seeds/list"]);
}

#[test]
fn the_simulator_takes_the_user_sigs_that_the_worker_signs_and_no_other() {
    replay(super::user_sig, &["fuzz/seeds/user_sig"]);
}
