//! Secrets: given as text or in a file, never shown, and wiped from memory when they are dropped.
//!
//! What is read from a file is in one buffer until it is in its own [`SecretString`], and both are
//! wiped. A secret that is given as text has been through the loader, whose libraries wipe nothing.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Far more than any secret has, in bytes. A path that leads to something endless is not read on.
const LONGEST: usize = 64 * 1024;

const REDACTED: &str = "[redacted]";

/// A secret that was written into the configuration itself. Shown as `[redacted]` everywhere.
#[derive(Clone)]
pub struct SecretText(SecretString);

/// Where a secret is to be had.
#[derive(Clone, Debug)]
pub enum Secret {
    Text(SecretText),
    File(PathBuf),
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the file {} cannot be read: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("the file {} is empty", path.display())]
    Empty { path: PathBuf },
}

impl SecretText {
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl Secret {
    /// A key and its `_file` form as one. The file goes first; the rules refuse both at once.
    pub(super) fn of(text: Option<&SecretText>, file: Option<&Path>) -> Option<Secret> {
        file.map(|path| Secret::File(path.to_owned()))
            .or_else(|| text.cloned().map(Secret::Text))
    }

    /// The secret as it is now. A file is read anew each time, because a mounted secret may be
    /// rotated; line ends after it are dropped.
    ///
    /// # Errors
    /// When the file cannot be read or holds nothing.
    pub fn load(&self) -> Result<SecretString, SecretError> {
        let path = match self {
            Secret::Text(text) => return Ok(text.0.clone()),
            Secret::File(path) => path,
        };
        let text = read(path, LONGEST).map_err(|cause| SecretError::Unreadable {
            path: path.clone(),
            cause,
        })?;
        match without_line_ends(&text) {
            "" => Err(SecretError::Empty { path: path.clone() }),
            text => Ok(SecretString::from(text)),
        }
    }
}

/// A secret as it was meant: editors and `echo` add a line end, which no secret has.
pub(super) fn without_line_ends(secret: &str) -> &str {
    secret.trim_end_matches(['\r', '\n'])
}

/// Whether a text may be a URL with a password.
pub(super) fn may_hold_one(text: &str) -> bool {
    text.contains("://") && text.contains('@')
}

/// The text of a file of at most `longest` bytes, in a buffer that never moves and is wiped.
pub(super) fn read(path: &Path, longest: usize) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(longest + 1));
    let mut start = File::open(path)?.take(longest as u64 + 1);
    if start.read_to_string(&mut text)? > longest {
        let error = format!("it is longer than {} KiB", longest / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
    }
    Ok(text)
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A box is made of a text's exact length: what is longer would be copied, and left behind.
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Ok(SecretText(without_line_ends(&text).into()))
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    /// `writeOnly` is JSON Schema's word for a password; the loader goes by it too.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_secret_file_is_read_anew_each_time_and_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let secret = Secret::File(path.clone());
        for (content, expected) in [("one\n", "one"), ("two\r\n", "two"), (" 3 ", " 3 ")] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(secret.load().unwrap().expose_secret(), expected);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(secret.load(), Err(SecretError::Empty { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(secret.load(), Err(SecretError::Unreadable { .. })));
    }

    #[test]
    fn what_is_read_is_wiped_when_it_is_dropped() {
        fn wiped(_: &impl zeroize::ZeroizeOnDrop) {}
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "5ec2e7").unwrap();
        wiped(&read(file.path(), 6).unwrap());
        wiped(&Secret::File(file.path().to_owned()).load().unwrap());
        wiped(&Secret::Text(SecretText("5ec2e7".into())).load().unwrap());
    }

    #[test]
    fn a_file_that_is_too_long_or_endless_is_not_read_to_its_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "5ec2e7").unwrap();
        assert!(read(file.path(), 6).is_ok());
        let error = read(file.path(), 5).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let endless = Secret::File("/dev/zero".into()).load().unwrap_err();
        assert!(endless.to_string().ends_with("longer than 64 KiB"));
    }

    #[test]
    fn debug_shows_the_path_of_a_secret_and_never_its_text() {
        let text = Secret::Text(SecretText("hunter2".to_owned().into()));
        assert_eq!(format!("{text:?}"), "Text([redacted])");
        let file = Secret::File("/run/secrets/key".into());
        assert!(format!("{file:?}").contains("/run/secrets/key"));
    }
}
