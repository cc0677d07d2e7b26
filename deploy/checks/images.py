"""Images built from the host's binary, and containers started from them by a real Docker engine as compose.yaml and the overlay
`dev` say: found by name, made more and fewer, drained by SIGTERM, and the learner moved to a new container."""

import json
import os
import re
import time

import yaml

from compose import FILES
from engine import Engine, build
from pods import overlay
from processes import balanced, connected, sequence, until
from report import Fault, Missing, must, run

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


def images_in_use(context):
    """Our images in all renderings and compose files."""
    texts = [(context.root / "deploy/compose" / name).read_text() for name in FILES]
    texts += [yaml.safe_dump(objects) for objects in context.rendered.values()]
    return set(re.findall(r"image: (vpt/\S+)", "\n".join(texts)))


def faults_of(context, text, used):
    """What is wrong with the text of the Dockerfile, whose images are to be those in use."""
    bodies = {part.split("\n")[0].split(" AS ")[-1]: part for part in re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]}
    bases = [base for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE) if not base.startswith("${")]
    problems = [f"{name} is no stage" for name in bases if name not in [*bodies, "scratch"]]
    for stage, source in re.findall(r"--from=(\S+) (?:--\S+ )*(\S+)", text):
        # By its first part: scripts lay out what is below.
        made = "/" + source.split("/")[1]
        if not re.search(rf"{made}\b", bodies.get(stage, "")):
            problems.append(f"{source} is copied from {stage}, which does not make it")
    for script in re.findall(r"deploy/\S+\.sh", text):
        if not os.access(context.root / script, os.X_OK):
            problems.append(f"{script} cannot be run")
    built = dict(re.findall(r"--target (\S+) +-t (\S+)", text))
    problems += [f"{target} is no stage" for target in built if target not in bodies]
    problems += [f"no manifest uses {image}, target {target}" for target, image in built.items() if image not in used]
    return problems + [f"a manifest uses {image}, which no target makes" for image in sorted(used - set(built.values()))]


def dockerfile(context):
    """Stages, what is copied between them, and that manifests use what the targets make and nothing else."""
    context.need_rendered()
    text = (context.root / "deploy/docker/Dockerfile").read_text()
    used = images_in_use(context)
    must(faults_of(context, text, used))
    mistakes = [("--from=build-cpu /root-cpu", "--from=build-cpu /root-gpu"), ("--from=build-cuda", "--from=build-gpu"),
                ("FROM actor AS", "FROM actors AS"), ("-t vpt/envserver", "-t vpt/worlds"), ("docker/rootfs.sh", "docker/root.sh")]
    for before, after in mistakes:
        if before not in text or not faults_of(context, text.replace(before, after), used):
            raise Fault(f"{after} in place of {before} was let through")
    return f"{len(mistakes)} mutations"


def lint(context):
    """Both Dockerfiles by hadolint, which finds a mistake made for it too."""
    linter = context.work / "venv/bin/hadolint"
    if not linter.exists():
        raise Missing("hadolint")
    # Versions of Debian's packages are the base image's to pin.
    command = [linter, "--failure-threshold", "warning", "--ignore", "DL3008"]
    files = [context.root / "deploy/docker" / name for name in ("Dockerfile", "Dockerfile.offline")]
    run([*command, *files])
    wrong = context.work / "Dockerfile.wrong"
    wrong.write_text(files[0].read_text().replace("WORKDIR /source", "RUN cd /source"))
    try:
        run([*command, wrong])
    except Fault:
        return f"{len(files)} files"
    raise Fault("cd in place of WORKDIR was let through")


CHECKS = [("Dockerfile stages", dockerfile), ("Dockerfile lint", lint), ("containers", containers)]
