//! The guarantees about a whole run: its number of calls, the delay of good events, the number of
//! returns.

use std::collections::HashMap;
use std::time::Duration;

use crate::names::LONG;
use crate::plan::{Backoff, Fewest, Plan, Publication, secs};

/// Events that a worker keeps in a long outage, to probe with.
const KEPT_AT_HAND: u32 = 8;

/// Pauses until a worker knows that the API refuses the control user only.
const PAUSES: u32 = 4;

/// What the world has counted.
#[derive(Debug)]
pub struct Account {
    /// Whether nothing is in the way but bad users, and the control user shows that it is not the API.
    is_counted: bool,
    /// What the plan allows.
    longest_wait: Duration,
    /// From this moment on a good event has none but tries of bad users before it, and waits for this time.
    all_called: Duration,
    longest_wait_behind: Duration,
    longest_judgement: Duration,
    long_outage: Option<(Duration, Duration)>,
    /// Calls that each user was in, and messages that named it; kept where they are counted.
    calls_of: Vec<u32>,
    named: Vec<u32>,
    /// Users that are called for more than one delivery.
    named_again: Vec<bool>,
    /// Calls for real users.
    calls: u64,
    /// How often each publication went back to the queue.
    returns: HashMap<usize, u32>,
    /// Those of the long outage, if there is one.
    returns_in_outage: HashMap<usize, u32>,
    /// Of each bad user that was called alone: when the last such call was over, and how many there were.
    alone: HashMap<u32, (Duration, u32)>,
    backoff: Backoff,
    fewest: Option<Fewest>,
    /// Until then good users show again and again that only the control user is refused.
    contradicted_until: Option<Duration>,
    pauses: u32,
    /// Calls within the time of that.
    meanwhile: u64,
}

impl Account {
    pub fn new(plan: &Plan) -> Account {
        let is_counted = plan.is_undisturbed() && plan.is_measured();
        let users = if is_counted { LONG.end as usize } else { 0 };
        Account {
            is_counted,
            longest_wait: plan.longest_wait(),
            all_called: plan.all_called(),
            longest_wait_behind: plan.longest_wait_behind(),
            longest_judgement: plan.longest_judgement(),
            long_outage: plan.long_outage(),
            calls_of: vec![0; users],
            named: vec![0; users],
            named_again: vec![false; users],
            calls: 0,
            returns: HashMap::new(),
            returns_in_outage: HashMap::new(),
            alone: HashMap::new(),
            backoff: plan.backoff(),
            fewest: plan.fewest_calls(),
            contradicted_until: plan.contradicted_until(),
            pauses: 0,
            meanwhile: 0,
        }
    }

    pub fn published(&mut self, publication: &Publication) {
        for user in publication.users.iter().map(|user| *user as usize) {
            if let Some(named) = self.named.get_mut(user) {
                self.named_again[user] |= *named > 0;
                *named += 1;
            }
        }
    }

    pub fn called(&mut self, now: Duration, users: &[u32]) -> Result<(), String> {
        self.calls += 1;
        let counts = |fewest: &Fewest| fewest.within.contains(&now);
        self.meanwhile += u64::from(self.fewest.as_ref().is_some_and(counts));
        for user in users {
            if let Some(calls) = self.calls_of.get_mut(*user as usize) {
                *calls += 1;
            }
        }
        let [user] = users else {
            return Ok(());
        };
        let named_once = self.named_again.get(*user as usize) == Some(&false);
        let Some((over, tries)) = self.alone.get(user).filter(|_| named_once) else {
            return Ok(());
        };
        let least = self.backoff.least(*tries);
        if now < *over + least {
            return Err(format!(
                "a refused user is called again too soon: user {user} after {:?}, for the {tries}. time; {least:?} \
                 is the least",
                now - *over
            ));
        }
        Ok(())
    }

    /// A call is over. That of a bad user alone was refused.
    pub fn answered(&mut self, now: Duration, users: &[u32], plan: &Plan) {
        if let [user] = users
            && self.is_counted
            && plan.bad.get(user).is_some_and(|bad| bad.is_user_at_fault())
        {
            let (over, tries) = self.alone.entry(*user).or_default();
            *over = now;
            *tries += 1;
        }
    }

    /// A control user that the API refuses stops nobody for long.
    pub fn paused(&mut self, now: Duration) -> Result<(), String> {
        self.pauses += 1;
        if self.pauses > PAUSES && Some(now) < self.contradicted_until {
            return Err("pause after pause, though the API takes all good users".to_owned());
        }
        Ok(())
    }

