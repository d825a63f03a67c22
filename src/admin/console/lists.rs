//! The dead letters on the pages: groups on the first screen, the letters of one group on a page of their own.

use std::time::{Duration, SystemTime};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::letters::{Chosen, Known, Reading, Shown};
use super::story::{capitalised, counted, grouped, lasting};
use super::{Facts, Shared, html as answer, page};
use crate::dead_letters::{Entry, Explanation, Writer};
use crate::shell::Who;

/// Users that one letter shows.
const USERS: usize = 100;

/// The section of the first screen.
pub(super) fn section(facts: &Facts, known: &Known, who: Option<&Who>) -> Markup {
    let reading = known.reading.as_deref();
    // The script leaves the section alone while somebody reads an explanation in it and nothing has changed.
    let version = reading.map_or(0, |reading| reading.number);
    html! {
        section #letters data-version=(version) aria-labelledby="letters-title" {
            div.card {
                div.titled {
                    h2 #letters-title { "Dead letters" }
                    @if let Some(reading) = reading {
                        span.dim { "read " (ago(reading.at)) " · at most once a minute" }
                    }
                }
                @if let Some(job) = &known.job {
                    p role="status" {
                        (capitalised(job.action)) ": " (grouped(job.over())) " of " (counted(job.of, "letter"))
                    }
                    progress max=(job.of) value=(job.over()) aria-label=(job.action) {}
                    @if who.is_some() {
                        form method="post" action="/actions/stop" { button.quiet type="submit" { "Stop" } }
                    }
                }
                @if let Some(outcome) = &known.outcome { p.outcome role="status" { (outcome) } }
                @if let Some(trouble) = &known.trouble { p.trouble { (trouble) } }
                @match reading {
                    None if known.trouble.is_none() => p.dim { "Reading the letters of " (facts.dead_letter_queue) "…" },
                    None => {}
                    Some(reading) if reading.groups.is_empty() => {
                        p.dim { "None. Events that cannot be processed end here, with the reason." }
                    }
                    Some(reading) => ul.groups { @for shown in &reading.groups { (group(reading, shown, who)) } }
                }
            }
        }
    }
}

fn group(reading: &Reading, shown: &Shown, who: Option<&Who>) -> Markup {
    let group = &shown.group;
    html! {
        li {
            div.group {
                p.count {
                    span.value { (grouped(group.count)) }
                    span.more {
                        @if group.users > 0 { (counted(group.users as u64, "user")) } @else { "no user named" }
                    }
                }
                div {
                    h3 { (name(&group.reason, group.code)) }
                    p { (group.explanation().meaning) }
                    p.dim { (age(shown)) }
                    details {
                        summary { "What to do" }
                        (advice(&group.explanation()))
                    }
                }
                div.buttons {
                    a.button.quiet href=(link("/letters", reading.number, shown, "")) { "Letters" }
                    @if who.is_some() {
                        a.button.quiet href=(link("/confirm/redrive", reading.number, shown, "")) { "Redrive…" }
                        a.button.quiet href=(link("/confirm/purge", reading.number, shown, "")) { "Purge…" }
                    }
                }
            }
        }
    }
}

pub(super) fn name(reason: &str, code: Option<i64>) -> String {
    match code {
        Some(code) => format!("{reason} · code {code}"),
        None => reason.to_owned(),
    }
}

fn advice(explanation: &Explanation) -> Markup {
    html! {
        p { (explanation.advice) }
        @if let Some(advice) = explanation.code_advice { p { "For the error code: " (advice) } }
    }
}

fn age(shown: &Shown) -> String {
    let ago = |at: Option<Timestamp>| at.map(|at| ago(at.into()));
    match (ago(shown.group.oldest), ago(shown.group.newest)) {
        (Some(oldest), Some(newest)) if oldest != newest => {
            format!("oldest {oldest}, newest {newest}")
        }
        (Some(oldest), _) => oldest,
        _ => "of unknown age".to_owned(),
    }
}

pub(super) fn ago(at: SystemTime) -> String {
    let age = at.elapsed().unwrap_or_default();
    match age.as_secs() {
        0..=1 => "just now".to_owned(),
        seconds => format!("{} ago", lasting(Duration::from_secs(seconds))),
    }
}

/// A page about a group of a reading, or about a letter of it.
pub(super) fn link(page: &str, reading: u64, shown: &Shown, id: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("reading", &reading.to_string());
    query.append_pair("reason", &shown.group.reason);
    if let Some(code) = shown.group.code {
        query.append_pair("code", &code.to_string());
    }
    if !id.is_empty() {
        query.append_pair("id", id);
    }
    format!("{page}?{}", query.finish())
}

pub(super) async fn letters(
    State(console): Shared,
    Query(chosen): Query<Chosen>,
    headers: HeaderMap,
) -> Response {
    let who = console.who(&headers);
    let reading = console.board.reading(chosen.reading);
    let found = reading
        .as_deref()
        .and_then(|reading| Some((reading, reading.group(&chosen)?)));
    let Some((reading, shown)) = found else {
        return answer(StatusCode::NOT_FOUND, page::read_again());
    };
    let with_users = who.is_some() && chosen.users == "show";
    let content = list(reading, shown, who.as_ref(), with_users);
    let page = page::around("Dead letters", Some(&console.facts), who.as_ref(), &content);
    answer(StatusCode::OK, page)
}

