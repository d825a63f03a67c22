//! The whole system on one machine: a broker, the API's simulator and the real worker binary. Publishes
//! 20,000 events, makes trouble on the way, and accounts for every single user at the end.
//!
//! Run it with `make demo`.

mod account;
mod parts;
mod plan;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use im_simulator::{Fault, Rule, Simulator};
use indicatif::{ProgressBar, ProgressStyle};
use testkit::amqp::Amqp;

use account::Account;
use parts::{Broker, Names, Worker};
use plan::Plan;

/// When the spell of 91000s begins and when the broker connection is cut, in users cleared.
const SPELL_AT: f64 = 0.55;
const CUT_AT: f64 = 0.75;
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // For the requests that prove what is left; the worker does so for itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let begin = Instant::now();
    let plan = Plan::new();
    println!("tagsweep demo: 20,000 events through the real worker\n");

    let broker = Broker::start().await?;
    println!("  broker     {}", broker.description);
    let simulator = parts::simulator(&plan).await?;
    println!("  presets    {}", plan::PRESETS.join(", "));
    println!(
        "  simulator  {} (100 calls a second, 20 ms)",
        simulator.url()
    );

    let names = Names::new();
    let worker = Worker::prepare(&broker, &simulator, &names)?;
    println!("  check      {}", worker.check().await?);
    let amqp = Amqp::connect(&broker.url).await?;
    let started = Instant::now();
    let published = amqp.publish(&names.exchange, plan.events.clone()).await?;
    println!(
        "  published  {published} events in {:.1} s, all confirmed",
        started.elapsed().as_secs_f64()
    );

    let mut running = worker.run()?;
    println!("  worker     process {}\n", running.id());
    let cut = watch(&plan, &simulator, &broker, &amqp, &names).await;
    // What was seen is worth printing even when it was not all that should have been.
    let exit_code = running.terminate().await?;
    let account = Account::draw(
        &plan,
        &simulator,
        &amqp,
        &names,
        &worker,
        cut.as_ref().ok().copied(),
    )
    .await;
    amqp.delete(&names.queues(), &names.exchanges()).await?;
    let sound = account?.print(exit_code);
    println!("\n  {:.0} s in all", begin.elapsed().as_secs_f64());
    cut?;
    ensure!(
        sound,
        "the account does not balance; the worker's log is {}",
        worker.log.display()
    );
    Ok(())
}

/// Shows the progress and makes the trouble. Returns when all is done, with the moment of the cut since
/// the simulator's start.
async fn watch(
    plan: &Plan,
    simulator: &Simulator,
    broker: &Broker,
    amqp: &Amqp,
    names: &Names,
) -> anyhow::Result<u64> {
    let total = plan.cleared.len() as u64;
    let progress = Progress::new(total);
    let reached = async |share: f64| {
        let users = (share * total as f64) as u64;
        progress
            .until(simulator, users)
            .await
            .context("the worker got stuck")
    };
    reached(SPELL_AT).await?;
    progress.say("a spell of 91000s: every fourth call fails for a second");
    simulator.add_fault(
        Rule::new(Fault::Answer(91000))
            .with_probability(0.25)
            .lasting(Duration::from_secs(1)),
    );
    reached(CUT_AT).await?;
    let calls_until_cut = simulator.stats().calls;
    progress.say("the broker connection is cut");
    broker.cut().await;
    reached(1.0).await?;
    let letters = plan.letters() as u32;
    testkit::eventually(PATIENCE, "every dead letter is in its queue", async || {
        let (ready, _) = amqp.depth(&names.dead_letter_queue).await.ok()?;
        (ready >= letters).then_some(())
    })
    .await;
    progress.bar.finish();
    Ok(calls_until_cut)
}

/// A bar on a terminal; a line a second elsewhere.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(total: u64) -> Progress {
        if !std::io::stdout().is_terminal() {
            return Progress {
                bar: ProgressBar::hidden().with_position(0),
            };
        }
        let bar = ProgressBar::new(total);
        if let Ok(style) =
            ProgressStyle::with_template("  {bar:36} {pos}/{len} users cleared, {msg}")
        {
            bar.set_style(style);
        }
        Progress { bar }
    }

    fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            println!("  ! {text}");
        } else {
            self.bar.println(format!("  ! {text}"));
        }
    }

    /// Follows the simulator until so many distinct users are cleared.
    async fn until(&self, simulator: &Simulator, users: u64) -> anyhow::Result<()> {
        let mut said = Instant::now();
        let mut calls = simulator.stats().calls;
        simulator
            .wait_for(PATIENCE, |stats| {
                let since = said.elapsed();
                if since >= Duration::from_secs(1) {
                    let rate = (stats.calls - calls) as f64 / since.as_secs_f64();
                    self.bar.set_message(format!("{rate:.0} calls/s"));
                    if self.bar.is_hidden() {
                        println!(
                            "  {:>6} users cleared, {rate:.0} calls/s",
                            stats.distinct_users_cleared
                        );
                    }
                    (said, calls) = (Instant::now(), stats.calls);
                }
                self.bar.set_position(stats.distinct_users_cleared);
                stats.distinct_users_cleared >= users
            })
            .await?;
        Ok(())
    }
}
