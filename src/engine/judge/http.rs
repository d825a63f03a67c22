//! What an HTTP status means where the API's own answer should be.
//!
//! The API answers each call with status 200 and JSON, its refusals too. Any other status, and a page that is
//! no JSON, comes from something in between: a proxy, a gateway, a captive portal, or a host that is not the
//! API. The table `http-statuses.tsv` beside this file says which; of its lines the first counts that holds a
//! status.

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use super::codes::Class;

/// What is known of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpStatus {
    pub class: Class,
    pub meaning: &'static str,
}

static TABLE: LazyLock<Vec<(RangeInclusive<u16>, [HttpStatus; 2])>> = LazyLock::new(|| {
    let lines = include_str!("http-statuses.tsv").lines().skip(1);
    lines.filter_map(parse_line).collect()
});

fn parse_line(line: &'static str) -> Option<(RangeInclusive<u16>, [HttpStatus; 2])> {
    let mut fields = line.split('\t');
    let statuses = fields.next()?.parse().ok()?..=fields.next()?.parse().ok()?;
    let [class, told_when] = [Class::named(fields.next()?)?, Class::named(fields.next()?)?];
    let meaning = fields.next()?;
    let known = [class, told_when].map(|class| HttpStatus { class, meaning });
    Some((statuses, known))
}

/// What `status` means. `told_when` says that the answer names the time of the next try (`Retry-After`).
pub fn http_status(status: u16, told_when: bool) -> HttpStatus {
    let line = TABLE
        .iter()
        .find(|(statuses, _)| statuses.contains(&status));
    let unknown = HttpStatus {
        class: Class::Unknown,
        meaning: "",
    };
    line.map_or(unknown, |(_, known)| known[usize::from(told_when)])
}
