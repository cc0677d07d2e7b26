//! Logs that replay, logs of worlds that changed, and every way a file can be spoilt.

use proptest::prelude::*;

use super::*;
use crate::native::NativeWorld;
use crate::world::World;
use crate::worlds::Worlds;

fn small_log(task: &str, ticks: u64) -> Vec<u8> {
    let header = Header::new(&Task::resolve(task).unwrap(), 7, 18, 32).unwrap();
    record(&Worlds::built_in(), &header, ticks, Vec::new()).unwrap()
}

fn null_log(ticks: u64) -> Vec<u8> {
    small_log("name = 'n'\nworld = 'null'\nepisode_steps = 5", ticks)
}

fn header_bytes(log: &[u8]) -> usize {
    log.iter().position(|byte| *byte == b'\n').unwrap() + 1
}

#[test]
fn a_log_replays_tick_by_tick() {
    for (task, ticks) in [("chop", 250), ("wood", 100), ("diamond_pickaxe", 130)] {
        let log = small_log(task, ticks);
        let replayed = replay(&Worlds::built_in(), &log[..]).unwrap();
        assert_eq!((replayed.ticks, replayed.header.seed), (ticks, 7));
        assert_eq!(replayed.frames, 1 + ticks.div_ceil(100), "{task}");
        assert_eq!(Task::parse(&replayed.header.task_text).unwrap(), Task::resolve(task).unwrap());
        let body = log.len() - header_bytes(&log);
        assert!(body as u64 <= ticks * 15 + (2 + ticks / 100) * 33 + 17, "{task}: {body} bytes");
        assert_eq!(Reader::open(&log[..]).unwrap().verify().unwrap(), ticks);
    }
    assert_eq!(replay(&Worlds::built_in(), &null_log(0)[..]).unwrap().ticks, 0);
}

/// The embedded world with a flaw that shows at one tick only.
struct Flawed {
    inner: NativeWorld,
    ticks: u64,
    flaw: fn(&mut Self),
    paint: bool,
}

impl World for Flawed {
    fn reset(&mut self, seed: u64, task: &Task) -> Result<(), WorldError> {
        self.inner.reset(seed, task)
    }
    fn step(&mut self, action: &Action) -> Tick {
        self.ticks += 1;
        (self.flaw)(self);
        self.inner.step(action)
    }
    fn render(&mut self, height: usize, width: usize, out: &mut Vec<u8>) {
        self.inner.render(height, width, out);
        if self.paint {
            out[0] ^= 1;
        }
    }
    fn gui_open(&self) -> bool {
        self.inner.gui_open()
    }
    fn advise(&mut self) -> Action {
        self.inner.advise()
    }
    fn state_hash(&self) -> u64 {
        self.inner.state_hash()
    }
}

#[test]
fn the_first_tick_that_differs_is_named() {
    let log = small_log("chop", 250);
    let played = |flaw: fn(&mut Flawed)| {
        let worlds = Worlds::none().with("native", move || {
            Box::new(Flawed { inner: NativeWorld::new(), ticks: 0, flaw, paint: false })
        });
        replay(&worlds, &log[..])
    };
    played(|_| {}).unwrap();
    // A step too many changes the state at once; a wrong pixel shows in the next frame that is checked.
    let state = played(|world| {
        if world.ticks == 123 {
            world.inner.step(&Action::NOOP);
        }
    });
    let ReplayError::Differs(state) = state.unwrap_err() else { panic!("it differs") };
    assert_eq!((state.tick, state.what), (123, "state (low 16 bits)"));
    let frame = played(|world| world.paint = world.ticks >= 123).unwrap_err();
    let message = frame.to_string();
    let ReplayError::Differs(frame) = frame else { panic!("it differs") };
    assert_eq!((frame.tick, frame.what), (200, "frame"));
    assert!(frame.expected != frame.found && message.starts_with("tick 200: the frame differs: expected"));
}

#[test]
fn every_cut_is_told_with_its_offset() {
    let log = null_log(205);
    for length in 0..log.len() {
        let error = Reader::open(&log[..length]).and_then(Reader::verify).unwrap_err();
        match error {
            LogError::NotALog(_) => assert_eq!(length, 0),
            LogError::Truncated { offset, ticks } => {
                assert!(offset as usize <= length && offset as usize + 8 > length, "{offset} of {length}");
                assert!(ticks <= 205);
            }
            other => panic!("cut at {length}: {other}"),
        }
    }
    let text = Reader::open(&log[..log.len() - 3]).and_then(Reader::verify).unwrap_err().to_string();
    assert!(text.contains("after 205 whole ticks") && text.contains("record it again"), "{text}");
}

