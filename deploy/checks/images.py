"""Images built from the host's binary and the services of compose.yaml started from them by a real Docker engine, with the
settings they have there: found by name, made more and fewer, drained by SIGTERM, and the learner moved to a new container."""

import json
import os
import re
import shutil
import subprocess
import time

import yaml

from processes import balanced, connected, sequence, until
from report import Fault, Missing, Skip, run

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


class Engine:
    """A Docker engine of this check's own; everything it made is gone when the block ends."""

    def __init__(self, folder):
        self.folder = folder
        # Paths of sockets are short.
        self.socket = f"/run/vpt-check-{os.getpid()}.sock"

    def docker(self, *arguments, timeout=180):
        environment = os.environ | {"DOCKER_BUILDKIT": "0", "DOCKER_HOST": f"unix://{self.socket}"}
        return run(["docker", *arguments], env=environment, timeout=timeout).strip()

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skip("a Docker engine of one's own needs root")
        for tool in ("docker", "dockerd", "iptables"):
            if shutil.which(tool) is None:
                raise Missing(tool)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        command = ["dockerd", "--data-root", self.folder / "data", "--exec-root", self.folder / "exec", "--pidfile",
                   self.folder / "pid", "--host", f"unix://{self.socket}", "--storage-driver=vfs", "--bridge=none",
                   "--iptables=false"]
        with open(self.folder / "dockerd.log", "wb") as log:
            self.process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
        try:
            until("the engine", self.answers, 60)
        except Fault as fault:
            self.__exit__()
            raise Skip(f"no Docker engine can be started here: {self.log()}") from fault
        return self

    def answers(self):
        try:
            return self.docker("version", "--format", "{{.Server.Version}}")
        except Fault:
            return None

    def log(self):
        lines = (self.folder / "dockerd.log").read_text().splitlines()
        return lines[-1][-300:] if lines else "it said nothing"

    def __exit__(self, *_):
        if self.process.poll() is None:
            for name in self.names():
                subprocess.run(["docker", "--host", f"unix://{self.socket}", "rm", "--force", name], capture_output=True)
            self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def names(self):
        try:
            return self.docker("ps", "--all", "--quiet").split()
        except Fault:
            return []


class Project:
    """compose.yaml, as far as it is used here."""

    def __init__(self, context, engine):
        path = context.root / "deploy/compose/compose.yaml"
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
        # The image's own health check, by hand: the engine asks every few seconds only.
        until(f"{name} to be healthy", lambda: self.well(name))

    def well(self, name):
        try:
            self.engine.docker("exec", name, "/usr/bin/vpt", "healthcheck")
            return True
        except Fault:
            if self.engine.docker("inspect", "--format", "{{.State.Running}}", name) != "true":
                raise Fault(f"{name} has ended: {self.tail(name)}") from None
            return False

    def tail(self, name):
        environment = os.environ | {"DOCKER_HOST": f"unix://{self.engine.socket}"}
        done = subprocess.run(["docker", "logs", "--tail", "5", name], capture_output=True, text=True, env=environment)
        return (done.stdout + done.stderr)[-1500:]

    def stop(self, name):
        """Stops one as `docker compose down` does: it has to end by itself, and well."""
        grace = self.services[self.started.pop(name)]["stop_grace_period"].removesuffix("s")
        began = time.monotonic()
        self.engine.docker("stop", "--time", grace, name)
        code = self.engine.docker("inspect", "--format", "{{.State.ExitCode}}", name)
        if code != "0":
            raise Fault(f"{name} ended with {code} after SIGTERM: {self.tail(name)}")
        self.engine.docker("rm", name)
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


def build(context, engine):
    folder = context.work / "rootfs"
    shutil.rmtree(folder, ignore_errors=True)
    run([context.root / "deploy/docker/rootfs.sh", context.vpt, folder])
    tags = ["--tag", "vpt/actor:0.1.0", "--tag", "vpt/learner:0.1.0"]
    engine.docker("build", "--file", context.root / "deploy/docker/Dockerfile.offline", *tags, folder, timeout=600)
    return int(engine.docker("image", "inspect", "--format", "{{.Size}}", "vpt/actor:0.1.0"))


def containers(context):
    context.need_binary()
    with Engine(context.work / "docker") as engine:
        size = build(context, engine)
        if size > LARGEST_ACTOR:
            raise Fault(f"the actor's image has {size / 2**20:.1f} MiB, more than {LARGEST_ACTOR >> 20}")
        project = Project(context, engine)
        for service in ("demonstrations", "clone"):
            project.once(service)
        project.start("learner")
        project.healthy("learner")
        for service in ("envserver", "relay"):
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
        for name in ("actor-1", "actor-2", "relay", "envserver", "learner"):
            project.stop(name)
    return f"actor image {size / 2**20:.1f} MiB, an actor drained in {drained:.1f} s, version {sequence(said)}"


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
