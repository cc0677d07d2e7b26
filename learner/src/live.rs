//! The live page: what the run does, for a browser, on the ops port.
//!
//! One page without anything from elsewhere (`live/page/`), which asks for `/live/state` once a second. Everything here
//! only reads; what others named (actors, items) goes out as JSON and becomes text on the page, never markup.

mod history;
mod pages;
mod slot_view;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use vpt_runtime::clock;

use crate::service::Services;
use history::History;
pub(crate) use slot_view::SlotView;
use state::Sampler;

/// Between two points of the plots.
const BEAT: Duration = Duration::from_secs(1);

/// What the page shows; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// None while the learner prepares.
    services: OnceLock<Services>,
    history: Mutex<History>,
}

impl Live {
    /// The page and what it asks for.
    pub(crate) fn routes(&self) -> Router {
        pages::routes(self.clone())
    }

    /// Collects points for the plots until `end`.
    pub(crate) async fn keep(self, services: Services, end: CancellationToken) {
        let services = self.inner.services.get_or_init(|| services);
        let mut sampler = Sampler::default();
        let mut ticks = tokio::time::interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while end.run_until_cancelled(ticks.tick()).await.is_some() {
            services.slots.forget_unwatched();
            let values = sampler.sample(services);
            self.history().push(clock::calendar_seconds(), values);
        }
    }

    fn services(&self) -> Option<&Services> {
        self.inner.services.get()
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.inner.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
