//! Many sessions in one server, and none that another one's hanging, panic or silence touches.

use super::*;

/// A server of the defaults but for what is given.
fn config(idle: f64, step: f64) -> EnvserverConfig {
    EnvserverConfig {
        idle_timeout_seconds: idle,
        step_timeout_seconds: step,
        drain_timeout_seconds: 0.5,
        ..EnvserverConfig::default()
    }
}

/// Waits until the metrics page has a line.
async fn line(server: &Running, line: &str) {
    let there = async {
        while !server.metrics().await.lines().any(|found| found == line) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if within("a metric", SOON, there).await.is_err() {
        panic!("no {line:?} in:\n{}", server.metrics().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sessions_play_at_once() {
    const SESSIONS: u64 = 200;
    let server = Running::start(EnvserverConfig::default());
    let mut players = tokio::task::JoinSet::new();
    let started = Arc::new(tokio::sync::Barrier::new(SESSIONS as usize));
    for number in 0..SESSIONS {
        let mut stream = server.play().await.unwrap();
        let started = Arc::clone(&started);
        players.spawn(async move {
            // Every tenth plays the embedded world, two episodes of it; some of the others blow up.
            let world = match number % 10 {
                0 => "native",
                5 => "grenade",
                _ => "null",
            };
            let request = OpenSession { session_seed: number, max_episode_steps: 6, ..super::open(world) };
            stream.open(request).await.unwrap();
            let mut seen = vec![stream.observation().await.unwrap()];
            started.wait().await;
            for _ in 0..2 {
                for _ in 0..6 {
                    match stream.act(HumanAction::default()).await {
                        Ok(observation) => seen.push(observation),
                        Err(status) => {
                            assert_eq!((world, status.code()), ("grenade", Code::Internal), "{status}");
                            return seen.len();
                        }
                    }
                }
                assert!(seen.last().unwrap().truncated);
                seen.push(stream.observation().await.unwrap());
            }
            assert!(seen[7].is_first && (seen[7].episode, seen[14].episode) == (1, 2));
            seen.len()
        });
    }
    let mut lengths = within("the players", SOON * 4, players.join_all()).await.unwrap();
    lengths.sort_unstable();
    assert_eq!(lengths, [vec![3; 20], vec![15; 180]].concat());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_world_is_given_up_and_holds_nobody_up() {
    let server = Running::start(config(0.2, 0.3));
    let mut hung = server.play().await.unwrap();
    hung.open(open("sleeper")).await.unwrap();
    hung.observation().await.unwrap();
    hung.act(HumanAction::default()).await.unwrap();
    hung.send(play_request::Kind::Action(HumanAction::default())).await;
    // While it hangs, others play, and idle ones are reaped.
    let mut idle = server.play().await.unwrap();
    idle.open(open("null")).await.unwrap();
    let mut player = server.play().await.unwrap();
    player.open(open("null")).await.unwrap();
    player.observation().await.unwrap();
    for _ in 0..3 {
        player.act(HumanAction::default()).await.unwrap();
    }
    idle.observation().await.unwrap();
    assert_eq!(idle.reply().await.unwrap_err().code(), Code::DeadlineExceeded);
    let status = hung.reply().await.unwrap_err();
    assert!(
        status.code() == Code::Internal && status.message().contains("step_timeout_seconds"),
        "{status:?}"
    );
    line(&server, "vpt_envserver_sessions_hung 1").await;
    line(&server, "vpt_envserver_session_faults_total{reason=\"hung\"} 1").await;
    // Its place is taken until the world comes back; then nothing is left of it.
    assert!(server.client().await.describe(DescribeRequest {}).await.unwrap().into_inner().sessions >= 1);
    server.gate.store(true, Ordering::Relaxed);
    line(&server, "vpt_envserver_sessions_hung 0").await;
    line(&server, "vpt_envserver_session_faults_total{reason=\"hung\"} 1").await;
    server.stop().await;
}

/// The setting says a minute, which is longer than any wait here: the session's own steps say less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_world_that_has_shown_how_fast_it_is_is_given_up_sooner() {
    let server = Running::start(config(60.0, 60.0));
    let mut hung = server.play().await.unwrap();
    hung.open(OpenSession { max_episode_steps: 2000, ..open("late-sleeper") }).await.unwrap();
    hung.observation().await.unwrap();
    for _ in 1..1300 {
        hung.act(HumanAction::default()).await.unwrap();
    }
    let status = hung.act(HumanAction::default()).await.unwrap_err();
    assert!(status.code() == Code::Internal && status.message().contains("from a step"), "{status:?}");
    server.gate.store(true, Ordering::Relaxed);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_world_does_not_hold_the_shutdown_up() {
    let server = Running::start(config(60.0, 60.0));
    let mut hung = server.play().await.unwrap();
    hung.open(open("sleeper")).await.unwrap();
    hung.observation().await.unwrap();
    hung.act(HumanAction::default()).await.unwrap();
    hung.send(play_request::Kind::Action(HumanAction::default())).await;
    let gate = Arc::clone(&server.gate);
    server.stop().await;
    gate.store(true, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_sessions_are_reaped() {
    let server = Running::start(config(60.0, 60.0));
    for _ in 0..20 {
        let mut stream = server.play().await.unwrap();
        stream.open(open("native")).await.unwrap();
        stream.observation().await.unwrap();
        // Gone without a word, its connection with it.
        drop(stream);
    }
    let mut client = server.client().await;
    let gone = async {
        while client.describe(DescribeRequest {}).await.unwrap().into_inner().sessions > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the reaping", SOON, gone).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn games_are_the_same_with_and_without_worlds_made_ahead() {
    let play = async |spare_threads| {
        let server = Running::start(EnvserverConfig { spare_threads, ..EnvserverConfig::default() });
        let mut stream = server.play().await.unwrap();
        let request = OpenSession { advise: true, max_episode_steps: 10, ..open("native") };
        stream.open(request).await.unwrap();
        let mut game = Vec::new();
        for _ in 0..4 {
            game.push(stream.observation().await.unwrap());
            while let Some(advice) = game.last().unwrap().advice {
                game.push(stream.act(advice).await.unwrap());
            }
        }
        let counted = |text: &str, spare: &str| {
            let series = format!("vpt_envserver_spares_total{{spare=\"{spare}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
        };
        let text = server.metrics().await;
        let spares: u32 = ["ready", "late", "not_ready"].map(|spare| counted(&text, spare)).iter().sum();
        assert_eq!(counted(&text, "wrong") + counted(&text, "failed"), 0);
        server.stop().await;
        (game, spares)
    };
    let (with, spares) = play(2).await;
    let (without, _) = play(0).await;
    assert_eq!(with.len(), 4 * 11);
    assert!(with == without);
    // The page is the process's, so without spares it does not say none.
    assert!(spares >= 3, "{spares}");
}
