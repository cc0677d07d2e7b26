//! The stand-in for MineRL's Minecraft over raw sockets: golden bytes in, golden replies out; what is wrong closes the
//! connection; faults come on demand.

#[path = "../golden/minerl_wire.rs"]
mod wire;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use vpt_envserver::native::NativeWorld;
use vpt_envserver::task::Task;
use vpt_envserver::world::{Action, World};
use vpt_minerl_standin::{Ended, Faults, Handle, Options, Server};
use vpt_tests::process::{Process, outcome, vpt};

/// Longer than anything here takes; a peer that hangs fails the test instead of holding it up.
const DEADLINE: Duration = Duration::from_secs(120);
/// The size of the golden mission.
const POV_BYTES: usize = 640 * 360 * 3;
/// A picture this small is drawn in no time.
const SMALL: (&str, usize) = ("<Width>64</Width><Height>36</Height>", 64 * 36 * 3);

/// A stand-in in this process, ended with the test.
struct StandIn {
    port: u16,
    handle: Handle,
    thread: Option<JoinHandle<Ended>>,
}

impl StandIn {
    fn with(faults: &str) -> Self {
        let faults: Faults = faults.parse().expect("faults");
        let options = Options { faults, ..Options::of_task("chop").expect("task") };
        let server = Server::bind(options).expect("a port");
        let (port, handle) = (server.port(), server.handle());
        Self { port, handle, thread: Some(std::thread::spawn(move || server.serve())) }
    }

    fn ended(&mut self) -> Ended {
        self.thread.take().expect("ends once").join().expect("no panic")
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.handle.stop();
    }
}

/// A peer that says hello with the golden bytes.
struct Peer(TcpStream);

impl Peer {
    fn silent(port: u16) -> Self {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the stand-in listens");
        socket.set_read_timeout(Some(DEADLINE)).expect("deadline");
        Self(socket)
    }

    fn at(port: u16) -> Self {
        let mut peer = Self::silent(port);
        peer.send(wire::HELLO);
        peer
    }

    /// One that has started the golden mission with a small picture.
    fn playing(port: u16) -> Self {
        let mut peer = Self::at(port);
        peer.send_frame(&small_mission());
        peer.send(wire::TOKEN);
        peer.expect(wire::ONE);
        peer
    }

    fn send(&mut self, message: wire::Fields) {
        self.0.write_all(&message.concat()).expect("sent");
    }

    fn send_frame(&mut self, payload: &[u8]) {
        self.0.write_all(&(payload.len() as u32).to_be_bytes()).expect("length sent");
        self.0.write_all(payload).expect("sent");
    }

    fn frame(&mut self) -> Vec<u8> {
        let mut head = [0; 4];
        self.0.read_exact(&mut head).expect("a length");
        let mut data = vec![0; u32::from_be_bytes(head) as usize];
        self.0.read_exact(&mut data).expect("a whole frame");
        data
    }

    /// The next bytes are `message`.
    fn expect(&mut self, message: wire::Fields) {
        let wanted = message.concat();
        let mut found = vec![0; wanted.len()];
        self.0.read_exact(&mut found).expect("a reply");
        assert_eq!(found, wanted);
    }

    /// Nothing comes any more.
    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => assert!(rest.is_empty(), "{} bytes instead of an end", rest.len()),
            // The stand-in had not read everything.
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }

    fn info(&mut self) -> Value {
        serde_json::from_slice(&self.frame()).expect("JSON")
    }

    /// A step's picture and what is told, done or not.
    fn step(&mut self, lines: &str, reward: wire::Fields) -> (Vec<u8>, Value) {
        self.send_frame(format!("<StepClient0>{lines}</StepClient0 >").as_bytes());
        let picture = self.frame();
        self.expect(reward);
        (picture, self.info())
    }
}

/// The payload of the golden mission with a small picture.
fn small_mission() -> Vec<u8> {
    let text = String::from_utf8(wire::MISSION_INIT[1..].concat()).expect("text");
    let golden = "<Width>640</Width><Height>360</Height>";
    assert!(text.contains(golden));
    text.replace(golden, SMALL.0).into_bytes()
}

/// What the embedded world shows of the golden mission's seed, 20 ticks in.
fn embedded_frame() -> Vec<u8> {
    let mut world = NativeWorld::new();
    let task = Task { survival: true, ..Task::resolve("chop").expect("task") };
    world.reset(-1_234_567_i64 as u64, &task).expect("a world");
    for _ in 0..20 {
        world.step(&Action::NOOP);
    }
    let mut frame = Vec::new();
    world.render(360, 640, &mut frame);
    frame
}

fn upward(frame: &[u8], width: usize) -> Vec<u8> {
    frame.chunks_exact(3 * width).rev().flatten().copied().collect()
}