fn list(reading: &Reading, shown: &Shown, who: Option<&Who>, with_users: bool) -> Markup {
    let group = &shown.group;
    let all = link("/letters", reading.number, shown, "");
    html! {
        p.back { a href="/" { "← All dead letters" } }
        section.card {
            div.titled {
                h1 { (name(&group.reason, group.code)) }
                span.dim { "read " (ago(reading.at)) }
            }
            p { (group.explanation().meaning) }
            (advice(&group.explanation()))
            p.dim {
                (counted(group.count, "letter")) " for " (counted(group.users as u64, "user"))
                @if (shown.entries.len() as u64) < group.count { "; the first " (grouped(shown.entries.len() as u64)) " are shown" }
            }
            @match who {
                None => p.dim { "Log in to see users and routes, and to redrive or purge." },
                Some(_) => div.buttons {
                    a.button.quiet href=(link("/confirm/redrive", reading.number, shown, "")) { "Redrive all " (grouped(group.count)) "…" }
                    a.button.quiet href=(link("/confirm/purge", reading.number, shown, "")) { "Purge all " (grouped(group.count)) "…" }
                    form method="post" action="/actions/export" {
                        (fields(reading.number, shown, ""))
                        button.quiet type="submit" { "Export" }
                    }
                    @if with_users {
                        a.button.quiet href=(all) { "Hide users" }
                    } @else {
                        a.button.quiet href=(format!("{all}&users=show")) { "Show users" }
                    }
                },
            }
        }
        ol.letters {
            @for entry in &shown.entries { li.card.letter { (letter(reading, shown, entry, who, with_users)) } }
        }
    }
}

/// The hidden fields of a form about such letters.
pub(super) fn fields(reading: u64, shown: &Shown, id: &str) -> Markup {
    html! {
        input type="hidden" name="reading" value=(reading);
        input type="hidden" name="reason" value=(shown.group.reason);
        input type="hidden" name="code" value=(shown.group.code.map(|code| code.to_string()).unwrap_or_default());
        input type="hidden" name="id" value=(id);
    }
}

fn letter(
    reading: &Reading,
    shown: &Shown,
    entry: &Entry,
    who: Option<&Who>,
    with_users: bool,
) -> Markup {
    let at = entry.dead_lettered_at.or(entry.first_seen);
    let size = counted(entry.bytes, "byte");
    let route = format!(
        "{} → {}",
        text_or_dash(&entry.exchange),
        text_or_dash(&entry.routing_key)
    );
    html! {
        div {
            div.titled {
                h2.id { (entry.id) }
                @if let Some(at) = at {
                    span.dim { time datetime=(at.to_string()) { (utc(at)) } " · " (ago(at.into())) }
                }
            }
            dl.facts {
                @if who.is_some() {
                    (fact("Users", &users(entry, with_users)))
                    (fact("Route", &html! { (route) }))
                }
                @if entry.attempts > 0 { (fact("Attempts", &html! { (entry.attempts) })) }
                @if entry.redriven > 0 { (fact("Redriven before", &html! { (counted(entry.redriven.into(), "time")) })) }
                (fact("Size", &html! { (size) @if entry.body_left_out { ", the letter has only the hash" } }))
                @if who.is_some() || entry.writer == Writer::Tagsweep {
                    (fact("Detail", &html! { (entry.detail) }))
                }
                @if who.is_some() && !entry.history.is_empty() {
                    (fact("History", &html! { @for line in &entry.history { (line) br; } }))
                }
            }
        }
        @if who.is_some() {
            div.buttons {
                a.button.quiet href=(link("/confirm/redrive", reading.number, shown, &entry.id)) { "Redrive…" }
                a.button.quiet href=(link("/confirm/purge", reading.number, shown, &entry.id)) { "Purge…" }
            }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// As logs have it, to the second.
fn utc(at: Timestamp) -> String {
    format!("{at:.0}").replace('T', " ").replace('Z', " UTC")
}

fn users(entry: &Entry, shown: bool) -> Markup {
    let count = entry.users.len();
    html! {
        @match count {
            0 => span.dim { "the letter names none" },
            _ if !shown => span.dim { (counted(count as u64, "user")) ", hidden" },
            _ => {
                @for user in entry.users.iter().take(USERS) { code { (user) } " " }
                @if count > USERS { "and " (grouped((count - USERS) as u64)) " more" }
                @if entry.users_cut { "and others that the letter does not name" }
            }
        }
    }
}

fn text_or_dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}

/// What `/api/status` says: no users, and of texts that a producer could have written only the reason.
pub(super) fn as_json(known: &Known) -> Value {
    let groups = |reading: &Reading| {
        let groups = reading.groups.iter().map(|shown| {
            let mut group = shown.group.as_json();
            if let Some(fields) = group.as_object_mut() {
                let advice = shown.group.explanation().advice;
                fields.insert("advice".to_owned(), advice.into());
            }
            group
        });
        groups.collect::<Value>()
    };
    let read_at = |reading: &Reading| {
        Timestamp::try_from(reading.at)
            .ok()
            .map(|at| format!("{at:.3}"))
    };
    let reading = known.reading.as_deref();
    json!({
        "read_at": reading.and_then(read_at),
        "total": reading.map(|reading| reading.total),
        "groups": reading.map(groups),
        "trouble": known.trouble,
        "action": known.job.as_ref().map(|job| json!({ "what": job.action, "of": job.of, "done": job.over() })),
        "outcome": known.outcome,
    })
}
