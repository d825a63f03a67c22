//! Any configuration is settings or a list of problems, and no problem shows a secret.
//!
//! The input is a TOML file and then, behind a line `%%`, variables of the environment. Secrets in
//! it hold [`MARK`].

use std::io::Write;

use serde_json::Value;

const MARK: &str = "5ec2e7";
const SECRETS: [(&str, &str); 5] = [
    ("im", "proxy_url"),
    ("im", "secret_key"),
    ("im", "user_sig"),
    ("rabbitmq", "url"),
    ("admin", "token"),
];

pub fn settings(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let (file, environment) = text.split_once("\n%%\n").unwrap_or((text, ""));
    let Err(problems) = load(file, environment) else {
        return;
    };
    assert!(!problems.0.is_empty(), "refused without a reason");
    assert!(problems.0.iter().all(|problem| !problem.text.is_empty()));
    let shown = problems.to_string();
    // What is told is no more than what was given, a few words for each line, and the defaults.
    assert!(shown.len() < 10_000 + 500 * text.len(), "it grew");
    let hidden = hidden_in_file(file) + hidden_in_environment(environment);
    if hidden == marks(text) {
        assert!(!shown.contains(MARK), "a secret shows");
    }
}

fn load(
    file: &str,
    environment: &str,
) -> Result<tagsweep::config::Settings, tagsweep::config::Problems> {
    let mut written = tempfile::NamedTempFile::new().expect("a temporary file");
    written.write_all(file.as_bytes()).expect("it is written");
    let variable = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let variables = environment.lines().filter_map(variable);
    tagsweep::config::load(&[written.path().to_owned()], variables)
}

/// How many marks stand where nothing may be shown: in a secret, or in a file that cannot be read behind any name but
/// that of a key that is no secret.
fn hidden_in_file(file: &str) -> usize {
    match toml::from_str::<Value>(file) {
        Ok(tree) => SECRETS
            .iter()
            .map(|(section, key)| hidden_marks(&tree[section][key].to_string()))
            .sum(),
        Err(_) => file
            .lines()
            .filter(|line| !is_public(line))
            .map(marks)
            .sum(),
    }
}

/// Whether a line sets a key that may be shown.
fn is_public(line: &str) -> bool {
    let name = line.split(['=', ':', ' ']).next().unwrap_or_default();
    let name = name.rsplit('.').next().unwrap_or_default().trim();
    let schema = tagsweep::config::schema();
    let sections = schema["properties"].as_object().into_iter().flatten();
    let named = sections.filter_map(|(_, section)| section["properties"].get(name));
    let mut named = named.peekable();
    named.peek().is_some() && named.all(|key| key["writeOnly"] != true) && !line.contains("://")
}

fn hidden_in_environment(environment: &str) -> usize {
    let is_secret = |name: &str| {
        SECRETS
            .iter()
            .any(|(section, key)| name == format!("TAGSWEEP__{section}__{key}").to_uppercase())
    };
    environment
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| is_secret(name))
        .map(|(_, value)| hidden_marks(value))
        .sum()
}

/// The parameters of a URL are no secret, and are shown.
fn hidden_marks(value: &str) -> usize {
    let shown = value.find("://").and_then(|_| value.find('?'));
    marks(shown.and_then(|at| value.get(..at)).unwrap_or(value))
}

fn marks(text: &str) -> usize {
    text.matches(MARK).count()
}