#[test]
fn golden_bytes_are_answered_by_golden_bytes() {
    let mut standin = StandIn::with("");
    let mut peer = Peer::at(standin.port);
    peer.send(wire::QUIT);
    peer.expect(wire::ONE);
    peer.send(wire::ECHO);
    peer.expect(wire::ECHO_REPLY);
    peer.send(wire::MISSION_INIT);
    peer.send(wire::TOKEN);
    peer.expect(wire::ONE);

    peer.send(wire::PEEK);
    let first = peer.frame();
    let told = peer.info();
    peer.expect(wire::PEEK_DONE);
    assert_eq!(first.len(), POV_BYTES);
    assert_eq!(told["total_time"], 20, "the ticks before the mission counts as loaded");
    assert_eq!((&told["inventory"], &told["isGuiOpen"]), (&Value::Array(Vec::new()), &Value::Bool(false)));
    assert_eq!(
        (&told["life"], &told["is_alive"], &told["name"]),
        (&20.0.into(), &true.into(), &"MineRLAgent0".into())
    );

    assert!(first == upward(&embedded_frame(), 640), "the embedded world's picture, the bottom row first");

    peer.send(wire::STEP);
    let second = peer.frame();
    peer.expect(wire::REWARD);
    let after = peer.info();
    assert!(second.len() == POV_BYTES && second != first);
    let turned =
        |name: &str| after[name].as_f64().expect("a number") - told[name].as_f64().expect("a number");
    assert!((turned("pitch") + 10.0).abs() < 1e-3 && (turned("yaw") - 0.25).abs() < 1e-3, "{after}");
    assert_eq!(after["total_time"], 21);
    peer.send(wire::STEP_SERVER);
    peer.send(wire::ECHO);
    peer.expect(wire::ECHO_REPLY);

    // A second connection, the first one still there; then the end.
    let mut other = Peer::at(standin.port);
    other.send(wire::DISCONNECT);
    other.expect_end();
    peer.send(wire::QUIT);
    peer.expect(wire::ONE);
    peer.send(wire::EXIT);
    peer.expect(wire::ONE);
    peer.expect_end();
    assert_eq!(standin.ended(), Ended::Exit);
}

#[test]
fn the_same_seed_is_the_same_world_and_a_busy_game_says_so() {
    let standin = StandIn::with("");
    let mut peer = Peer::playing(standin.port);
    let walk: Vec<_> = (0..10).map(|_| peer.step("forward 1\njump 1\ncamera 1 5", wire::REWARD)).collect();
    assert_eq!(walk[9].0.len(), SMALL.1);
    assert!(walk[9].1["distance_travelled_cm"].as_u64().expect("a number") > 50, "{}", walk[9].1);

    let mut other = Peer::at(standin.port);
    other.send_frame(&small_mission());
    other.send(wire::TOKEN);
    other.expect(wire::ZERO);
    peer.send(wire::QUIT);
    peer.expect(wire::ONE);
    other.send_frame(&small_mission());
    other.send(wire::TOKEN);
    other.expect(wire::ONE);
    for (picture, told) in walk {
        assert!((picture, told) == other.step("forward 1\njump 1\ncamera 1 5", wire::REWARD));
    }
    // Whatever the connection: there is one game.
    let (_, told) = peer.step("inventory 1", wire::REWARD);
    assert_eq!(told["isGuiOpen"], true);
    other.send_frame(b"<StepClient1>ESC 1</StepClient1 >");
    assert_eq!(other.frame().len(), SMALL.1);
    other.expect(wire::REWARD);
    other.send(wire::ECHO);
    other.expect(wire::ECHO_REPLY);
}

