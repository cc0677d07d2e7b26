"""The way without containers: units that systemd accepts, installed over a real ssh connection below a folder, and then
started as systemd would start them: the same command lines, variables and folders, in a root and a network of their own."""

import ctypes
import os
import re
import shlex
import shutil
import socket
import subprocess

from binary import ask
from processes import Processes, balanced, connected, sequence, status, until
from report import Fault, Missing, Skip, must, run

LEARNER = "127.0.0.1:50051"
CLONE_NEWNET = 0x40000000


def verify(context):
    if shutil.which("systemd-analyze") is None:
        raise Missing("systemd-analyze")
    folder = context.work / "units"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names = []
    for path in sorted((context.root / "deploy/systemd").glob("*.service")):
        # It looks whether the program is there.
        text = path.read_text().replace("/usr/local/bin/vpt", "/bin/true")
        (folder / path.name).write_text(text)
        names.append(path.name.replace("@.", "@0."))
        (folder / names[-1]).write_text(text)
    wrong = folder / "wrong.service"
    wrong.write_text((folder / "vpt-learner.service").read_text().replace("KillMode=mixed", "KillMode=some"))
    # What it does not understand it only says.
    must(complaints(folder, names))
    if not complaints(folder, [wrong.name]):
        raise Fault("KillMode=some was let through")
    return f"{len(names)} units"


