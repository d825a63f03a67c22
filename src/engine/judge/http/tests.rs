use super::*;

#[test]
fn a_status_has_the_class_of_what_can_be_done_about_it() {
    for (statuses, expected) in [
        (&[429][..], Class::Throttle),
        (&[301, 302, 303, 307, 308, 399], Class::Config),
        (
            &[400, 401, 403, 404, 405, 407, 421, 431, 451],
            Class::Config,
        ),
        (&[501, 505, 511], Class::Config),
        (&[413], Class::Oversize),
        (
            &[200, 204, 408, 425, 500, 502, 503, 504, 520, 599, 999],
            Class::Transient,
        ),
    ] {
        for status in statuses {
            assert_eq!(http_status(*status, false).class, expected, "{status}");
        }
    }
    assert_eq!(http_status(503, true).class, Class::Throttle);
    assert_eq!(http_status(502, true).class, Class::Transient);
}

#[test]
fn every_line_of_the_table_is_read() {
    let lines = include_str!("../http-statuses.tsv").lines().count() - 1;
    assert_eq!(TABLE.len(), lines);
}
