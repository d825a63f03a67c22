//! Secrets: given as text or in a file, and never shown.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
        let mut text = std::fs::read_to_string(path).map_err(|cause| SecretError::Unreadable {
            path: path.clone(),
            cause,
        })?;
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        if text.is_empty() {
            return Err(SecretError::Empty { path: path.clone() });
        }
        Ok(text.into())
    }
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
        String::deserialize(deserializer).map(|text| SecretText(text.into()))
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
    fn debug_shows_the_path_of_a_secret_and_never_its_text() {
        let text = Secret::Text(SecretText("hunter2".to_owned().into()));
        assert_eq!(format!("{text:?}"), "Text([redacted])");
        let file = Secret::File("/run/secrets/key".into());
        assert!(format!("{file:?}").contains("/run/secrets/key"));
    }
}
