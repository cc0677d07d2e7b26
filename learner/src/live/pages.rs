//! The routes of the live page.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;

use super::{Live, state};

/// Nothing from elsewhere, nothing inline, no frames around it: should a name ever become markup, it would do nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page: where it is, what it is, and its text.
type File = (&'static str, &'static str, &'static str);

const FILES: [File; 7] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/live/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/live/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
    ("/live/plots.js", "text/javascript; charset=utf-8", include_str!("page/plots.js")),
    ("/live/panels.js", "text/javascript; charset=utf-8", include_str!("page/panels.js")),
    ("/live/actors.js", "text/javascript; charset=utf-8", include_str!("page/actors.js")),
    ("/live/slot.js", "text/javascript; charset=utf-8", include_str!("page/slot.js")),
];

pub(super) fn routes(live: Live) -> Router {
    let router = FILES.iter().fold(Router::new(), |router, &(path, kind, text)| {
        router.route(path, get(move || async move { reply(kind, text) }))
    });
    router
        .route("/live/state", get(current))
        .route("/live/history", get(history))
        .route("/live/slot/{actor}/{slot}/{known}", get(slot))
        .with_state(live)
}

fn reply(kind: &'static str, body: impl IntoResponse) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    ([(header::CONTENT_TYPE, kind)], HEADERS, body).into_response()
}

fn json(value: &Value) -> Response {
    reply("application/json", value.to_string())
}

async fn current(State(live): State<Live>) -> Response {
    let newest = live.history().newest();
    json(&live.services().map_or_else(state::preparing, |services| state::of(services, newest)))
}

async fn history(State(live): State<Live>) -> Response {
    let history = live.history().json();
    json(&history)
}

/// The newest unroll of a slot, unless it is the one that is known: 204 when there is nothing newer, 404 where no such slot
/// is played.
async fn slot(State(live): State<Live>, Path((actor, slot, known)): Path<(String, u32, String)>) -> Response {
    let played = |services: &&crate::service::Services| services.actors.plays(&actor, slot);
    let Some(services) = live.services().filter(played) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match services.slots.look(&actor, slot, known.parse().ok()) {
        Some(bytes) => reply("application/octet-stream", bytes),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}
