//! Keeps the table of who may use what true, by reading the sources.
//!
//! It looks at paths, in `use` and elsewhere, outside of comments, texts and test code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Which parts of the crate may use which others. What is not in the list may use none.
const PARTS: [(&str, &[&str]); 16] = [
    ("event", &[]),
    ("engine", &["event"]),
    ("explain", &["engine"]),
    ("im", &["event"]),
    ("letter", &[]),
    ("rabbitmq", &["letter"]),
    ("config", &["event", "rabbitmq"]),
    ("shutdown", &[]),
    ("telemetry", &["config"]),
    ("traces", &["config"]),
    (
        "shell",
        &[
            "config",
            "engine",
            "event",
            "im",
            "rabbitmq",
            "telemetry",
            "traces",
        ],
    ),
    (
        "worker",
        &[
            "config", "engine", "event", "letter", "rabbitmq", "shell", "shutdown", "traces",
        ],
    ),
    ("dead_letters", &["event", "explain", "letter", "rabbitmq"]),
    ("sweep", &["config", "engine", "event", "shell", "shutdown"]),
    (
        "admin",
        &[
            "config",
            "dead_letters",
            "engine",
            "explain",
            "rabbitmq",
            "shell",
        ],
    ),
    (
        "cli",
        &[
            "admin",
            "config",
            "dead_letters",
            "engine",
            "event",
            "explain",
            "im",
            "rabbitmq",
            "shell",
            "shutdown",
            "sweep",
            "telemetry",
            "traces",
            "worker",
        ],
    ),
];

