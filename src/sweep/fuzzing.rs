//! Entry point for the fuzz targets; not part of the sweep.

use std::io::Cursor;
use std::path::Path;

use super::input::{self, InputError, What};
use crate::event::UserId;

/// What a record of a list holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    User(UserId),
    Repeated,
    Invalid(String),
    Malformed,
}

/// What is found in a list, each with its line, and whether that is all of it. The file's name says how it is read, and
/// `select` is the column or the query.
///
/// # Errors
/// When nothing of it can be read.
pub fn read(
    list: Vec<u8>,
    name: &str,
    select: Option<&str>,
) -> Result<(Vec<(u64, Found)>, bool), InputError> {
    let items = input::of_bytes(Cursor::new(list), Path::new(name), select)?;
    let mut found = Vec::new();
    for item in items {
        let Ok(item) = item else {
            return Ok((found, false));
        };
        found.push((
            item.line,
            match item.what {
                What::User(user) => Found::User(user),
                What::Repeated => Found::Repeated,
                What::Invalid(text) => Found::Invalid(text),
                What::Malformed => Found::Malformed,
            },
        ));
    }
    Ok((found, true))
}
