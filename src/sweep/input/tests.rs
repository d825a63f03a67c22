use std::io::{BufReader, Cursor};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::recent::{DISTANCE, Recent};
use super::records::LONGEST;
use super::*;

fn user(text: &str) -> What {
    What::User(UserId::parse(text).unwrap())
}

fn items(text: &str, selection: &Selection) -> Vec<(u64, What)> {
    let items = Items::new(Cursor::new(text.to_owned()), selection).unwrap();
    let items = items.map(Result::unwrap);
    items.map(|item| (item.line, item.what)).collect()
}

fn csv(column: &str) -> Selection {
    let column = Some(column.to_owned());
    selection(Format::Csv, column, None).unwrap()
}

fn ndjson(query: &str) -> Selection {
    selection(Format::Ndjson, None, Some(query.to_owned())).unwrap()
}

#[test]
fn a_line_of_text_is_a_user_unless_it_is_blank_or_a_comment() {
    let text = "a\n\n # b\r\n  c d \r\né\na";
    let expected = [
        (1, user("a")),
        (4, user("c d")),
        (5, What::Invalid("é".to_owned())),
        (6, What::Repeated),
    ];
    assert_eq!(items(text, &Selection::Text), expected);
}

#[test]
fn csv_has_quoted_fields_of_several_lines_and_both_line_ends() {
    for end in ["\n", "\r\n"] {
        let rows = ["x,id", "\"1,\n\"\"2\",a", "", "3, b ", "4", "5,\"c\"", "6,"];
        let expected = [
            (2, user("a")),
            (5, user("b")),
            (6, What::Malformed),
            (7, user("c")),
            (8, What::Invalid(String::new())),
        ];
        assert_eq!(items(&rows.join(end), &csv("id")), expected, "{end:?}");
    }
}

#[test]
fn a_quote_that_is_never_closed_is_an_error_and_not_a_field_as_long_as_the_file() {
    let text = format!("id\na\n\"b\n{}", "c\n".repeat(LONGEST as usize));
    let mut items = Items::new(Cursor::new(text), &csv("id")).unwrap();
    assert!(items.next().unwrap().is_ok());
    let error = items.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("is a quote not closed?"), "{error}");
    assert!(items.next().is_none());
}

#[test]
fn a_line_that_is_too_long_is_malformed_and_the_next_one_is_read() {
    for length in [LONGEST as usize - 1, LONGEST as usize, 3 * LONGEST as usize] {
        let text = format!("a\n{}\nb\n", "x".repeat(length));
        let found = items(&text, &Selection::Text);
        assert_eq!((&found[0], &found[2]), (&(1, user("a")), &(3, user("b"))));
        assert!(matches!(found[1].1, What::Malformed | What::Invalid(_)));
        assert_eq!(found.len(), 3);
    }
}

#[test]
fn a_query_that_selects_nothing_or_no_id_is_malformed_and_never_silent() {
    let text = r#"{"u":["a",7,-8]}
{"u":[]}
{"u":[null,1.5,18446744073709551616,{"a":1}]}

"a"
{"u":["b"]
{"u":["c"],"u":["d"]}"#;
    let expected = [
        (1, user("a")),
        (1, user("7")),
        (1, user("-8")),
        (2, What::Malformed),
        (3, What::Malformed),
        (3, What::Malformed),
        (3, What::Malformed),
        (3, What::Malformed),
        (5, What::Malformed),
        (6, What::Malformed),
        (7, What::Malformed),
    ];
    assert_eq!(items(text, &ndjson("$.u[*]")), expected);
}

#[test]
fn a_user_is_known_again_within_the_distance_and_memory_is_bounded() {
    let mut recent = Recent::default();
    let id = |number: usize| UserId::parse(&number.to_string()).unwrap();
    for number in 0..=DISTANCE {
        assert!(recent.insert(id(number)));
    }
    assert!(!recent.insert(id(0)), "as many others stand between");
    for number in 0..3 * DISTANCE {
        recent.insert(id(DISTANCE + 1 + number));
    }
    assert!(recent.insert(id(0)), "forgotten");
}

#[test]
fn a_broken_zstandard_file_is_an_error() {
    let text = "a\n".repeat(10_000);
    let whole = compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
    let read = |bytes: &[u8]| {
        let mut text = String::new();
        let mut frames = Frames::new(BufReader::new(Cursor::new(bytes.to_owned())));
        frames.read_to_string(&mut text).map(|_| text)
    };
    assert_eq!(read(&whole).unwrap(), text);
    // A frame to be skipped, of three bytes.
    let skipped = [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &whole].concat();
    assert_eq!(read(&skipped).unwrap(), text);
    assert!(read(&whole[..whole.len() - 5]).is_err());
    assert!(read(&[&whole[..], b"rest"].concat()).is_err());
    assert_eq!(read(b"").unwrap(), "");
}

#[test]
fn endings_say_the_compression_and_the_format() {
    for (name, expected) in [
        ("a.txt", (Compression::None, Some(Format::Text))),
        ("a", (Compression::None, Some(Format::Text))),
        ("-", (Compression::None, Some(Format::Text))),
        ("a.CSV.GZ", (Compression::Gzip, Some(Format::Csv))),
        ("a.ndjson.zst", (Compression::Zstd, Some(Format::Ndjson))),
        ("a.failed.jsonl", (Compression::None, Some(Format::Ndjson))),
        ("a.gz", (Compression::Gzip, Some(Format::Text))),
        ("a.2026-11-22", (Compression::None, Some(Format::Text))),
        ("a.json", (Compression::None, None)),
        ("a.tsv.gz", (Compression::Gzip, None)),
    ] {
        assert_eq!(endings(Path::new(name)), expected, "{name}");
    }
}

#[test]
fn utf_16_is_refused_and_the_mark_of_utf_8_is_left_out() {
    let without = |text: &'static [u8]| {
        let mut left = Vec::new();
        without_mark(Box::new(text)).and_then(|mut text| text.read_to_end(&mut left))?;
        io::Result::Ok(left)
    };
    assert_eq!(without(b"\xef\xbb\xbfid").unwrap(), b"id");
    assert_eq!(without(b"").unwrap(), b"");
    assert!(without(b"\xff\xfea\0").is_err());
}
