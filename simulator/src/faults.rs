//! Faults: named, scripted, and reproducible for the same seed.
//!
//! A rule defines which fault hits which calls; this module selects it, the server carries it out.

use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::interface::Interface;

mod fault;

pub(crate) use fault::Stage;
pub use fault::{Fault, InvalidFault, Page, duration};

/// Which calls a fault strikes: all clearing calls until it is removed, unless narrowed. The
/// conditions add up.
///
/// In text form: `91000:p=0.05`, `hang:next=3`, `reset:p=0.01,for=30s`, `90001:user=alice`.
/// It has no `Debug`: it may name a user.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    fault: Fault,
    next: Option<u32>,
    #[serde(default, deserialize_with = "optional_probability")]
    p: Option<f64>,
    #[serde(rename = "for", default, deserialize_with = "optional_duration")]
    period: Option<Duration>,
    user: Option<String>,
    #[serde(default)]
    every_interface: bool,
}

impl Rule {
    pub fn new(fault: Fault) -> Rule {
        Rule {
            fault,
            next: None,
            p: None,
            period: None,
            user: None,
            every_interface: false,
        }
    }

    /// Strikes so many calls, then is removed.
    pub fn next_calls(mut self, calls: u32) -> Rule {
        self.next = Some(calls);
        self
    }

    /// Strikes with this probability, 0 to 1.
    pub fn with_probability(mut self, probability: f64) -> Rule {
        self.p = Some(probability);
        self
    }

    /// Is removed so long after it was added.
    pub fn lasting(mut self, period: Duration) -> Rule {
        self.period = Some(period);
        self
    }

    /// Strikes only calls that contain this user.
    pub fn only_for_user(mut self, id: impl Into<String>) -> Rule {
        self.user = Some(id.into());
        self
    }

    /// Strikes `im_add_tag` and `im_get_tag` too.
    pub fn on_every_interface(mut self) -> Rule {
        self.every_interface = true;
        self
    }
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Rule {
        Rule::new(fault)
    }
}

impl FromStr for Rule {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Rule, InvalidFault> {
        let (fault, conditions) = text
            .split_once(':')
            .map_or((text, None), |(fault, conditions)| {
                (fault, Some(conditions))
            });
        let mut rule = Rule::new(fault.parse()?);
        for condition in conditions.into_iter().flat_map(|all| all.split(',')) {
            let wrong = InvalidFault::Condition;
            rule = match condition.split_once('=').ok_or(wrong)? {
                ("p", value) => {
                    rule.with_probability(probability(value.parse().map_err(|_| wrong)?)?)
                }
                ("next", value) => rule.next_calls(value.parse().map_err(|_| wrong)?),
                ("for", value) => rule.lasting(duration(value).map_err(|_| wrong)?),
                ("user", value) => rule.only_for_user(value),
                _ => return Err(wrong),
            };
        }
        Ok(rule)
    }
}

/// Names a rule that was added, to remove it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RuleId(pub u64);

struct Armed {
    id: RuleId,
    rule: Rule,
    ends_at: Option<Instant>,
}

