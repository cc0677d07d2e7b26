//! The command line of `vpt dev`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// A tool for developers.
#[derive(Debug, Subcommand)]
pub enum DevCommand {
    /// Answer as MineRL 1.0's Minecraft does on its socket, with the embedded world behind it.
    ///
    /// Tries whatever talks to MineRL without Minecraft. Listens on the loopback interface and ends when a client sends
    /// `<Exit>`. The line `***** Start MalmoEnvServer on port N` says that it is there.
    MinerlStandin(MinerlStandinArgs),
}

/// Arguments of `vpt dev minerl-standin`.
#[derive(Debug, Args)]
pub struct MinerlStandinArgs {
    /// Port to listen on; 0 takes any. When it is taken, the next free one is used and printed.
    #[arg(long, default_value_t = 9000)]
    pub port: u16,
    /// Built-in task whose land, mobs and start missions are played with; rewards are the client's matter.
    #[arg(long, env = "VPT_MINERL_STANDIN_TASK", default_value = "diamond_pickaxe")]
    pub task: String,
    /// Faults on demand, comma-separated; N counts good steps of the process, over all episodes.
    ///
    /// hang_after=N (answers no more), die_after=N, empty_frames_after=N, cut_after=N (closes in the middle of a
    /// message), lie_after=N (a length of two gigabytes), death_after=N (the player dies), never_loads ("busy" for ever),
    /// load_seconds=S, port_taken (another port is used), and first=FILE: only the first process, which creates FILE, has
    /// them.
    #[arg(long, env = "VPT_MINERL_STANDIN_FAULTS", default_value = "", value_name = "LIST")]
    pub faults: String,
    /// Instead of starting, write a `launchClient.sh` that starts it into this folder, with the task and faults given
    /// here: the folder then stands for a MineRL installation.
    #[arg(long, value_name = "DIR")]
    pub install: Option<PathBuf>,
}
