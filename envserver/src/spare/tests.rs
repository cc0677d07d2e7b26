//! Spares that are ready, late, not begun, wrong, and impossible: the games are the same in every case.

use std::sync::mpsc;

use super::*;
use crate::native::NativeWorld;
use crate::world::{Action, Tick, WorldError};

/// Remembers the seed; its resets wait for a word or panic when told to.
struct Gated {
    seed: u64,
    /// How often this one was reset.
    resets: u64,
    gate: Option<Arc<Mutex<Receiver<()>>>>,
}

impl World for Gated {
    fn reset(&mut self, seed: u64, _task: &Task) -> Result<(), WorldError> {
        assert!(seed != 13, "an unlucky seed");
        if let Some(gate) = &self.gate {
            let _ = gate.lock().unwrap().recv();
        }
        if seed == 14 {
            return Err(WorldError::NoSnapshot);
        }
        self.seed = seed;
        self.resets += 1;
        Ok(())
    }
    fn step(&mut self, _action: &Action) -> Tick {
        Tick::default()
    }
    fn render(&mut self, _height: usize, _width: usize, _out: &mut Vec<u8>) {}
    fn gui_open(&self) -> bool {
        false
    }
    fn advise(&mut self) -> Action {
        Action::NOOP
    }
    fn state_hash(&self) -> u64 {
        self.seed * 1000 + self.resets
    }
    fn spare_wait(&self) -> Option<Duration> {
        Some(Duration::from_millis(500))
    }
}

fn task() -> Task {
    Task::parse("name = 'x'\nworld = 'gated'\nepisode_steps = 5").unwrap()
}

/// A player of gated worlds; with a gate, every reset waits for a word through the sender.
fn player(pool: &SparePool, gated: bool) -> (Spares, Box<dyn World>, mpsc::Sender<()>) {
    let (word, gate) = mpsc::channel();
    let gate = gated.then(|| Arc::new(Mutex::new(gate)));
    let build = move || Box::new(Gated { seed: 0, resets: 0, gate: gate.clone() }) as Box<dyn World>;
    let world = build();
    let worlds = Worlds::built_in().with("gated", build);
    (Spares::new(pool, &worlds, &task(), world.as_ref()), world, word)
}

/// Waits until the ordered spare is there or known to be impossible.
fn settle(spares: &Spares) {
    let order = spares.order.as_ref().unwrap();
    let stage = order.stage();
    let unsettled = |stage: &mut Stage| matches!(stage, Stage::Making | Stage::Waiting(_));
    let (_stage, timeout) = order.done.wait_timeout_while(stage, Duration::from_secs(10), unsettled).unwrap();
    assert!(!timeout.timed_out());
}

#[test]
fn a_ready_spare_is_swapped_in_and_the_used_world_made_anew() {
    let (mut spares, mut world, _word) = player(&SparePool::new(1), false);
    assert_eq!(spares.swap(&mut world, 1), Swap::None);
    let mut hashes = Vec::new();
    for seed in 1..6 {
        spares.prepare(seed);
        settle(&spares);
        assert_eq!(spares.swap(&mut world, seed), Swap::Ready);
        hashes.push(world.state_hash());
    }
    // Two worlds take turns; each was reset once more every other time.
    assert_eq!(hashes, [1001, 2001, 3002, 4002, 5003]);
}

#[test]
fn a_spare_that_is_not_begun_is_taken_back_with_its_world() {
    let pool = SparePool::new(1);
    let (mut busy, _world, word) = player(&pool, true);
    busy.prepare(1);
    let (mut spares, mut world, _word) = player(&pool, false);
    spares.used = Some(Box::new(Gated { seed: 77, resets: 0, gate: None }));
    spares.prepare(2);
    assert_eq!(spares.swap(&mut world, 2), Swap::NotReady);
    assert_eq!(world.state_hash(), 0, "it has to be reset");
    assert_eq!(spares.used.as_ref().unwrap().state_hash(), 77_000);
    word.send(()).unwrap();
    settle(&busy);
    // The thread passes over what was taken back and goes on.
    spares.prepare(3);
    settle(&spares);
    assert_eq!(spares.swap(&mut world, 3), Swap::Ready);
}

#[test]
fn a_spare_that_is_being_made_is_waited_for_but_not_for_ever() {
    let pool = SparePool::new(1);
    let (mut spares, mut world, word) = player(&pool, true);
    let begun = |spares: &Spares| {
        while matches!(*spares.order.as_ref().unwrap().stage(), Stage::Waiting(_)) {
            std::thread::yield_now();
        }
    };
    spares.prepare(1);
    begun(&spares);
    let later = word.clone();
    let opener = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        later.send(()).unwrap();
    });
    let swap = spares.swap(&mut world, 1);
    assert!(swap == Swap::Late && world.state_hash() == 1001, "{swap:?}");
    opener.join().unwrap();
    spares.prepare(2);
    begun(&spares);
    assert_eq!(spares.swap(&mut world, 2), Swap::NotReady);
    assert_eq!(world.state_hash(), 1001);
    word.send(()).unwrap();
}

#[test]
fn impossible_and_wrong_spares_leave_the_world_as_it_is() {
    let pool = SparePool::new(1);
    let (mut spares, mut world, _word) = player(&pool, false);
    for seed in [13, 14] {
        spares.prepare(seed);
        settle(&spares);
        assert_eq!(spares.swap(&mut world, seed), Swap::Failed, "a panic or an error of the thread");
    }
    spares.prepare(5);
    settle(&spares);
    assert_eq!(spares.swap(&mut world, 6), Swap::Wrong);
    assert!(world.state_hash() == 0 && spares.used.is_some());
    spares.prepare(7);
    settle(&spares);
    assert_eq!(spares.swap(&mut world, 7), Swap::Ready, "the thread has survived");
}

#[test]
fn no_spares_are_made_without_threads_or_need() {
    let (mut spares, mut world, _word) = player(&SparePool::none(), false);
    spares.prepare(1);
    assert_eq!(spares.swap(&mut world, 1), Swap::None);
    let null = crate::null::NullWorld::default();
    let mut spares =
        Spares::new(&SparePool::new(1), &Worlds::built_in(), &crate::null::NullWorld::task(), &null);
    spares.prepare(1);
    assert!(spares.order.is_none());
}

#[test]
fn a_spare_of_the_embedded_world_plays_the_same_game() {
    let task = Task::resolve("wood").unwrap();
    let (pool, worlds) = (SparePool::new(1), Worlds::built_in());
    let play = |world: &mut dyn World| {
        let mut frame = Vec::new();
        let mut shown = Vec::new();
        for tick in 0..120 {
            let action = world.advise();
            shown.push((action, world.step(&action), world.state_hash()));
            if tick % 20 == 0 {
                world.render(36, 64, &mut frame);
                shown.push((Action::NOOP, Tick::default(), blake3::hash(&frame).as_bytes()[0].into()));
            }
        }
        shown
    };
    let mut world: Box<dyn World> = Box::new(NativeWorld::new());
    let mut spares = Spares::new(&pool, &worlds, &task, world.as_ref());
    for seed in 0..4 {
        spares.prepare(seed);
        settle(&spares);
        assert_eq!(spares.swap(&mut world, seed), Swap::Ready);
        let with = play(world.as_mut());
        let mut cold = NativeWorld::new();
        cold.reset(seed, &task).unwrap();
        assert!(with == play(&mut cold), "seed {seed}");
    }
}