#[test]
fn no_byte_can_be_changed_unnoticed() {
    let log = null_log(120);
    let body = header_bytes(&log);
    for at in (0..body).step_by(7).chain(body..log.len()) {
        for flip in [1, 0x80] {
            let mut spoilt = log.clone();
            spoilt[at] ^= flip;
            assert!(Reader::open(&spoilt[..]).and_then(Reader::verify).is_err(), "byte {at} ^ {flip}");
        }
    }
    let mut longer = log.clone();
    longer.push(0);
    let error = Reader::open(&longer[..]).and_then(Reader::verify).unwrap_err();
    assert!(error.to_string().contains("something follows"), "{error}");
}

#[test]
fn other_files_and_later_versions_are_refused_by_name() {
    let message = |bytes: &[u8]| Reader::open(bytes).and_then(Reader::verify).unwrap_err().to_string();
    assert!(message(b"").contains("it is empty"));
    assert!(message(b"\x89PNG\r\n").contains("no action log"));
    assert!(message(b"{\"format\":\"tape\",\"version\":1}\n").contains("another format"));
    assert!(message(b"{\"version\":1}\n").contains("no action log"));
    let later = b"{\"format\":\"vpt-action-log\",\"version\":2,\"colour\":\"red\"}\n";
    let text = message(later);
    assert!(text.contains("version 2") && text.contains("newer vpt"), "{text}");
    let incomplete = b"{\"format\":\"vpt-action-log\",\"version\":1}\n";
    assert!(message(incomplete).contains("the header, the log's first line, is damaged"));
    let large = String::from_utf8_lossy(&null_log(0)).replace("\"height\":18", "\"height\":99999");
    assert!(message(large.as_bytes()).contains("99999x32"));
    let task = Task::resolve("chop").unwrap();
    assert!(Header::new(&task, 1, 0, 4).is_err());
}

#[test]
fn worlds_and_tasks_that_this_build_lacks_are_named() {
    let replace = |from: &str, to: &str| {
        let log = null_log(0);
        let header = String::from_utf8_lossy(&log[..header_bytes(&log)]).replace(from, to);
        replay(&Worlds::built_in(), header.as_bytes()).unwrap_err().to_string()
    };
    let text = replace("\"world\":\"null\"", "\"world\":\"elsewhere\"");
    assert!(text.contains("\"elsewhere\"") && text.contains("native, null"), "{text}");
    let text = replace("episode_steps", "episode_stepz");
    assert!(text.contains("episode_stepz"), "{text}");
}

proptest! {
    #[test]
    fn any_actions_come_back_bit_by_bit(
        presses in prop::collection::vec((any::<u32>(), -180.0_f32..180.0, -180.0_f32..180.0, any::<u64>()), 0..99),
    ) {
        let header = Header::new(&Task::resolve("chop").unwrap(), 1, 8, 8).unwrap();
        let mut log = Writer::new(Vec::new(), &header).unwrap();
        let check = |tick| Check { tick, frame: 1, state: 2, events: 3 };
        log.check(&check(0)).unwrap();
        let actions: Vec<Action> = presses.iter().map(|(bits, pitch, yaw, still)| {
            let camera = if still % 3 == 0 { [0.0; 2] } else { [*pitch, *yaw] };
            Action { keys: bits & vpt_proto::keys::ALL, pitch_delta: camera[0], yaw_delta: camera[1] }
        }).collect();
        for (action, (_, _, _, state)) in actions.iter().zip(&presses) {
            log.tick(action, *state).unwrap();
        }
        log.check(&check(actions.len() as u64)).unwrap();
        let bytes = log.finish().unwrap();
        let mut reader = Reader::open(&bytes[..]).unwrap();
        prop_assert_eq!(reader.header(), &header);
        prop_assert_eq!(reader.next_record().unwrap(), Record::Check(check(0)));
        for (action, (_, _, _, state)) in actions.iter().zip(&presses) {
            prop_assert_eq!(reader.next_record().unwrap(), Record::Tick(*action, (*state & 0xffff) as u16));
        }
        reader.next_record().unwrap();
        prop_assert_eq!(reader.next_record().unwrap(), Record::End(actions.len() as u64));
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..400), keep in 0_usize..400) {
        let log = null_log(3);
        let kept = (header_bytes(&log) + keep).min(log.len());
        let bytes = [&log[..kept], &noise].concat();
        let _ = Reader::open(&bytes[..]).and_then(Reader::verify);
        let _ = Reader::open(&noise[..]).and_then(Reader::verify);
    }
}
