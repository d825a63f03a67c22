//! The console: what the worker is doing and why, what it did lately, and the few things that an operator may do.
//!
//! Its pages are complete without scripts; the one script only fetches the figures anew. Whatever a producer of
//! events controls is text in them, which `maud` escapes.

mod actions;
mod chart;
mod confirm;
mod deeds;
mod guard;
mod letters;
mod lists;
mod page;
mod sessions;
mod status;
mod story;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use maud::Markup;
use tokio::sync::Mutex;

use crate::config::{Secret, Settings};
use crate::rabbitmq::Options;
use crate::shell::{Inquirer, NoAnswer, View, Who};
use letters::Board;
use sessions::Sessions;

const CSS: &str = include_str!("console/console.css");
const JS: &str = include_str!("console/console.js");
const ICON: &str = include_str!("console/icon.svg");

/// However many browsers ask, the worker is asked no more often.
const FRESH: Duration = Duration::from_secs(1);
/// Bytes of a form. None is larger than some filters.
const LARGEST_FORM: usize = 64 * 1024;

struct Console {
    inquirer: Inquirer,
    latest: Mutex<Option<(Instant, Arc<View>)>>,
    sessions: Sessions,
    board: Arc<Board>,
    /// What the pages say of the settings.
    facts: Facts,
}

/// The settings that the pages name.
struct Facts {
    token: Option<Secret>,
    hosts: Vec<String>,
    queue: String,
    dead_letter_queue: String,
    max_ids: usize,
    hold_limit: Duration,
}

type Shared = State<Arc<Console>>;

pub(super) fn routes(inquirer: Inquirer, settings: &Settings, broker: Options) -> Router {
    let console = Arc::new(Console {
        inquirer,
        latest: Mutex::default(),
        sessions: Sessions::default(),
        board: Arc::new(Board::new(broker)),
        facts: Facts {
            token: settings.admin.token(),
            hosts: settings.admin.hosts.clone(),
            queue: settings.rabbitmq.queue.clone(),
            dead_letter_queue: settings.rabbitmq.dead_letter_queue.clone(),
            max_ids: settings.window.max_ids,
            hold_limit: settings.rabbitmq.hold_limit,
        },
    });
    let hosts = middleware::from_fn_with_state(Arc::clone(&console), guard::known_host);
    Router::new()
        .route("/", get(first_screen))
        .route("/fragment", get(fragment))
        .route("/api/status", get(status))
        .route("/console.css", get(css))
        .route("/console.js", get(js))
        .route("/icon.svg", get(icon))
        .route("/login", get(actions::login_form).post(actions::login))
        .route("/logout", post(actions::logout))
        .route("/confirm/{action}", get(confirm::page))
        .route("/actions/pause", post(actions::pause))
        .route("/actions/resume", post(actions::resume))
        .route("/letters", get(lists::letters))
        .route("/actions/redrive", post(deeds::redrive))
        .route("/actions/purge", post(deeds::purge))
        .route("/actions/export", post(deeds::export))
        .route("/actions/stop", post(deeds::stop))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .layer(guard::same_origin())
        .layer(hosts)
        .layer(middleware::map_response(guard::headers))
        .with_state(console)
}

impl Console {
    /// The worker's last word, at most a second old.
    async fn view(&self) -> Result<Arc<View>, NoAnswer> {
        let mut latest = self.latest.lock().await;
        if let Some((asked, view)) = &*latest
            && asked.elapsed() < FRESH
        {
            return Ok(Arc::clone(view));
        }
        let view = Arc::new(self.inquirer.view().await?);
        self.board.look(&view);
        *latest = Some((Instant::now(), Arc::clone(&view)));
        Ok(view)
    }

    /// The next answer is to show what has been done.
    async fn forget_view(&self) {
        *self.latest.lock().await = None;
    }

    /// Who has logged in with these headers' cookie.
    fn who(&self, headers: &HeaderMap) -> Option<Who> {
        self.sessions.who(headers, self.facts.token.as_ref())
    }
}

async fn first_screen(State(console): Shared, headers: HeaderMap) -> Response {
    let who = console.who(&headers);
    match console.view().await {
        Ok(view) => html(
            StatusCode::OK,
            page::first_screen(&console, &view, who.as_ref()),
        ),
        Err(no_answer) => silent(no_answer),
    }
}

/// What the script puts into the page every two seconds.
async fn fragment(State(console): Shared, headers: HeaderMap) -> Response {
    let who = console.who(&headers);
    match console.view().await {
        Ok(view) => html(StatusCode::OK, page::live(&console, &view, who.as_ref())),
        Err(no_answer) => silent(no_answer),
    }
}

async fn status(State(console): Shared) -> Response {
    match console.view().await {
        Ok(view) => Json(status::of(&console, &view)).into_response(),
        Err(no_answer) => silent(no_answer),
    }
}

async fn css() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], CSS)
}

async fn js() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], JS)
}

async fn icon() -> impl IntoResponse {
    ([(CONTENT_TYPE, "image/svg+xml")], ICON)
}

fn html(status: StatusCode, page: Markup) -> Response {
    let content_type = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, content_type, page.into_string()).into_response()
}

fn silent(no_answer: NoAnswer) -> Response {
    let page = page::notice(
        "No answer",
        &format!("{no_answer}. See its log and /livez."),
    );
    html(StatusCode::SERVICE_UNAVAILABLE, page)
}
