//! The live page of a learner that trains: what it is made of, what it asks for, and how it looks in a browser.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use vpt_actor::ActorConfig;
use vpt_learner::config::{LearnerConfig, Stage};
use vpt_tests::http::request;
use vpt_tests::roles::{self, Role};
use vpt_tests::tools::tool;
use vpt_tests::wait::wait_until;

/// A name that would do harm if it ever became markup.
const HOSTILE: &str = "<b id=\"harm\">actor/1 ü</b>";
/// As a path.
const HOSTILE_PATH: &str = "%3Cb%20id%3D%22harm%22%3Eactor%2F1%20%C3%BC%3C%2Fb%3E";
const PATIENCE: u64 = 120;
const STEPS: usize = 8;

/// Envserver, learner and one actor in this process.
struct Run {
    envserver: Role,
    learner: Role,
    actor: Role,
    _dir: tempfile::TempDir,
}

impl Run {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut config = LearnerConfig {
            stage: Stage::Ppg,
            out: dir.path().to_owned(),
            threads: 1,
            unroll_length: STEPS,
            ..LearnerConfig::default()
        };
        (config.ppg.batch_unrolls, config.ppg.minibatch_unrolls) = (8, 8);
        let (envserver, url) = roles::envserver();
        let (learner, address) = roles::learner(config);
        let actor = ActorConfig {
            id: HOSTILE.to_owned(),
            envserver: url,
            learner: format!("http://{address}"),
            groups: 1,
            slots_per_group: 2,
            report_seconds: 0.25,
            ..ActorConfig::default()
        };
        Self { envserver, learner, actor: roles::actor(actor, 20), _dir: dir }
    }

    async fn end(self) {
        self.actor.end().await;
        self.learner.end().await;
        self.envserver.end().await;
    }
}

fn json(ops: &str, path: &str) -> Value {
    let answer = request(ops, "GET", path).unwrap_or_else(|| panic!("{path} is not answered"));
    assert_eq!(answer.code, 200, "{path}");
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_a_run() {
    let run = Run::start();
    let ops = run.learner.ops.clone();
    tokio::task::spawn_blocking(move || {
        check_files(&ops);
        check_state(&ops);
        check_history(&ops);
        check_slot(&ops);
        check_browser(&ops);
        check_silence(&ops);
    })
    .await
    .expect("every check passes");
    run.end().await;
}

/// Everything comes from this port and nothing can be changed through it.
fn check_files(ops: &str) {
    let page = request(ops, "GET", "/").expect("an answer");
    assert!(page.code == 200 && page.head.contains("text/html"), "{}", page.head);
    let mut texts = vec![String::from_utf8(page.body).expect("UTF-8")];
    let mut next = 0;
    let mut found = vec!["/".to_owned()];
    while next < texts.len() {
        let text = texts[next].clone();
        for path in text.split('"').filter(|part| part.starts_with("/live/page") || part.ends_with(".js")) {
            if !found.iter().any(|known| known == path) {
                let file = request(ops, "GET", path).expect("an answer");
                assert_eq!(file.code, 200, "{path}");
                for header in ["nosniff", "no-store", "default-src 'none'; script-src 'self'"] {
                    assert!(file.head.contains(header), "{path}: {}", file.head);
                }
                found.push(path.to_owned());
                texts.push(String::from_utf8(file.body).expect("UTF-8"));
            }
        }
        next += 1;
    }
    assert_eq!(found.len(), 7, "{found:?}");
    for text in &texts {
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("//www.") && !elsewhere.contains("http"), "{text}");
        assert!(!text.contains("innerHTML") && !text.contains("eval("), "{text}");
    }
    for path in ["/", "/live/state", "/live/history"] {
        assert_eq!(request(ops, "POST", path).expect("an answer").code, 405, "{path}");
    }
}

fn check_state(ops: &str) {
    let state = wait_until("a state with an actor, losses and a verdict", PATIENCE, || {
        let state = json(ops, "/live/state");
        let values = &state["newest"]["values"];
        let there = state["ready"] == true
            && values["losses/policy_loss"].is_number()
            && values["rate/trained"].as_f64().is_some_and(|rate| rate > 0.0)
            && state["actors"][0]["groups"]["infer"].is_number();
        there.then_some(state)
    });
    let actor = &state["actors"][0];
    assert_eq!(
        (&actor["id"], &actor["slots"], &actor["connected"]),
        (&HOSTILE.into(), &2.into(), &true.into())
    );
    let ledger = &state["ledger"];
    let number = |value: &Value| value.as_i64().expect("a number");
    let dropped: i64 = ledger["dropped"].as_object().expect("an object").values().map(number).sum();
    let settled = number(&ledger["trained"]) + dropped + number(&ledger["in_flight"]);
    assert_eq!(number(&ledger["produced"]), settled, "{ledger}");
    assert_eq!(number(&ledger["imbalance"]), 0);
    assert!(
        vpt_learner::verdict::Cause::LABELS.contains(&state["verdict"]["cause"].as_str().expect("a string"))
    );
    assert!(!state["verdict"]["evidence"].as_str().expect("a string").is_empty());
    let training: f64 = state["accounts"]["training"]
        .as_object()
        .expect("an object")
        .values()
        .filter_map(Value::as_f64)
        .sum();
    let seconds = state["accounts"]["seconds"].as_f64().expect("a number");
    assert!((training - seconds).abs() < 0.1 * seconds, "{}", state["accounts"]);
}