/// What only some parts may use, whoever else would like to.
const RESERVED: [(&str, &[&str]); 20] = [
    ("lapin", &["rabbitmq"]),
    ("reqwest", &["im", "traces"]),
    ("opentelemetry", &["traces"]),
    ("opentelemetry_http", &["traces"]),
    ("opentelemetry_otlp", &["traces"]),
    ("opentelemetry_sdk", &["traces"]),
    ("axum", &["admin"]),
    ("maud", &["admin"]),
    ("tower_http", &["admin"]),
    ("prometheus", &["shell"]),
    ("tokio::signal", &["shutdown"]),
    ("std::env", &["config", "cli"]),
    ("std::fs", &["config", "cli", "sweep", "telemetry"]),
    ("csv", &["sweep"]),
    ("ruzstd", &["sweep"]),
    ("tokio::fs", &[]),
    ("anyhow", &["cli"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
];

/// Parts that use no library but for plain data: pure decisions, the same for the same inputs.
const PURE: [&str; 1] = ["engine"];
const PLAIN_DATA: [&str; 1] = ["smallvec"];
/// What the standard library has and a pure part must not use either.
const IMPURE: [&str; 7] = [
    "std::thread",
    "std::net",
    "std::fs",
    "std::env",
    "std::process",
    "std::time::SystemTime",
    "std::io",
];

const LONGEST_FILE: usize = 450;

#[test]
fn every_part_of_the_crate_uses_only_what_it_may() {
    let libraries = libraries();
    assert!(libraries.contains("lapin") && libraries.contains("futures_util"));
    let mut broken = Vec::new();
    let sources = sources();
    for (file, text) in &sources {
        let part = part(file);
        broken.extend(
            violations(part, &paths(text), &libraries)
                .into_iter()
                .map(|violation| format!("{}: {violation}", file.display())),
        );
    }
    assert!(sources.len() > 40, "{} files are not all", sources.len());
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn no_source_file_is_too_long_to_be_read() {
    for (file, text) in sources() {
        let lines = text.split("#[cfg(test)]\nmod tests {").next();
        let lines = lines.map_or(0, |code| code.lines().count());
        assert!(
            lines <= LONGEST_FILE,
            "{} has {lines} lines before its tests",
            file.display()
        );
    }
}

#[test]
fn a_broken_rule_is_found_however_it_is_written() {
    let libraries = libraries();
    for (part, text, expected) in [
        ("worker", "use lapin::Channel;", "lapin"),
        ("worker", "fn f() -> ::lapin :: Result<()> {}", "lapin"),
        ("event", "use reqwest as http;", "reqwest"),
        (
            "worker",
            "use opentelemetry_sdk::trace::Span;",
            "opentelemetry_sdk",
        ),
        ("engine", "use crate::{event::UserId, im};", "crate::im"),
        (
            "engine",
            "use crate::{\n    event,\n    worker::{self, run},\n};",
            "crate::worker",
        ),
        ("im", "let code = crate::engine::class(1);", "crate::engine"),
        ("config", "pub(crate) use super::cli::run;", "crate::cli"),
        ("engine", "use tokio::time::sleep;", "tokio"),
        ("engine", "let id = fastrand::u64(..);", "fastrand"),
        (
            "engine",
            "use std::{fmt, time::{Duration, SystemTime}};",
            "std::time::SystemTime",
        ),
        ("worker", "use std::{fs::{self, File}, io};", "std::fs"),
        ("worker", "use tokio::{signal, time};", "tokio::signal"),
        ("im", "if std::env::var_os(\"X\").is_some() {}", "std::env"),
        (
            "rabbitmq",
            "fn f() -> anyhow::Result<()> { Ok(()) }",
            "anyhow",
        ),
        ("new", "use crate::event::UserId;", "crate::event"),
    ] {
        let found = violations(part, &paths(&absolute(text, 1)), &libraries);
        assert!(
            found.iter().any(|violation| violation.contains(expected)),
            "{part}: {text}: {found:?}"
        );
    }
}

#[test]
fn what_is_allowed_or_only_spoken_of_is_not_found() {
    let libraries = libraries();
    for (part, text) in [
        ("rabbitmq", "use lapin::Channel;"),
        (
            "engine",
            "use crate::event::UserId;\nuse std::collections::HashMap;",
        ),
        (
            "engine",
            "// lapin::Channel\n/* reqwest::get() */ const A: &str = \"std::env::vars\";",
        ),
        (
            "engine",
            "let quote = '\"'; let life: &'static str = r#\"a \"tokio::spawn\" b\"#;",
        ),
        (
            "engine",
            "use super::window::Windows;\nfn f() { verdict::class(1); Engine::new() }",
        ),
        (
            "worker",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n    fn g() { { lapin::x() } }\n}\n",
        ),
        ("cli", "let version = env!(\"CARGO_PKG_VERSION\");"),
    ] {
        let found = violations(part, &paths(&absolute(text, 2)), &libraries);
        assert_eq!(found, [] as [String; 0], "{part}: {text}");
    }
}

fn violations(part: &str, paths: &BTreeSet<String>, libraries: &BTreeSet<String>) -> Vec<String> {
    let is_in = |path: &str, place: &str| {
        path == place
            || path
                .strip_prefix(place)
                .is_some_and(|rest| rest.starts_with("::"))
    };
    let others = PARTS.iter().find(|(name, _)| *name == part);
    let others = others.map_or(&[] as &[&str], |(_, others)| others);
    let pure = PURE.contains(&part);
    let mut found = Vec::new();
    for path in paths {
        let mut names = path.split("::");
        let root = names.next().unwrap_or_default();
        if root == "crate" && !ROOTS.contains(&part) {
            let other = names.next().unwrap_or_default();
            let known = PARTS.iter().any(|(name, _)| *name == other);
            if known && other != part && !others.contains(&other) {
                found.push(format!("{part} may not use crate::{other}"));
            }
        }
        for (reserved, users) in RESERVED {
            if is_in(path, reserved) && !users.contains(&part) {
                found.push(format!("{part} may not use {reserved}: only {users:?} may"));
            }
        }
        let library = libraries.contains(root) && !PLAIN_DATA.contains(&root);
        if pure && (library || IMPURE.iter().any(|place| is_in(path, place))) {
            found.push(format!("{part} is pure and may not use {path}"));
        }
    }
    found
}

/// The roots of the library and of the program name all parts.
const ROOTS: [&str; 2] = ["lib", "main"];

/// `engine` for `engine.rs` and for `engine/window.rs`.
fn part(file: &Path) -> &str {
    let first = file.iter().next().and_then(|name| name.to_str());
    first.map_or("", |name| name.trim_end_matches(".rs"))
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file that is no test, with its path below `src`.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![source_folder()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.file_stem().is_some_and(|name| name == "tests") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let below = path.strip_prefix(source_folder()).expect("it is below");
                found.push((below.to_owned(), absolute(&text, below.iter().count())));
            }
        }
    }
    found
}

