//! The books balance, whatever happens in whatever order.

use proptest::prelude::*;

use super::*;

fn actor(id: &str, incarnation: u64) -> ActorKey {
    ActorKey { actor_id: id.to_owned(), incarnation }
}

fn report(produced: u64, dropped: &[(&str, u64)]) -> Report {
    let dropped = dropped.iter().map(|&(reason, steps)| (reason.to_owned(), steps)).collect();
    Report { produced, dropped, held: None }
}

/// A process that has an answer to nothing.
fn connect(ledger: &Ledger, actor: &ActorKey) {
    ledger.connected(actor, &BTreeMap::new(), 32);
}

#[test]
fn steps_are_followed_from_actor_to_training() {
    let ledger = Ledger::new();
    let a = actor("a", 1);
    ledger.reported(&a, &report(100, &[("env_fault", 4)]), 0);
    assert!(ledger.arrived(&a, 0, 0, 32));
    assert!(ledger.arrived(&a, 1, 0, 32));
    ledger.trained(32);
    ledger.dropped("stale", 32);
    let totals = ledger.totals();
    assert_eq!((totals.produced, totals.trained, totals.in_flight), (100, 32, 32));
    assert_eq!(totals.dropped["env_fault"], 4);
    assert_eq!(totals.dropped["stale"], 32);
}

#[test]
fn resent_unroll_is_recognised_per_slot_and_incarnation() {
    let ledger = Ledger::new();
    assert!(ledger.arrived(&actor("a", 1), 0, 5, 32));
    assert!(!ledger.arrived(&actor("a", 1), 0, 5, 32));
    assert!(!ledger.arrived(&actor("a", 1), 0, 4, 32));
    assert!(ledger.arrived(&actor("a", 1), 1, 5, 32));
    assert!(ledger.arrived(&actor("a", 2), 0, 5, 32));
    assert!(ledger.has_arrived(&actor("a", 2), 0, 5));
    assert!(!ledger.has_arrived(&actor("a", 2), 0, 6));
    let totals = ledger.totals();
    assert_eq!(
        (totals.in_flight, totals.dropped["learner_crash"]),
        (96, 480),
        "five before each are unknown"
    );
}

#[test]
fn what_a_killed_actor_held_is_counted_as_lost() {
    let ledger = Ledger::new();
    let a = actor("a", 1);
    let others = [actor("a#", 1), actor("a0", 1), actor("b", 1), actor(&a.as_text(), 1)];
    for key in [&a].into_iter().chain(&others) {
        ledger.reported(key, &report(100, &[]), 0);
    }
    ledger.arrived(&a, 0, 0, 32);
    connect(&ledger, &a);
    assert_eq!(ledger.totals().in_flight, 500, "the same process came back");
    connect(&ledger, &actor("a", 2));
    connect(&ledger, &actor("a", 2));
    let totals = ledger.totals();
    assert_eq!(totals.dropped["actor_lost"], 68);
    assert_eq!((totals.produced, totals.in_flight), (500, 432));
}

#[test]
fn nothing_more_is_taken_from_a_process_that_was_taken_over() {
    let ledger = Ledger::new();
    let a = actor("a", 1);
    ledger.reported(&a, &report(100, &[]), 0);
    connect(&ledger, &actor("a", 2));
    assert!(ledger.is_settled(&a) && !ledger.is_settled(&actor("a", 2)));
    assert!(!ledger.arrived(&a, 0, 0, 32), "its steps are booked as lost");
    assert!(ledger.has_arrived(&a, 0, 7));
    // A successor may know of more than its last report.
    ledger.reported(&a, &report(130, &[("env_fault", 9)]), 0);
    let totals = ledger.totals();
    assert_eq!((totals.produced, totals.dropped["actor_lost"], totals.in_flight), (130, 130, 0));
    assert_eq!(totals.dropped.len(), 1);
}

