"""What a check says: it holds, it does not, or it could not be made and why. Nothing is passed by not being looked at."""

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


class Fault(Exception):
    """Something is wrong; the text says what and where."""


class Skip(Exception):
    """This machine cannot make the check; the text says what it lacks."""


class Missing(Skip):
    """A tool is not there that install.sh brings."""

    def __init__(self, tool):
        super().__init__(f"{tool} is not installed: deploy/checks/install.sh")


@dataclass
class Context:
    """What checks work on."""

    root: Path  # the repository
    vpt: Path  # the real binary
    work: Path  # a folder for what they write
    write: bool = False  # bring generated files up to date instead of comparing
    rendered: dict = field(default_factory=dict)  # name -> objects, filled by render.py

    def need_rendered(self):
        if not self.rendered:
            raise Skip("nothing was rendered")

    def need_binary(self):
        if not self.vpt.is_file():
            raise Skip(f"{self.vpt} is missing: cargo build --locked")


@dataclass
class Report:
    """Counts of what was found."""

    installed: bool  # install.sh has run: what it brings has to be there
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def run(self, name, check, context):
        started = time.monotonic()
        try:
            said = check(context) or ""
        except Skip as reason:
            if self.installed and isinstance(reason, Missing):
                self.failed += 1
                print(f"FAIL {name}: {reason}", flush=True)
                return
            self.skipped += 1
            print(f"SKIP {name}: {reason}", flush=True)
            return
        except Fault as fault:
            self.failed += 1
            print(f"FAIL {name}: {fault}", flush=True)
            return
        self.passed += 1
        print(f"ok   {name} ({time.monotonic() - started:.1f} s) {said}".rstrip(), flush=True)

    def close(self, require_all):
        # The closing line that test runners are read for.
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        if self.skipped and require_all:
            print("REQUIRE_ALL is set: a skipped check is a failed one", file=sys.stderr)
        return 1 if self.failed or (self.skipped and require_all) else 0


def run(command, **options):
    """Output of `command`; a Fault with everything it printed when it fails."""
    options.setdefault("timeout", 120)
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    except FileNotFoundError as error:
        raise Skip(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Fault(f"{command[0]} did not end within {error.timeout} s") from error
    if done.returncode != 0:
        shown = " ".join(str(part) for part in command)
        raise Fault(f"`{shown}` ended with {done.returncode}:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def must(problems, context=""):
    """A Fault that lists `problems`, if there are any."""
    if problems:
        raise Fault("\n     ".join([context, *problems] if context else ["", *problems]))
