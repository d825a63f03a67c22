use super::*;

#[test]
fn every_line_of_the_table_is_read_and_no_code_stands_twice() {
    let lines = include_str!("../error-codes.tsv").lines().count() - 1;
    assert_eq!(error_codes().len(), lines);
    assert!(
        error_codes()
            .windows(2)
            .all(|pair| pair[0].code < pair[1].code)
    );
    assert!(
        error_codes()
            .iter()
            .all(|entry| !entry.meaning.is_empty() && !entry.source.is_empty())
    );
    for class in Class::ALL {
        assert!(
            error_codes().iter().any(|entry| entry.class == class),
            "{class:?} has no code"
        );
    }
}

#[test]
fn the_codes_of_this_api_have_the_class_that_its_page_asks_for() {
    for (code, expected) in [
        (60007, Class::Throttle),
        (70001, Class::AuthRefresh),
        (70009, Class::Config),
        (70107, Class::Missing),
        (90001, Class::Reject),
        (90009, Class::Config),
        (90018, Class::Oversize),
        (90045, Class::Config),
        (91000, Class::Transient),
        (12345, Class::Unknown),
    ] {
        assert_eq!(class(code), expected, "{code}");
    }
}