#[test]
fn an_actor_without_a_word_is_settled_when_its_lease_ends() {
    let ledger = Ledger::new();
    let (here, gone) = (actor("here", 1), actor("gone", 1));
    for key in [&here, &gone] {
        ledger.reported(key, &report(50, &[]), 0);
    }
    let connected = || BTreeSet::from([here.clone()]);
    assert_eq!([ledger.expire(3, connected), ledger.expire(3, connected)], [0, 0]);
    // Coming back begins a new lease.
    connect(&ledger, &gone);
    assert_eq!([ledger.expire(3, connected), ledger.expire(3, connected)], [0, 0]);
    assert_eq!([ledger.expire(3, connected), ledger.expire(3, connected)], [1, 0]);
    assert!(ledger.is_settled(&gone) && !ledger.is_settled(&here));
    let totals = ledger.totals();
    assert_eq!((totals.dropped["actor_lost"], totals.in_flight), (50, 50));
}

#[test]
fn a_learner_crash_is_counted_once() {
    let ledger = Ledger::new();
    let (a, late) = (actor("a", 1), actor("late", 1));
    ledger.reported(&a, &report(96, &[]), 0);
    for sequence in 0..3 {
        ledger.arrived(&a, 0, sequence, 32);
    }
    ledger.trained(32);
    let saved = serde_json::to_string(&ledger.state()).unwrap();
    // After the checkpoint four more unrolls are acknowledged, some trained on, then the process dies.
    for (actor, sequence) in [(&a, 3), (&a, 4), (&late, 0), (&late, 1)] {
        ledger.arrived(actor, 0, sequence, 32);
    }
    ledger.trained(128);
    let resumed = Ledger::restore(serde_json::from_str(&saved).unwrap());
    assert_eq!(resumed.totals().dropped["learner_crash"], 64, "what was queued");
    assert!(!resumed.arrived(&a, 0, 2, 32), "an unroll of before the checkpoint is a duplicate");
    resumed.connected(&a, &[(0, 5)].into(), 32);
    resumed.connected(&late, &[(0, 1)].into(), 32);
    assert_eq!(resumed.totals().dropped["learner_crash"], 64 + 96, "what the actors have answers for");
    resumed.connected(&a, &[(0, 5)].into(), 32);
    // The answer to the last one did not come through.
    assert!(resumed.arrived(&late, 0, 2, 32));
    assert_eq!(resumed.totals().dropped["learner_crash"], 64 + 128);
    resumed.reported(&a, &Report { held: Some(64), ..report(224, &[]) }, 0);
    resumed.reported(&late, &Report { held: Some(0), ..report(96, &[]) }, 0);
    assert_eq!((resumed.totals().produced, resumed.totals().in_flight), (320, 32 + 64));
    assert_eq!(resumed.imbalance(), 0);
    let again = serde_json::to_string(&resumed.state()).unwrap();
    let again = Ledger::restore(serde_json::from_str(&again).unwrap());
    assert_eq!(again.totals().produced, resumed.totals().produced);
}

#[test]
fn steps_that_vanish_or_count_twice_show_as_imbalance() {
    let ledger = Ledger::new();
    let a = actor("a", 1);
    ledger.arrived(&a, 0, 0, 32);
    ledger.reported(&a, &Report { held: Some(10), ..report(50, &[("env_fault", 8)]) }, 0);
    ledger.audit(32);
    assert_eq!(ledger.imbalance(), 0);
    ledger.reported(&a, &Report { held: Some(3), ..report(50, &[]) }, 7);
    assert_eq!(ledger.imbalance(), 0, "seven wait for their turn");
    ledger.reported(&a, &Report { held: Some(5), ..report(50, &[]) }, 0);
    assert_eq!(ledger.imbalance(), 5);
    ledger.reported(&a, &report(50, &[]), 0);
    assert_eq!(ledger.imbalance(), 5, "a report that cannot tell says nothing");
    ledger.reported(&a, &Report { held: Some(12), ..report(50, &[]) }, 0);
    assert_eq!(ledger.imbalance(), -2);
    ledger.reported(&a, &Report { held: Some(10), ..report(50, &[]) }, 0);
    ledger.audit(0);
    assert_eq!(ledger.imbalance(), 32, "an unroll is neither in the queue nor booked");
    ledger.trained(32);
    ledger.audit(0);
    assert_eq!(ledger.imbalance(), 0);
}

