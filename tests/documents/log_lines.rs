//! The log lines of the sources.

use std::collections::BTreeSet;

use crate::{files, root};

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// A line of the log. Ordered by target, as the document is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogLine {
    pub target: String,
    pub message: String,
    pub level: String,
    pub fields: BTreeSet<String>,
}

/// What the sources say, but for their tests.
pub fn said_lines() -> BTreeSet<LogLine> {
    let mut sources = Vec::new();
    files(&root().join("src"), ".rs", &mut sources);
    let mut said = BTreeSet::new();
    for source in sources {
        let module = source.strip_prefix(root().join("src")).expect("below");
        let module = module.with_extension("");
        let parts: Vec<_> = module.iter().map(|part| part.to_string_lossy()).collect();
        if parts.iter().any(|part| part == "tests") {
            continue;
        }
        let text = std::fs::read_to_string(&source).expect("a source file");
        let target = format!("tagsweep::{}", parts.join("::"));
        said.extend(log_lines(&target, &text));
    }
    said
}

/// The log lines of one source file, before its tests.
pub fn log_lines(target: &str, source: &str) -> Vec<LogLine> {
    let code = source.split("#[cfg(test)]\nmod tests {").next();
    let source = code.unwrap_or_default();
    let mut lines = Vec::new();
    for level in LEVELS {
        let start = format!("{level}!(");
        for (place, _) in source.match_indices(&start) {
            let before = &source[..place];
            if before.ends_with(|last: char| last.is_alphanumeric() || last == '_') {
                continue;
            }
            assert!(before.ends_with("tracing::"), "{target}: {level}! is bare");
            let arguments = arguments(&source[place + start.len()..]);
            lines.push((place, log_line(target, level, &arguments)));
        }
    }
    lines.sort_by_key(|(place, _)| *place);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn log_line(target: &str, level: &str, arguments: &[&str]) -> LogLine {
    let (message, fields) = arguments.split_last().expect("a line says something");
    let message = message
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let message = message.expect("a message is a plain text, and comes last");
    let field = |argument: &&str| {
        let (name, _) = argument.split_once('=').unwrap_or((argument, ""));
        let name = name.trim().trim_start_matches(['%', '?']);
        let plain = |next: char| next.is_ascii_alphanumeric() || next == '_';
        assert!(
            name.chars().all(plain),
            "{target}: {argument:?} is no field"
        );
        name.to_owned()
    };
    LogLine {
        target: target.to_owned(),
        message: message.to_owned(),
        level: level.to_owned(),
        fields: fields.iter().map(field).collect(),
    }
}

/// The arguments of a macro, from behind its opening bracket.
fn arguments(text: &str) -> Vec<&str> {
    let mut arguments = Vec::new();
    let (mut begin, mut depth, mut in_text, mut escaped) = (0, 0, false, false);
    for (place, next) in text.char_indices() {
        match next {
            _ if escaped => {}
            '"' => in_text = !in_text,
            _ if in_text => {}
            ')' | ',' if depth == 0 => {
                arguments.push(text[begin..place].trim());
                begin = place + 1;
                if next == ')' {
                    arguments.retain(|argument| !argument.is_empty());
                    return arguments;
                }
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        escaped = next == '\\' && !escaped;
    }
    panic!("a macro has no end");
}
