//! One run of a sweep: users go from the list to the engine, what is done to the journal, who failed to a file.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::failures::Failures;
use super::hand::Hand;
use super::input::{Ahead, Item, Part, What};
use super::journal::{Done, Journal, Progress, runs};
use super::{Error, Report, Sweep};
use crate::config::Settings;
use crate::engine::{Delivery, Input as Told, Letter, Settlement};
use crate::shell::{Order, Shell, Source};
use crate::shutdown::Shutdown;

/// So far may the list be ahead of the oldest user who is not done. At the usual quota somebody can be tried for 20
/// seconds before the others wait; that is longer than a judgement takes while others are cleared.
const AHEAD: usize = 200_000;
/// Nothing is handed back: no broker waits for it, and a pause may last as long as it likes.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// How often a line of the log tells what was done.
const SUMMARY: Duration = Duration::from_secs(60);

/// One run of a sweep.
pub(super) struct Run {
    shell: Shell,
    started: Instant,
    list: Ahead,
    /// Where the list is, by lines and by items.
    line: u64,
    next: u64,
    is_over: bool,
    /// Items with their numbers that the engine has not been given yet.
    waiting: VecDeque<(u64, Item)>,
    hand: Hand,
    /// So many events may be in the engine's hands.
    prefetch: usize,
    done: Done,
    /// Numbers of items that are done since the last line of the journal.
    news: Vec<u64>,
    pub(super) journal: Option<Journal>,
    failures: Failures,
    failures_path: PathBuf,
    /// The sums of the runs before, and of this one what the engine does not count.
    sums: Progress,
    is_resumed: bool,
    report: Report,
}

impl Run {
    pub(super) fn new(
        sweep: Sweep,
        list: Ahead,
        journal: Option<Journal>,
        done: Done,
        before: Option<Progress>,
    ) -> Result<Run, Error> {
        let mut settings = Settings::with_defaults(sweep.im, sweep.window);
        settings.rabbitmq.hold_limit = NEVER;
        // Each is in the journal before another call starts.
        let source = Source {
            lease: None,
            out_of_order: 0,
            is_list: true,
        };
        let path = sweep.failures;
        let kept = before.as_ref().map(|before| before.failures);
        let failures = Failures::open(&path, kept).map_err(|cause| failed(&path, cause))?;
        let mut shell = Shell::new(&settings, source, None)?;
        // A run before this one, or a worker, may have made calls until now: the first one waits for a second.
        let started = Instant::now();
        shell.tell(started, Told::TookOver);
        Ok(Run {
            shell,
            started,
            list,
            line: 0,
            next: 0,
            is_over: false,
            waiting: VecDeque::new(),
            hand: Hand::default(),
            prefetch: usize::from(settings.prefetch()),
            done,
            news: Vec::new(),
            journal,
            failures,
            failures_path: path,
            is_resumed: before.is_some(),
            sums: before.unwrap_or_default(),
            report: Report::default(),
        })
    }