/// Writes `crate` for as many `super` as lead there from a module of this depth. Fewer of them stay in
/// the module's own part.
fn absolute(text: &str, depth: usize) -> String {
    text.replace(&"super::".repeat(depth), "crate::")
        .replace("super::", "")
}

/// The names of the libraries that the package is built with, as they are written in paths.
fn libraries() -> BTreeSet<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).expect("the manifest");
    let section = manifest
        .split("\n[")
        .find(|section| section.starts_with("dependencies]"));
    section
        .expect("there are dependencies")
        .lines()
        .skip(1)
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

/// Every path in `text`, with groups written out: `use a::{b, c::d};` has `a::b` and `a::c::d`.
fn paths(text: &str) -> BTreeSet<String> {
    let tokens = without_tests(tokens(text));
    let mut paths = BTreeSet::new();
    let mut rest = tokens.as_slice();
    while !rest.is_empty() {
        rest = match is_name(&rest[0]) {
            true => path("", rest, &mut paths),
            false => &rest[1..],
        };
    }
    paths
}

/// Reads the path that `tokens` begin with, below `prefix`, and gives what comes after it.
fn path<'a>(prefix: &str, tokens: &'a [String], paths: &mut BTreeSet<String>) -> &'a [String] {
    let path_so_far = match (prefix, tokens[0].as_str()) {
        ("", name) => name.to_owned(),
        (prefix, "self") => prefix.to_owned(),
        (prefix, name) => format!("{prefix}::{name}"),
    };
    match tokens.get(1..) {
        Some([colons, name, ..]) if colons == "::" && is_name(name) => {
            path(&path_so_far, &tokens[2..], paths)
        }
        Some([colons, open, ..]) if colons == "::" && open == "{" => {
            let mut rest = &tokens[3..];
            while let Some(token) = rest.first().filter(|token| *token != "}") {
                rest = match is_name(token) {
                    true => path(&path_so_far, rest, paths),
                    false => &rest[1..],
                };
            }
            rest.get(1..).unwrap_or_default()
        }
        _ => {
            paths.insert(path_so_far);
            &tokens[1..]
        }
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Leaves out every item that stands under `#[cfg(test)]`.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut rest = tokens.as_slice();
    while let Some(token) = rest.first() {
        if rest.len() > MARK.len() && rest.iter().zip(MARK).all(|(token, mark)| token == mark) {
            rest = after_item(&rest[MARK.len()..]);
        } else {
            kept.push(token.clone());
            rest = &rest[1..];
        }
    }
    kept
}

/// What comes after the item that `tokens` begin with: it ends with `;` or with its last brace.
fn after_item(tokens: &[String]) -> &[String] {
    let mut depth = 0;
    for (place, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (token == "}" || token == ";") {
            return &tokens[place + 1..];
        }
    }
    &[]
}

/// Names, `::` and single characters; comments, texts and characters are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = quoted(rest) {
            length
        } else if is_name(rest) || first.is_ascii_digit() {
            let end = rest.find(|next: char| !next.is_alphanumeric() && next != '_');
            let name = &rest[..end.unwrap_or(rest.len())];
            tokens.push(name.to_owned());
            name.len()
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the text or character that `text` begins with, if it does.
fn quoted(text: &str) -> Option<usize> {
    let after_prefix = text.trim_start_matches(['b', 'c']).strip_prefix('r');
    if let Some(raw) = after_prefix {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = text.len() - raw.len() + hashes + 1;
            let length = text[begin..].find(&end).map(|place| place + end.len());
            return Some(begin + length.unwrap_or(text.len() - begin));
        }
    }
    let quote = text.chars().next().filter(|first| "\"'".contains(*first))?;
    if quote == '\'' && !is_character(text) {
        return None;
    }
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, next)| {
        let is_end = *next == quote && !escaped;
        escaped = *next == '\\' && !escaped;
        is_end
    });
    Some(end.map_or(text.len(), |(place, _)| place + 1))
}

/// `'a'` and `'\n'`, and not the lifetime `'a`.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}
