//! Rules that are refused, and with what words.

use super::*;

fn refused(definition: &Definition) -> String {
    let problems = Mapping::compile(std::slice::from_ref(definition)).unwrap_err();
    let problem = problems.first().unwrap();
    format!("{} {}", problem.key, problem.fault)
}

#[test]
fn a_wrong_expression_is_refused_with_its_place_and_a_remedy() {
    for (when, expected) in [
        ("", "when is missing; write a filter"),
        (
            "$[?@.body.a]",
            "when write the filter alone, without $[? and ]",
        ),
        (
            "@.body.a = 'b'",
            "when at character 10 of \"@.body.a = 'b'\": write == to compare",
        ),
        ("@.body.a =~ 'b'", "at character 10 of"),
        (
            "@.body.a and @.body.b",
            "at character 10 of \"@.body.a and @.body.b\": write && for and",
        ),
        ("@.body.a == 'b' | @.body.b", "at character 17"),
        (
            "@.boddy.a == 'b'",
            "at character 2 of \"@.boddy.a == 'b'\": a message has body,",
        ),
        ("@.type == 'b'", "write @.body.type for a field of its body"),
        ("@['type'] == 'b'", "write @.body.type"),
        (
            "@.properties.messageid == 'b'",
            "AMQP has the properties content_type,",
        ),
        (
            "@.headers.X-Topic == 'b'",
            "a name with a hyphen is written in brackets: @.headers['X-Topic']",
        ),
        ("@.body.a == 'b", "this quote is never closed"),
        (
            "(@.body.a == 'b'",
            "at character 1 of \"(@.body.a == 'b'\": this bracket is never closed",
        ),
        ("@.body.a], $[?@.body.b", "this bracket closes nothing"),
        ("@.body.a, ?@.body.b", "a comma joins nothing"),
        (
            "match(@.body.a, 'b(')",
            "at character 18 of \"match(@.body.a, 'b(')\": no regular expression: unclosed group",
        ),
        (
            "match(@.body.a, @.body.b)",
            "at character 1 of \"match(@.body.a, @.body.b)\": write match(PATH, 'PATTERN')",
        ),
        ("@.body..a && @.body..b", "a second .. may take longer"),
        (
            "((((((((( @.body.a )))))))))",
            "brackets are nested more than 8 deep",
        ),
        (
            "is_user(@.body.a)",
            "function name 'is_user' is not defined",
        ),
        ("@.body.é == 'é' && @.body.[", "at character"),
        (
            "@.body.a == $.body[*]",
            "at character 10 of \"@.body.a == $.body[*]\": the filter ends here",
        ),
        ("@.body.a ==", "the filter ends here"),
        (
            &format!("@.body.a == '{}'", "x".repeat(5_000)),
            "is longer than 4096 bytes",
        ),
    ] {
        let refused = refused(&rule(when, "$.body.a"));
        assert!(refused.contains(expected), "{when}: {refused}");
    }
    for (users, expected) in [
        ("@.body.a", "users begins with @; write \"$.body.a\""),
        (
            "/body/a",
            "users is a JSON Pointer; write \"$.body.body.a\"",
        ),
        ("body.a", "users must begin with $, the document"),
        ("$.user_id", "write $.body.user_id for a field of its body"),
        ("$.body[?@.a == 'b'", "this bracket is never closed"),
        (
            "$.body.a b",
            "users at character 9 of \"$.body.a b\": is no query of RFC 9535 from here on",
        ),
    ] {
        let refused = refused(&rule("@.body.a", users));
        assert!(refused.contains(expected), "{users}: {refused}");
    }
    for (step, expected) in [
        (
            "take [",
            "transform at character 6 of \"take [\": no regular expression",
        ),
        ("take ^users/.+$", "has no group"),
        ("take", "needs what follows it"),
        ("uuid 4", "takes nothing behind its name"),
        ("php", "needs what follows it"),
        (
            "upper",
            "no such step; there are take, uuid, lower, prefix, strip_prefix, percent_decode and php",
        ),
    ] {
        let rule = Definition {
            transform: vec![step.to_owned()],
            ..rule("@.body.a", "$.body.a")
        };
        let refused = refused(&rule);
        assert!(refused.contains(expected), "{step}: {refused}");
    }
}

#[test]
fn a_rule_says_whom_it_clears_or_that_it_ignores_and_not_both() {
    let ignoring = Definition {
        ignore: true,
        ..rule("@.body.a", "$.body.a")
    };
    assert!(refused(&ignoring).starts_with("users is set together with ignore = true"));
    let naming_nobody = Definition {
        users: Vec::new(),
        ..rule("@.body.a", "")
    };
    assert!(refused(&naming_nobody).starts_with("users is missing"));
}

#[test]
fn every_problem_of_every_rule_is_found_at_once() {
    let first = Definition {
        id: Some("id".to_owned()),
        ..rule("@.a", "b")
    };
    let problems = Mapping::compile(&[first, rule("@.body.a", "$.body.a"), rule("(", "$")]);
    let places: Vec<_> = problems
        .unwrap_err()
        .iter()
        .map(|problem| (problem.rule, problem.key))
        .collect();
    assert_eq!(places, [(0, "when"), (0, "users"), (0, "id"), (2, "when")]);
}
