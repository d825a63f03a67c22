//! One row of the table, from the first event to the account.

use std::time::Duration;

use testkit::eventually;
use tokio::time::timeout;

use crate::account::Account;
use crate::fault::Fault;
use crate::load::{Event, Flaw};
use crate::record;
use crate::stage::{DEAD_LETTERS, PATIENCE, QUEUE, SESSION_OPEN, Stage};
use crate::table::Row;

/// Calls that show that work is flowing.
const FLOW: usize = 5;

/// Strikes as often as the run wants, with work flowing before, during and after; then everything published
/// must be accounted for.
pub async fn run(row: &Row) {
    let mut stage = Stage::set_up(row.fault).await;
    let version = stage.broker.node().version().await.unwrap();
    record::forget(row.name, &version);
    let mut seconds = Vec::new();
    for _ in 0..record::injections().min(row.fault.most_strikes()) {
        let now = stage.simulator.now();
        stage.calls_succeed(now, FLOW).await;
        row.fault.lead_up(&stage).await;
        seconds.push(strike_and_lift(row.fault, &mut stage).await.as_secs_f64());
    }
    let account = settle(&mut stage).await;
    let complaints = account.complaints(row.fault);
    record::write(row.name, &version, &seconds, &account, &complaints);
    assert!(complaints.is_empty(), "{}: {complaints:?}", row.title);
}

/// The time from the end of the fault until work goes on.
async fn strike_and_lift(fault: Fault, stage: &mut Stage) -> Duration {
    let mark = stage.worker().mark();
    let struck = stage.simulator.now();
    fault.strike(stage).await;
    fault.lift(stage).await;
    let lifted = stage.simulator.now();
    if fault.ends_session() {
        stage.worker().says_since(mark, SESSION_OPEN).await;
    }
    let goes_on = if fault.stops_letters() {
        letter_is_taken(stage).await
    } else {
        let now = stage.simulator.now();
        stage.calls_succeed(now, 1).await[0].at
    };
    goes_on - if fault.is_momentary() { struck } else { lifted }
}

async fn letter_is_taken(stage: &Stage) -> Duration {
    let ready = async || stage.broker.vhost().ready(DEAD_LETTERS).await.unwrap_or(0);
    let before = ready().await;
    eventually(PATIENCE, "a dead letter is taken", async || {
        (ready().await > before).then_some(())
    })
    .await;
    stage.simulator.now()
}

/// Ends the load, waits until all is done and ends the workers in good order.
async fn settle(stage: &mut Stage) -> Account {
    // An API that rejects one user is only believed while others succeed.
    stage.load.be_sound();
    // What a strike interrupts is judged anew, and by fewer calls than those for users not called yet.
    let told = timeout(2 * PATIENCE, flaws_are_told(stage)).await;
    stage.load.stop().await;
    let events = stage.load.published();
    let sound = events.iter().map(|event| event.sound_users().len() as u64);
    stage.take_letters().await;
    let sound = sound.sum::<u64>() - stage.letters.returned() as u64;
    // What is missing after all patience is counted, not waited for any longer.
    let cleared = stage
        .simulator
        .wait_for(PATIENCE, |stats| stats.distinct_users_cleared >= sound)
        .await;
    while !stage.workers.is_empty() {
        stage.drain_worker().await;
    }
    stage.take_letters().await;
    let left = left_in_queue(stage).await;
    let account = Account::draw_up(&events, &stage.letters, &stage.simulator, left);
    assert!(
        account.lost > 0 || (told.is_ok() && cleared.is_ok()),
        "nobody is lost, so nothing can have been waited for in vain"
    );
    account
}

/// What a worker did not settle is ready again when its consumer is gone.
async fn left_in_queue(stage: &Stage) -> u64 {
    let vhost = stage.broker.vhost();
    eventually(PATIENCE, "all consumers are gone", async || {
        let consumers = vhost.consumers(QUEUE).await;
        consumers.is_ok_and(|count| count == 0).then_some(())
    })
    .await;
    vhost.ready(QUEUE).await.unwrap()
}

/// Returns when every flaw stands in a dead letter.
async fn flaws_are_told(stage: &mut Stage) {
    let events = stage.load.published();
    let flawed = |event: &Event| event.flaw != Flaw::None;
    let flawed: Vec<Event> = events.into_iter().filter(flawed).collect();
    // The caller's patience ends first.
    eventually(3 * PATIENCE, "dead letters", async || {
        stage.take_letters().await;
        let mut flawed = flawed.iter();
        flawed
            .all(|event| stage.letters.names_what_is_bad(event))
            .then_some(())
    })
    .await;
}
