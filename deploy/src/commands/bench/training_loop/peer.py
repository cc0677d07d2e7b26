"""The opponent of `vpt bench loop`: Sample Factory's asynchronous PPO on the CPU, with the frames, the action space and
the network of the bench. Reads one JSON request from standard input, trains, and answers with one JSON line: the
environment steps that its learner had trained on, by seconds since the start."""

import json
import sys
import time

import gymnasium as gym
import numpy as np
import torch
from sample_factory.algo.runners.runner import AlgoObserver
from sample_factory.algo.utils.context import global_model_factory
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.envs.env_utils import register_env
from sample_factory.model.encoder import Encoder
from sample_factory.train import make_runner

SIDE, CELLS = 128, 2
BUTTONS, CAMERA = 8641, 121
EPISODE_STEPS = 1000
POOL_BYTES = 4 << 20


class NullEnv(gym.Env):
    """One fixed frame at no cost, or frames cut out of a pool of noise; no reward."""

    observation_space = gym.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
    action_space = gym.spaces.Tuple((gym.spaces.Discrete(BUTTONS), gym.spaces.Discrete(CAMERA)))
    render_mode = None

    def __init__(self, noise):
        self.frame = np.full((SIDE, SIDE, 3), 127, np.uint8)
        self.pool = np.random.default_rng().integers(0, 256, POOL_BYTES, np.uint8) if noise else None
        self.steps = 0

    def look(self):
        if self.pool is not None:
            at = self.steps * 104729 % (POOL_BYTES - self.frame.size)
            self.frame = self.pool[at:at + self.frame.size].reshape(SIDE, SIDE, 3)
        return self.frame

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return self.look(), {}

    def step(self, action):
        self.steps += 1
        return self.look(), 0.0, False, self.steps >= EPISODE_STEPS, {}


def make_env(name, cfg, env_config, render_mode=None):
    """Called in the processes that step environments."""
    return NullEnv(name == "noise")


class MeanPool(Encoder):
    """Averages over squares of the frame, channels last."""

    def __init__(self, cfg, obs_space):
        super().__init__(cfg)

    def get_out_size(self):
        return 3 * CELLS * CELLS

    def forward(self, obs):
        frames = obs["obs"]
        size = SIDE // CELLS
        # The outermost of the averaged dimensions goes first: what is left is small.
        rows = frames.reshape(-1, CELLS, size, SIDE * 3).mean(2, dtype=torch.float32)
        return rows.reshape(-1, CELLS * CELLS, size, 3).mean(2).flatten(1) / 255.0


class Watch(AlgoObserver):
    """Ends training after so many seconds from the first step, and keeps account of the steps until then."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.account = []

    def on_training_step(self, runner, training_iteration_since_resume):
        now = time.monotonic()
        self.account.append((now, sum(runner.env_steps.values())))
        if now - self.account[0][0] > self.seconds:
            runner.cfg.train_for_env_steps = 0


def train(request):
    env = "noise" if request["noise"] else "null"
    register_env(env, make_env)
    global_model_factory().register_encoder_factory(MeanPool)
    arguments = {
        "env": env, "device": "cpu", "experiment": "bench", "train_dir": request["folder"],
        "restart_behavior": "overwrite", "seed": 1, "use_rnn": False,
        "num_workers": request["workers"], "num_envs_per_worker": request["slots"] // request["workers"],
        "rollout": request["unroll_length"], "batch_size": request["batch"],
        # One thing less that it has to do: the frames need no running statistics.
        "normalize_input": False,
        "save_every_sec": 100000, "save_best_every_sec": 100000, "experiment_summaries_interval": 100000,
        **request.get("extra", {}),
    }
    argv = [f"--{key}={value}" for key, value in arguments.items()]
    parser, _ = parse_sf_args(argv)
    cfg, runner = make_runner(parse_full_cfg(parser, argv))
    watch = Watch(request["seconds"])
    runner.register_observer(watch)
    runner.init()
    runner.run()
    start = watch.account[0][0]
    return {"account": [[at - start, steps] for at, steps in watch.account]}


if __name__ == "__main__":
    asked = json.loads(sys.stdin.readline())
    answer = train(asked)
    print(json.dumps(answer), flush=True)
