//! A look over an expression before the library parses it.
//!
//! It finds what the library would take and what would never do what was meant: names that no document has, patterns
//! that are none. It bounds what an expression may cost, and it knows the usual slips.

use super::document::PARTS;
use super::functions::pattern_of;
use crate::event::PROPERTIES;

/// Brackets within brackets. The library's parser takes several times as long for each.
const DEEPEST: usize = 8;

/// What was found outside of quotes.
#[derive(Debug, Default)]
pub(super) struct Scan<'a> {
    /// Where each `$` stands.
    pub roots: Vec<usize>,
    /// Where each `&&` stands that is in no brackets.
    pub ands: Vec<usize>,
    /// Whether there is a `||` in no brackets.
    pub has_or: bool,
    /// Where the first comma in no brackets stands.
    pub comma: Option<usize>,
    /// What is left of the first comparison, or the first argument of the first `match` or `search`.
    pub operand: Option<&'a str>,
}

/// Where something is wrong, and what.
type Wrong = (usize, String);

/// A bracket that was opened.
struct Open<'a> {
    at: usize,
    closed_by: u8,
    is_filter: bool,
    /// The function whose arguments it holds.
    function: &'a str,
    argument: usize,
    has_pattern: bool,
}

struct Scanner<'a> {
    text: &'a str,
    is_condition: bool,
    open: Vec<Open<'a>>,
    descendants: usize,
    found: Scan<'a>,
}

/// `is_condition`: `@` stands for the document where it is in no filter.
pub(super) fn scan(text: &str, is_condition: bool) -> Result<Scan<'_>, Wrong> {
    let mut scanner = Scanner {
        text,
        is_condition,
        open: Vec::new(),
        descendants: 0,
        found: Scan::default(),
    };
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        at = scanner.step(at, *byte)?;
    }
    match scanner.open.pop() {
        Some(open) => Err((open.at, "this bracket is never closed".to_owned())),
        None => Ok(scanner.found),
    }
}

impl<'a> Scanner<'a> {
    /// Looks at one byte, and says where the next one to look at stands.
    fn step(&mut self, at: usize, byte: u8) -> Result<usize, Wrong> {
        match byte {
            b'\'' | b'"' => return self.literal(at),
            b'(' | b'[' => self.open(at, byte)?,
            b')' | b']' => self.close(at, byte)?,
            b',' => match self.open.last_mut() {
                Some(open) => {
                    if open.argument == 0 && is_pattern_function(open.function) {
                        let operand = self.text.get(open.at + 1..at);
                        self.found.operand = self.found.operand.or(operand);
                    }
                    open.argument += 1;
                }
                None => self.found.comma = self.found.comma.or(Some(at)),
            },
            b'$' => {
                self.found.roots.push(at);
                self.name(at)?;
            }
            b'@' if self.is_condition && !self.open.iter().any(|open| open.is_filter) => {
                self.name(at)?;
            }
            b'.' if self.rest(at).starts_with("..") => {
                self.descendants += 1;
                if self.descendants > 1 {
                    let what = "a second .. may take longer than the event is worth; name the fields instead";
                    return Err((at, what.to_owned()));
                }
                return Ok(at + 2);
            }
            b'&' | b'|' => return self.joint(at),
            b'=' | b'!' | b'<' | b'>' => return self.comparison(at, byte),
            b'-' => self.hyphen(at)?,
            b'a' | b'o' => self.word(at)?,
            _ => {}
        }
        Ok(at + 1)
    }

