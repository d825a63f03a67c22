//! The list: a file of user IDs, or standard input, read from its beginning to its end.
//!
//! What it holds comes out as [`Item`]s, always the same ones in the same order, so that an item's number names it
//! from one run to the next. However long the list is, only a bounded part of it is in memory.

mod ahead;
mod recent;
mod records;
#[cfg(test)]
mod tests;
mod zstd;

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use serde_json_path::JsonPath;
use sha2::{Digest, Sha256};

use crate::event::UserId;
pub(super) use ahead::{Ahead, Part};
pub(super) use records::Items;
use zstd::Frames;

/// So much of each end of a file, in bytes, tells it from others.
const ENDS: u64 = 64 * 1024;
/// What selects the user of a line of JSON where nothing else is said: the form of the file of failures.
const USERS: &str = "$.user";

/// What a record of the list holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Where its record begins, counted from 1.
    pub(super) line: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    User(UserId),
    /// A user who stood in the list a short while before.
    Repeated,
    /// Text that breaks the API's rule for user IDs, as much of it as is worth keeping.
    Invalid(String),
    /// Nothing can be read there.
    Malformed,
}

/// The form of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One user ID a line.
    Text,
    /// A header, and a column that holds the user IDs.
    Csv,
    /// A JSON value a line, of which a query selects the user IDs.
    Ndjson,
}

/// Where the user IDs stand in the list.
#[derive(Clone, Debug)]
enum Selection {
    Text,
    Csv { column: String },
    Ndjson { users: Box<JsonPath>, query: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Why a list cannot be read. No text shows what the list holds.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("{path}: {cause}")]
    Open { path: String, cause: io::Error },
    #[error("reading stopped after line {line}: {cause}")]
    Read { line: u64, cause: io::Error },
    #[error("the first line names no column {0:?}")]
    NoColumn(String),
    #[error("CSV needs --column: the name of the column that holds the user IDs")]
    ColumnMissing,
    #[error("--{option} is for {format} only")]
    ForeignOption {
        option: &'static str,
        format: &'static str,
    },
    #[error("--users: {0}")]
    Query(serde_json_path::ParseError),
    #[error("the list is encoded in UTF-16; convert it to UTF-8")]
    Utf16,
    #[error("{} is no list by its ending: convert it to text, CSV or NDJSON, or name its --format", .0.display())]
    Ending(PathBuf),
    #[error(
        "the list holds JSON, and not one user ID a line: name its format, as with --format ndjson --users PATH"
    )]
    Json,
    #[error("the reader of the list ended too early")]
    Gone,
}

/// What tells one list, read in one way, from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    /// Not known of standard input.
    bytes: Option<u64>,
    /// Of both ends of a file; of the beginning of standard input.
    sha256: String,
    format: Format,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<String>,
}

impl Identity {
    /// What differs, where this is not the other's list.
    pub(super) fn difference(&self, other: &Identity) -> Option<&'static str> {
        if (self.format, &self.column, &self.users) != (other.format, &other.column, &other.users) {
            return Some("--format, --column or --users differs");
        }
        (self != other).then_some("the content differs")
    }
}

/// A list, and how it is read.
pub struct Input {
    /// None for standard input.
    path: Option<PathBuf>,
    /// What can be read only once, from its beginning.
    stream: Option<Box<dyn Read + Send>>,
    is_stream: bool,
    compression: Compression,
    selection: Selection,
    /// Nobody has said which format it is.
    is_guess: bool,
    identity: Option<Identity>,
}

/// A list that is open. Nothing of it was read, as its first byte may take as long as it likes to come.
pub(super) struct Opened {
    raw: Box<dyn Read + Send>,
    compression: Compression,
    selection: Selection,
    is_guess: bool,
}

