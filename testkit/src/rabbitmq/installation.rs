//! Where the RabbitMQ scripts are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::bail;

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
        if let Some(scripts) = env::var_os(OVERRIDE) {
            let scripts = PathBuf::from(scripts);
            if !has_scripts(&scripts) {
                bail!(
                    "{OVERRIDE} names {}, which is not RabbitMQ's sbin",
                    scripts.display()
                );
            }
            return Ok(Self { scripts });
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let found = ["/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin"]
            .into_iter()
            .map(PathBuf::from)
            .chain(env::split_paths(&path))
            .find(|folder| has_scripts(folder));
        match found {
            Some(scripts) => Ok(Self { scripts }),
            None => bail!(
                "rabbitmq-server is not installed, and these tests need a real one: \
                 run `scripts/install-rabbitmq.sh` (or `apt-get install rabbitmq-server`)"
            ),
        }
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
