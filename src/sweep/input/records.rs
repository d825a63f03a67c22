//! From text to items: one user ID a line, CSV, or JSON values.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::{ByteRecord, ReaderBuilder, Terminator};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::recent::Recent;
use super::{InputError, Item, Selection, What};
use crate::event::UserId;
use crate::event::json::Json;

/// The longest record, in bytes. Longer ones are no user IDs, but a quote that is never closed or another file.
pub(super) const LONGEST: u64 = 1 << 20;
/// So much of a text that is no user ID is kept, in bytes: more than a user ID may have.
const KEPT: usize = 200;

type Text = Box<dyn BufRead + Send>;

/// Reads the items of a list, each user once within a distance.
pub(in crate::sweep) struct Items {
    records: Records,
    recent: Recent,
    found: VecDeque<Item>,
    line: u64,
    is_over: bool,
}

impl Items {
    pub(super) fn new(
        text: impl BufRead + Send + 'static,
        selection: &Selection,
    ) -> Result<Items, InputError> {
        let text: Text = Box::new(text);
        let records = match selection {
            Selection::Text => Records::Text(Lines::new(text)),
            Selection::Ndjson { users, .. } => Records::Ndjson(Lines::new(text), users.clone()),
            Selection::Csv { column } => Records::Csv(Box::new(Table::new(text, column)?)),
        };
        Ok(Items {
            records,
            recent: Recent::default(),
            found: VecDeque::new(),
            line: 0,
            is_over: false,
        })
    }

    fn read(&mut self) -> io::Result<bool> {
        let found = &mut self.found;
        let line = match &mut self.records {
            Records::Text(lines) => lines.next(|line| in_text(line, found))?,
            Records::Ndjson(lines, users) => lines.next(|line| in_json(line, users, found))?,
            Records::Csv(table) => table.next(found)?,
        };
        let Some(line) = line else { return Ok(false) };
        self.line = line;
        for item in &mut self.found {
            item.line = line;
            if let What::User(user) = item.what
                && !self.recent.insert(user)
            {
                item.what = What::Repeated;
            }
        }
        Ok(true)
    }
}

impl Iterator for Items {
    type Item = Result<Item, InputError>;

    fn next(&mut self) -> Option<Result<Item, InputError>> {
        loop {
            if let Some(item) = self.found.pop_front() {
                return Some(Ok(item));
            }
            if self.is_over {
                return None;
            }
            match self.read() {
                Ok(more) => self.is_over = !more,
                Err(cause) => {
                    self.is_over = true;
                    let line = self.line;
                    return Some(Err(InputError::Read { line, cause }));
                }
            }
        }
    }
}

enum Records {
    Text(Lines),
    Csv(Box<Table>),
    Ndjson(Lines, Box<JsonPath>),
}

fn in_text(line: Option<&[u8]>, found: &mut VecDeque<Item>) {
    match line.map(<[u8]>::trim_ascii) {
        Some(line) if line.is_empty() || line.starts_with(b"#") => {}
        Some(line) => found.push_back(item(id(line))),
        None => found.push_back(item(What::Malformed)),
    }
}

/// What a query selects must be a text or an integer; a line of which it selects nothing is malformed, not skipped. So is
/// one with a field twice: which of the two is the user cannot be known.
fn in_json(line: Option<&[u8]>, users: &JsonPath, found: &mut VecDeque<Item>) {
    if line.is_some_and(|line| line.trim_ascii().is_empty()) {
        return;
    }
    let json = line.and_then(|line| Json::read(line).ok()?);
    let json = json.filter(|json| !json.has_repeated);
    let before = found.len();
    for selected in json.iter().flat_map(|json| users.query(&json.value)) {
        found.push_back(item(match selected {
            Value::String(text) => id(text.as_bytes()),
            // A wider integer is a rounded number by now, and so another user's ID.
            Value::Number(number) if number.is_i64() || number.is_u64() => {
                id(number.to_string().as_bytes())
            }
            _ => What::Malformed,
        }));
    }
    if found.len() == before {
        found.push_back(item(What::Malformed));
    }
}

fn id(bytes: &[u8]) -> What {
    let text = String::from_utf8_lossy(bytes);
    match UserId::parse(&text) {
        Ok(user) => What::User(user),
        Err(_) => What::Invalid(
            text.get(..text.floor_char_boundary(KEPT))
                .unwrap_or_default()
                .to_owned(),
        ),
    }
}

/// The line is known when the record is read.
fn item(what: What) -> Item {
    Item { line: 0, what }
}

/// Lines, of which none takes more memory than the longest record may have.
struct Lines {
    text: Text,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn new(text: Text) -> Lines {
        Lines {
            text,
            line: Vec::new(),
            number: 0,
        }
    }

    /// Gives `to` the next line, or nothing where it is too long; returns its number.
    fn next(&mut self, to: impl FnOnce(Option<&[u8]>)) -> io::Result<Option<u64>> {
        self.line.clear();
        let mut text = (&mut self.text).take(LONGEST);
        if text.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let is_whole = self.line.ends_with(b"\n") || text.limit() > 0;
        if is_whole {
            to(Some(&self.line));
        } else {
            self.text.skip_until(b'\n')?;
            to(None);
        }
        Ok(Some(self.number))
    }
}

/// CSV, with the column that holds the users.
struct Table {
    reader: csv::Reader<Bounded>,
    /// What the record may still have, in bytes.
    room: Arc<AtomicU64>,
    record: ByteRecord,
    column: usize,
}

impl Table {
    fn new(text: Text, column: &str) -> Result<Table, InputError> {
        let room = Arc::new(AtomicU64::new(LONGEST));
        let text = Bounded {
            // Each record ends with its line.
            text: Box::new(text.chain(&b"\n"[..])),
            room: Arc::clone(&room),
        };
        // Short rows are told one by one. A carriage return is trimmed: as a terminator it would count no lines.
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(text);
        let header = reader.byte_headers().map_err(|error| InputError::Read {
            line: 0,
            cause: error.into(),
        })?;
        let is_meant = |name: &[u8]| name.trim_ascii() == column.trim().as_bytes();
        let place = header.iter().position(is_meant);
        let column = place.ok_or_else(|| InputError::NoColumn(column.to_owned()))?;
        Ok(Table {
            reader,
            room,
            record: ByteRecord::new(),
            column,
        })
    }

    fn next(&mut self, found: &mut VecDeque<Item>) -> io::Result<Option<u64>> {
        self.room.store(LONGEST, Ordering::Relaxed);
        if !self.reader.read_byte_record(&mut self.record)? {
            return Ok(None);
        }
        let is_blank = self.record.as_slice().trim_ascii().is_empty() && self.record.len() == 1;
        if !is_blank {
            let field = self.record.get(self.column);
            let what = field.map_or(What::Malformed, |field| id(field.trim_ascii()));
            found.push_back(item(what));
        }
        // Where the record begins is not known to the reader: blank lines may stand before it.
        let ends = self.record.as_slice().iter().filter(|byte| **byte == b'\n');
        let within = ends.count() as u64 + 1;
        Ok(Some(self.reader.position().line().saturating_sub(within)))
    }
}

/// Ends in an error where one record wants more than it may have: what a quote that is never closed begins would
/// else be read into memory to the end of the file.
struct Bounded {
    text: Text,
    room: Arc<AtomicU64>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.room.load(Ordering::Relaxed);
        if room == 0 {
            let text = "a record is longer than 1 MiB: is a quote not closed?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let count = (&mut self.text).take(room).read(buffer)?;
        self.room.store(room - count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
