//! The formats of a list.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

#[tokio::test]
async fn users_are_read_from_csv_ndjson_gzip_zstandard_and_standard_input() {
    let stage = Stage::new().await;
    stage.simulator.import_users((0..10).map(user));
    let csv = "\u{feff}name,\"user id\"\r\n\"Doe, \"\"J\"\"\nJunior\",pii-00000\r\nshort\r\n,pii-00001\r\n";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(csv.as_bytes()).unwrap();
    stage.write("a.csv.gz", gzip.finish().unwrap());
    let sweep = stage
        .sweep("a.csv.gz")
        .argument("--column")
        .argument("user id");
    let ended = sweep.argument("--yes").argument("--json").run().await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(ended.json()["cleared"], 2);
    let failures = stage.failures("a.csv.gz.failed.ndjson");
    let short = json!({"user": null, "reason": "malformed-event", "code": null, "line": 4});
    assert_eq!(failures, [short], "the row that lacks the column");

    let ndjson = r#"{"of":[{"id":"pii-00002"},{"id":"pii-00003"}]}"#.to_owned()
        + "\n"
        + r#"{"of":[]}"#
        + "\nno JSON\n";
    // Two frames, as `cat a.zst b.zst` makes them.
    let mut zstd = compress_to_vec(ndjson.as_bytes(), CompressionLevel::Fastest);
    zstd.extend(compress_to_vec(
        &br#"{"of":[{"id":"pii-00004"}]}"#[..],
        CompressionLevel::Fastest,
    ));
    stage.write("b.ndjson.zst", zstd);
    let sweep = stage
        .sweep("b.ndjson.zst")
        .argument("--users")
        .argument("$.of[*].id");
    let ended = sweep.argument("--yes").argument("--json").run().await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let report = ended.json();
    assert_eq!(
        (&report["lines"], &report["cleared"], &report["invalid"]),
        (&json!(4), &json!(3), &json!(2))
    );

    let failed = stage.path("none");
    let sweep = stage.program().argument("-").input("pii-00005\npii-00006");
    let sweep = sweep
        .argument("--failed")
        .argument(failed.to_str().unwrap());
    let ended = sweep.argument("--yes").argument("--json").run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["cleared"], 2);
    assert!(!failed.exists());
    stage.assert_cleared_once(0..7);
}

#[tokio::test]
async fn what_is_no_list_of_user_ids_is_not_swept_as_one() {
    let stage = Stage::new().await;
    for (name, text, told) in [
        ("users.json", "pii-00000\n", "is no list by its ending"),
        (
            "users.tsv",
            "pii-00000\tAlice\n",
            "is no list by its ending",
        ),
        ("users", "[\n  \"pii-00000\"\n]\n", "the list holds JSON"),
        (
            "users.txt",
            "{\"id\":\"pii-00000\"}\n",
            "the list holds JSON",
        ),
    ] {
        stage.write(name, text);
        let refused = stage.sweep(name).argument("--yes").run().await;
        assert_eq!(refused.code, Some(1), "{name}: {refused:?}");
        assert!(refused.stderr.contains(told), "{name}: {refused:?}");
    }
    assert_eq!(stage.simulator.stats().calls, 0);
    // Whoever says that it is text, is believed.
    stage.write("users.json", "pii-00000\n");
    let sweep = stage
        .sweep("users.json")
        .argument("--format")
        .argument("text");
    assert_eq!(sweep.argument("--yes").run().await.code, Some(0));
}
