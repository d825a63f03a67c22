//! Whatever a list is, each of its records becomes one item or more, and no item names anybody who does not stand there.
//!
//! The first line of the input is the list's name, whose ending says how it is read, and behind a space what selects the
//! users in it: `a.csv.gz id`. The list follows. Now and then it is also read compressed by us, which takes long: no fuzzer
//! makes up a checksum.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::Value;
use tagsweep::event::UserId;
use tagsweep::sweep::fuzzing::{Found, read};

type Items = Vec<(u64, Found)>;

pub fn list(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let Ok(head) = str::from_utf8(&input[..end]) else {
        return;
    };
    let (name, select) = match head.split_once(' ') {
        Some((name, select)) => (name, Some(select)),
        None => (head, None),
    };
    let list = &input[end + 1..];
    let Ok((items, is_whole)) = read(list.to_vec(), name, select) else {
        return;
    };
    let again = read(list.to_vec(), name, select).expect("it was read before");
    assert_eq!(again, (clone(&items), is_whole), "reading is deterministic");
    is_sound(&items);
    let ending = Path::new(name).extension().unwrap_or_default();
    let ending = ending.to_string_lossy().to_lowercase();
    // Lines of text are read a second time; tables and JSON are looked through.
    match ending.as_str() {
        "gz" | "zst" => return,
        "csv" => stands_in(&items, list),
        "ndjson" | "jsonl" => stands_in_json(&items, list),
        _ => is_each_line(&items, list),
    }
    let sum = list.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    if !sum.is_multiple_of(64) {
        return;
    }
    for (ending, packed) in [(".gz", gzip(list)), (".zst", zstd(list))] {
        let name = format!("{name}{ending}");
        // A name that is nothing but an ending has none.
        if Path::new(&name).extension().is_some() {
            let packed = read(packed, &name, select).expect("as it is, it was read");
            assert_eq!(packed, (clone(&items), is_whole), "{ending}");
        }
    }
}

fn clone(items: &Items) -> Items {
    let found = |found: &Found| match found {
        Found::User(user) => Found::User(*user),
        Found::Repeated => Found::Repeated,
        Found::Invalid(text) => Found::Invalid(text.clone()),
        Found::Malformed => Found::Malformed,
    };
    let items = items.iter().map(|(line, item)| (*line, found(item)));
    items.collect()
}

/// Lines count up, and nobody is called twice.
fn is_sound(items: &Items) {
    assert!(items.is_sorted_by_key(|(line, _)| *line), "lines go back");
    assert!(items.iter().all(|(line, _)| *line > 0));
    let users = users(items);
    let distinct: BTreeSet<_> = users.iter().collect();
    assert_eq!(distinct.len(), users.len(), "somebody is called twice");
    let repeated = items.iter().any(|(_, found)| *found == Found::Repeated);
    assert!(!repeated || !users.is_empty(), "repeated before the first");
}

fn users(items: &Items) -> Vec<&str> {
    let users = items.iter().filter_map(|(_, found)| match found {
        Found::User(user) => Some(user.as_str()),
        _ => None,
    });
    users.collect()
}

/// A list of lines, read a second time.
fn is_each_line(items: &Items, list: &[u8]) {
    let list = list.strip_prefix(b"\xef\xbb\xbf").unwrap_or(list);
    let lines = list.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<_> = lines
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
        .collect();
    assert_eq!(
        lines.len(),
        items.len(),
        "a line is lost, or one is made up"
    );
    let mut before = BTreeSet::new();
    for ((number, line), (at, found)) in lines.into_iter().zip(items) {
        assert_eq!(*at, number as u64 + 1);
        let id = str::from_utf8(line)
            .ok()
            .and_then(|id| UserId::parse(id).ok());
        match (id, found) {
            (Some(id), Found::User(user)) => assert!(id == *user && before.insert(line)),
            (Some(_), Found::Repeated) => assert!(before.contains(line)),
            (None, Found::Invalid(_)) => {}
            (id, found) => panic!("{id:?} is read as {found:?}"),
        }
    }
}

/// In a field in quotes, each quote is written twice.
fn stands_in(items: &Items, list: &[u8]) {
    let list = String::from_utf8_lossy(list);
    let plain = list.replace("\"\"", "\"");
    for user in users(items) {
        let is_there = list.contains(user)
            || plain.contains(user)
            // What stands around the quotes of a field is part of it as well.
            || list.replace('"', "").contains(&user.replace('"', ""));
        assert!(is_there, "nobody wrote it");
    }
}

fn stands_in_json(items: &Items, list: &[u8]) {
    let mut texts = BTreeSet::new();
    let list = list.strip_prefix(b"\xef\xbb\xbf").unwrap_or(list);
    let mut filled = 0;
    for line in list.split(|byte| *byte == b'\n') {
        filled += usize::from(!line.trim_ascii().is_empty());
        if let Ok(value) = serde_json::from_slice(line) {
            gather(value, &mut texts);
        }
    }
    assert!(items.len() >= filled, "a line is lost");
    for user in users(items) {
        assert!(texts.contains(user), "nobody wrote it");
    }
}

fn gather(value: Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            texts.insert(text);
        }
        Value::Number(number) if !number.is_f64() => {
            texts.insert(number.to_string());
        }
        Value::Array(items) => items.into_iter().for_each(|item| gather(item, texts)),
        Value::Object(fields) => fields
            .into_iter()
            .for_each(|(_, field)| gather(field, texts)),
        _ => {}
    }
}

fn gzip(list: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(list).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn zstd(list: &[u8]) -> Vec<u8> {
    compress_to_vec(list, CompressionLevel::Fastest)
}
