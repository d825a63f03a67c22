//! What is posted: logging in and out, and what needs a session. Everything is logged, with who did it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::Form;
use axum::extract::{ConnectInfo, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::sessions::{Opened, Refused};
use super::{Console, Shared, html, page, silent};
use crate::shell::{Who, Wish};

const NO_TOKEN: &str = "The console is read-only: admin.token is not set, or its file cannot be read. Set \
                        admin.token_file and restart the worker.";

#[derive(Deserialize)]
pub(super) struct Login {
    #[serde(default)]
    token: String,
}

pub(super) async fn login_form(State(console): Shared) -> Response {
    match console.facts.token {
        Some(_) => html(StatusCode::OK, page::login(None)),
        None => html(StatusCode::FORBIDDEN, page::notice("Read-only", NO_TOKEN)),
    }
}

pub(super) async fn login(
    State(console): Shared,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Form(Login { token }): Form<Login>,
) -> Response {
    let address = plain(address.ip());
    let known = console.facts.token.as_ref();
    let refused = match console
        .sessions
        .log_in(&token, address, known, Instant::now())
    {
        Ok(Opened { who, cookie }) => {
            tracing::info!(
                operator_session = who.session,
                operator_address = %address,
                "an operator logged in to the console"
            );
            return (AppendHeaders([(SET_COOKIE, cookie)]), Redirect::to("/")).into_response();
        }
        Err(refused) => refused,
    };
    let (status, text) = match refused {
        Refused::NoToken => {
            return html(StatusCode::FORBIDDEN, page::notice("Read-only", NO_TOKEN));
        }
        Refused::Wrong => {
            tracing::warn!(operator_address = %address, "wrong token at the console");
            (StatusCode::UNAUTHORIZED, "This is not the token.")
        }
        Refused::TooManyTries => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many wrong tokens from your address. Try again in a minute.",
        ),
    };
    html(status, page::login(Some(text)))
}

/// As people know it, where the listener takes both kinds.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

pub(super) async fn logout(State(console): Shared, headers: HeaderMap) -> Response {
    let (who, cookie) = console.sessions.log_out(&headers);
    if let Some(who) = who {
        tracing::info!(
            operator_session = who.session,
            operator_address = %who.address,
            "an operator logged out of the console"
        );
    }
    (AppendHeaders([(SET_COOKIE, cookie)]), Redirect::to("/")).into_response()
}

pub(super) async fn pause(State(console): Shared, headers: HeaderMap) -> Response {
    wish(&console, &headers, true).await
}

pub(super) async fn resume(State(console): Shared, headers: HeaderMap) -> Response {
    wish(&console, &headers, false).await
}

/// To pause a paused worker changes nothing, and is no error.
async fn wish(console: &Console, headers: &HeaderMap, pause: bool) -> Response {
    let who = match operator(console, headers) {
        Ok(who) => who,
        Err(refusal) => return refusal,
    };
    match console.inquirer.wish(Wish { pause, who }).await {
        Ok(_) => {
            console.forget_view().await;
            Redirect::to("/").into_response()
        }
        Err(no_answer) => silent(no_answer),
    }
}

/// Who may act; or the answer for whoever may not.
#[expect(clippy::result_large_err, reason = "it is the answer itself, and rare")]
pub(super) fn operator(console: &Console, headers: &HeaderMap) -> Result<Who, Response> {
    if let Some(who) = console.who(headers) {
        return Ok(who);
    }
    Err(match console.facts.token {
        None => html(StatusCode::FORBIDDEN, page::notice("Read-only", NO_TOKEN)),
        Some(_) => {
            let why = "Log in first: nothing was done. A session ends after 12 hours, and when this worker restarts.";
            html(StatusCode::UNAUTHORIZED, page::notice("Not logged in", why))
        }
    })
}
