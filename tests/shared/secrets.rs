//! What must never be in a log. Every test that runs a worker keeps its log in [`folder`] and searches it.

use std::path::{Path, PathBuf};

/// Marks of what the tests use as user IDs, secret keys and passwords.
const MARKS: [&str; 5] = ["pii-", "5ec2e7", "pa55", "usersig=", "demo-user"];

/// The folder that this build's test logs are in.
pub fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("logs");
    std::fs::create_dir_all(&folder).expect("the folder for logs can be created");
    folder
}

/// Panics when the log holds what no log may hold.
pub fn assert_clean(log: &Path) {
    let text = std::fs::read_to_string(log).expect("the log can be read");
    assert_clean_text(&log.display().to_string(), &text);
}

/// Panics when the text holds what nobody may read; `name` says which text it is.
pub fn assert_clean_text(name: &str, text: &str) {
    for (number, line) in text.lines().enumerate() {
        let shows = |mark: &&str| line.contains(*mark) || line.contains(&as_bytes(mark));
        let leak = MARKS.iter().copied().find(shows);
        let leak = leak.or_else(|| has_user_sig(line).then_some("a UserSig"));
        // The line itself is not repeated: it would be the next leak.
        assert_eq!(leak, None, "{name}, line {}", number + 1);
    }
}

/// As `{:?}` shows a text that is held as bytes.
fn as_bytes(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    bytes.join(", ")
}

/// A UserSig is zlib in a Base64 of its own: it begins with `eJ` or `eA` and is long.
fn has_user_sig(line: &str) -> bool {
    line.match_indices("eJ").any(|(start, _)| {
        let alphabet =
            |character: &char| character.is_ascii_alphanumeric() || "*-_".contains(*character);
        line[start..].chars().take_while(alphabet).count() > 60
    })
}
