//! `tagsweep run`: the worker.

use std::path::PathBuf;

use super::Failure;
use crate::shutdown::Shutdown;
use crate::{telemetry, worker};

#[derive(clap::Args)]
#[command(
    after_help = "Example: TAGSWEEP__IM__SDK_APP_ID=1400000000 TAGSWEEP__IM__SECRET_KEY_FILE=/run/secrets/im-key tagsweep run"
)]
pub(super) struct Arguments {}

pub(super) fn run(files: &[PathBuf], _: &Arguments) -> Result<(), Failure> {
    let settings = super::settings(files)?;
    telemetry::start(&settings.log);
    let runtime = super::runtime()?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals(settings.shutdown.grace_period)?;
        worker::run(&settings, shutdown)
            .await
            .map_err(Failure::from)
    })
}