#[test]
fn unknown_reasons_share_one_label_and_answers_are_not_counted_twice() {
    let ledger = Ledger::new();
    ledger.reported(&actor("a", 1), &report(9, &[("x", 1), ("y", 2), ("stale", 6)]), 0);
    let totals = ledger.totals();
    assert_eq!(totals.dropped.len(), 1);
    assert_eq!(totals.dropped["other"], 3);
}

#[test]
fn old_incarnations_are_folded_without_changing_the_sums() {
    let ledger = Ledger::new();
    for incarnation in 0..=MAX_INCARNATIONS as u64 {
        ledger.arrived(&actor("a", incarnation), 0, 0, 1);
    }
    assert_eq!(ledger.lock().incarnations.len(), MAX_INCARNATIONS);
    assert_eq!(ledger.totals().produced, MAX_INCARNATIONS as u64 + 1);
}

#[test]
fn absurd_claims_break_nothing() {
    let ledger = Ledger::restore(LedgerState::default());
    let a = actor("a", 1);
    let dropped = [("env_fault", u64::MAX), ("shutdown", u64::MAX), ("x", u64::MAX), ("y", u64::MAX)];
    ledger.reported(&a, &report(u64::MAX, &dropped), 0);
    assert!(ledger.arrived(&a, 0, u64::MAX, 32));
    assert!(!ledger.arrived(&a, 0, u64::MAX, 32));
    connect(&ledger, &actor("a", 2));
    let totals = ledger.totals();
    assert_eq!(totals.produced, totals.dropped.values().sum::<u64>() + totals.in_flight);
}

#[derive(Clone, Debug)]
enum Move {
    Report { who: u64, produced: u64, dropped: u64 },
    Arrive { who: u64, slot: u32, sequence: u64 },
    Connect { who: u64 },
    Train,
    Drop,
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (0..3_u64, 0..2000_u64, 0..200_u64).prop_map(|(who, produced, dropped)| Move::Report {
            who,
            produced,
            dropped
        }),
        (0..3_u64, 0..4_u32, 0..30_u64).prop_map(|(who, slot, sequence)| Move::Arrive {
            who,
            slot,
            sequence
        }),
        (0..3_u64).prop_map(|who| Move::Connect { who }),
        Just(Move::Train),
        Just(Move::Drop),
        Just(Move::Restart),
    ];
    proptest::collection::vec(one, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn produced_is_trained_plus_dropped_plus_in_flight(history in moves()) {
        let mut ledger = Ledger::new();
        let mut queued = 0_u64;
        let mut before = Totals::default();
        for step in history {
            match step {
                Move::Report { who, produced, dropped } => {
                    ledger.reported(&actor("a", who), &report(produced, &[("env_fault", dropped)]), 0);
                }
                Move::Arrive { who, slot, sequence } => {
                    if ledger.arrived(&actor("a", who), slot, sequence, 32) {
                        queued += 1;
                    }
                }
                Move::Connect { who } => connect(&ledger, &actor("a", who)),
                Move::Train if queued > 0 => {
                    ledger.trained(32);
                    queued -= 1;
                }
                Move::Drop if queued > 0 => {
                    ledger.dropped("stale", 32);
                    queued -= 1;
                }
                Move::Restart => {
                    ledger = Ledger::restore(ledger.state());
                    queued = 0;
                }
                Move::Train | Move::Drop => {}
            }
            let now = ledger.totals();
            prop_assert_eq!(now.produced, now.trained + now.dropped.values().sum::<u64>() + now.in_flight);
            prop_assert!(now.in_flight >= 32 * queued, "queued steps are in flight");
            prop_assert!(now.produced >= before.produced && now.trained >= before.trained);
            for (reason, steps) in &before.dropped {
                prop_assert!(now.dropped.get(reason) >= Some(steps), "{} went down", reason);
            }
            before = now;
        }
    }
}
