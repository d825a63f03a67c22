//! The control interface `/_sim/…`, for inspection and faults from another process. Not part of the
//! real API.
//!
//! | path | |
//! |---|---|
//! | `GET /_sim/stats` | [`Stats`], with the mean window size and calls by second |
//! | `GET /_sim/journal` | the latest calls |
//! | `POST /_sim/faults` | adds a [`Rule`]: `{"fault":"91000","next":3,"p":0.5,"for":"30s","user":"alice","every_interface":true}`; answers with its number |
//! | `DELETE /_sim/faults`, `DELETE /_sim/faults/{number}` | removes all rules, or one |
//! | `POST /_sim/users` | imports users: `{"users":["alice","bob"],"tags":["vip"]}` |

use std::time::Instant;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::faults::{Rule, RuleId};
use crate::journal::{Journal, Second, Stats};
use crate::simulator::Shared;

/// Room for the import of a million users.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/stats", get(stats))
        .route("/journal", get(journal))
        .route("/faults", post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/users", post(import_users))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    stats: Stats,
    mean_ids_per_accepted_call: f64,
    elapsed_seconds: f64,
    per_second: Vec<Second>,
}

async fn stats(State(shared): State<Shared>) -> Json<Report> {
    let service = shared.service();
    Json(Report {
        stats: service.stats.clone(),
        mean_ids_per_accepted_call: service.stats.mean_ids_per_accepted_call(),
        elapsed_seconds: service.started.elapsed().as_secs_f64(),
        per_second: service.histogram.to_vec(),
    })
}

async fn journal(State(shared): State<Shared>) -> Json<Journal> {
    Json(shared.service().journal.clone())
}

#[derive(Serialize)]
struct Added {
    id: RuleId,
}

async fn add_fault(State(shared): State<Shared>, Json(rule): Json<Rule>) -> Json<Added> {
    let id = shared.service().faults.add(rule, Instant::now());
    Json(Added { id })
}

async fn clear_faults(State(shared): State<Shared>) {
    shared.service().faults.clear();
}

async fn remove_fault(State(shared): State<Shared>, Path(id): Path<u64>) -> StatusCode {
    match shared.service().faults.remove(RuleId(id)) {
        true => StatusCode::OK,
        false => StatusCode::NOT_FOUND,
    }
}

#[derive(Deserialize)]
struct Import {
    users: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
}

async fn import_users(State(shared): State<Shared>, Json(import): Json<Import>) {
    let mut service = shared.service();
    for user in import.users {
        service.users.set_tags(user, import.tags.clone());
    }
}
