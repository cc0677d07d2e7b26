//! What holds a run back, judged from where the time of its parts went over the last few seconds. Pure.
//!
//! A run is a chain: worlds, inference, the way up, decoding, training, publication, and back to inference. Every link
//! accounts for its wall clock, waiting included, and a link that is waited for is found by asking who waits:
//!
//! 1. **The streams that receive do nothing but decode** while the training thread waits: **decode**. This needs no word from
//!    the actors, whose reports wait behind the unrolls that are not decoded yet.
//! 2. **Both ends wait at the same time.** The training thread waits for data for a share *w* of the time, actors wait for
//!    room among their unacknowledged unrolls for a share *o*. When *w + o* is above 1, both wait at once for at least
//!    *w + o - 1*, and neither can be what the other waits for: it is the way between them. If the streams that receive
//!    spend most of their time decoding, that is **decode**, else **network**: chunks or answers are under way.
//! 3. **Actors wait more than the training thread**: the learner holds the run back, by publishing when that takes it
//!    longer than all its other work (**publish**), else by **train**.
//! 4. **The training thread waits more than the actors.** Then actors do not deliver enough, and what they do most says
//!    why: wait for worlds (**env**), infer and encode (**inference**), wait for weights (**publish**). When most
//!    unrolls are dropped because they are too old, their work is in vain for want of newer weights: **publish** too.
//!
//! Rules 1 and 2 come first because in their cases the others would blame somebody who waits. When hardly anybody waits, a
//! buffer is filling up or running empty, or both ends go at about the same pace. Finished unrolls tell which: those that
//! wait for a credit wait for the learner, which is what actors will wait for (rule 3); where none does, it takes what it
//! gets, and is what will wait (rule 4).
//!
//! In behavioural cloning there are no actors: the training thread waits for the loader, which reads and **decodes**
//! recorded play, or it does not.
//!
//! On a machine whose cores are all busy, waiting for a core counts as the state in which a thread wanted it, so the shares
//! of computing parts include each other's; which of them is waited for is still what is measured.

/// A share below this is no wait: threads are never in step to the last.
const HARDLY: f64 = 0.1;
/// By how much both ends must wait at the same time.
const OVERLAP: f64 = 0.1;
/// A share of the streams' time above this is nothing but decoding.
const SATURATED: f64 = 0.9;

/// What holds a run back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is nothing to judge by.
    Unknown,
    /// The worlds.
    Env,
    /// The policy in the actors, and the packing of what it did.
    Inference,
    /// The way between actors and learner.
    Network,
    /// Unpacking and checking what arrives.
    Decode,
    /// The training thread.
    Train,
    /// New weights.
    Publish,
}

impl Cause {
    /// Every cause, by its label.
    pub const LABELS: &'static [&'static str] =
        &["unknown", "env", "inference", "network", "decode", "train", "publish"];

    /// The name in metrics and in the status reply.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }

    /// What to change.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Unknown => "look again in a few seconds, once actors have reported",
            Self::Env => {
                "give worlds more cores (another envserver, actor.envserver), or play more of them at once \
                 (actor.slots_per_group, more actors)"
            }
            Self::Inference => {
                "give actors more cores (actor.threads, more actors), or make acting cheaper (actor.precision)"
            }
            Self::Network => {
                "bring actors nearer to the learner or widen the link; where answers are late, let more unrolls be under \
                 way (actor.pending_unrolls, learner.admission.credits_per_actor)"
            }
            Self::Decode => "give the learner's process more cores, or spread the slots over more actors",
            Self::Train => {
                "train on a faster device, with more threads (learner.threads) or ranks (learner.ranks); more actors do \
                 not help"
            }
            Self::Publish => {
                "publish less often (a larger learner.ppg.batch_unrolls) or smaller (learner.publish.dtype = \"bf16\"); \
                 where unrolls are too old, let fewer wait (learner.admission.queue_unrolls)"
            }
        }
    }
}

/// Shares of the training thread's wall clock, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrainingShares {
    /// Waiting for data.
    pub wait_data: f64,
    /// Publishing weights.
    pub publish: f64,
}

/// Shares of the actors' wall clock, the mean over all of them, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ActorShares {
    /// Running the policy.
    pub infer: f64,
    /// Packing unrolls.
    pub encode: f64,
    /// Waiting for worlds.
    pub wait_env: f64,
    /// Waiting for room among unrolls that the learner has not acknowledged.
    pub wait_outbox: f64,
    /// Waiting for weights.
    pub wait_weights: f64,
    /// Of the uplinks' wall clock: having unrolls to send and no credit from the learner.
    pub wait_credit: f64,
}

