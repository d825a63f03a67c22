//! `tagsweep sweep` at a terminal.

use super::*;
use crate::terminal::{CTRL_C, CTRL_D, Terminal};

const QUESTION: &str = "Clear these users? [y/N] ";

/// Files that a sweep leaves.
fn left(stage: &Stage) -> Vec<String> {
    let files = std::fs::read_dir(stage.folder.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "users.txt").collect()
}

#[tokio::test]
async fn at_a_terminal_a_sweep_says_what_it_will_do_and_begins_with_a_yes() {
    for answer in ["y\n", " YES \n"] {
        let stage = Stage::new().await;
        stage.list("users.txt", 250);
        let mut terminal = Terminal::start(&stage.sweep("users.txt"));
        terminal.shows(QUESTION).await;
        let plan = terminal.screen();
        assert!(plan.contains("clear all tags of 250 users"), "{plan}");
        assert!(plan.contains("about 3 calls"), "{plan}");
        assert_eq!(
            stage.simulator.stats().calls,
            0,
            "nothing before the answer"
        );
        terminal.types(answer).await;
        // The first call waits for a second, and the bar does not.
        terminal.shows("/250 users").await;
        let (code, screen) = terminal.ended().await;
        assert_eq!(code, Some(0), "{screen}");
        assert!(screen.contains("250 cleared"), "{screen}");
        stage.assert_cleared_once(0..250);
    }
}

#[tokio::test]
async fn any_other_answer_clears_nobody_and_leaves_no_file() {
    let stage = Stage::new().await;
    stage.list("users.txt", 250);
    for answer in ["n\n", "\n", "yes please\n", CTRL_D] {
        let mut terminal = Terminal::start(&stage.sweep("users.txt"));
        terminal.shows(QUESTION).await;
        terminal.types(answer).await;
        let (code, screen) = terminal.ended().await;
        assert_eq!(code, Some(1), "{answer:?}: {screen}");
        assert!(
            screen.contains("not confirmed, nothing was done"),
            "{screen}"
        );
    }
    let mut terminal = Terminal::start(&stage.sweep("users.txt"));
    terminal.shows(QUESTION).await;
    terminal.types(CTRL_C).await;
    let (code, screen) = terminal.ended().await;
    // As every program that SIGINT ends.
    assert_eq!(code, Some(128 + 2), "{screen}");
    assert_eq!(stage.simulator.stats().calls, 0);
    assert_eq!(left(&stage), [] as [&str; 0]);
}

#[tokio::test]
async fn ctrl_c_under_the_bar_ends_a_sweep_so_that_it_can_go_on() {
    let stage = Stage::new().await;
    stage.list("users.txt", 20_000);
    let sweep = stage.sweep("users.txt");
    let mut terminal = Terminal::start(&sweep.clone().argument("--yes"));
    stage.cleared(1_000).await;
    terminal.types(CTRL_C).await;
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("/20,000 users"), "{screen}");
    assert!(
        screen.contains("the same command goes on where it ended"),
        "{screen}"
    );

    let mut terminal = Terminal::start(&sweep);
    terminal.shows(QUESTION).await;
    let plan = terminal.screen();
    assert!(plan.contains("are done already"), "{plan}");
    terminal.types("y\n").await;
    assert_eq!(terminal.ended().await.0, Some(0));
    stage.assert_cleared_once(0..20_000);
}
