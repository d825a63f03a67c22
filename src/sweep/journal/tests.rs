use super::*;
use crate::sweep::input::Input;

fn list(folder: &Path, text: &str) -> Identity {
    let path = folder.join("list");
    std::fs::write(&path, text).unwrap();
    let mut input = Input::new(&path, None, None, None).unwrap();
    input.identity().unwrap()
}

fn went(before: u64, runs: &[(u64, u64)]) -> Progress {
    Progress {
        before,
        runs: runs.to_vec(),
        users: before,
        ..Progress::default()
    }
}

#[test]
fn a_journal_that_ends_anywhere_is_read_as_far_as_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let list = list(folder.path(), "a\nb\n");
    let path = folder.path().join("journal");
    let (mut journal, state) = Journal::open(&path, &list).unwrap();
    assert!(matches!(state, State::New));
    journal.went(&went(2, &[(4, 5)])).unwrap();
    journal.went(&went(3, &[(9, 9)])).unwrap();
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    let lines: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    for length in 0..=whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let (journal, state) = Journal::open(&path, &list).unwrap();
        let done = |state: &State| match state {
            State::New => vec![],
            State::Begun { done, .. } => (0..12).filter(|number| done.contains(*number)).collect(),
            State::Ended(_) => panic!("it has not ended"),
        };
        let expected: &[u64] = match lines.iter().filter(|end| **end < length).count() {
            0 | 1 => &[],
            2 => &[0, 1, 4, 5],
            _ => &[0, 1, 2, 4, 5, 9],
        };
        assert_eq!(done(&state), expected, "{length} bytes");
        drop(journal);
        let (mut journal, again) = Journal::open(&path, &list).unwrap();
        assert_eq!(done(&again), expected, "the broken line is gone");
        journal.ended(&Report::default()).unwrap();
        drop(journal);
        let ended = look(&path, &list);
        assert!(matches!(ended, Ok(State::Ended(_))), "{length}: {ended:?}");
    }
}

#[test]
fn a_journal_in_use_of_another_list_or_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = list(folder.path(), "a\nb\n");
    let path = folder.path().join("journal");
    let (journal, _) = Journal::open(&path, &first).unwrap();
    let refused = |list| {
        Journal::open(&path, list)
            .err()
            .map(|error| error.to_string())
    };
    assert!(refused(&first).is_some_and(|text| text.contains("is in use")));
    drop(journal);
    let second = list(folder.path(), "a\nc\n");
    assert!(refused(&second).is_some_and(|text| text.contains("the content differs")));
    for text in ["notes", "notes\n", "{}\n"] {
        std::fs::write(&path, text).unwrap();
        assert!(
            refused(&first).is_some_and(|text| text.contains("is no journal")),
            "{text}"
        );
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            text,
            "it is left alone"
        );
    }
}

#[test]
fn what_is_done_closes_up_in_whatever_order_it_is_done() {
    let mut done = Done::default();
    for number in [3, 1, 0, 5] {
        done.insert(number);
    }
    assert_eq!(done.before(), 2);
    done.insert(2);
    assert_eq!(done.before(), 4);
    assert!(done.contains(5) && !done.contains(4) && !done.contains(6));
    assert_eq!(runs(&mut vec![9, 3, 7, 6, 8, 4], 4), [(4, 4), (6, 9)]);
}
