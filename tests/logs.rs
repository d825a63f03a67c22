//! Searches the logs of the whole test run, after all other tests.

#[path = "shared/secrets.rs"]
mod secrets;

use std::path::PathBuf;

use secrets::{assert_clean, folder};

#[test]
fn no_log_of_the_whole_test_run_names_a_user_or_shows_a_secret() {
    let logs: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("the folder can be read")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    for log in &logs {
        assert_clean(log);
    }
    // `make test` runs this last, and says so: then there must be something to search.
    if std::env::var_os("TAGSWEEP_TEST_LOGS").is_some() {
        let bytes: u64 = logs
            .iter()
            .filter_map(|log| log.metadata().ok())
            .map(|log| log.len())
            .sum();
        assert!(
            logs.len() > 20 && bytes > 10_000,
            "{} logs, {bytes} bytes",
            logs.len()
        );
    }
}

#[test]
fn a_leak_would_be_found() {
    let log = folder().with_file_name("leak");
    let user_sig = format!("eJ{}", "a".repeat(120));
    for leak in [
        "user pii-00001",
        "bytes [112, 105, 105, 45, 48]",
        "key 5ec2e75ec2e7",
        "amqp://u:pa55word@h",
        "?usersig=x",
        &user_sig,
    ] {
        std::fs::write(&log, format!("a line\n{leak}\n")).expect("it can be written");
        assert!(
            std::panic::catch_unwind(|| assert_clean(&log)).is_err(),
            "{leak} was not found"
        );
    }
    std::fs::write(&log, "a line\nuser-1234567890abcdef\n").expect("it can be written");
    assert_clean(&log);
}
