//! The client against a game that plays the described bytes, and nothing but them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;

use vpt_proto::keys;

use super::super::golden::{self, Fields};
use super::*;
use crate::task::Task;

const PATIENCE: Duration = Duration::from_secs(20);

/// One turn of a game: it must be sent exactly this, and answers so.
type Turn = (Vec<u8>, Vec<u8>);

fn bytes(messages: &[Fields]) -> Vec<u8> {
    messages.iter().flat_map(|fields| fields.concat()).collect()
}

/// A game that takes its turns and then closes the connection; panics at the first byte that is not as described.
fn game(turns: Vec<Turn>) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let play = move || {
        let mut stream: TcpStream = listener.accept().unwrap().0;
        for (expected, answer) in turns {
            let mut found = vec![0; expected.len()];
            stream.read_exact(&mut found).unwrap();
            assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected));
            stream.write_all(&answer).unwrap();
        }
        // Nothing more comes from it; what still comes to it is looked at. A client that has left bytes unread and closed
        // has reset the connection.
        let mut more = Vec::new();
        let _ = stream.shutdown(Shutdown::Write).and_then(|()| stream.read_to_end(&mut more));
        assert!(more.is_empty(), "it was sent more: {more:?}");
    };
    (port, std::thread::spawn(play))
}

/// A client of a game whose picture is 2x2.
fn connect(port: u16) -> Client {
    let mut client = Client::connect(port, PATIENCE).unwrap();
    (client.size, client.pause) = ((2, 2), Duration::from_millis(1));
    client
}

fn mission() -> Mission {
    let task = Task::resolve("diamond_pickaxe").unwrap();
    Mission::new(&task, (-1_234_567_i64).cast_unsigned(), "vpt-7").unwrap()
}

fn action() -> Action {
    let keys = keys::FORWARD | keys::SPRINT | keys::ATTACK | keys::HOTBAR[2];
    Action { keys, pitch_delta: -10.0, yaw_delta: 0.25 }
}

#[test]
fn an_episode_is_played_by_the_described_bytes() {
    let turns = vec![
        (bytes(&[golden::HELLO, golden::QUIT]), bytes(&[golden::ONE])),
        (bytes(&[golden::MISSION_INIT, golden::TOKEN]), bytes(&[golden::ZERO])),
        (bytes(&[golden::MISSION_INIT, golden::TOKEN]), bytes(&[golden::ONE])),
        (bytes(&[golden::PEEK]), bytes(golden::PEEK_REPLY)),
        (bytes(&[golden::STEP]), bytes(golden::STEP_REPLY)),
        (
            bytes(&[golden::STEP_SERVER, golden::STEP]),
            bytes(&[golden::POV_EMPTY, golden::REWARD_DONE, golden::INFO]),
        ),
        (bytes(&[golden::STEP_SERVER, golden::EXIT]), bytes(&[golden::ONE])),
    ];
    let (port, game) = game(turns);
    let mut client = connect(port);
    client.quit(PATIENCE).unwrap();
    client.start(&mission(), PATIENCE).unwrap();
    let seen = client.peek(PATIENCE).unwrap();
    assert!(!seen.died && !seen.info.gui_open);
    assert_eq!(client.picture, golden::POV_TOP_DOWN);
    let seen = client.step(&action(), PATIENCE).unwrap();
    assert!(!seen.died);
    assert_eq!(client.picture, golden::POV_TOP_DOWN);
    let seen = client.step(&action(), PATIENCE).unwrap();
    assert!(seen.died, "the game says so, whatever its statistics say");
    assert_eq!(client.picture, [0; 12]);
    client.exit(PATIENCE).unwrap();
    drop(client);
    game.join().unwrap();
}

#[test]
fn a_game_that_stays_busy_is_given_up() {
    let asked = bytes(&[golden::HELLO, golden::MISSION_INIT, golden::TOKEN]);
    let (port, game) = game(vec![(asked, bytes(&[golden::ZERO]))]);
    let mut client = connect(port);
    // Longer than is left: it is not asked again.
    client.pause = PATIENCE;
    let error = client.start(&mission(), PATIENCE / 2).unwrap_err();
    assert!(matches!(error, WireError::Late), "{error}");
    drop(client);
    game.join().unwrap();
}

#[test]
fn answers_that_are_cut_off_or_lie_end_the_game() {
    let step = |answer: Vec<u8>| {
        let (port, game) = game(vec![(bytes(&[golden::HELLO, golden::STEP]), answer)]);
        let mut client = connect(port);
        let error = client.step(&action(), PATIENCE).unwrap_err();
        drop(client);
        game.join().unwrap();
        error
    };
    let cut = bytes(golden::STEP_REPLY)[..20].to_vec();
    assert!(matches!(step(cut), WireError::Closed));
    let huge = vec![0x7f, 0xff, 0xff, 0xff];
    assert!(matches!(step(huge), WireError::TooLong { what: "a picture", most: 12, .. }));
    let short_reward = bytes(&[golden::POV, golden::ONE, golden::INFO]);
    assert!(matches!(step(short_reward), WireError::Length { found: 4, expected: 10, .. }));
    let no_json = bytes(&[golden::POV, golden::REWARD, golden::POV]);
    assert!(matches!(step(no_json), WireError::Content { what: "an observation", .. }));
    let (port, game) = game(vec![(bytes(&[golden::HELLO, golden::QUIT]), vec![0, 0, 0, 4, 0, 0, 0, 2])]);
    let mut client = connect(port);
    assert!(matches!(client.quit(PATIENCE), Err(WireError::Content { .. })));
    drop(client);
    game.join().unwrap();
}
