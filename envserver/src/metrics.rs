//! Every metric an envserver exports.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use vpt_runtime::metrics::{MetricSpec, TIME_BUCKETS};
use vpt_runtime::pool_account::PoolAccount;

const STEP: &str = "vpt_envserver_step_duration_seconds";
const RESET: &str = "vpt_envserver_reset_duration_seconds";
const SESSIONS: &str = "vpt_envserver_sessions";
const STEPS: &str = "vpt_envserver_steps_total";
const EPISODES: &str = "vpt_envserver_episodes_total";
const OPENED: &str = "vpt_envserver_sessions_opened_total";
const REFUSED: &str = "vpt_envserver_sessions_refused_total";
const FAULTS: &str = "vpt_envserver_session_faults_total";
const TIME: &str = "vpt_envserver_session_time_seconds";
const SPARES: &str = "vpt_envserver_spares_total";
const HUNG: &str = "vpt_envserver_sessions_hung";
const ABANDONED: &str = "vpt_envserver_drains_abandoned_total";
const GAMES: &str = "vpt_envserver_luanti_games_total";
const UNSETTLED: &str = "vpt_envserver_luanti_unsettled_steps_total";
const MISSED: &str = "vpt_envserver_luanti_missed_deadlines_total";
const REAPED: &str = "vpt_envserver_luanti_reaped_total";
const MINERL_GAMES: &str = "vpt_envserver_minerl_games_total";
const MINERL_BUSY: &str = "vpt_envserver_minerl_busy_replies_total";
const MINERL_EMPTY: &str = "vpt_envserver_minerl_empty_frames_total";
const MINERL_UNKNOWN: &str = "vpt_envserver_minerl_unknown_names_total";
const MINERL_REAPED: &str = "vpt_envserver_minerl_reaped_total";

/// What a session's thread does; the seconds of all states add up to the lives of all sessions.
pub(crate) const STATES: &[&str] = &["open", "wait_action", "step", "render", "reset", "send"];

/// Declarations, in the order of the ops page.
pub const METRICS: &[MetricSpec] = &[
    MetricSpec::histogram(STEP, "World step and rendering of its frame.", "seconds", TIME_BUCKETS),
    MetricSpec::histogram(
        RESET,
        "Start of an episode and rendering of its first frame.",
        "seconds",
        TIME_BUCKETS,
    ),
    MetricSpec::gauge(SESSIONS, "Sessions open now.", ""),
    MetricSpec::counter(STEPS, "Actions played."),
    MetricSpec::counter(EPISODES, "Episodes played to their end.")
        .labels(&[("outcome", &["terminated", "truncated"])]),
    MetricSpec::counter(OPENED, "Sessions opened."),
    MetricSpec::counter(REFUSED, "Sessions refused before they played.").labels(&[(
        "reason",
        &[
            "version",
            "limit",
            "draining",
            "thread",
            "bad_open",
            "world",
            "protocol",
            "idle",
            "slow_reader",
            "panic",
            "disconnected",
        ],
    )]),
    MetricSpec::counter(FAULTS, "Sessions that ended before the client closed them.").labels(&[(
        "reason",
        &[
            "draining",
            "world",
            "bad_action",
            "protocol",
            "idle",
            "slow_reader",
            "panic",
            "hung",
            "disconnected",
        ],
    )]),
    MetricSpec::gauge(HUNG, "Sessions given up whose world has not come back yet.", ""),
    MetricSpec::counter(SPARES, "Episodes whose world was ordered ahead, by whether it was there in time.")
        .labels(&[("spare", &["ready", "late", "not_ready", "wrong", "failed"])]),
    MetricSpec::gauge(TIME, "Time of all session threads by what they did.", "seconds")
        .labels(&[("state", STATES)]),
    MetricSpec::counter(ABANDONED, "Shutdowns that ran into envserver.drain_timeout_seconds."),
    MetricSpec::counter(
        GAMES,
        "Games of world luanti that were started, and those that did not end with their session, by why.",
    )
    .labels(&[(
        "outcome",
        &["started", "replaced", "crashed", "hung", "display", "port_taken", "no_player", "not_started"],
    )]),
    MetricSpec::counter(UNSETTLED, "Steps of world luanti whose events may have come a step late."),
    MetricSpec::counter(MISSED, "Steps that world luanti made in real time while no action had come."),
    MetricSpec::counter(
        REAPED,
        "Games of world luanti that a killed envserver had left and this one removed.",
    ),
    MetricSpec::counter(
        MINERL_GAMES,
        "Games of world minerl that were started, and those that did not end with their session, by why.",
    )
    .labels(&[(
        "outcome",
        &["started", "recycled", "ended", "refused", "hung", "no_world", "bad_message", "not_started"],
    )]),
    MetricSpec::counter(
        MINERL_BUSY,
        "Times that a game of world minerl said it was busy and was asked again.",
    ),
    MetricSpec::counter(MINERL_EMPTY, "Frames of world minerl that came without a picture and are black."),
    MetricSpec::counter(MINERL_UNKNOWN, "Statistics of world minerl about things without a name here."),
    MetricSpec::counter(
        MINERL_REAPED,
        "Games of world minerl that a killed envserver had left and this one removed.",
    ),
];

