//! Where a configuration comes from: files, the environment, arguments.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::problem::Problems;
use super::{environment, load};

const FILE_NAME: &str = "config.toml";

/// Everything that a configuration is loaded from, besides the built-in defaults; the later one wins.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Where a file was looked for and none was found, as none was named.
    pub looked_for: Vec<PathBuf>,
    pub files: Vec<PathBuf>,
    /// Variables that begin like ours, with their values, in the order of their names.
    pub environment: Vec<(String, String)>,
    /// Dotted keys with their values as texts.
    pub arguments: Vec<(String, String)>,
}

impl Sources {
    /// The sources of this process. Without `files`, the first default file that exists is read.
    ///
    /// # Errors
    /// When a variable of ours is not UTF-8.
    pub fn of_process(
        files: &[PathBuf],
        arguments: &[(String, String)],
    ) -> Result<Sources, Problems> {
        let mut sources = Sources {
            files: files.to_vec(),
            environment: environment::of_process()?,
            arguments: arguments.to_vec(),
            ..Sources::default()
        };
        if files.is_empty() {
            // What may be there, and cannot be looked at, is read: that it cannot be read is then told.
            let (found, missing): (Vec<_>, Vec<_>) = default_files()
                .into_iter()
                .partition(|path| path.try_exists().unwrap_or(true));
            sources.files.extend(found.into_iter().next());
            sources.looked_for = missing;
        }
        Ok(sources)
    }

    /// Loads them and checks the outcome.
    ///
    /// `S` is [`Settings`](super::Settings), or a struct with some of its sections for fields: a command that reads
    /// only these runs although the others are wrong or incomplete. What cannot be read or is misspelt is refused
    /// anywhere.
    ///
    /// # Errors
    /// All that is wrong, in one go: unknown keys, and in the sections of `S` wrong values and combinations that
    /// cannot work.
    pub fn load<S: DeserializeOwned + JsonSchema>(&self) -> Result<S, Problems> {
        load::load(self)
    }

    /// What was used, a line each.
    pub fn description(&self) -> Vec<String> {
        let paths = |paths: &[PathBuf]| {
            paths
                .iter()
                .map(|path| path.display().to_string())
                .collect()
        };
        let names = |pairs: &[(String, String)], prefix: &str| {
            let names = pairs.iter().map(|(name, _)| format!("{prefix}{name}"));
            names.collect()
        };
        let listed = |what: &str, names: Vec<String>| match names.is_empty() {
            true => format!("{what}: none"),
            false => format!("{what}: {}", names.join(", ")),
        };
        let mut lines = vec![listed("Files", paths(&self.files))];
        if !self.looked_for.is_empty() {
            lines.push(listed("Looked for and not found", paths(&self.looked_for)));
        }
        lines.push(listed("Environment", names(&self.environment, "")));
        lines.push(listed("Arguments", names(&self.arguments, "--set ")));
        lines
    }
}

/// The system's file, then the user's. systemd names another folder for the first one to a unit with a
/// `ConfigurationDirectory`.
fn default_files() -> Vec<PathBuf> {
    let folder = |name: &str| {
        let value = std::env::var_os(name)?;
        // By their specifications, the first of a list, and no relative path.
        let first = std::env::split_paths(&value).next()?;
        first.is_absolute().then_some(first)
    };
    let system = folder("CONFIGURATION_DIRECTORY").unwrap_or_else(|| "/etc/tagsweep".into());
    let user = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    let user = user.map(|folder| folder.join("tagsweep"));
    let folders = [Some(system), user].into_iter().flatten();
    folders
        .map(|folder| folder.join(Path::new(FILE_NAME)))
        .collect()
}
