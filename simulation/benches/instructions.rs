//! How many instructions an event costs, counted by valgrind: the same on a busy machine as on a quiet one.
//!
//! Each count is set against the same machine's count for `serde_json` reading the same body into a `Value`,
//! so that a limit holds across compilers and processors. What a user costs is the difference between a long
//! run and a short one; starting up is in neither.
//!
//! `make instructions` runs it, and fails when one is above its limit.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use simulation::engine::{
    Action, Answer, Delivery, Engine, Input, MissingAccount, Settings, WindowId,
};
use simulation::event::mapping::{Definition, Mapping};
use simulation::event::{self, Decoded, Format, Message, Rules, Surroundings, UserId};

/// Users in the short run and in the long one.
const SHORT: usize = 20_000;
const LONG: usize = 40_000;

/// Its name, what runs for so many users, and how many times the reference it may cost a user.
struct Work(&'static str, fn(usize), f64);

const WORKS: [Work; 7] = [
    Work("reference", reference, 1.0),
    Work("decode", without_rules, 1.1),
    Work("decode by a rule", by_a_rule, 3.0),
    Work("decode after 3 presets", after_presets, 4.0),
    Work("engine", engine::<1>, 0.4),
    Work("engine, 10 users an event", engine::<10>, 0.3),
    Work("engine, 1,000 users an event", engine::<1_000>, 0.3),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo bench` adds an option of its own.
    if let [_, name, users] = arguments.as_slice()
        && let Some(Work(_, run, _)) = WORKS.iter().find(|work| work.0 == name.as_str())
    {
        run(users.parse().expect("a number of users"));
        return ExitCode::SUCCESS;
    }
    let mut within = true;
    let mut of_reference = None;
    for Work(name, _, limit) in WORKS {
        let count = (instructions(name, LONG) - instructions(name, SHORT)) / (LONG - SHORT) as f64;
        let ratio = count / *of_reference.get_or_insert(count);
        let verdict = if ratio <= limit {
            ""
        } else {
            "  ABOVE ITS LIMIT"
        };
        within &= ratio <= limit;
        println!(
            "{name:32} {count:6.0} instructions a user, {ratio:.2} x the reference (limit {limit:.2}){verdict}"
        );
    }
    if within {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Of this program doing `name` for so many users, under valgrind.
fn instructions(name: &str, users: usize) -> f64 {
    let own = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args([name, &users.to_string()])
        .output()
        .expect("valgrind is installed (apt-get install valgrind)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, count) = collected.expect("valgrind says how much it collected");
    count.trim().parse().expect("a number of instructions")
}

fn name(number: usize) -> String {
    format!("user-{number:09}")
}

/// As long as events are in the field.
fn body(number: usize) -> String {
    format!(
        r#"{{"type":"user.deleted","user_id":"{}","id":"0b9d1d3e-4a52-4a3c-9c0e-{number:012}","time":"2026-11-22T10:00:00Z","source":"/accounts/eu-1","tenant":"t1"}}"#,
        name(number)
    )
}

fn reference(users: usize) {
    for number in 0..users {
        let value: serde_json::Value = serde_json::from_str(&body(number)).expect("JSON");
        std::hint::black_box(value);
    }
}

fn without_rules(users: usize) {
    decode(users, &[]);
}

fn by_a_rule(users: usize) {
    let rule = Definition {
        name: "accounts".to_owned(),
        when: "@.body.type == 'user.deleted'".to_owned(),
        users: vec!["$.body.user_id".to_owned()],
        id: Some("$.body.id".to_owned()),
        time: Some("$.body.time".to_owned()),
        ..Definition::default()
    };
    decode(users, &[rule]);
}

/// None of their rules holds, so that each is tried.
fn after_presets(users: usize) {
    let files = [
        include_str!("../../config/presets/keycloak.toml"),
        include_str!("../../config/presets/okta.toml"),
        include_str!("../../config/presets/workos.toml"),
    ];
    let rules: Vec<Definition> = files.into_iter().flat_map(definitions).collect();
    decode(users, &rules);
}

/// The rules of a preset without parameters.
fn definitions(preset: &str) -> Vec<Definition> {
    let preset: toml::Table = preset.parse().expect("TOML");
    let rules = preset["events"]["mapping"].as_array().expect("rules");
    let text = |value: &toml::Value| value.as_str().expect("a text").to_owned();
    let texts = |value: Option<&toml::Value>| match value {
        Some(toml::Value::Array(values)) => values.iter().map(text).collect(),
        Some(value) => vec![text(value)],
        None => Vec::new(),
    };
    let rules = rules.iter().map(|rule| Definition {
        name: text(&rule["name"]),
        when: text(&rule["when"]),
        users: texts(rule.get("users")),
        transform: texts(rule.get("transform")),
        id: rule.get("id").map(text),
        time: rule.get("time").map(text),
        ignore: rule.get("ignore").is_some(),
        ..Definition::default()
    });
    rules.collect()
}

fn decode(users: usize, rules: &[Definition]) {
    let rules = Rules {
        format: Format::Auto,
        types: vec!["user.deleted".to_owned(), "user.reset".to_owned()],
        mapping: Mapping::compile(rules).expect("sound rules"),
    };
    for number in 0..users {
        let body = body(number);
        let message = Message {
            body: body.as_bytes(),
            content_type: Some("application/json"),
            content_encoding: None,
            kind: None,
            message_id: None,
            timestamp: None,
            exchange: None,
            routing_key: "user.deleted",
            header: &|_| None,
            surroundings: &Surroundings::default,
        };
        let decoded = event::decode(&message, &rules);
        assert!(matches!(decoded, Decoded::Event(_)));
    }
}

/// From the delivery to the acknowledgement, with the next of eight calls answered whenever another one is made.
fn engine<const USERS: usize>(users: usize) {
    const CALLS_OUT: usize = 8;
    let mut now = Instant::now();
    let mut engine = Engine::new(settings(), now);
    let mut out = std::collections::VecDeque::<WindowId>::new();
    let names: Vec<UserId> = (0..users)
        .map(|number| UserId::parse(&name(number)).expect("a user ID"))
        .collect();
    // The queue is ours, and has been for long enough to call.
    engine.handle(now, Input::TookOver);
    now += Duration::from_secs(2);
    engine.handle(now, Input::InTouch { since: now });
    let mut events = names.chunks(USERS);
    let mut tag = 0;
    let mut held = 0;
    let mut settled = 0;
    while settled < users / USERS {
        while held < 3_000 && tag < users / USERS {
            tag += 1;
            held += 1;
            let delivery = Delivery {
                session: 1,
                tag: tag as u64,
            };
            engine.handle(
                now,
                Input::Delivered {
                    delivery,
                    redelivered: false,
                },
            );
        }
        while let Some(action) = engine.poll(now) {
            match action {
                Action::Decode(delivery) => engine.handle(
                    now,
                    Input::Event {
                        delivery,
                        key: Some(event::EventKey(
                            u128::from(delivery.tag) << 64 | u128::from(delivery.tag),
                        )),
                        users: events.next().expect("one for each delivery"),
                        invalid: 0,
                        absent: 0,
                    },
                ),
                Action::Call { window, .. } => out.push_back(window),
                Action::Settle(settlement) => {
                    let simulation::engine::Settlement::UpTo(delivery) = settlement else {
                        panic!("all is done in order, and acknowledged in runs");
                    };
                    held -= delivery.tag as usize - settled;
                    settled = delivery.tag as usize;
                }
                other => panic!("nothing else is to be done: {other:?}"),
            }
            if out.len() > CALLS_OUT {
                break;
            }
        }
        now += Duration::from_micros(100);
        if let Some(window) = out.pop_front() {
            engine.handle(
                now,
                Input::Answered {
                    window,
                    answer: Answer::Done { failed: Vec::new() },
                },
            );
        }
    }
}

fn settings() -> Settings {
    Settings {
        max_ids: 100,
        max_wait: Duration::from_millis(100),
        max_in_flight: 32,
        calls_per_second: 10_000,
        quota_margin: Duration::from_millis(20),
        prefetch: 3_000,
        out_of_order: 750,
        lease: Some(Duration::from_secs(5)),
        hold_limit: Duration::from_secs(1_200),
        max_attempts: 8,
        backoff_min: Duration::from_millis(500),
        backoff_max: Duration::from_secs(30),
        missing_account: MissingAccount::Done,
        control_user: UserId::parse("control").expect("it keeps to the rule"),
        seed: 1,
    }
}
