//! What one process notes about one sampled unroll, and its way to the exporter.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::context::Context;
use super::{count, fresh};
use crate::clock;

/// Spans of one unroll in one process; what is more is dropped and counted. An unroll that goes up again and again, or that
/// is trained on in very many epochs, must not grow without bound.
const MAX_SPANS: usize = 512;

/// One unroll's trace in this process, or nothing. Clones share it; when the last one is gone it goes out.
#[derive(Clone, Default)]
pub struct Trace {
    recording: Option<Arc<Recording>>,
}

/// Names a span within its process, so that others can lie inside it before it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub(super) u64);

/// What was done from when to when.
#[derive(Clone, Debug)]
pub struct Span {
    pub(super) name: &'static str,
    pub(super) from: Instant,
    pub(super) to: Instant,
    pub(super) id: SpanId,
    /// What it is a part of; none: of the unroll's way through this process.
    pub(super) within: Option<SpanId>,
    pub(super) notes: Notes,
}

/// A number or a text beside a span.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Count(i64),
    /// A number, such as of seconds.
    Number(f64),
}

type Notes = Vec<(&'static str, Value)>;

/// The trace of an unroll that is here now.
struct Recording {
    name: &'static str,
    /// The trace, and the span of the unroll's way through this process.
    context: Context,
    /// The span that sent it here.
    parent: Option<u64>,
    /// What the calendar said at a moment of the monotonic clock: once, so that an unroll's spans stay in order when
    /// somebody sets it.
    calendar: (Instant, Duration),
    outbox: Outbox,
    state: Mutex<State>,
}

struct State {
    began: Instant,
    /// When the last lap ended.
    mark: Instant,
    spans: Vec<Span>,
    notes: Notes,
    end: End,
}

/// How an unroll left the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it should.
    Good,
    /// It went no further, and why.
    Lost(&'static str),
}

/// A trace that is to go out.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) name: &'static str,
    pub(super) context: Context,
    pub(super) parent: Option<u64>,
    pub(super) calendar: (Instant, Duration),
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) spans: Vec<Span>,
    pub(super) notes: Notes,
    pub(super) end: End,
}

/// The way to the exporter; never waits.
#[derive(Clone)]
pub(super) struct Outbox {
    sender: mpsc::Sender<Finished>,
}

impl Trace {
    /// A trace whose first lap begins at the moment given, and goes out by the outbox.
    pub(super) fn begin(
        name: &'static str,
        trace: u128,
        parent: Option<u64>,
        (began, outbox): (Instant, Outbox),
    ) -> Self {
        let state =
            State { began, mark: began, spans: Vec::new(), notes: Vec::new(), end: End::Lost("dropped") };
        let recording = Recording {
            name,
            context: Context { trace, span: fresh() },
            parent,
            calendar: (Instant::now(), clock::calendar_unix()),
            outbox,
            state: Mutex::new(state),
        };
        Self { recording: Some(Arc::new(recording)) }
    }

    /// Whether anything is noted; worth asking only before work that serves nothing else.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.recording.is_some()
    }

    /// What the unroll carries to the next process; empty when it is not traced.
    #[must_use]
    pub fn traceparent(&self) -> String {
        self.recording.as_ref().map_or(String::new(), |recording| recording.context.to_string())
    }

    /// Ends a lap: from the end of the one before until now the unroll was in the hands of `name`.
    pub fn lap(&self, name: &'static str) {
        if self.is_on() {
            self.lap_around(SpanId::fresh(), name, Instant::now());
        }
    }

    /// The same for a lap that ended at `to`, and as the span `id`, which others may lie within.
    pub fn lap_around(&self, id: SpanId, name: &'static str, to: Instant) {
        if let Some(recording) = &self.recording {
            let mut state = recording.lock();
            let from = state.mark;
            let to = to.max(from);
            state.mark = to;
            state.add(Span { id, ..Span::new(name, from, to) });
        }
    }

    /// Adds a span beside the laps.
    pub fn add(&self, span: Span) {
        if let Some(recording) = &self.recording {
            recording.lock().add(span);
        }
    }

    /// Notes something about the unroll.
    pub fn note(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(recording) = &self.recording {
            recording.lock().notes.push((key, value.into()));
        }
    }

    /// The unroll leaves the process as it should. One that is dropped without this is shown as a failure.
    pub fn good(&self) {
        self.end(End::Good);
    }

    /// The unroll goes no further, because of `reason`.
    pub fn lost(&self, reason: &'static str) {
        self.end(End::Lost(reason));
    }

    fn end(&self, end: End) {
        if let Some(recording) = &self.recording {
            recording.lock().end = end;
        }
    }
}

impl PartialEq for Trace {
    /// Whether both are the same, or nothing.
    fn eq(&self, other: &Self) -> bool {
        match (&self.recording, &other.recording) {
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            (own, others) => own.is_none() && others.is_none(),
        }
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Trace").field(&self.traceparent()).finish()
    }
}

impl SpanId {
    /// One that no span has yet.
    #[must_use]
    pub fn fresh() -> Self {
        Self(fresh())
    }
}

impl Span {
    /// A part of the unroll's way through this process.
    #[must_use]
    pub fn new(name: &'static str, from: Instant, to: Instant) -> Self {
        Self { name, from, to, id: SpanId::fresh(), within: None, notes: Vec::new() }
    }

    /// The same as a part of another span.
    #[must_use]
    pub fn within(self, outer: SpanId) -> Self {
        Self { within: Some(outer), ..self }
    }

    /// The same with a note.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.notes.push((key, value.into()));
        self
    }

    /// Its name for [`Self::within`].
    #[must_use]
    pub fn id(&self) -> SpanId {
        self.id
    }
}

impl Recording {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every update leaves it consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, span: Span) {
        if self.spans.len() < MAX_SPANS {
            self.spans.push(span);
        } else {
            count("too_many", 1);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let mut state = self.lock();
        let (spans, notes) = (std::mem::take(&mut state.spans), std::mem::take(&mut state.notes));
        let ended = spans.iter().map(|span| span.to).fold(state.mark, Instant::max);
        let (name, context, parent) = (self.name, self.context, self.parent);
        let (began, end, calendar) = (state.began, state.end, self.calendar);
        drop(state);
        self.outbox.send(Finished { name, context, parent, calendar, began, ended, spans, notes, end });
    }
}

impl Finished {
    /// Spans that go out.
    pub(super) fn len(&self) -> u64 {
        self.spans.len() as u64 + 1
    }

    /// A moment as the calendar had it, in nanoseconds since 1970.
    pub(super) fn unix_nanos(&self, moment: Instant) -> u64 {
        let (then, calendar) = self.calendar;
        let at = match moment.checked_duration_since(then) {
            Some(later) => calendar.saturating_add(later),
            None => calendar.saturating_sub(then - moment),
        };
        u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Outbox {
    pub(super) fn new(sender: mpsc::Sender<Finished>) -> Self {
        Self { sender }
    }

    fn send(&self, finished: Finished) {
        match self.sender.try_send(finished) {
            Ok(()) => {}
            Err(TrySendError::Full(finished)) => count("full", finished.len()),
            Err(TrySendError::Closed(finished)) => count("shutdown", finished.len()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<Duration> for Value {
    fn from(duration: Duration) -> Self {
        Self::Number(duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests;
