"""Images built from the host's binary, and containers started from them by a real Docker engine as compose.yaml and the overlay
`dev` say: found by name, made more and fewer, drained by SIGTERM, and the learner moved to a new container."""

import json
import re
import time

import yaml

from engine import Engine, build
from pods import overlay
from processes import balanced, connected, sequence, until
from report import Fault

LARGEST_ACTOR = 40 << 20

# The run in small, so that the check takes seconds; everything else is as compose.yaml has it.
SMALL = {
    "VPT__WORLD__EPISODE_STEPS": "50",
    "VPT__LEARNER__UNROLL_LENGTH": "8",
    "VPT__LEARNER__BC__MAX_UPDATES": "5",
    "VPT__LEARNER__PPG__BATCH_UNROLLS": "8",
    "VPT__ACTOR__SLOTS_PER_GROUP": "1",
    "VPT__ACTOR__DRAIN_SECONDS": "10.0",
}


class Project:
    """compose.yaml, as far as it is used here."""

    def __init__(self, root, engine):
        path = root / "deploy/compose/compose.yaml"
        self.engine, self.services = engine, yaml.safe_load(path.read_text())["services"]
        self.run_file = (path.parent / "../runs/cluster.toml").resolve()
        self.started = {}
        engine.docker("network", "create", "vpt")

    def arguments(self, service):
        given = self.services[service]
        command = ["--network", "vpt", "--network-alias", service, "--read-only", "--cap-drop", "ALL",
                   "--security-opt", "no-new-privileges", "--volume", f"{self.run_file}:/etc/vpt/run.toml:ro"]
        for volume in given.get("volumes", []):
            command += ["--volume", volume]
        for key, value in (SMALL | given.get("environment", {})).items():
            command += ["--env", f"{key}={value}"]
        parts = ["4" if part == "256" else part for part in given["command"]]
        return [*command, given["image"], *parts]

    def once(self, service):
        self.engine.docker("run", "--rm", *self.arguments(service))

    def start(self, service, name=None):
        name = name or service
        self.engine.docker("run", "--detach", "--name", name, *self.arguments(service))
        self.started[name] = service

    def healthy(self, name):
        self.engine.wait_until_well(name)

    def stop(self, name):
        """Stops one as `docker compose down` does, and says how long that took."""
        began = time.monotonic()
        self.engine.stop(name, int(self.services[self.started.pop(name)]["stop_grace_period"].removesuffix("s")))
        return time.monotonic() - began

    def status(self):
        try:
            said = self.engine.docker("exec", "learner", "/usr/bin/vpt", "status", "--json", "--set", "security.mode=insecure")
        except Fault:
            return None
        said = json.loads(said)
        balanced(said)
        return said

    def reached(self, actors, version):
        """The status once so many actors are connected and a version after `version` is out."""
        said = self.status()
        return said if said and len(connected(said)) == actors and sequence(said) > version else None


def compose(engine, root):
    project = Project(root, engine)
    for service in ("demonstrations", "clone"):
        project.once(service)
    for service in ("learner", "relay"):
        project.start(service)
        project.healthy(service)
    for number in (1, 2):
        project.start("actor", f"actor-{number}")
    said = until("two actors", lambda: project.reached(2, (0, 0)))
    project.start("actor", "actor-3")
    said = until("a third actor", lambda: project.reached(3, sequence(said)))
    drained = project.stop("actor-3")
    said = until("two again", lambda: project.reached(2, sequence(said)))
    # To a new container, as to another machine with the same disk: the version goes on, and so do the actors.
    project.stop("learner")
    project.start("learner")
    project.healthy("learner")
    said = until("the learner to go on", lambda: project.reached(2, sequence(said)))
    for name in ("actor-1", "actor-2", "relay", "learner"):
        project.stop(name)
    return f"compose: an actor drained in {drained:.1f} s, version {sequence(said)}"


def containers(context):
    context.need_binary()
    context.need_rendered()
    with Engine(context.work / "docker") as engine:
        size = build(context, engine)
        if size > LARGEST_ACTOR:
            raise Fault(f"the actor's image has {size / 2**20:.1f} MiB, more than {LARGEST_ACTOR >> 20}")
        said = [compose(engine, context.root), overlay(engine, context.work, context.rendered["dev"], SMALL)]
    return f"actor image {size / 2**20:.1f} MiB; {'; '.join(said)}"


def dockerfile(context):
    """Every COPY between stages names a stage and everything that the README builds is a target."""
    text = (context.root / "deploy/docker/Dockerfile").read_text()
    stages = re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE)
    used = re.findall(r"--from=(\S+)", text) + re.findall(r"--target (\S+)", text)
    bases = [base for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE) if not base.startswith("${")]
    unknown = [name for name in used + bases if name not in [*stages, "scratch"]]
    if unknown or not {"actor", "envserver", "learner-cpu", "learner-cuda"} <= set(stages):
        raise Fault(f"stages {stages}, unknown {unknown}")
    return f"{len(stages)} stages"


CHECKS = [("Dockerfile stages", dockerfile), ("containers", containers)]
