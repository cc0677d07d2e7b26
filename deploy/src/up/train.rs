//! The training stages of `vpt up`: a learner process per stage, actor processes beside it for PPG.

use std::time::{Duration, Instant};

use anyhow::Context;
use vpt_envserver::worlds::has_scripted_player;
use vpt_proto::learner::v1::GetStatusResponse;
use vpt_runtime::security::Role;

use super::Run;
use super::progress::Progress;
use super::stage::Stage;
use crate::commands::fetch_status;

const POLL: Duration = Duration::from_secs(1);

/// Behavioural cloning on the demonstrations; ends with the checkpoint that PPG starts from and is held to.
pub(crate) async fn bc(run: &mut Run) -> anyhow::Result<()> {
    let sets = [
        ("learner.stage", "bc".to_owned()),
        ("learner.out", path(run, "bc")),
        ("learner.bc.data_dir", path(run, "demonstrations")),
    ];
    learner(run, "behavioural cloning", &sets).await
}

/// PPG with KL to the clone; without one, from the network that the run file names and with KL to that.
pub(crate) async fn ppg(run: &mut Run) -> anyhow::Result<()> {
    let out = run.dir.display().to_string();
    if !has_scripted_player(&run.config.world.name) {
        return reinforcement(run, "PPG", out, &[]).await;
    }
    let clone = from_clone(run);
    reinforcement(run, "PPG with KL", out, &clone).await
}

/// PPG without the auxiliary phase, which leaves PPO, with KL to the clone.
pub(crate) async fn ppo_only(run: &mut Run) -> anyhow::Result<()> {
    let out = path(run, "ppo_only");
    let mut sets = from_clone(run);
    sets.push(("learner.ppg.aux_epochs", "0".to_owned()));
    reinforcement(run, "without auxiliary phase", out, &sets).await
}

/// PPG from the clone, which may drift away from it.
pub(crate) async fn no_kl(run: &mut Run) -> anyhow::Result<()> {
    let out = path(run, "no_kl");
    let mut sets = from_clone(run);
    sets.push(("learner.ppg.kl_coef", "0.0".to_owned()));
    reinforcement(run, "without KL", out, &sets).await
}

/// PPG from random weights; there is no clone to be held to.
pub(crate) async fn from_scratch(run: &mut Run) -> anyhow::Result<()> {
    let out = path(run, "from_scratch");
    reinforcement(run, "from scratch", out, &[]).await
}

fn from_clone(run: &Run) -> Vec<(&'static str, String)> {
    let clone = path(run, "bc/checkpoints/latest");
    vec![("learner.init", clone.clone()), ("learner.pretrained", clone)]
}

/// Reinforcement learning in the folder `out`: the learner and all actors.
async fn reinforcement(
    run: &mut Run,
    title: &str,
    out: String,
    own_sets: &[(&str, String)],
) -> anyhow::Result<()> {
    let mut sets = vec![
        ("learner.stage", "ppg".to_owned()),
        ("learner.out", out),
        ("learner.schedule.actors", run.config.up.actors.to_string()),
    ];
    sets.extend_from_slice(own_sets);
    for index in 0..run.config.up.actors {
        let arguments = run.endpoints.actor_arguments(&run.dir, index);
        run.supervisor.start(&format!("actor-{index}"), arguments)?;
    }
    let outcome = learner(run, title, &sets).await;
    run.supervisor.stop_actors().await;
    outcome
}

/// The control: cloning goes on from the clone for as long as PPG took.
pub(crate) async fn bc_continued(run: &mut Run) -> anyhow::Result<()> {
    // The learner keeps its own account of training time across restarts.
    let seconds = run.journal.seconds(Stage::Ppg);
    let sets = [
        ("learner.stage", "bc".to_owned()),
        ("learner.out", path(run, "bc_continued")),
        ("learner.init", path(run, "bc/checkpoints/latest")),
        ("learner.bc.data_dir", path(run, "demonstrations")),
        // Time is the only limit of the control.
        ("learner.bc.max_updates", "0".to_owned()),
        ("learner.bc.max_seconds", format!("{seconds:.1}")),
    ];
    learner(run, "continued cloning (control)", &sets).await
}

fn path(run: &Run, below: &str) -> String {
    run.dir.join(below).display().to_string()
}

/// Runs a learner process until it has trained to its end, showing what it does meanwhile.
async fn learner(run: &mut Run, title: &str, sets: &[(&str, String)]) -> anyhow::Result<()> {
    let arguments = run.endpoints.learner_arguments(&run.dir, sets);
    run.supervisor.start("learner", arguments)?;
    let security = crate::commands::security(&run.config.security, Role::Operator)?;
    let progress = Progress::new(title);
    let started = Instant::now();
    let mut last = None;
    let outcome = loop {
        tokio::select! {
            ended = run.supervisor.wait("learner") => break ended,
            () = run.stop.cancelled() => {
                progress.note("draining");
                run.supervisor.stop("learner").await;
                break Ok(());
            }
            () = tokio::time::sleep(POLL) => {
                // A learner that is loading or restarting does not answer; the next poll will.
                if let Ok(status) = fetch_status(&run.endpoints.learner, &security).await {
                    let restarts: u64 = run.supervisor.restarts().values().sum();
                    progress.update(status.env_steps_trained, status.env_steps_target, "frames", line(&status, restarts));
                    last = Some(status);
                }
            }
        }
    };
    outcome.with_context(|| title.to_owned())?;
    let seconds = started.elapsed().as_secs_f64();
    let result = last.map(|status| line(&status, 0)).unwrap_or_default();
    progress.finish(&format!("{seconds:.0} s  {result}"));
    Ok(())
}

fn line(status: &GetStatusResponse, restarts: u64) -> String {
    let mut text = format!("{:.0} frames/s", status.env_steps_per_second);
    if status.stage == "ppg" {
        let version = status.version.unwrap_or_default();
        text += &format!(
            "  return {:.2}  KL {:.3}  version {}.{}  actors {}  {}",
            status.mean_return,
            status.kl_to_pretrained,
            version.epoch,
            version.sequence,
            status.connected_actors,
            status.phase,
        );
    } else {
        text += &format!("  loss {:.3}", status.loss);
    }
    if restarts > 0 {
        text += &format!("  restarts {restarts}");
    }
    text
}
