"""What an operator does to a run that is under way, on real processes: certificates are rotated without anybody losing
touch, and a learner is restored from a backup that was made while it ran."""

import shutil
import socket

from processes import Processes, balanced, connected, sequence, status, until
from report import Fault, run


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


class Run:
    """A learner, an envserver and an actor on this machine, each with a folder of certificates, or none."""

    def __init__(self, context, name):
        context.need_binary()
        self.context, self.folder = context, context.work / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.addresses = {role: free_address() for role in ("learner", "envserver")}
        self.certs, self.out = {}, self.folder / "out"
        self.processes = Processes(self.folder)

    def common(self, role):
        given = ["--config", self.context.root / "deploy/checks/small_run.toml"]
        if role in self.certs:
            given += ["--set", "security.mode=mtls", "--set", f"security.certs={self.certs[role]}"]
        return given

    def start(self, role):
        sets = {
            "learner": {"learner.listen": self.addresses["learner"], "learner.ops_listen": "127.0.0.1:0", "learner.out": self.out},
            "envserver": {"envserver.listen": self.addresses["envserver"], "envserver.ops_listen": "127.0.0.1:0"},
            "actor": {"actor.learner": f"http://{self.addresses['learner']}", "actor.envserver": f"http://{self.addresses['envserver']}",
                      "actor.ops_listen": "127.0.0.1:0"},
        }[role]
        given = [part for key, value in sets.items() for part in ("--set", f"{key}={value}")]
        self.processes.start(role, [self.context.vpt, role, *self.common(role), *given])

    def restart(self, role, certs=None):
        """Drains a process and starts it again, with other certificates if they are given."""
        self.processes.stop(role)
        if certs is not None:
            self.certs[role] = certs
        self.start(role)

    def reached(self, version=(0, 0), operator="operator"):
        """The status once the actor is connected and a version after `version` is out."""
        self.processes.alive()
        said = status([self.context.vpt, "status", "--learner", self.addresses["learner"], "--json", *self.common(operator)])
        if said:
            balanced(said)
        return said if said and connected(said) == ["actor-0"] and sequence(said) > version else None

    def goes_on(self, what, operator="operator"):
        """Waits for two versions after now."""
        before = sequence(until(what, lambda: self.reached(operator=operator)))
        return sequence(until(what, lambda: self.reached((before[0], before[1] + 1), operator)))


def rotation(context):
    with (trial := Run(context, "rotation")).processes:
        folders = {name: trial.folder / name for name in ("old", "new")}
        for folder in folders.values():
            run([context.vpt, "certs", "--out", folder])
        # The run keeps its token; both authorities are believed for as long as both are in use.
        token = (folders["old"] / "token").read_bytes()
        bundle = b"".join((folder / "ca.pem").read_bytes() for folder in folders.values())
        for name in ("old", "new"):
            shutil.copytree(folders[name], trial.folder / f"{name}-both")
            (trial.folder / f"{name}-both/ca.pem").write_bytes(bundle)
        for folder in (folders["new"], trial.folder / "new-both"):
            (folder / "token").write_bytes(token)
            (folder / "token").chmod(0o600)

        trial.certs = {role: folders["old"] for role in ("learner", "envserver", "actor", "operator")}
        for role in ("learner", "envserver", "actor"):
            trial.start(role)
        trial.goes_on("training with the old certificates")
        # Somebody with the new ones only is not believed yet.
        trial.certs["stranger"] = folders["new"]
        if trial.reached(operator="stranger"):
            raise Fault("the learner answers an authority that it was not told of")
        for folder in (trial.folder / "old-both", trial.folder / "new-both", folders["new"]):
            for role in ("envserver", "actor", "learner"):
                trial.restart(role, folder)
            trial.certs["operator"] = folder
            reached = trial.goes_on(f"training with the certificates {folder.name}")
        for role in ("actor", "envserver", "learner"):
            trial.processes.stop(role)
    return f"three steps, version {reached}"


def backup(context):
    with (trial := Run(context, "backup")).processes:
        for role in ("learner", "envserver", "actor"):
            trial.start(role)
        trial.goes_on("training")
        # A checkpoint to copy; and a later start, whose epoch the backup does not know.
        trial.restart("learner")
        trial.goes_on("training after a restart")
        kept = trial.folder / "kept"
        name = run([context.root / "deploy/backup.sh", trial.out, kept]).strip()
        trial.restart("learner")
        lost = trial.goes_on("training after the backup")

        # The disk is lost, and with it the process; actors stay where they are.
        trial.processes.stop("learner")
        shutil.rmtree(trial.out)
        trial.out = kept
        trial.start("learner")
        back = trial.goes_on("training from the backup")
        for role in ("actor", "envserver", "learner"):
            trial.processes.stop(role)
    return f"checkpoint {name}, lost {lost}, went on to {back}"


CHECKS = [("certificates rotated", rotation), ("restored from a backup", backup)]
