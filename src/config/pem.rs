//! PEM files: certificates and their keys.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::secret;

/// A system's whole bundle of roots is a quarter of this, in bytes.
const LONGEST: usize = 1024 * 1024;

/// Why there is no PEM to be had.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    #[error("the file {} cannot be read ({cause})", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("the file {} holds no PEM block", path.display())]
    NoBlock { path: PathBuf },
}

/// The text of a PEM file, as it is now. It may be a key, so it is wiped when it is dropped.
///
/// # Errors
/// When the file cannot be read or is something else.
pub fn read_pem(path: &Path) -> Result<Zeroizing<String>, PemError> {
    let text = secret::read(path, LONGEST).map_err(|cause| PemError::Unreadable {
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
