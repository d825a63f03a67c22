//! The targets of rules and lists on mutated seeds, for the stable compiler and without knowing what code they reach.
//!
//! `MUTATIONS=10000000 cargo test --release --lib mutated -- --nocapture` for a night.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fastrand::Rng;

/// Longer inputs find nothing that shorter ones do not.
const LONGEST: usize = 4_096;

struct Material {
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Material {
    fn of(target: &str) -> Material {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let seeds = std::fs::read_dir(fuzz.join("seeds").join(target)).expect("seeds");
        let mut seeds: Vec<_> = seeds.map(|seed| seed.expect("a seed").path()).collect();
        seeds.sort();
        let dictionary = fuzz.join("dictionaries").join(format!("{target}.dict"));
        let words = std::fs::read_to_string(dictionary).expect("a dictionary");
        Material {
            seeds: seeds
                .iter()
                .map(|seed| std::fs::read(seed).expect("a seed"))
                .collect(),
            words: words.lines().filter_map(word).collect(),
        }
    }

    fn mutated(&self, rng: &mut Rng) -> Vec<u8> {
        let mut input = rng.choice(&self.seeds).expect("seeds").clone();
        for _ in 0..rng.usize(1..8) {
            self.mutate(&mut input, rng);
        }
        input.truncate(LONGEST);
        input
    }

    fn mutate(&self, input: &mut Vec<u8>, rng: &mut Rng) {
        let at = rng.usize(0..=input.len());
        let end = rng.usize(at..=input.len().min(at + 64));
        match rng.u8(0..7) {
            0 => {
                input.drain(at..end);
            }
            1 => {
                let part = input[at..end].to_vec();
                let to = rng.usize(0..=input.len());
                input.splice(to..to, part);
            }
            2 => {
                let word = rng.choice(&self.words).expect("words");
                input.splice(at..at, word.iter().copied());
            }
            3 => {
                let word = rng.choice(&self.words).expect("words");
                input.splice(at..end, word.iter().copied());
            }
            4 => {
                let other = rng.choice(&self.seeds).expect("seeds");
                let from = rng.usize(0..=other.len());
                input.splice(at.., other[from..].iter().copied());
            }
            5 => input.insert(at, rng.u8(..)),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << rng.u8(0..8);
                }
            }
        }
    }
}

/// A line of a dictionary: a text in quotes with escapes.
fn word(line: &str) -> Option<Vec<u8>> {
    let mut rest = line.strip_prefix('"')?.strip_suffix('"')?.bytes();
    let mut word = Vec::new();
    while let Some(byte) = rest.next() {
        word.push(match (byte, byte == b'\\') {
            (byte, false) => byte,
            _ => match rest.next()? {
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
                }
                escaped => escaped,
            },
        });
    }
    Some(word)
}

fn stands(target: impl Fn(&[u8]), name: &str) {
    let asked = std::env::var("MUTATIONS").ok();
    let cases: u64 = asked.and_then(|asked| asked.parse().ok()).unwrap_or(2_000);
    let material = Material::of(name);
    let mut rng = Rng::with_seed(7);
    for case in 0..cases {
        let input = material.mutated(&mut rng);
        let run = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(run.is_ok(), "case {case}: {}", input.escape_ascii());
        if (case + 1) % 1_000_000 == 0 {
            println!("{name}: {} cases", case + 1);
        }
    }
}

#[test]
fn whatever_a_rule_becomes_it_is_refused_or_names_whom_the_message_names() {
    stands(super::rules, "rules");
}

#[test]
fn whatever_a_list_becomes_it_names_only_who_stands_in_it() {
    stands(super::list, "list");
}
