"""Other worlds of pixels, as the peers of `vpt bench env`: ViZDoom and Crafter, random actions, every frame fetched.

One process, one thread, no frame skip. Reads one JSON object a line and answers with one; a world is kept between
requests, so that only steps, and the resets that ended episodes bring, are timed.
"""
import importlib.metadata
import json
import os
import random
import sys
import tempfile
import time

import crafter
import numpy as np
import vizdoom


class Doom:
    RESOLUTIONS = {(160, 120): "RES_160X120", (640, 360): "RES_640X360"}

    def __init__(self, scenario, width, height):
        game = vizdoom.DoomGame()
        game.load_config(os.path.join(vizdoom.scenarios_path, scenario + ".cfg"))
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_screen_resolution(getattr(vizdoom.ScreenResolution, self.RESOLUTIONS[width, height]))
        game.set_window_visible(False)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_sound_enabled(False)
        for extra in ("depth", "labels", "automap"):
            getattr(game, f"set_{extra}_buffer_enabled")(False)
        game.set_seed(1)
        game.init()
        self.game, self.rng = game, random.Random(1)
        self.buttons = game.get_available_buttons_size()
        self.shape = (height, width, 3)
        self.reset()

    def reset(self):
        self.game.new_episode()
        self.seen()

    def seen(self):
        frame = self.game.get_state().screen_buffer
        assert frame.shape == self.shape, frame.shape

    def step(self):
        self.game.make_action([self.rng.randint(0, 1) for _ in range(self.buttons)], 1)
        if self.game.is_episode_finished():
            self.reset()
        else:
            self.seen()


class Crafter:
    def __init__(self, width, height):
        self.env = crafter.Env(size=(width, height), seed=1)
        self.rng = np.random.default_rng(1)
        self.shape = (height, width, 3)
        self.env.reset()

    def step(self):
        frame, _, done, _ = self.env.step(int(self.rng.integers(self.env.action_space.n)))
        assert frame.shape == self.shape, frame.shape
        if done:
            self.env.reset()


def main():
    worlds = {}
    for line in sys.stdin:
        request = json.loads(line)
        size = (request["width"], request["height"])
        key = (request["world"], request["scenario"], size)
        if key not in worlds:
            doom = request["world"] == "vizdoom"
            worlds[key] = Doom(request["scenario"], *size) if doom else Crafter(*size)
            for _ in range(50):
                worlds[key].step()
        world, steps = worlds[key], 0
        start = time.perf_counter()
        while (seconds := time.perf_counter() - start) < request["seconds"]:
            for _ in range(10):
                world.step()
            steps += 10
        print(json.dumps({"steps_per_second": steps / seconds}), flush=True)


# ViZDoom leaves its settings where it runs.
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
versions = " and ".join(f"{name} {importlib.metadata.version(name)}" for name in ("vizdoom", "crafter"))
print(json.dumps({"name": versions}), flush=True)
main()