impl Input {
    /// The format is that of the file's ending unless it is given.
    ///
    /// # Errors
    /// When the file cannot be opened, or the options do not fit its format.
    pub fn new(
        file: &Path,
        format: Option<Format>,
        column: Option<String>,
        users: Option<String>,
    ) -> Result<Input, InputError> {
        let (compression, by_ending) = endings(file);
        let is_guess = format.is_none();
        let format = format.or(by_ending);
        let format = format.ok_or_else(|| InputError::Ending(file.to_owned()))?;
        let mut input = Input {
            path: (file != Path::new("-")).then(|| file.to_owned()),
            stream: None,
            is_stream: false,
            compression,
            selection: selection(format, column, users)?,
            is_guess,
            identity: None,
        };
        input.stream = match &input.path {
            None => Some(Box::new(io::stdin())),
            Some(path) => {
                let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
                let (metadata, file) = opened.map_err(|cause| input.open_error(cause))?;
                if metadata.is_dir() {
                    return Err(input.open_error(io::ErrorKind::IsADirectory.into()));
                }
                (!metadata.is_file()).then(|| Box::new(file) as Box<dyn Read + Send>)
            }
        };
        input.is_stream = input.stream.is_some();
        Ok(input)
    }

    /// Whether it can be read only once, such as standard input.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The list from its beginning.
    pub(super) fn open(&mut self) -> Result<Opened, InputError> {
        let raw = match (&self.path, self.is_stream) {
            (Some(path), false) => {
                let file = File::open(path).map_err(|cause| self.open_error(cause))?;
                Box::new(file)
            }
            _ => self.stream.take().ok_or(InputError::Gone)?,
        };
        Ok(Opened {
            raw,
            compression: self.compression,
            selection: self.selection.clone(),
            is_guess: self.is_guess,
        })
    }

    pub(super) fn identity(&mut self) -> Result<Identity, InputError> {
        if let Some(known) = &self.identity {
            return Ok(known.clone());
        }
        let looked = self.look_at_ends();
        let (bytes, ends) = looked.map_err(|cause| self.open_error(cause))?;
        let digits = |byte: &u8| format!("{byte:02x}");
        let sha256 = Sha256::digest(&ends).iter().map(digits).collect();
        let (format, column, users) = match &self.selection {
            Selection::Text => (Format::Text, None, None),
            Selection::Csv { column } => (Format::Csv, Some(column.clone()), None),
            Selection::Ndjson { query, .. } => (Format::Ndjson, None, Some(query.clone())),
        };
        let identity = Identity {
            bytes,
            sha256,
            format,
            column,
            users,
        };
        Ok(self.identity.insert(identity).clone())
    }

    /// Size and both ends of a file; the beginning of a stream, which is put back.
    fn look_at_ends(&mut self) -> io::Result<(Option<u64>, Vec<u8>)> {
        let mut ends = Vec::new();
        if let Some(mut stream) = self.stream.take() {
            stream.by_ref().take(ENDS).read_to_end(&mut ends)?;
            self.stream = Some(Box::new(Cursor::new(ends.clone()).chain(stream)));
            return Ok((None, ends));
        }
        let mut file = File::open(self.path.as_deref().unwrap_or(Path::new("-")))?;
        let bytes = file.metadata()?.len();
        file.by_ref().take(ENDS).read_to_end(&mut ends)?;
        file.seek(SeekFrom::Start(bytes.saturating_sub(ENDS)))?;
        file.take(ENDS).read_to_end(&mut ends)?;
        Ok((Some(bytes), ends))
    }

    fn open_error(&self, cause: io::Error) -> InputError {
        InputError::Open {
            path: self.to_string(),
            cause,
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => path.display().fmt(f),
            None => f.write_str("standard input"),
        }
    }
}

