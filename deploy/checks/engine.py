"""A Docker engine of the checks' own, and the images in it."""

import os
import shutil
import subprocess

from processes import until
from report import Fault, Missing, Skip, run


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

    def wait_until_well(self, name, *probe):
        """Asks by the binary's own health check, as the image and probes do, until it says yes."""
        until(f"{name} to be well", lambda: self.well(name, *probe))

    def well(self, name, *probe):
        try:
            self.docker("exec", name, "/usr/bin/vpt", "healthcheck", *probe)
            return True
        except Fault:
            if self.docker("inspect", "--format", "{{.State.Running}}", name) != "true":
                raise Fault(f"{name} has ended: {self.tail(name)}") from None
            return False

    def tail(self, name):
        command = ["docker", "--host", f"unix://{self.socket}", "logs", "--tail", "5", name]
        done = subprocess.run(command, capture_output=True, text=True)
        return (done.stdout + done.stderr)[-1500:]

    def stop(self, name, grace):
        """Tells one to stop; it has to end by itself, and well."""
        self.docker("stop", "--time", str(grace), name, timeout=grace + 60)
        code = self.docker("inspect", "--format", "{{.State.ExitCode}}", name)
        if code != "0":
            raise Fault(f"{name} ended with {code} after SIGTERM: {self.tail(name)}")
        self.docker("rm", name)

    def names(self):
        try:
            return self.docker("ps", "--all", "--quiet").split()
        except Fault:
            return []


def build(context, engine):
    folder = context.work / "rootfs"
    shutil.rmtree(folder, ignore_errors=True)
    run([context.root / "deploy/docker/rootfs.sh", context.vpt, folder])
    tags = ["--tag", "vpt/actor:0.1.0", "--tag", "vpt/learner:0.1.0"]
    engine.docker("build", "--file", context.root / "deploy/docker/Dockerfile.offline", *tags, folder, timeout=600)
    return int(engine.docker("image", "inspect", "--format", "{{.Size}}", "vpt/actor:0.1.0"))