#[test]
fn what_is_carried_and_done_is_told_by_minecrafts_names() {
    let standin = StandIn::with("");
    let mission = String::from_utf8(small_mission()).expect("text");
    let carried = "<Inventory><InventoryObject slot=\"0\" type=\"oak_planks\" quantity=\"5\"/></Inventory><DoneOnDeath>";
    let mission = mission.replace("<DoneOnDeath>", carried);
    let mission =
        mission.replace("<HumanLevelCommands/>", "<ObservationFromEquippedItem/><HumanLevelCommands/>");
    let mut peer = Peer::at(standin.port);
    peer.send_frame(mission.as_bytes());
    peer.send_frame(b"u:0:0:1:true:7");
    peer.expect(wire::ONE);
    let (_, told) = peer.step("drop 1", wire::REWARD);
    assert_eq!(told["inventory"].to_string(), r#"[{"type":"oak_planks","quantity":4}]"#);
    assert_eq!((&told["drop"]["oak_planks"], &told["custom"]["play_one_minute"]), (&1.into(), &21.into()));
    let in_hand = r#"{"type":"oak_planks","maxDamage":0,"damage":0}"#;
    assert_eq!(told["equipped_items"]["mainhand"], in_hand);
    let keys: Vec<&str> =
        ["food", "saturation", "air", "xp", "score", "is_raining", "can_see_sky", "light_level"]
            .into_iter()
            .chain(["sky_light_level", "sun_brightness", "world_time", "xpos", "ypos", "zpos"])
            .filter(|key| told[key].is_null())
            .collect();
    assert!(keys.is_empty(), "{keys:?} of {told}");
}

#[test]
fn malformed_input_closes_the_connection_and_nothing_else() {
    let standin = StandIn::with("");
    let hellos: [&[u8]; 5] =
        [b"", b"<MalmoEnv0.36.0/>", b"<MalmoEnv0.37.0/>!", b"GET / HTTP/1.1", b"\xff\xfe"];
    for hello in hellos {
        let mut peer = Peer::silent(standin.port);
        peer.send_frame(hello);
        peer.expect_end();
    }
    let mut peer = Peer::silent(standin.port);
    peer.send(&[b"GET / HTTP/1.1\r\n\r\n"]);
    peer.expect_end();

    let commands: [&[u8]; 9] = [
        b"",
        b"<Find>token</Find>",
        b" <Peek/>",
        b"\xff\xff\xff",
        // Nothing is played.
        b"<Peek/>",
        b"<StepClient0>forward 1</StepClient0 >",
        // Shorter than what is cut off.
        b"<StepClient0>",
        b"<StepClient\xc3\xa9>\xc3\xa9",
        b"<StepClient0></StepClient0>",
    ];
    for command in commands {
        let mut peer = Peer::at(standin.port);
        peer.send_frame(command);
        peer.expect_end();
    }
    for length in [u32::MAX, 1 << 31, (1 << 20) + 1] {
        let mut peer = Peer::at(standin.port);
        peer.0.write_all(&length.to_be_bytes()).expect("sent");
        peer.expect_end();
    }
    for mission in [b"<MissionInit".as_slice(), b"<MissionInit/>", b"<MissionInit>\xff</MissionInit>"] {
        let mut peer = Peer::at(standin.port);
        peer.send_frame(mission);
        peer.send(wire::TOKEN);
        peer.expect_end();
    }
    Peer::playing(standin.port).send(wire::QUIT);
}

#[test]
fn actions_are_read_as_strictly_as_by_java() {
    let standin = StandIn::with("");
    drop(Peer::playing(standin.port));
    for lines in ["forward 1.0", "forward true", "forward  1", "camera 1", "camera x 0", "hotbar 1"] {
        let mut peer = Peer::at(standin.port);
        peer.send_frame(format!("<StepClient0>{lines}</StepClient0 >").as_bytes());
        peer.expect_end();
    }
    // Thirteen in front and fifteen behind, whatever they are: without the odd space the last line loses its end.
    let mut peer = Peer::at(standin.port);
    peer.send_frame(b"<StepClient0>camera 0 15</StepClient0>");
    peer.frame();
    peer.expect(wire::REWARD);
    let before = peer.info()["yaw"].as_f64().expect("a number");
    let (_, told) = peer.step("camera 0 15", wire::REWARD);
    let turned = told["yaw"].as_f64().expect("a number") - before;
    assert!((turned.rem_euclid(360.0) - 15.0).abs() < 1e-3, "{turned}");
    let yaw = |told: &Value| told["yaw"].as_f64().expect("a number");
    peer.send_frame(b"<StepClient0>camera 0 15</StepClient0>");
    peer.frame();
    peer.expect(wire::REWARD);
    assert!(((yaw(&peer.info()) - yaw(&told)).rem_euclid(360.0) - 1.0).abs() < 1e-3);
}

#[test]
fn a_lost_mission_leaves_room_for_one_more_connection() {
    let standin = StandIn::with("");
    let mut peer = Peer::playing(standin.port);
    peer.send_frame(b"<Find>token</Find>");
    peer.expect_end();
    let mut one_more = Peer::at(standin.port);
    one_more.send(wire::ECHO);
    one_more.expect(wire::ECHO_REPLY);
    // The port takes it, and nobody answers.
    let mut too_late = Peer::at(standin.port);
    too_late.send(wire::ECHO);
    too_late.0.set_read_timeout(Some(Duration::from_millis(200))).expect("deadline");
    let silence = too_late.0.read(&mut [0; 1]).expect_err("no answer");
    assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
    one_more.send(wire::QUIT);
    one_more.expect(wire::ONE);
}

#[test]
fn faults_come_after_so_many_good_steps() {
    let standin = StandIn::with("empty_frames_after=1,death_after=2");
    let mut peer = Peer::playing(standin.port);
    assert_eq!(peer.step("", wire::REWARD).0.len(), SMALL.1);
    assert_eq!(peer.step("", wire::REWARD).0.len(), 0);
    let (_, told) = peer.step("", wire::REWARD_DONE);
    assert_eq!((&told["is_alive"], &told["life"]), (&false.into(), &0.0.into()));
    // A new mission has a new life, and the process's steps go on.
    peer.send(wire::QUIT);
    peer.expect(wire::ONE);
    peer.send_frame(&small_mission());
    peer.send(wire::TOKEN);
    peer.expect(wire::ONE);
    peer.step("", wire::REWARD_DONE);

    let standin = StandIn::with("lie_after=0,cut_after=1");
    let mut peer = Peer::playing(standin.port);
    peer.send(wire::STEP);
    peer.expect(&[&[0x7f, 0xff, 0xff, 0xff]]);
    let mut rest = vec![0; SMALL.1];
    peer.0.read_exact(&mut rest).expect("the picture");
    peer.expect(wire::REWARD);
    peer.info();
    peer.send(wire::STEP);
    let mut part = Vec::new();
    peer.0.read_to_end(&mut part).expect("an end");
    assert!(part.len() > 4 && part.len() < SMALL.1 + 4, "{} bytes", part.len());
}

#[test]
fn a_game_can_hang_die_and_never_load() {
    let mut standin = StandIn::with("hang_after=1");
    let mut peer = Peer::playing(standin.port);
    peer.step("", wire::REWARD);
    peer.send(wire::STEP);
    peer.0.set_read_timeout(Some(Duration::from_millis(200))).expect("deadline");
    let silence = peer.0.read(&mut [0; 1]).expect_err("no answer");
    assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
    standin.handle.stop();
    assert_eq!(standin.ended(), Ended::Stopped);

    let mut standin = StandIn::with("die_after=0");
    let mut peer = Peer::playing(standin.port);
    peer.send(wire::STEP);
    peer.expect_end();
    assert_eq!(standin.ended(), Ended::Died);

    let standin = StandIn::with("never_loads");
    let mut peer = Peer::at(standin.port);
    for _ in 0..3 {
        peer.send_frame(&small_mission());
        peer.send(wire::TOKEN);
        peer.expect(wire::ZERO);
    }

    // A world that loads for ever: its connection waits, others are answered, and it still ends when told to.
    let standin = StandIn::with("load_seconds=80000");
    let mut peer = Peer::at(standin.port);
    peer.send_frame(&small_mission());
    peer.send(wire::TOKEN);
    let mut other = Peer::at(standin.port);
    other.send(wire::ECHO);
    other.expect(wire::ECHO_REPLY);
    other.send(wire::PEEK);
    other.expect_end();
    standin.handle.stop();
    peer.expect_end();
}

/// The port that a started stand-in has printed.
fn announced(process: &Process) -> u16 {
    let first = "***** Start MalmoEnvServer on port ";
    process.wait_for("SERVER enter state: DORMANT", 60);
    let output = process.output();
    let port = output.lines().find_map(|line| line.strip_prefix(first)).expect("the first line");
    assert!(output.contains("CLIENT enter state: DORMANT"), "{output}");
    port.trim().parse().expect("a port")
}

#[test]
fn the_command_is_started_as_minerl_starts_its_script() {
    let dir = tempfile::tempdir().expect("tempdir");
    let folder = dir.path().join("MCP-Reborn");
    let folder_text = folder.display().to_string();
    let install = ["dev", "minerl-standin", "--task", "chop", "--install", &folder_text];
    let (code, text) = outcome(&vpt(&install));
    assert!(code == 0 && text.contains("launchClient.sh"), "{text}");

    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let wished = taken.local_addr().expect("address").port();
    let start = |log: &str| {
        let port = wished.to_string();
        let mut command = Command::new(folder.join("launchClient.sh"));
        command.args(["-port", &port, "-env", "-runDir"]).arg(folder.join("run")).args(["-maxMem", "4G"]);
        command.env("VPT_MINERL_STANDIN_FAULTS", "death_after=0");
        Process::start_command(&mut command, &dir.path().join(log))
    };
    let mut process = start("log");
    let port = announced(&process);
    assert_ne!(port, wished, "the port was taken");
    let mut peer = Peer::playing(port);
    peer.step("forward 1", wire::REWARD_DONE);
    peer.send(wire::EXIT);
    peer.expect(wire::ONE);
    assert_eq!(process.wait(60), 0, "{}", process.output());
    assert!(!Path::new(&folder.join("run")).exists(), "what the port is not for is ignored");

    let (code, text) = outcome(&vpt(&["dev", "minerl-standin", "--faults", "jump"]));
    assert!(code == 64 && text.contains("--faults: unknown fault `jump`"), "{code}: {text}");
    let (code, text) = outcome(&vpt(&["dev", "minerl-standin", "--task", "chopp"]));
    assert!(code == 64 && text.contains("--task: unknown task"), "{code}: {text}");
}