    /// The one loop. Tells whether the end of the list was reached, and everybody is done.
    pub(super) async fn work(
        &mut self,
        shutdown: &Shutdown,
        watch: &mut impl FnMut(u64),
    ) -> Result<bool, Error> {
        let mut is_draining = false;
        let mut summary = tokio::time::interval(SUMMARY);
        summary.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if !is_draining {
                self.hand_over();
            }
            while let Some(order) = self.shell.order() {
                self.carry_out(order)?;
            }
            // Calls that were made since start below: so what is done and not in the journal yet is no more than can
            // be in flight.
            self.write_down()?;
            watch(self.sums.users);
            self.shell.let_calls_start().await;
            if self.is_over && self.waiting.is_empty() && self.hand.is_empty() {
                return Ok(true);
            }
            if is_draining && self.shell.is_drained() {
                return Ok(false);
            }
            let has_room = !self.is_over && self.waiting.is_empty();
            tokio::select! {
                part = self.list.next(), if has_room && !is_draining => self.take(part?),
                () = self.shell.turn() => {}
                () = shutdown.reread.notified() => self.shell.reread_secrets(),
                () = shutdown.drain.cancelled(), if !is_draining => {
                    is_draining = true;
                    self.shell.tell(Instant::now(), Told::Drain);
                }
                _ = summary.tick() => self.shell.summary(),
            }
        }
    }

    /// Takes the next part of the list, without what is done.
    fn take(&mut self, part: Part) {
        let Part::Items(items) = part else {
            self.is_over = true;
            return;
        };
        for item in items {
            let number = self.next;
            self.next += 1;
            self.report.count(&item, &mut self.line);
            if self.done.contains(number) {
                continue;
            }
            if item.what == What::Repeated {
                self.settled(number);
                continue;
            }
            if self.is_resumed && self.report.resumed_at.is_none() {
                self.report.resumed_at = Some(item.line);
            }
            self.waiting.push_back((number, item));
        }
    }

    /// Gives the engine what it has room for.
    fn hand_over(&mut self) {
        let now = Instant::now();
        while self.hand.open() < self.prefetch
            && self.hand.reach() < AHEAD
            && let Some((number, item)) = self.waiting.pop_front()
        {
            let delivery = self.hand.push(number, item);
            let redelivered = false;
            self.shell.tell(
                now,
                Told::Delivered {
                    delivery,
                    redelivered,
                },
            );
        }
    }

    fn carry_out(&mut self, order: Order) -> Result<(), Error> {
        match order {
            Order::Decode(delivery) => self.decode(delivery),
            Order::Settle(settlement) => self.settle(settlement),
            Order::DeadLetter(letter) => self.fail(&letter)?,
            // Only who hands everything back stops consuming.
            Order::Consume { .. } => {}
        }
        Ok(())
    }

    fn decode(&mut self, delivery: Delivery) {
        let Some((_, item)) = self.hand.item(delivery) else {
            return;
        };
        let of = |users, invalid| Told::Event {
            delivery,
            key: None,
            users,
            invalid,
            absent: 0,
        };
        let told = match &item.what {
            What::User(user) => of(std::slice::from_ref(user), 0),
            What::Invalid(_) => of(&[], 1),
            What::Malformed | What::Repeated => Told::Unreadable { delivery },
        };
        self.shell.tell(Instant::now(), told);
    }

    fn settle(&mut self, settlement: Settlement) {
        match settlement {
            Settlement::UpTo(delivery) => {
                while let Some((number, item)) = self.hand.pop_up_to(delivery) {
                    self.item_settled(number, &item);
                }
            }
            Settlement::One(delivery) => {
                if let Some((number, item)) = self.hand.remove(delivery) {
                    self.item_settled(number, &item);
                }
            }
            Settlement::HandBack(delivery) => {
                self.waiting.extend(self.hand.remove(delivery));
            }
        }
    }

    fn item_settled(&mut self, number: u64, item: &Item) {
        self.sums.users += u64::from(matches!(item.what, What::User(_)));
        self.settled(number);
    }

    fn settled(&mut self, number: u64) {
        self.done.insert(number);
        self.news.push(number);
    }

    fn fail(&mut self, letter: &Letter) -> Result<(), Error> {
        if let Some((_, item)) = self.hand.item(letter.delivery) {
            let added = self.failures.add(letter, item);
            added.map_err(|cause| failed(&self.failures_path, cause))?;
        }
        self.sums.failed += letter.users.len() as u64;
        self.shell
            .tell(Instant::now(), Told::LetterConfirmed(letter.id));
        Ok(())
    }

    /// Who failed first, then who is done.
    fn write_down(&mut self) -> Result<(), Error> {
        if self.news.is_empty() {
            return Ok(());
        }
        let written = self.failures.write();
        written.map_err(|cause| failed(&self.failures_path, cause))?;
        let progress = Progress {
            before: self.done.before(),
            runs: runs(&mut self.news, self.done.before()),
            failures: self.failures.bytes(),
            ..self.progress()
        };
        if let Some(journal) = &mut self.journal {
            journal.went(&progress)?;
        }
        Ok(())
    }

    /// The sums of all runs until now.
    fn progress(&self) -> Progress {
        let tally = self.shell.status().tally;
        Progress {
            missing: self.sums.missing + tally.users_missing,
            calls: self.sums.calls + tally.calls,
            seconds: self.sums.seconds + self.started.elapsed().as_secs_f64(),
            runs: Vec::new(),
            ..self.sums
        }
    }

    pub(super) fn report(&self) -> Report {
        let sums = self.progress();
        Report {
            cleared: sums.users.saturating_sub(sums.missing + sums.failed),
            missing: sums.missing,
            failed: sums.failed,
            calls: sums.calls,
            seconds: (sums.seconds * 10.0).round() / 10.0,
            ..self.report.clone()
        }
    }
}

fn failed(path: &Path, cause: io::Error) -> Error {
    Error::Failures {
        path: path.to_owned(),
        cause,
    }
}