pub(crate) struct Faults {
    armed: Vec<Armed>,
    next_id: u64,
    rng: fastrand::Rng,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Faults {
        Faults {
            armed: Vec::new(),
            next_id: 1,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    pub(crate) fn add(&mut self, rule: Rule, now: Instant) -> RuleId {
        let id = RuleId(self.next_id);
        self.next_id += 1;
        let ends_at = rule.period.map(|period| now + period);
        self.armed.push(Armed { id, rule, ends_at });
        id
    }

    /// False if there is no such rule any more.
    pub(crate) fn remove(&mut self, id: RuleId) -> bool {
        let before = self.armed.len();
        self.armed.retain(|armed| armed.id != id);
        self.armed.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
    }

    /// The fault that strikes this call at this stage: of the oldest rule that matches.
    pub(crate) fn pick(
        &mut self,
        now: Instant,
        stage: Stage,
        interface: Interface,
        listed_ids: &[&str],
    ) -> Option<Fault> {
        self.armed.retain(|armed| {
            armed.ends_at.is_none_or(|end| now < end) && armed.rule.next != Some(0)
        });
        let rng = &mut self.rng;
        let struck = self.armed.iter_mut().find(|Armed { rule, .. }| {
            rule.fault.stage() == stage
                && (rule.every_interface || interface.clears_tags())
                && rule
                    .user
                    .as_deref()
                    .is_none_or(|user| listed_ids.contains(&user))
                && rule.p.is_none_or(|p| rng.f64() < p)
        })?;
        if let Some(left) = &mut struck.rule.next {
            *left -= 1;
        }
        Some(struck.rule.fault.clone())
    }
}

/// A share of calls; a percentage by mistake would strike them all.
fn probability(share: f64) -> Result<f64, InvalidFault> {
    let valid = (0.0..=1.0).contains(&share);
    valid.then_some(share).ok_or(InvalidFault::Condition)
}

fn optional_probability<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    let share = Option::<f64>::deserialize(deserializer)?;
    share
        .map(|share| probability(share).map_err(serde::de::Error::custom))
        .transpose()
}

fn optional_duration<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| duration(&text).map_err(serde::de::Error::custom))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAR: Interface = Interface::ImRemoveAllTags;

    fn pick(faults: &mut Faults, now: Instant) -> Option<Fault> {
        faults.pick(now, Stage::Service, CLEAR, &[])
    }

    #[test]
    fn a_rule_reads_the_same_from_a_flag_and_from_json() {
        let flag = "reset:p=0.01,next=3,for=30s,user=alice".parse::<Rule>();
        let json = r#"{"fault":"reset","p":0.01,"next":3,"for":"30s","user":"alice"}"#;
        assert!(flag == Ok(serde_json::from_str(json).expect("valid")));
        for text in [
            "91000:",
            "91000:p",
            "91000:p=x",
            "91000:p=5",
            "91000:often=1",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_counted_rule_strikes_exactly_so_many_calls() {
        let now = Instant::now();
        let mut faults = Faults::new(0);
        faults.add(Rule::new(Fault::Answer(91000)).next_calls(2), now);
        let struck = (0..5).filter_map(|_| pick(&mut faults, now)).count();
        assert_eq!(struck, 2);
    }

    #[test]
    fn a_rule_with_a_period_ends() {
        let now = Instant::now();
        let mut faults = Faults::new(0);
        faults.add(
            Rule::new(Fault::BrokenJson).lasting(Duration::from_secs(1)),
            now,
        );
        assert!(pick(&mut faults, now + Duration::from_millis(999)).is_some());
        assert!(pick(&mut faults, now + Duration::from_secs(1)).is_none());
    }

    #[test]
    fn probability_repeats_with_the_seed() {
        let now = Instant::now();
        let run = |seed| {
            let mut faults = Faults::new(seed);
            faults.add(Rule::new(Fault::Truncated).with_probability(0.2), now);
            (0..1_000)
                .map(|_| pick(&mut faults, now).is_some())
                .collect::<Vec<_>>()
        };
        let struck = run(1).iter().filter(|&&struck| struck).count();
        assert!((150..250).contains(&struck), "{struck} of 1000");
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn rules_for_one_user_spare_the_others_and_can_be_removed() {
        let now = Instant::now();
        let mut faults = Faults::new(0);
        let id = faults.add(Rule::new(Fault::Hang).only_for_user("alice"), now);
        let mut strikes = |user| {
            let picked = faults.pick(now, Stage::Front, CLEAR, &["carol", user]);
            picked.is_some()
        };
        assert!(strikes("alice"));
        assert!(!strikes("bob"));
        assert!(faults.remove(id));
        assert!(!faults.remove(id));
        assert!(faults.pick(now, Stage::Front, CLEAR, &["alice"]).is_none());
    }

    #[test]
    fn lookups_are_spared_unless_asked_for() {
        let now = Instant::now();
        let mut faults = Faults::new(0);
        let struck = |faults: &mut Faults| {
            faults
                .pick(now, Stage::Front, Interface::ImGetTag, &[])
                .is_some()
        };
        faults.add(Fault::Reset.into(), now);
        assert!(!struck(&mut faults));
        faults.add(Rule::new(Fault::Reset).on_every_interface(), now);
        assert!(struck(&mut faults));
    }
}