    /// An outage of any length costs an event few returns: one when it arrives just before, one when consuming
    /// stops, and all that once more for a second worker. `has_control`: each has seen the API take the control user.
    pub fn handed_back(
        &mut self,
        now: Duration,
        publication: usize,
        workers: usize,
        has_control: bool,
        plan: &Plan,
    ) -> Result<(), String> {
        if plan.is_fair_weather() {
            return Err("a delivery is handed back, though nothing stood in its way".to_owned());
        }
        *self.returns.entry(publication).or_default() += 1;
        // Whoever has it next calls its users anew, as for an event that names them too.
        let users = plan
            .publications
            .get(publication)
            .map(|publication| &publication.users);
        for user in users.into_iter().flatten() {
            if let Some(named) = self.named_again.get_mut(*user as usize) {
                *named = true;
            }
        }
        let Some((start, end)) = self.long_outage else {
            return Ok(());
        };
        if !(start..end).contains(&now) {
            return Ok(());
        }
        let returns = self.returns_in_outage.entry(publication).or_default();
        *returns += 1;
        let allowed = 2 * workers as u32;
        // Where the control user says nothing or was never taken, and below ten calls a second, some events are kept
        // at hand to probe with, and are renewed: some more with each hold limit, as the first may all be bad.
        // Where nothing answers, real users tell no more than that one.
        let is_trusted = (has_control || plan.is_out_of_reach()) && plan.is_measured();
        if is_trusted && plan.settings.calls_per_second >= 10 && *returns > allowed {
            return Err(format!(
                "an event is handed back too often in one outage: {returns} times, event {publication}"
            ));
        }
        let all: u32 = self.returns_in_outage.values().sum();
        let events = self.returns_in_outage.len() as u32;
        let holds = (now - start).as_secs() / plan.settings.hold_limit.as_secs() + 1;
        let kept = KEPT_AT_HAND * (holds * (holds + 1) / 2) as u32;
        if all > allowed * events + kept * workers as u32 {
            return Err(format!(
                "in one outage events are handed back too often: {events} events {all} times"
            ));
        }
        Ok(())
    }

    /// Nobody who is good waits long, however many are bad.
    pub fn settled(
        &self,
        now: Duration,
        number: usize,
        event: &Publication,
        plan: &Plan,
    ) -> Result<(), String> {
        let is_good = event.users.iter().all(|user| !plan.bad.contains_key(user));
        let waited = now - event.at;
        // One that is too long for a hold limit is a matter of patience.
        let is_short = !self.returns.contains_key(&number);
        // What comes back is called anew, in company of all that wait.
        let longest = match event.at >= self.all_called && self.returns.is_empty() {
            true => self.longest_wait.min(self.longest_wait_behind),
            false => self.longest_wait,
        };
        if self.is_counted && is_good && is_short && waited > longest {
            return Err(format!(
                "a good event had to wait for too long: event {number} for {waited:?}, {longest:?} are allowed"
            ));
        }
        Ok(())
    }

    /// And nobody who is bad keeps an event for ever.
    pub fn waits(&self, now: Duration, number: usize, event: &Publication) -> Result<(), String> {
        let waited = now.saturating_sub(event.at);
        if self.is_counted && waited > self.longest_judgement {
            return Err(format!(
                "an event waits for too long: event {number} for {waited:?}, {:?} are allowed",
                self.longest_judgement
            ));
        }
        Ok(())
    }

    /// What all of it has cost, once everything is settled.
    pub fn close(&self, took: Duration, plan: &Plan) -> Result<(), String> {
        if let Some(Fewest { within, calls }) = &self.fewest
            && self.meanwhile < *calls
        {
            return Err(format!(
                "too few calls are made though there is enough to do: {} within {within:?}, {calls} are the fewest",
                self.meanwhile
            ));
        }
        if !self.is_counted {
            return Ok(());
        }
        let each = plan.most_calls_of_innocent();
        let returns: u32 = self.returns.values().sum();
        let users = (0..).zip(self.calls_of.iter().zip(&self.named));
        let most = |named: u32| named * each + returns;
        for (user, (calls, named)) in users {
            if !plan.bad.contains_key(&user) && *calls > most(*named) {
                return Err(format!(
                    "a good user was called too often: user {user} {calls} times, for {named} events"
                ));
            }
        }
        let named: u64 = self.named.iter().map(|events| u64::from(*events)).sum();
        // What goes back in the middle of a call is called once more.
        let again = u64::from(returns) * plan.settings.max_in_flight as u64;
        let most = plan.most_calls(named, took) + again;
        if self.calls > most {
            return Err(format!(
                "all of it cost too many calls: {} for {named} users, {most} are allowed",
                self.calls
            ));
        }
        let long: u32 = self.calls_of.iter().skip(LONG.start as usize).sum();
        // An event that is published twice may be called for twice, if the first message is not done by then.
        let users: u32 = self.named.iter().skip(LONG.start as usize).sum();
        if long > users + users / 4 + (returns + 1) * plan.settings.max_ids as u32 * each {
            return Err(format!(
                "what was done of a long event is done again: {long} calls of {users} users"
            ));
        }
        Ok(())
    }
}

/// Calls for the control user that a worker makes: no two of them within a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct ControlCalls {
    latest: Option<Duration>,
}

impl ControlCalls {
    pub fn call(&mut self, now: Duration) -> Result<(), String> {
        if self.latest.is_some_and(|latest| now < latest + secs(1)) {
            return Err("two control calls within one second".to_owned());
        }
        self.latest = Some(now);
        Ok(())
    }
}
