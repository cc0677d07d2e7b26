//! The training stages of `vpt up`: a learner process per stage, actor processes beside it for PPG.

use std::time::{Duration, Instant};

use anyhow::Context;
use vpt_proto::learner::v1::GetStatusResponse;

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

/// PPG with KL to the clone: the learner and all actors.
pub(crate) async fn ppg(run: &mut Run) -> anyhow::Result<()> {
    let clone = path(run, "bc/checkpoints/latest");
    let sets = [
        ("learner.stage", "ppg".to_owned()),
        ("learner.out", run.dir.display().to_string()),
        ("learner.init", clone.clone()),
        ("learner.pretrained", clone),
        ("learner.schedule.actors", run.config.up.actors.to_string()),
    ];
    for index in 0..run.config.up.actors {
        let arguments = run.endpoints.actor_arguments(&run.dir, index);
        run.supervisor.start(&format!("actor-{index}"), arguments)?;
    }
    let outcome = learner(run, "PPG with KL", &sets).await;
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
                if let Ok(status) = fetch_status(&run.endpoints.learner).await {
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