fn check_history(ops: &str) {
    let history = wait_until("a few points", PATIENCE, || {
        let history = json(ops, "/live/history");
        (history["recent"]["times"].as_array().expect("a list").len() >= 3).then_some(history)
    });
    for part in ["recent", "whole"] {
        let times = history[part]["times"].as_array().expect("a list");
        assert!(times.windows(2).all(|pair| pair[0].as_f64() < pair[1].as_f64()), "{times:?}");
        let series = history[part]["series"].as_object().expect("an object");
        for name in ["rate/produced", "rate/trained", "queue/fill", "losses/kl_to_pretrained"] {
            assert!(series.contains_key(name), "{part} has no {name}: {:?}", series.keys());
        }
        assert!(
            series.values().all(|values| values.as_array().expect("a list").len() == times.len()),
            "{part}"
        );
    }
}

fn check_slot(ops: &str) {
    let body = wait_until("an unroll of slot 1", PATIENCE, || {
        let answer = request(ops, "GET", &format!("/live/slot/{HOSTILE_PATH}/1/none")).expect("an answer");
        assert!([200, 204].contains(&answer.code), "{}", answer.head);
        (answer.code == 200).then_some(answer.body)
    });
    let (length, rest) = body.split_first_chunk::<4>().expect("a length");
    let (header, frames) = rest.split_at(u32::from_le_bytes(*length) as usize);
    let header: Value = serde_json::from_slice(header).expect("JSON");
    assert_eq!((&header["width"], &header["steps"]), (&32.into(), &STEPS.into()));
    assert_eq!(header["frames"].as_array().expect("a list").len(), STEPS);
    assert_eq!(frames.len(), STEPS * 32 * 32 * 3);
    // The null world has one frame.
    let mut shown = frames.chunks(32 * 32 * 3);
    let first = shown.next().expect("a frame");
    assert!(shown.all(|frame| frame == first), "frames are cut in the wrong places");
    let sequence = header["sequence"].as_u64().expect("a number");
    wait_until("the next unroll", PATIENCE, || {
        let answer =
            request(ops, "GET", &format!("/live/slot/{HOSTILE_PATH}/1/{sequence}")).expect("an answer");
        (answer.code == 200).then_some(())
    });
    for nobody in ["nobody/0", &format!("{HOSTILE_PATH}/2")] {
        assert_eq!(
            request(ops, "GET", &format!("/live/slot/{nobody}/none")).expect("an answer").code,
            404,
            "{nobody}"
        );
    }
}

/// The page as a browser builds it.
fn check_browser(ops: &str) {
    let Some(chromium) = tool("chromium", "the live page in a browser") else { return };
    let dir = tempfile::tempdir().expect("tempdir");
    let url = format!("http://{ops}/#look");
    // The browser's seconds pass faster than those of the run: an unroll may not come while it looks.
    let page = wait_until("a page with an unroll", PATIENCE, || {
        let page = browse(&chromium, dir.path(), &url, "--dump-dom");
        page.contains("keys and mouse").then_some(page)
    });
    assert!(page.contains("&lt;b id=\"harm\"&gt;actor/1 ü&lt;/b&gt;"), "the actor is missing:\n{page}");
    assert!(!page.contains("<b id=\"harm\""), "a name became markup");
    for text in ["the books balance", "trained on", "class=\"curve c0\"", "training thread"] {
        assert!(page.contains(text), "`{text}` is missing:\n{page}");
    }
    assert!(page.contains("class=\"alarm\" role=\"status\" hidden"), "an alarm is shown:\n{page}");
    browse(&chromium, dir.path(), &url, &format!("--screenshot={}", dir.path().join("page.png").display()));
    let picture = std::fs::metadata(dir.path().join("page.png")).expect("readable").len();
    assert!(picture > 20_000, "a picture of {picture} bytes shows nothing");
}

/// The page when the learner stops to answer.
fn check_silence(ops: &str) {
    let Some(chromium) = tool("chromium", "the live page of a learner that is gone") else { return };
    let dir = tempfile::tempdir().expect("tempdir");
    let page = browse(&chromium, dir.path(), &format!("http://{}/", falls_silent(ops, 2)), "--dump-dom");
    assert!(page.contains("The learner does not answer"), "{page}");
    assert!(page.contains("class=\"stale\"") && page.contains("What is below is from"), "{page}");
    assert!(page.contains("the books balance"), "what was known last is gone:\n{page}");
}

/// An address that hands requests on to `ops`, until it has answered so many for the state.
fn falls_silent(ops: &str, states: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let ops = ops.to_owned();
    std::thread::spawn(move || {
        let mut left = states;
        for client in listener.incoming().flatten() {
            // A browser opens connections ahead that it may never use.
            let Some(path) = requested(&client) else { continue };
            if path == "/live/state" {
                let Some(fewer) = left.checked_sub(1) else { continue };
                left = fewer;
            }
            let Some(answer) = request(&ops, "GET", &path) else { return };
            let mut client = client;
            let whole = [answer.head.as_bytes(), b"\r\n\r\n", &answer.body].concat();
            // Whoever has gone wants no answer.
            let _ = client.write_all(&whole);
        }
    });
    address
}

fn requested(client: &TcpStream) -> Option<String> {
    client.set_read_timeout(Some(std::time::Duration::from_millis(500))).ok()?;
    let mut lines = BufReader::new(client).lines();
    let first = lines.next()?.ok()?;
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    Some(first.split(' ').nth(1)?.to_owned())
}

/// What a browser prints when it is asked to do `what` with the page after a few seconds.
fn browse(chromium: &Path, dir: &Path, url: &str, what: &str) -> String {
    let flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync \
                 --disable-background-networking --disable-component-update --hide-scrollbars \
                 --window-size=1400,1800 --virtual-time-budget=6000";
    let output = Command::new(chromium)
        .args(flags.split_whitespace())
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .args([what, url])
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
