//! The ceiling: a lapin consumer that acknowledges every 100 messages and does nothing else.
//!
//! When it has had all, it prints the seconds from the first delivery to the last acknowledgement and
//! waits to be ended, so that what it cost can be read.

use std::env;
use std::time::Instant;

use anyhow::Context;
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

const WINDOW: usize = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let events: usize = variable("BENCH_EVENTS")?.parse()?;
    let in_flight: u16 = variable("BENCH_IN_FLIGHT")?.parse()?;
    let url = variable("BENCH_AMQP_URL")?;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let prefetch = (in_flight + 2) * WINDOW as u16;
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let mut deliveries = channel
        .basic_consume(
            variable("BENCH_QUEUE")?.into(),
            "bare".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;

    let mut began = None;
    for number in 1..=events {
        let delivery = deliveries.next().await.context("the consumer ended")??;
        began.get_or_insert_with(Instant::now);
        if number % WINDOW == 0 || number == events {
            let sent = delivery.ack(BasicAckOptions { multiple: true }).await?;
            anyhow::ensure!(sent, "an acknowledgement was not sent");
        }
    }
    let seconds = began.map_or(0.0, |began| began.elapsed().as_secs_f64());
    println!("{seconds}");
    std::future::pending().await
}

fn variable(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("{name} is not set"))
}