/// What a run is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// None before the first sample.
    pub training: Option<TrainingShares>,
    /// None as long as no actor has reported.
    pub actors: Option<ActorShares>,
    /// Share of the receiving streams' time that went into decoding and taking in.
    pub decode: f64,
    /// Share of the arriving steps that were dropped because they were too old.
    pub stale: f64,
    /// Training is on recorded play.
    pub recorded: bool,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The link that is waited for.
    pub cause: Cause,
    /// The shares that say so, as a sentence without a period.
    pub evidence: String,
}

/// Judges a run; see the top of this file.
#[must_use]
pub fn judge(shares: &Shares) -> Verdict {
    let Some(training) = &shares.training else {
        return Verdict { cause: Cause::Unknown, evidence: "nothing is measured yet".to_owned() };
    };
    if shares.decode > SATURATED && training.wait_data > HARDLY {
        return saturated(shares, training);
    }
    let Some(actors) = &shares.actors else { return without_actors(shares, training) };
    let (waits, blocked) = (training.wait_data, actors.wait_outbox);
    if waits + blocked > 1.0 + OVERLAP {
        return way_up(shares, training, actors);
    }
    let nobody_waits = waits.max(blocked) < HARDLY;
    let is_waited_for = if nobody_waits { actors.wait_credit >= HARDLY } else { waits <= blocked };
    if is_waited_for { learner(training, blocked) } else { actor_side(shares, actors) }
}

/// What arrives is decoded without a pause, and that is not enough.
fn saturated(shares: &Shares, training: &TrainingShares) -> Verdict {
    let evidence = format!(
        "decoding takes {} of the time of the streams that receive; the learner waits for data {}",
        percent(shares.decode),
        percent(training.wait_data)
    );
    Verdict { cause: Cause::Decode, evidence }
}

fn without_actors(shares: &Shares, training: &TrainingShares) -> Verdict {
    if !shares.recorded && training.wait_data < HARDLY {
        return learner(training, 0.0);
    }
    if !shares.recorded {
        return Verdict { cause: Cause::Unknown, evidence: "no actor has reported lately".to_owned() };
    }
    if training.wait_data < 0.5 {
        return learner(training, 0.0);
    }
    let evidence = format!("training waits for the loader of recorded play {}", percent(training.wait_data));
    Verdict { cause: Cause::Decode, evidence }
}

/// Neither the training thread nor the actors are what the other waits for.
fn way_up(shares: &Shares, training: &TrainingShares, actors: &ActorShares) -> Verdict {
    let both = format!(
        "actors wait for acknowledgements {} and the learner for data {} of the time",
        percent(actors.wait_outbox),
        percent(training.wait_data)
    );
    let (cause, why) = if shares.decode >= 0.5 {
        (
            Cause::Decode,
            format!("decoding takes {} of the time of the streams between", percent(shares.decode)),
        )
    } else {
        (Cause::Network, format!("decoding takes only {} of it", percent(shares.decode)))
    };
    Verdict { cause, evidence: format!("{both}; {why}") }
}

/// The training thread is what is waited for.
fn learner(training: &TrainingShares, blocked: f64) -> Verdict {
    let busy = 1.0 - training.wait_data - training.publish;
    let (cause, what) = if training.publish >= busy {
        (
            Cause::Publish,
            format!("publishing weights takes {} of the training thread's time", percent(training.publish)),
        )
    } else {
        (Cause::Train, format!("the training thread works {} of the time", percent(busy)))
    };
    let waits =
        format!("it waits for data {}, actors wait for it {}", percent(training.wait_data), percent(blocked));
    Verdict { cause, evidence: format!("{what}; {waits}") }
}

