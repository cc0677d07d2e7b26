//! Recording and evaluation: readable datasets, and the same numbers twice.

use crate::stage::{envserver, parameters, policy, world};
use std::path::Path;
use tokio_util::sync::CancellationToken;
use vpt_actor::ActorError;
use vpt_actor::config::Deadlines;
use vpt_actor::evaluate::{EvalSetup, EvalSummary, evaluate};
use vpt_actor::player::Player;
use vpt_actor::record::{RecordSetup, RecordSummary, record};
use vpt_proto::shard::{Dataset, RecordedEpisode};
use vpt_runtime::Security;

const STEPS: u32 = 25;

fn network() -> Player {
    let parameters = parameters(3).frozen_copy().unwrap();
    Player::Policy { config: policy(), parameters, precision: vpt_policy::Precision::F32, temperature: 1.0 }
}

async fn recorded(url: &str, player: Player, out: &Path) -> (RecordSummary, Vec<RecordedEpisode>) {
    let setup = RecordSetup {
        slips: 0.0,
        envserver: url.to_owned(),
        security: Security::loopback(),
        deadlines: Deadlines::default(),
        world: world("native", STEPS),
        player,
        frame: (16, 16),
        episodes: 5,
        slots: 2,
        run_seed: 7,
        out: out.to_owned(),
    };
    let last = std::cell::Cell::new((0, 0));
    let summary = record(setup, &|done, all| last.set((done, all)), CancellationToken::new()).await.unwrap();
    assert_eq!(last.get(), (u64::from(5 * STEPS), u64::from(5 * STEPS)));
    let dataset = Dataset::open(out).unwrap();
    let episodes = (0..dataset.episodes().len()).map(|index| dataset.read(index).unwrap()).collect();
    (summary, episodes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_can_be_read_and_repeat() {
    let envs = envserver("127.0.0.1:0").await;
    let dir = tempfile::tempdir().unwrap();
    for (name, player) in [("scripted", Player::Scripted), ("policy", network())] {
        let out = dir.path().join(name);
        let (summary, episodes) = recorded(&envs.url(), player, &out).await;
        assert_eq!((summary.episodes, summary.steps), (5, u64::from(5 * STEPS)));
        assert_eq!(Dataset::open(&out).unwrap().info().player, name);
        for episode in &episodes {
            assert_eq!(episode.seed >> 63, 0, "held-out seeds are not recorded");
            assert_eq!(episode.frames.len(), STEPS as usize * 16 * 16 * 3);
            assert!(episode.steps[0].is_first && episode.steps.iter().skip(1).all(|step| !step.is_first));
            let (last, rest) = episode.steps.split_last().unwrap();
            assert!(last.truncated && rest.iter().all(|step| !step.truncated && !step.terminated));
        }
        let moved = episodes.iter().flat_map(|e| &e.steps).any(|step| step.action.keys != 0);
        assert!(moved, "{name} does something");
        let player = if name == "scripted" { Player::Scripted } else { network() };
        let again = recorded(&envs.url(), player, &dir.path().join(format!("{name}-again"))).await;
        assert!(again == (summary, episodes), "{name} plays the same game twice");
    }
    envs.stopped().await;
}

async fn evaluated(url: &str, player: Player, seed: u64) -> EvalSummary {
    let setup = EvalSetup {
        envserver: url.to_owned(),
        security: Security::loopback(),
        deadlines: Deadlines::default(),
        world: world("native", 120),
        player,
        frame: (16, 16),
        episodes: 6,
        slots: 4,
        seed,
    };
    evaluate(setup, &|_, _| {}, CancellationToken::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evaluation_repeats_exactly() {
    let envs = envserver("127.0.0.1:0").await;
    let first = evaluated(&envs.url(), Player::Scripted, 1).await;
    assert_eq!(first, evaluated(&envs.url(), Player::Scripted, 1).await);
    assert_eq!((first.episodes, first.returns.len()), (6, 6));
    assert_eq!(first.lengths, [120; 6]);
    assert!(first.mean > 0.0, "the scripted player gets logs: {first:?}");
    let (share, _) = first.item_shares["log"];
    let hits = first.returns.iter().filter(|&&r| r > 0.0).count();
    assert!((share - hits as f64 / 6.0).abs() < 1e-12);
    let network_first = evaluated(&envs.url(), network(), 1).await;
    assert_eq!(network_first, evaluated(&envs.url(), network(), 1).await);
    envs.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_envserver_does_not_change_an_evaluation() {
    let envs = envserver("127.0.0.1:0").await;
    let (url, address) = (envs.url(), envs.address.to_string());
    let undisturbed = evaluated(&url, Player::Scripted, 2).await;
    let disturbed = evaluated(&url, Player::Scripted, 2);
    let restart = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        envs.stopped().await;
        envserver(&address).await
    };
    let (disturbed, envs) = tokio::join!(disturbed, restart);
    assert_eq!(undisturbed, disturbed);
    envs.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interruption_and_refusal_are_errors() {
    let envs = envserver("127.0.0.1:0").await;
    let setup = |name: &str, stop: CancellationToken| {
        let setup = EvalSetup {
            envserver: envs.url(),
            security: Security::loopback(),
            deadlines: Deadlines::default(),
            world: world(name, 50),
            player: Player::Scripted,
            frame: (16, 16),
            episodes: 2,
            slots: 2,
            seed: 1,
        };
        (setup, stop)
    };
    let (stopped, stop) = setup("native", CancellationToken::new());
    stop.cancel();
    let error = evaluate(stopped, &|_, _| {}, stop).await.unwrap_err();
    assert!(matches!(error, ActorError::Interrupted { done: 0, total: 2 }), "{error}");
    // An envserver that is reached and says nothing: whoever stops meanwhile does not wait for it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut waiting, stop) = setup("native", CancellationToken::new());
    waiting.envserver = format!("http://{}", silent.local_addr().unwrap());
    waiting.deadlines.open = std::time::Duration::from_secs(3600);
    let later = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        later.cancel();
    });
    let error = evaluate(waiting, &|_, _| {}, stop).await.unwrap_err();
    assert!(matches!(error, ActorError::Interrupted { done: 0, total: 2 }), "{error}");
    let (refused, stop) = setup("nowhere", CancellationToken::new());
    let error = evaluate(refused, &|_, _| {}, stop).await.unwrap_err();
    assert!(matches!(&error, ActorError::EnvRefused { reason, .. } if reason.contains("nowhere")), "{error}");
    let mut wrong_size = setup("native", CancellationToken::new()).0;
    (wrong_size.player, wrong_size.frame) = (network(), (32, 32));
    let error = evaluate(wrong_size, &|_, _| {}, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("16x16"), "{error}");
}
