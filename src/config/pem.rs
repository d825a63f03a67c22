//! PEM files: certificates and their keys.

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no PEM to be had.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    #[error("the file {} cannot be read ({cause})", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("the file {} holds no PEM block", path.display())]
    NoBlock { path: PathBuf },
}

/// The text of a PEM file, as it is now.
///
/// # Errors
/// When the file cannot be read or is something else.
pub fn read_pem(path: &Path) -> Result<String, PemError> {
    let text = std::fs::read_to_string(path).map_err(|cause| PemError::Unreadable {
        path: path.to_owned(),
        cause,
    })?;
    if !text.contains("-----BEGIN ") {
        return Err(PemError::NoBlock {
            path: path.to_owned(),
        });
    }
    Ok(text)
}