/// Actors do not deliver enough.
fn actor_side(shares: &Shares, actors: &ActorShares) -> Verdict {
    let waits = shares.training.map_or(0.0, |training| training.wait_data);
    let compute = actors.infer + actors.encode;
    let (cause, what) = if shares.stale > 0.5 {
        (Cause::Publish, format!("{} of what actors send is too old to train on", percent(shares.stale)))
    } else if actors.wait_weights >= actors.wait_env.max(compute) {
        (Cause::Publish, format!("actors wait for weights {} of the time", percent(actors.wait_weights)))
    } else if actors.wait_env >= compute {
        (Cause::Env, format!("actors wait for worlds {} of the time", percent(actors.wait_env)))
    } else {
        (Cause::Inference, format!("actors infer and encode {} of the time", percent(compute)))
    };
    Verdict { cause, evidence: format!("{what}; the learner waits for data {}", percent(waits)) }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uplinks wait for credits whenever actors wait for room behind them.
    fn shares(wait_data: f64, publish: f64, actors: [f64; 5], decode: f64) -> Shares {
        let [infer, encode, wait_env, wait_outbox, wait_weights] = actors;
        let wait_credit = wait_outbox;
        Shares {
            training: Some(TrainingShares { wait_data, publish }),
            actors: Some(ActorShares { infer, encode, wait_env, wait_outbox, wait_weights, wait_credit }),
            decode,
            ..Shares::default()
        }
    }

    #[test]
    fn the_link_that_is_waited_for_is_named() {
        // Wait for data, publish; infer, encode, wait for env, for the outbox, for weights; decode.
        let table = [
            // Actors deliver too little.
            (Cause::Env, 0.64, 0.01, [0.2, 0.02, 0.71, 0.0, 0.0], 0.05),
            (Cause::Env, 0.97, 0.0, [0.02, 0.0, 0.98, 0.0, 0.0], 0.0),
            (Cause::Inference, 0.8, 0.0, [0.85, 0.05, 0.1, 0.0, 0.0], 0.05),
            // A training thread that works most of the time is still what is waited for less.
            (Cause::Inference, 0.4, 0.05, [0.6, 0.1, 0.3, 0.0, 0.0], 0.1),
            (Cause::Publish, 0.9, 0.05, [0.1, 0.0, 0.1, 0.0, 0.8], 0.0),
            // Both ends wait at once.
            (Cause::Network, 0.9, 0.0, [0.05, 0.0, 0.05, 0.9, 0.0], 0.02),
            (Cause::Network, 0.7, 0.02, [0.2, 0.1, 0.1, 0.6, 0.0], 0.3),
            (Cause::Decode, 0.95, 0.0, [0.02, 0.0, 0.03, 0.95, 0.0], 0.99),
            (Cause::Decode, 0.6, 0.1, [0.1, 0.0, 0.2, 0.7, 0.0], 0.8),
            // Actors wait for the learner.
            (Cause::Train, 0.0, 0.05, [0.1, 0.0, 0.1, 0.8, 0.0], 0.1),
            (Cause::Publish, 0.02, 0.9, [0.1, 0.0, 0.1, 0.8, 0.0], 0.1),
            // Its buffers are not full yet, but the stage before the one that waits never rests.
            (Cause::Decode, 0.6, 0.0, [0.4, 0.0, 0.5, 0.1, 0.0], 0.95),
            // In turns: waits that do not overlap are not the fault of what is between.
            (Cause::Train, 0.35, 0.05, [0.1, 0.0, 0.25, 0.6, 0.0], 0.6),
        ];
        for (cause, wait_data, publish, actors, decode) in table {
            let shares = shares(wait_data, publish, actors, decode);
            let verdict = judge(&shares);
            assert_eq!(verdict.cause, cause, "{shares:?}: {}", verdict.evidence);
            assert!(verdict.evidence.contains('%') && !verdict.cause.hint().is_empty());
        }
    }

    #[test]
    fn where_nobody_waits_yet_the_unrolls_between_tell_who_will() {
        let mut shares = shares(0.05, 0.05, [0.15, 0.02, 0.8, 0.03, 0.0], 0.1);
        // All that the slowed worlds deliver is taken at once: the queue runs empty.
        assert_eq!(judge(&shares).cause, Cause::Env);
        // Finished unrolls pile up in the actors.
        shares.actors.as_mut().unwrap().wait_credit = 0.6;
        assert_eq!(judge(&shares).cause, Cause::Train);
    }

    #[test]
    fn work_on_old_weights_is_in_vain() {
        let fresh = shares(0.9, 0.0, [0.3, 0.0, 0.7, 0.0, 0.0], 0.1);
        assert_eq!(judge(&fresh).cause, Cause::Env);
        assert_eq!(judge(&Shares { stale: 0.8, ..fresh }).cause, Cause::Publish);
    }

    #[test]
    fn without_actors_only_recorded_play_can_be_judged() {
        let alone = |wait_data, recorded| Shares {
            training: Some(TrainingShares { wait_data, publish: 0.0 }),
            recorded,
            ..Shares::default()
        };
        assert_eq!(judge(&Shares::default()).cause, Cause::Unknown);
        assert_eq!(judge(&alone(0.9, false)).cause, Cause::Unknown);
        assert_eq!(judge(&alone(0.01, false)).cause, Cause::Train);
        // Actors' reports wait behind what is being decoded.
        assert_eq!(judge(&Shares { decode: 1.0, ..alone(0.9, false) }).cause, Cause::Decode);
        assert_eq!(judge(&alone(0.9, true)).cause, Cause::Decode);
        assert_eq!(judge(&alone(0.1, true)).cause, Cause::Train);
    }

    #[test]
    fn evidence_reads_as_a_sentence() {
        let verdict = judge(&shares(0.64, 0.0, [0.2, 0.0, 0.71, 0.0, 0.0], 0.0));
        assert_eq!(verdict.cause.label(), "env");
        assert_eq!(
            verdict.evidence,
            "actors wait for worlds 71 % of the time; the learner waits for data 64 %"
        );
    }
}
