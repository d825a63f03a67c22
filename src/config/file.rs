//! A configuration file: its values and where they stand, or why it is none.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Number, Value};
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};
use zeroize::Zeroizing;

use super::keys::{self, Keys};
use super::problem::{Place, Problem};

mod syntax;

/// Far more than any configuration has, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// What stands in a file: a key of a section, or what should be a section of ours and is none.
pub(super) struct Entry {
    pub section: String,
    pub key: Option<String>,
    pub value: Value,
    pub place: Place,
    /// Where each table of a list begins.
    pub items: Vec<Place>,
}

/// Reads a file. One that cannot be read, or is not TOML, makes one problem: what else is wrong with it may only follow
/// from that.
pub(super) fn read(path: &Path, known: &Keys) -> Result<Vec<Entry>, Problem> {
    let whole = |text: String| Problem::of_source(path.display(), text);
    let bytes = bytes(path).map_err(|error| whole(unreadable(&error)))?;
    let text = utf8(&bytes).map_err(whole)?;
    let path: Arc<Path> = path.into();
    match DeTable::parse(text) {
        Ok(table) => Ok(entries(&path, text, table.get_ref(), known)),
        Err(error) => Err(syntax::problem(&path, text, &error, known)),
    }
}

fn bytes(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let mut start = File::open(path)?.take(LONGEST + 1);
    start.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file; check the path".into(),
        ErrorKind::IsADirectory => "is a directory; name a file in it, such as config.toml".into(),
        ErrorKind::PermissionDenied => {
            "this user may not read it; check its permissions and those of its directories".into()
        }
        ErrorKind::FileTooLarge => "is longer than 1 MiB; name a TOML file".into(),
        _ => format!("cannot be read ({error}); check the path"),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("is UTF-16; save it as UTF-8".into());
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        format!("line {line} is not UTF-8; save the file as UTF-8")
    })
}

fn entries(path: &Arc<Path>, text: &str, table: &DeTable<'_>, known: &Keys) -> Vec<Entry> {
    let sections = keys::sections_of(known);
    let mut entries = Vec::new();
    for (section, value) in table {
        let entry = |at: Range<usize>, key: Option<&str>, value: &DeValue<'_>| Entry {
            section: section.get_ref().to_string(),
            key: key.map(str::to_owned),
            value: json(value),
            place: place(path, text, at.start),
            items: match value {
                DeValue::Array(items) => items
                    .iter()
                    .map(|item| place(path, text, item.span().start))
                    .collect(),
                _ => Vec::new(),
            },
        };
        match value.get_ref() {
            DeValue::Table(keys) if sections.contains(section.get_ref().as_ref()) => {
                let keys = keys.iter();
                entries.extend(
                    keys.map(|(key, value)| {
                        entry(key.span(), Some(key.get_ref()), value.get_ref())
                    }),
                );
            }
            value => entries.push(entry(section.span(), None, value)),
        }
    }
    entries.sort_by_key(|entry| (entry.place.line, entry.place.column));
    entries
}

fn place(file: &Arc<Path>, text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    Place {
        file: Arc::clone(file),
        line: 1 + before.matches('\n').count(),
        column: 1 + before.get(line_start..).unwrap_or_default().chars().count(),
    }
}

/// A date is taken as its text: no key wants one, and a name may look like one.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => {
            integer(number).map_or_else(|| number.to_string().into(), Value::Number)
        }
        DeValue::Float(number) => {
            float(number).map_or_else(|| number.to_string().into(), Value::Number)
        }
        DeValue::Boolean(yes) => (*yes).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(keys) => keys
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())))
            .collect(),
    }
}

fn integer(number: &DeInteger<'_>) -> Option<Number> {
    let number = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
    Number::from_i128(number).or_else(|| Number::from_f64(number as f64))
}

fn float(number: &DeFloat<'_>) -> Option<Number> {
    Number::from_f64(number.as_str().parse().ok()?)
}