def complaints(folder, names):
    command = ["systemd-analyze", "verify", *(str(folder / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = [line for line in done.stderr.splitlines() if str(folder) in line]
    return said or ([done.stderr] if done.returncode else [])


class SshServer:
    """A real sshd for this user, on loopback, with keys of its own; gone when the block ends."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self):
        sshd = shutil.which("sshd")
        if sshd is None:
            raise Missing("sshd")
        for key in ("host", "user"):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key])
        shutil.copy(self.folder / "user.pub", self.folder / "authorized")
        os.makedirs("/run/sshd", exist_ok=True)
        options = {"ListenAddress": "127.0.0.1", "Port": self.port, "HostKey": self.folder / "host", "PidFile": "none",
                   "AuthorizedKeysFile": self.folder / "authorized", "StrictModes": "no", "UsePAM": "no"}
        given = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        with open(self.folder / "sshd.log", "wb") as log:
            self.process = subprocess.Popen([sshd, "-D", "-e", "-f", "/dev/null", *given], stderr=log)
        return self

    def command(self):
        return (f"ssh -p {self.port} -i {self.folder / 'user'} -o IdentitiesOnly=yes -o BatchMode=yes -F none "
                f"-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectionAttempts=20")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Unit:
    """What systemd reads of an installed unit."""

    def __init__(self, root, name):
        self.root, self.name = root, name
        instance = re.search(r"@(.*)\.service", name)
        file = name.replace(f"@{instance[1]}.", "@.") if instance else name
        text = (root / "etc/systemd/system" / file).read_text()
        text = text.replace("%i", instance[1] if instance else "").replace("%H", socket.gethostname())
        self.settings = re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)

    def all(self, key):
        return [value for name, value in self.settings if name == key]

    def command(self):
        return shlex.split(self.all("ExecStart")[-1])

    def variables(self):
        given = {}
        for line in self.all("Environment"):
            given |= dict(part.split("=", 1) for part in shlex.split(line))
        for name in self.all("EnvironmentFile"):
            path = self.root / name.removeprefix("-/")
            if path.exists():
                given |= dict(part.split("=", 1) for part in shlex.split(path.read_text()))
        return given


def install(context, root, folder):
    """Runs install.sh as an operator would, over ssh."""
    run([context.vpt, "certs", "--out", folder / "certs"])
    with SshServer(folder) as server:
        command = [context.root / "deploy/systemd/install.sh", "--learner", LEARNER, "--run",
                   context.root / "deploy/checks/small_run.toml", "--binary", context.vpt, "--certs", folder / "certs",
                   "--actors", "2", "--root", root, f"{os.environ.get('USER', 'root')}@127.0.0.1", "learner", "bootstrap", "actor"]
        environment = os.environ | {"SSH": server.command()}
        until("the machine to be installed", lambda: attempt(command, environment), 60)


def attempt(command, environment):
    """One try: sshd takes a moment to listen."""
    try:
        return run(command, env=environment)
    except Fault as fault:
        if "Connection refused" in str(fault):
            return None
        raise


def enter(space, root):
    """For a child before it becomes the unit's command: its network, its root, its folder."""
    def before():
        with open(f"/run/netns/{space}") as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        os.chroot(root)
        os.chdir("/var/lib/vpt")
    return before


def installed(context):
    if os.geteuid() != 0:
        raise Skip("a root and a network of its own need root")
    context.need_binary()
    folder = context.work / "installed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root = folder / "system"
    # The libraries of a machine, and then what is installed on it.
    run([context.root / "deploy/docker/rootfs.sh", context.vpt, folder])
    (root / "var/lib/vpt").mkdir(parents=True)
    install(context, root, folder)
    names = ["vpt-learner.service", "vpt-envserver.service", "vpt-actor@0.service", "vpt-actor@1.service"]
    units = {name: Unit(root, name) for name in names}
    bootstrap = Unit(root, "vpt-bootstrap.service")
    must([problem for unit in [*units.values(), bootstrap] for problem in overdue(context, unit, root)])
    alone = {key: bootstrap.variables().get(key) for key in ("VPT__SECURITY__MODE", "VPT__LEARNER__LISTEN")}
    if alone != {"VPT__SECURITY__MODE": "loopback", "VPT__LEARNER__LISTEN": "127.0.0.1:0"}:
        raise Fault(f"vpt-bootstrap.service talks to others: {alone}")

    space = f"vpt-units-{os.getpid()}"
    try:
        run(["ip", "netns", "add", space])
    except Fault as fault:
        raise Skip(f"network namespaces are not allowed here: {fault}") from fault
    try:
        run(["ip", "netns", "exec", space, "ip", "link", "set", "lo", "up"])
        return play(context, folder, units, space, root)
    finally:
        subprocess.run(["ip", "netns", "delete", space], capture_output=True)


def overdue(context, unit, root):
    role = unit.command()[1]
    variables = unit.variables()
    needed = ask(context, role, root / "etc/vpt/run.toml", variables)
    granted = int(unit.all("TimeoutStopSec")[-1])
    return [] if granted > needed else [f"{unit.name}: it ends within {needed} s, and is killed after {granted} s"]


def play(context, folder, units, space, root):
    look = ["ip", "netns", "exec", space, context.vpt, "status", "--learner", LEARNER, "--json", "--set", "security.mode=mtls",
            "--set", f"security.certs={folder / 'certs'}"]
    host = socket.gethostname()
    with Processes(folder) as processes:
        for name, unit in units.items():
            processes.start(name, unit.command(), unit.variables(), before=enter(space, root))

        def ask_learner():
            processes.alive()
            said = status(look)
            if said is None or connected(said) != [f"{host}-0", f"{host}-1"] or sequence(said)[1] < 3:
                return None
            balanced(said)
            return said

        said = until("two actors of this host and three versions", ask_learner)
        for name in reversed(units):
            processes.stop(name)
    if not list(root.glob("var/lib/vpt/runs/*/checkpoints/latest")):
        raise Fault("the learner left no checkpoint in its StateDirectory")
    keys = sorted(path.name for path in (root / "etc/vpt/certs").glob("*-key.pem"))
    if keys != ["actor-key.pem", "envserver-key.pem", "learner-key.pem"]:
        raise Fault(f"the machine was given the keys {keys}")
    return f"version {sequence(said)[1]}"


CHECKS = [("systemd units", verify), ("installed over ssh and started", installed)]
