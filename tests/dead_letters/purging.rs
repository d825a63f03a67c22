//! Purging removes what it names and nothing else, after a copy of it is on the disk.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::letters::*;
use crate::stage::*;

#[tokio::test]
async fn a_purge_exports_what_it_removes_and_leaves_the_rest_in_order() {
    let letters = (0..30).map(|number| match number % 2 {
        0 => Letter::new(number).outgoing(),
        _ => Letter::new(number).reason("unknown-account").outgoing(),
    });
    let stage = Stage::with_letters(letters).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("unknown.ndjson");
    let purge = |arguments: &str| {
        let purge = stage.dlq(&format!(
            "purge --reason unknown-account --json {arguments} --export"
        ));
        purge.argument(file.to_str().unwrap())
    };
    let purged = purge("--yes").run().await;
    assert_eq!(purged.code, Some(0), "{purged:?}");
    assert_eq!(
        purged.json(),
        json!({ "matched": 15, "purged": 15, "exported_to": file })
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others can read it");
    let text = std::fs::read_to_string(&file).unwrap();
    let exported = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let exported: Vec<String> = exported
        .map(|letter| letter["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(exported, ids((0..30).filter(|number| number % 2 == 1)));

    // A file that is there already is nobody's to overwrite, and nothing is removed then.
    stage
        .dead_letter([Letter::new(77).reason("unknown-account").outgoing()])
        .await;
    let refused = purge("--yes").run().await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("cannot create "), "{refused:?}");
    assert_eq!(text, std::fs::read_to_string(&file).unwrap());
    let left = ids((0..30).filter(|number| number % 2 == 0).chain([77]));
    assert_eq!(stage.order().await, left);
}

#[tokio::test]
async fn a_purge_without_a_match_removes_nothing_and_writes_no_file() {
    let stage = Stage::with_letters(letters(0..3)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.ndjson");
    let purge = stage
        .dlq("purge --user pii-99999 --yes --export")
        .argument(file.to_str().unwrap());
    let ended = purge.run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.stdout.contains("none of 3 letters matches"),
        "{ended:?}"
    );
    assert!(!file.exists());
    assert_eq!(stage.order().await, ids(0..3));
}
