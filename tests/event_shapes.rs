//! What becomes of the events that well-known senders publish, as they stand in `tests/fixtures/events`.
//!
//! Each file is one message. Only the plain form and CloudEvents are understood: where a sender's own
//! form is not, this table says what happens instead.

use std::path::{Path, PathBuf};

use tagsweep::event::{Decoded, Format, Malformed, NotForUs, Rules, UserId};

#[path = "../fuzz/src/message.rs"]
mod message;

use message::Written;

#[derive(Debug, PartialEq)]
enum Outcome {
    Users(Vec<String>),
    /// Acknowledged and counted; nobody is cleared.
    Foreign,
    Tombstone,
    /// Dead-lettered.
    Malformed(Malformed),
}

use Outcome::{Foreign, Tombstone};

#[test]
fn each_shape_of_event_comes_to_what_the_table_says() {
    let no_user = || Outcome::Malformed(Malformed::NoUser);
    let table = [
        ("auth0", no_user()),
        ("clerk", no_user()),
        ("cloudevents-binary", users(&["user-42"])),
        ("cloudevents-binary-underscore", users(&["user-42"])),
        ("cloudevents-structured", users(&["user-42"])),
        // Its type would have to be in `events.types` as it is.
        ("cloudevents-structured-prefixed-type", Foreign),
        ("debezium-delete", Foreign),
        ("debezium-tombstone", Tombstone),
        ("fusionauth", Foreign),
        ("generic-plain", users(&["user-42"])),
        ("generic-type-in-property", users(&["user-42"])),
        ("generic-type-in-routing-key", users(&["user-42", "43"])),
        ("keycloak-admin-delete", Foreign),
        ("keycloak-delete-account", Foreign),
        ("logto", Foreign),
        ("masstransit", Foreign),
        ("nservicebus", Foreign),
        (
            "nservicebus-xml",
            Outcome::Malformed(Malformed::NotAnObject),
        ),
        ("okta", Foreign),
        ("opendsr", Foreign),
        ("privy", no_user()),
        // The routing key says that it is for us; its user stands in another field.
        ("spring-amqp", no_user()),
        ("workos", Foreign),
        ("zitadel", Foreign),
    ];
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, files(), "a file without a line, or a line without");
    for (name, expected) in table {
        let file = std::fs::read(folder().join(format!("{name}.message")));
        let file = file.expect("a fixture");
        assert_eq!(outcome(&file), expected, "{name}");
    }
}

fn outcome(file: &[u8]) -> Outcome {
    let types = ["user.deleted", "user.reset"].map(str::to_owned);
    let rules = Rules {
        format: Format::Auto,
        types: types.into(),
    };
    match Written::read(file).decode(&rules) {
        Decoded::Event(event) => {
            assert_eq!(event.invalid, [] as [&str; 0]);
            Outcome::Users(
                event
                    .users
                    .iter()
                    .map(|user| user.as_str().into())
                    .collect(),
            )
        }
        Decoded::NotForUs(NotForUs::ForeignType(_)) => Foreign,
        Decoded::NotForUs(NotForUs::Tombstone) => Tombstone,
        Decoded::Malformed(why) => Outcome::Malformed(why),
    }
}

fn users(ids: &[&str]) -> Outcome {
    for id in ids {
        UserId::parse(id).expect("a user ID");
    }
    Outcome::Users(ids.iter().map(|id| (*id).to_owned()).collect())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events")
}

fn files() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("the fixtures");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        path.file_stem()
            .and_then(|stem| stem.to_str())
            .map(str::to_owned)
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    names
}