impl Opened {
    /// Waits for the first bytes.
    pub(super) fn items(self) -> Result<Items, InputError> {
        let raw = BufReader::with_capacity(ENDS as usize, self.raw);
        let text: Box<dyn Read + Send> = match self.compression {
            Compression::None => Box::new(raw),
            Compression::Gzip => Box::new(MultiGzDecoder::new(raw)),
            Compression::Zstd => Box::new(Frames::new(raw)),
        };
        let unread = |cause| InputError::Read { line: 0, cause };
        let mut text = without_mark(text).map_err(|cause| match cause.kind() {
            io::ErrorKind::Unsupported => InputError::Utf16,
            _ => unread(cause),
        })?;
        let is_json = matches!(text.fill_buf().map_err(unread)?, [b'{' | b'[', ..]);
        match self.selection {
            Selection::Text if self.is_guess && is_json => Err(InputError::Json),
            _ => Items::new(text, &self.selection),
        }
    }
}

/// A list that is no file, read as one of this name. `select` is the column or the query.
#[cfg(any(test, fuzzing))]
pub(super) fn of_bytes(
    raw: impl Read + Send + 'static,
    name: &Path,
    select: Option<&str>,
) -> Result<Items, InputError> {
    let (compression, format) = endings(name);
    let format = format.unwrap_or(Format::Text);
    let select = select.map(str::to_owned);
    let (column, users) = match format {
        Format::Text => (None, None),
        Format::Csv => (select, None),
        Format::Ndjson => (None, select),
    };
    let opened = Opened {
        raw: Box::new(raw),
        compression,
        selection: selection(format, column, users)?,
        is_guess: false,
    };
    opened.items()
}

/// Endings of what may hold user IDs, but not one a line.
const NO_LISTS: [&str; 18] = [
    "json", "tsv", "tab", "xml", "html", "yaml", "yml", "toml", "sql", "xls", "xlsx", "ods",
    "parquet", "avro", "zip", "bz2", "xz", "7z",
];

/// No format where the ending is that of something else.
fn endings(file: &Path) -> (Compression, Option<Format>) {
    let ending = |path: &Path| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.map(str::to_ascii_lowercase).unwrap_or_default()
    };
    let (compression, inner) = match ending(file).as_str() {
        "gz" => (Compression::Gzip, file.with_extension("")),
        "zst" => (Compression::Zstd, file.with_extension("")),
        _ => (Compression::None, file.to_owned()),
    };
    let format = match ending(&inner).as_str() {
        "csv" => Some(Format::Csv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        other if NO_LISTS.contains(&other) => None,
        _ => Some(Format::Text),
    };
    (compression, format)
}

fn selection(
    format: Format,
    column: Option<String>,
    users: Option<String>,
) -> Result<Selection, InputError> {
    if column.is_some() && format != Format::Csv {
        let (option, format) = ("column", "CSV");
        return Err(InputError::ForeignOption { option, format });
    }
    if users.is_some() && format != Format::Ndjson {
        let (option, format) = ("users", "NDJSON");
        return Err(InputError::ForeignOption { option, format });
    }
    Ok(match format {
        Format::Text => Selection::Text,
        Format::Csv => Selection::Csv {
            column: column.ok_or(InputError::ColumnMissing)?,
        },
        Format::Ndjson => {
            let query = users.unwrap_or_else(|| USERS.to_owned());
            let users = JsonPath::parse(&query).map_err(InputError::Query)?;
            Selection::Ndjson {
                users: Box::new(users),
                query,
            }
        }
    })
}

/// Leaves out a byte order mark, which spreadsheets write. That of UTF-16 is an error.
fn without_mark(text: Box<dyn Read + Send>) -> io::Result<impl BufRead + Send + 'static> {
    let mut text = BufReader::with_capacity(ENDS as usize, text);
    let begin = text.fill_buf()?;
    if begin.starts_with(b"\xff\xfe") || begin.starts_with(b"\xfe\xff") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    if begin.starts_with(b"\xef\xbb\xbf") {
        text.consume(3);
    }
    Ok(text)
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Format, &'static str> {
        match text {
            "text" => Ok(Format::Text),
            "csv" => Ok(Format::Csv),
            "ndjson" => Ok(Format::Ndjson),
            _ => Err("text, csv or ndjson"),
        }
    }
}
