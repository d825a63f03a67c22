//! `tagsweep run`: the worker.

use anyhow::Context;

use super::{Failure, Globals, output};
use crate::admin::Admin;
use crate::config::Settings;
use crate::shutdown::Shutdown;
use crate::traces::Traces;
use crate::{config, shell, telemetry, worker};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tagsweep run\n  \
                  TAGSWEEP__IM__SDK_APP_ID=1400000000 TAGSWEEP__IM__SECRET_KEY_FILE=/run/secrets/im-key tagsweep run\n\n\
                  On SIGTERM or SIGINT the worker finishes what it holds and exits with 0. On a second signal, or\n\
                  after shutdown.grace_period, it stops at once and exits with 1; RabbitMQ redelivers the rest.")]
pub(super) struct Arguments {}

pub(super) fn run(globals: &Globals, _: &Arguments) -> Result<(), Failure> {
    let settings: Settings = globals.settings()?;
    let logging = telemetry::start(&settings.log, output::takes_colour(&std::io::stderr()));
    let end = super::block_on(work(&settings));
    match end {
        Err(Failure::Other(error)) if logging.takes_errors() => {
            tracing::error!(reason = super::in_one_line(&error), "exiting with an error");
            Err(Failure::Said(super::FAILED))
        }
        end => end,
    }
}

async fn work(settings: &Settings) -> Result<(), Failure> {
    let shutdown = Shutdown::on_signals(settings.shutdown.grace_period)?;
    let (inquirer, inquiries) = shell::inquiries();
    if let Some(address) = settings.admin.listen {
        let admin = Admin::bind(address).await.with_context(|| {
            format!("admin.listen: cannot listen on {address}; name another, or \"\" for off")
        })?;
        let settings = settings.clone();
        let broker = worker::broker_options(&settings.rabbitmq, 0).map_err(anyhow::Error::from)?;
        tokio::spawn(async move { admin.serve(inquirer, &settings, broker).await });
    }
    let traces = traces();
    let end = worker::run(settings, traces.as_ref(), inquiries, shutdown).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    Ok(end?)
}

/// Where traces cannot be sent, the work is done without: no user's erasure depends on them.
fn traces() -> Option<Traces> {
    let started = config::traces_from_process()
        .map_err(anyhow::Error::from)
        .and_then(|traces| Ok(traces.as_ref().map(Traces::start).transpose()?));
    started.unwrap_or_else(|error| {
        tracing::warn!(reason = %error, "traces disabled");
        None
    })
}