/// Handles of one session, looked up once: a step is counted without a registry lookup.
pub(crate) struct SessionMetrics {
    pub(crate) step: Histogram,
    pub(crate) reset: Histogram,
    pub(crate) steps: Counter,
    pub(crate) terminated: Counter,
    pub(crate) truncated: Counter,
}

impl SessionMetrics {
    pub(crate) fn new() -> Self {
        Self {
            step: histogram!(STEP),
            reset: histogram!(RESET),
            steps: counter!(STEPS),
            terminated: counter!(EPISODES, "outcome" => "terminated"),
            truncated: counter!(EPISODES, "outcome" => "truncated"),
        }
    }
}

/// The time of all sessions by [`STATES`].
pub(crate) fn session_time() -> PoolAccount {
    PoolAccount::new(TIME, STATES)
}

/// Counts a session as open until dropped.
pub(crate) struct OpenGauge(Gauge);

impl OpenGauge {
    pub(crate) fn new() -> Self {
        let sessions = gauge!(SESSIONS);
        sessions.increment(1.0);
        Self(sessions)
    }
}

impl Drop for OpenGauge {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Counts a session as hung until dropped.
pub(crate) struct HungGauge(Gauge);

impl HungGauge {
    pub(crate) fn new() -> Self {
        let hung = gauge!(HUNG);
        hung.increment(1.0);
        Self(hung)
    }
}

impl Drop for HungGauge {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

pub(crate) fn count_spare(spare: &'static str) {
    counter!(SPARES, "spare" => spare).increment(1);
}

pub(crate) fn count_opened() {
    counter!(OPENED).increment(1);
}

pub(crate) fn count_refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn count_fault(reason: &'static str) {
    counter!(FAULTS, "reason" => reason).increment(1);
}

pub(crate) fn count_game(outcome: &'static str) {
    counter!(GAMES, "outcome" => outcome).increment(1);
}

pub(crate) fn count_unsettled(steps: u64) {
    counter!(UNSETTLED).increment(steps);
}

pub(crate) fn count_missed_deadlines(steps: u64) {
    counter!(MISSED).increment(steps);
}

pub(crate) fn count_reaped() {
    counter!(REAPED).increment(1);
}

pub(crate) fn count_minerl_game(outcome: &'static str) {
    counter!(MINERL_GAMES, "outcome" => outcome).increment(1);
}

pub(crate) fn count_busy_reply() {
    counter!(MINERL_BUSY).increment(1);
}

pub(crate) fn count_empty_frame() {
    counter!(MINERL_EMPTY).increment(1);
}

pub(crate) fn count_unknown_names(names: usize) {
    counter!(MINERL_UNKNOWN).increment(names as u64);
}

pub(crate) fn count_minerl_reaped() {
    counter!(MINERL_REAPED).increment(1);
}

pub(crate) fn count_abandoned_drain() {
    counter!(ABANDONED).increment(1);
}
