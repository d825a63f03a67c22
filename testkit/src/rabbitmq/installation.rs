//! Where the RabbitMQ scripts are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Names a folder with RabbitMQ's own scripts (`sbin` of the generic build), to
/// test against another version than the installed one.
const OVERRIDE: &str = "TESTKIT_RABBITMQ_SBIN";

/// RabbitMQ's own scripts. The `rabbitmq-server` in the PATH of a Debian
/// machine is not one of them but a wrapper that insists on being root and
/// then becomes the user `rabbitmq`.
#[derive(Debug)]
pub(super) struct Installation {
    scripts: PathBuf,
}

impl Installation {
    pub(super) fn find() -> anyhow::Result<Self> {
        if let Some(folder) = env::var_os(OVERRIDE) {
            return Self::among([PathBuf::from(folder)])
                .with_context(|| format!("{OVERRIDE} does not name RabbitMQ's sbin"));
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin"].map(PathBuf::from);
        Self::among(usual.into_iter().chain(env::split_paths(&path)))
    }

    fn among(folders: impl IntoIterator<Item = PathBuf>) -> anyhow::Result<Self> {
        let scripts = folders
            .into_iter()
            .find(|folder| has_scripts(folder))
            .context(
                "rabbitmq-server is not installed, and nothing less will do here: \
             run `scripts/install-rabbitmq.sh` (or `apt-get install rabbitmq-server`)",
            )?;
        Ok(Self { scripts })
    }

    pub(super) fn server(&self) -> PathBuf {
        self.scripts.join("rabbitmq-server")
    }

    pub(super) fn ctl(&self) -> PathBuf {
        self.scripts.join("rabbitmqctl")
    }
}

fn has_scripts(folder: &Path) -> bool {
    ["rabbitmq-server", "rabbitmqctl", "rabbitmq-env"]
        .iter()
        .all(|script| folder.join(script).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_is_missing_the_error_says_how_to_install_it() {
        let error = Installation::among([PathBuf::from("/nonexistent")]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("apt-get install rabbitmq-server")
        );
    }
}