    fn rest(&self, at: usize) -> &'a str {
        self.text.get(at..).unwrap_or_default()
    }

    fn before(&self, at: usize) -> &'a str {
        self.text.get(..at).unwrap_or_default()
    }

    fn literal(&mut self, at: usize) -> Result<usize, Wrong> {
        let (literal, end) =
            literal(self.text, at).ok_or_else(|| (at, "this quote is never closed".to_owned()))?;
        if let Some(open) = self.open.last_mut()
            && is_pattern_function(open.function)
            && open.argument == 1
        {
            open.has_pattern = true;
            if let Some(pattern) = unescaped(literal) {
                let wrong = |why| (at + 1, format!("no regular expression: {why}"));
                pattern_of(&pattern).map_err(wrong)?;
            }
        }
        Ok(end)
    }

    fn open(&mut self, at: usize, byte: u8) -> Result<(), Wrong> {
        let before = self.before(at);
        let name =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        let start = before.trim_end_matches(name).len();
        let rest = self.rest(at + 1).trim_start();
        self.open.push(Open {
            at,
            closed_by: if byte == b'(' { b')' } else { b']' },
            is_filter: byte == b'[' && rest.starts_with('?'),
            function: match byte {
                b'(' => before.get(start..).unwrap_or_default(),
                _ => "",
            },
            argument: 0,
            has_pattern: false,
        });
        match self.open.len() > DEEPEST {
            true => Err((at, "brackets are nested more than 8 deep".to_owned())),
            false => Ok(()),
        }
    }

    fn close(&mut self, at: usize, byte: u8) -> Result<(), Wrong> {
        let open = self.open.pop().filter(|open| open.closed_by == byte);
        let open = open.ok_or_else(|| (at, "this bracket closes nothing".to_owned()))?;
        // A pattern from a message would be the sender's to choose.
        if is_pattern_function(open.function) && !(open.has_pattern && open.argument == 1) {
            let function = open.function;
            let what = format!("write {function}(PATH, 'PATTERN'), with the pattern in quotes");
            return Err((open.at - function.len(), what));
        }
        Ok(())
    }

    fn joint(&mut self, at: usize) -> Result<usize, Wrong> {
        let rest = self.rest(at);
        let is_outside = self.open.is_empty();
        if rest.starts_with("&&") {
            if is_outside {
                self.found.ands.push(at);
            }
        } else if rest.starts_with("||") {
            self.found.has_or |= is_outside;
        } else {
            return Err((at, "write && for and, || for or".to_owned()));
        }
        Ok(at + 2)
    }

    fn comparison(&mut self, at: usize, byte: u8) -> Result<usize, Wrong> {
        let rest = self.rest(at);
        if rest.starts_with("=~") {
            return Err((
                at,
                "write match(PATH, 'PATTERN') for a regular expression".to_owned(),
            ));
        }
        if byte == b'=' && !rest.starts_with("==") {
            return Err((at, "write == to compare".to_owned()));
        }
        if byte == b'!' && !rest.starts_with("!=") {
            return Ok(at + 1);
        }
        if self.open.is_empty() {
            self.found.operand = self.found.operand.or(self.text.get(..at));
        }
        Ok(at
            + if rest.as_bytes().get(1) == Some(&b'=') {
                2
            } else {
                1
            })
    }

    /// There is no minus, so a hyphen within a name is meant as a part of it.
    fn hyphen(&self, at: usize) -> Result<(), Wrong> {
        let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphabetic);
        if is_letter(self.before(at).chars().next_back())
            && is_letter(self.rest(at + 1).chars().next())
        {
            let what = "a name with a hyphen is written in brackets: @.headers['X-Topic']";
            return Err((at, what.to_owned()));
        }
        Ok(())
    }

    fn word(&self, at: usize) -> Result<(), Wrong> {
        let rest = self.rest(at);
        let stands_alone = self.before(at).ends_with(' ');
        match (rest.starts_with("and "), rest.starts_with("or ")) {
            (true, _) if stands_alone => Err((at, "write && for and".to_owned())),
            (_, true) if stands_alone => Err((at, "write || for or".to_owned())),
            _ => Ok(()),
        }
    }

    /// The names behind a `$` or an `@` that stands for the document.
    fn name(&self, at: usize) -> Result<(), Wrong> {
        let Some((part, end)) = named(self.text, at + 1) else {
            return Ok(());
        };
        if !PARTS.contains(&part.as_str()) {
            let root = self.text.get(at..at + 1).unwrap_or_default();
            let what = format!(
                "a message has {}; write {root}.body.{part} for a field of its body",
                listed(&PARTS)
            );
            return Err((at + 1, what));
        }
        if part == "properties"
            && let Some((property, _)) = named(self.text, end)
            && !PROPERTIES.contains(&property.as_str())
        {
            return Err((
                end,
                format!("AMQP has the properties {}", listed(&PROPERTIES)),
            ));
        }
        Ok(())
    }
}

fn is_pattern_function(name: &str) -> bool {
    ["match", "search"].contains(&name)
}

fn listed(names: &[&str]) -> String {
    match names {
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
        [] => String::new(),
    }
}

/// The name that a segment of a path selects, and where the segment ends; nothing where it selects no single name.
fn named(text: &str, at: usize) -> Option<(String, usize)> {
    let rest = text.get(at..)?;
    if let Some(name) = rest.strip_prefix('.') {
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let end = name.find(|letter| !is_part(letter)).unwrap_or(name.len());
        let name = name.get(..end).filter(|name| !name.is_empty())?;
        return Some((name.to_owned(), at + 1 + end));
    }
    rest.strip_prefix('[')?;
    let (literal, end) = literal(text, at + 1)?;
    Some((unescaped(literal)?, end + 1))
}

/// The literal in quotes that begins at a byte, with its quotes, and where it ends.
fn literal(text: &str, at: usize) -> Option<(&str, usize)> {
    let bytes = text.as_bytes();
    let quote = *bytes.get(at).filter(|byte| b"'\"".contains(byte))?;
    let mut end = at + 1;
    loop {
        match *bytes.get(end)? {
            b'\\' => end += 2,
            byte if byte == quote => return Some((text.get(at..=end)?, end + 1)),
            _ => end += 1,
        }
    }
}

/// What a literal stands for; nothing where the library will refuse it.
fn unescaped(literal: &str) -> Option<String> {
    let inner = literal.get(1..literal.len() - 1)?;
    let json = match literal.starts_with('\'') {
        true => inner.replace("\\'", "'").replace('"', "\\\""),
        false => inner.to_owned(),
    };
    serde_json::from_str(&format!("\"{json}\"")).ok()
}
