//! Wrong files as people write them, and exactly what is said about each.

use super::{REQUIRED, load};
use crate::config::Settings;

/// Blocks: a file after `=== what it is`, and behind `>>>` all that is said. `FILE` stands for its path.
const FILES: &str = include_str!("wrong_files.txt");

/// All that is said about a file.
fn said(content: impl AsRef<[u8]>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, content).unwrap();
    let required = REQUIRED.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let problems = load::<Settings>(std::slice::from_ref(&path), required).err();
    let said = problems.map_or("nothing".to_owned(), |problems| problems.to_string());
    said.replace(&path.display().to_string(), "FILE")
}

#[test]
fn of_each_wrong_file_it_is_said_what_is_wrong_where_and_what_to_write() {
    let mut different = Vec::new();
    let blocks: Vec<&str> = FILES.split("=== ").skip(1).collect();
    assert!(blocks.len() > 50, "{} are not all", blocks.len());
    for block in blocks {
        let (name, rest) = block.split_once('\n').unwrap();
        let (content, expected) = rest.split_once(">>>\n").unwrap();
        let said = said(content);
        assert!(!said.contains("5ec2e7"), "{name}: {said}");
        if said != expected.trim_end() {
            different.push(format!("=== {name}\n{content}>>>\n{said}\n"));
        }
    }
    assert!(different.is_empty(), "\n{}", different.join("\n"));
}

#[test]
fn a_byte_order_mark_is_taken_and_other_encodings_are_named() {
    assert_eq!(said("\u{feff}[im]\nadmin = 'root'\n"), "nothing");
    assert_eq!(said("[im]\r\nadmin = 'root'\r\n"), "nothing");
    let utf16: Vec<u8> = "\u{feff}[im]"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(said(utf16), "FILE: is UTF-16; save it as UTF-8");
    let latin1 = b"[im]\n# f\xfcr alle\n";
    assert_eq!(
        said(latin1),
        "FILE: line 2 is not UTF-8; save the file as UTF-8"
    );
    assert_eq!(said(""), "nothing");
}

#[test]
fn what_cannot_be_read_as_a_file_is_named_plainly() {
    for (path, expected) in [
        ("/none/tagsweep.toml", "no such file; check the path"),
        (
            "/dev",
            "is a directory; name a file in it, such as config.toml",
        ),
        ("/dev/zero", "is longer than 1 MiB; name a TOML file"),
    ] {
        let problems = load::<Settings>(&[path.into()], []).unwrap_err();
        assert_eq!(problems.to_string(), format!("{path}: {expected}"));
    }
}

#[test]
fn a_file_that_is_cut_or_garbled_anywhere_shows_no_secret() {
    let secrets = "[im]\nsecret_key = \"5ec2e7\"\nproxy_url = 'http://u:5ec2e7@h'\n\
                   user_sig = \"\"\"\n5ec2e7\n\"\"\"\n[rabbitmq]\nurl = [\n\"amqp://u:5ec2e7@h\",\n]\n";
    for place in 0..secrets.len() {
        let (before, after) = secrets.split_at(place);
        for garbled in ["\"", "\n", "="] {
            let said = said(format!("{before}{garbled}{after}"));
            assert!(!said.contains("5ec2e7"), "{before}{garbled}{after}\n{said}");
        }
        assert!(!said(before).contains("5ec2e7"), "{before}");
    }
}
