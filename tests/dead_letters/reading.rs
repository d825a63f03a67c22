//! Reading shows everything and changes nothing.

use std::time::Instant;

use serde_json::json;

use crate::letters::*;
use crate::stage::*;

#[tokio::test]
async fn ten_thousand_letters_are_listed_in_seconds_and_stay_as_they_are() {
    let stage = Stage::with_letters(letters(0..10_000)).await;
    let start = Instant::now();
    let list = stage.dlq_json("list").await;
    let took = start.elapsed();
    eprintln!("took {took:?}");
    assert_eq!(list["total"], 10_000);
    for _ in 0..3 {
        let start = Instant::now();
        let list = stage.dlq_json("list").await;
        eprintln!("took {:?}", start.elapsed());
        assert_eq!(list["total"], 10_000);
    }
    assert_eq!(stage.vhost.ready(DEAD_LETTERS).await.unwrap(), 10_000);
    let letters = stage.letters().await;
    eprintln!(
        "counts {:?} {:?}",
        letters[0].header("x-delivery-count"),
        letters[9999].header("x-delivery-count")
    );
    let order: Vec<String> = letters
        .iter()
        .map(|l| l.header("tagsweep-letter-id").unwrap())
        .collect();
    assert!(order == ids(0..10_000), "the order is another");
}

#[tokio::test]
async fn groups_say_what_the_contract_says() {
    let stage = Stage::with_letters(letters(0..3)).await;
    let list = stage.dlq_json("list").await;
    let expected = json!({
        "queue": DEAD_LETTERS, "total": 3, "matched": 3,
        "groups": [{
            "reason": "rejected-by-api", "code": 90001, "count": 3, "users": 3,
            "oldest": "2026-11-22T10:00:09.000Z", "newest": "2026-11-22T10:00:09.000Z",
            "meaning": list["groups"][0]["meaning"],
        }],
    });
    assert_eq!(list, expected);
    let text = stage.dlq_ok("list").await.stdout;
    eprintln!("{text}");
    eprintln!("{}", stage.dlq_ok("list --each").await.stdout);
    eprintln!("{}", stage.dlq_ok("show 0000000000000001-1").await.stdout);
}
