"""Real processes of a run: started, asked, stopped; nothing that a check started outlives it."""

import json
import os
import signal
import subprocess
import time

from report import Fault

# For anything to happen, in seconds: a loaded machine is slow.
PATIENCE = 240


def until(what, condition, seconds=PATIENCE):
    """Asks until `condition` gives something, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Fault(f"waited {seconds} s in vain for {what}")
        time.sleep(0.2)


class Processes:
    """Processes by name, with a log each; killed when the block ends, whatever happened."""

    def __init__(self, folder):
        self.folder, self.running = folder, {}

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for process in self.running.values():
            process.kill()
            process.wait()
        if isinstance(error, Fault):
            # What the processes said last is where the reason is.
            tails = [f"--- {path.name}: {path.read_text()[-600:]}" for path in sorted(self.folder.glob("*.log"))]
            raise Fault("\n".join([str(error), *tails])) from error

    def start(self, name, command, variables=None, before=None):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("VPT_")} | (variables or {})
        with open(self.folder / f"{name}.log", "ab") as log:
            command = [str(part) for part in command]
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment,
                                                  cwd=self.folder, preexec_fn=before)

    def alive(self):
        for name, process in self.running.items():
            if process.poll() is not None:
                raise Fault(f"{name} has ended with {process.returncode}")

    def stop(self, name):
        """Tells one to stop and waits until it has drained; it must end well."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise Fault(f"{name} does not end after SIGTERM") from error
        if code != 0:
            raise Fault(f"{name} ended with {code} after SIGTERM")


def status(command, variables=None):
    """What `vpt status --json` says, or None while nobody answers."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("VPT_")} | (variables or {})
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment, timeout=60)
    return json.loads(done.stdout) if done.returncode == 0 else None


def balanced(said):
    """Every env step has one fate."""
    ledger = said["ledger"]
    if ledger["produced"] != ledger["trained"] + sum(ledger["dropped"].values()) + ledger["in_flight"]:
        raise Fault(f"the ledger does not balance: {ledger}")


def sequence(said):
    return (said["version"]["epoch"], said["version"]["sequence"]) if said and said["version"] else (0, 0)


def connected(said):
    return sorted(actor["actor_id"] for actor in said["actors"] if actor["connected"]) if said else []
