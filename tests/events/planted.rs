//! Rules that are wrong on purpose: what the mutations are to find in a preset, they find.

use tagsweep::config::{self, Preset};

use crate::fixtures::{self, Fixture, rules};
use crate::mutations::{Subject, wrongly_cleared};

struct Planted {
    preset: &'static str,
    error: &'static str,
    /// What is replaced in the preset's file, by what.
    changes: &'static [(&'static str, &'static str)],
}

const PLANTED: [Planted; 14] = [
    Planted {
        preset: "zitadel",
        error: "it takes the editor for the user",
        changes: &[("$.body.aggregateID", "$.body.userID")],
    },
    Planted {
        preset: "auth0",
        error: "it takes the administrator for the user",
        changes: &[
            ("$.body.details.request.path", "$.body.user_id"),
            ("take ^/api/v2/users/([^/]+)$", "take (.+)"),
        ],
    },
    Planted {
        preset: "masstransit",
        error: "it takes who deleted for who was",
        changes: &[("$.body.message['{user}']", "$.body.message.deletedBy")],
    },
    Planted {
        preset: "keycloak",
        error: "it takes every field of this name",
        changes: &[("$.body.userId", "$.body..userId")],
    },
    Planted {
        preset: "okta",
        error: "it takes the targets of all events",
        changes: &[(
            "users = \"\"\"$.body.data.events[?match(@.eventType, 'user[.]lifecycle[.]delete[.](initiated|completed)')",
            "users = \"\"\"$.body.data.events[?@.eventType",
        )],
    },
    Planted {
        preset: "opendsr",
        error: "it takes identities of every type",
        changes: &[("@.identity_type == 'controller_customer_id' && ", "")],
    },
    Planted {
        preset: "okta",
        error: "it forgets that a deletion may fail",
        changes: &[("\n&& @.outcome.result == 'SUCCESS'", "")],
    },
    Planted {
        preset: "keycloak",
        error: "it forgets what was done to the user",
        changes: &[(" && @.body.operationType == 'DELETE'", "")],
    },
    Planted {
        preset: "keycloak",
        error: "it forgets that a deletion may fail",
        changes: &[("(!@.body.error || @.body.error == null)", "@.body.time")],
    },
    Planted {
        preset: "auth0",
        error: "it forgets that the call may have been refused",
        changes: &[(" && @.body.details.response.statusCode == 204", "")],
    },
    Planted {
        preset: "supabase",
        error: "it forgets the schema",
        changes: &[(
            " && @.body.schema == 'auth' && @.body.table == 'users' && @.body.record",
            " && @.body.table == 'users' && @.body.record",
        )],
    },
    Planted {
        preset: "workos",
        error: "it forgets what was deleted",
        changes: &[(" && @.body.data.object == 'user'", "")],
    },
    Planted {
        preset: "debezium",
        error: "it forgets the table",
        changes: &[(
            "@.body.payload.source.table == '{table}'",
            "@.body.payload.source.table",
        )],
    },
    Planted {
        preset: "maxwell",
        error: "it forgets what happened to the row",
        changes: &[("@.body.type == 'delete' && ", "")],
    },
];

impl Planted {
    /// The messages of the preset's producers, read with its rules as they are changed.
    fn subjects(&self) -> Vec<Subject> {
        let preset = config::preset(self.preset).expect("a preset");
        let fixtures = fixtures::all().into_iter();
        let subjects = fixtures.filter_map(|fixture| {
            let rules = rules(&self.section(&preset, &fixture)?);
            Subject::new(fixture, rules)
        });
        subjects.collect()
    }

    /// The preset's rules as somebody's own; nothing where the message is not read with it.
    fn section(&self, preset: &Preset, fixture: &Fixture) -> Option<String> {
        let events: toml::Table = fixture.events.as_deref()?.parse().ok()?;
        let used = events.get("presets")?.get(0)?;
        let name = used.get("name").unwrap_or(used).as_str()?;
        (name == self.preset).then_some(())?;
        let (_, own) = preset.text.split_once("[[events.mapping]]")?;
        let mut text = format!("[[mapping]]{own}").replace("[[events.mapping]]", "[[mapping]]");
        for (right, wrong) in self.changes {
            assert!(text.contains(right), "{}: no {right}", self.preset);
            text = text.replace(right, wrong);
        }
        for (name, parameter) in &preset.parameters {
            let given = used.get(name).and_then(|value| value.as_str());
            let value = given.or(parameter.default.as_deref())?;
            text = text.replace(&format!("{{{name}}}"), value);
            text = text.replace(&format!("{{{name}:regex}}"), value);
        }
        Some(text)
    }
}

#[test]
fn each_error_that_is_planted_in_a_preset_is_found() {
    for planted in PLANTED {
        let subjects = planted.subjects();
        assert!(!subjects.is_empty(), "{}", planted.preset);
        let in_spite = subjects
            .iter()
            .any(|subject| subject.cleared_in_spite().is_some());
        let is_found = in_spite || wrongly_cleared(&subjects, 3_000).is_some();
        assert!(
            is_found,
            "{}: {} and is not found",
            planted.preset, planted.error
        );
    }
}

/// Else the errors above would be found where there is none.
#[test]
fn nothing_is_found_where_nothing_is_planted() {
    for planted in PLANTED {
        let as_it_is = Planted {
            changes: &[],
            ..planted
        };
        for subject in as_it_is.subjects() {
            assert_eq!(subject.cleared_in_spite(), None, "{}", subject.fixture.name);
        }
        assert_eq!(wrongly_cleared(&as_it_is.subjects(), 500), None);
    }
}
