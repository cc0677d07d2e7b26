"""A run over several hosts: learner, relay and two actor hosts in network namespaces with addresses of their own, over TLS.
One actor host is cut off, the run goes on without it; it is healed, and comes back."""

import os
import shutil
import subprocess

from processes import Processes, balanced, connected, sequence, status, until
from report import Fault, Skip, run

HOSTS = {"learner": "10.77.0.1", "relay": "10.77.0.2", "a": "10.77.0.3", "b": "10.77.0.4"}


class Network:
    """Namespaces on one switch, which is a namespace too; gone when the block ends."""

    def __init__(self):
        self.prefix = f"vpt-{os.getpid()}"

    def space(self, name):
        return f"{self.prefix}-{name}"

    def inside(self, name, *command):
        return ["ip", "netns", "exec", self.space(name), *command]

    def __enter__(self):
        try:
            run(["ip", "netns", "add", self.space("switch")])
        except Fault as fault:
            raise Skip(f"network namespaces are not allowed here: {fault}") from fault
        try:
            self.connect()
        except Fault as fault:
            self.__exit__()
            raise Skip(f"no switch between network namespaces here: {fault}") from fault
        return self

    def connect(self):
        run(self.inside("switch", "ip", "link", "add", "switch", "type", "bridge"))
        run(self.inside("switch", "ip", "link", "set", "switch", "up"))
        for name, address in HOSTS.items():
            run(["ip", "netns", "add", self.space(name)])
            run(self.inside("switch", "ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", self.space(name)))
            run(self.inside("switch", "ip", "link", "set", f"to-{name}", "master", "switch", "up"))
            run(self.inside(name, "ip", "address", "add", f"{address}/24", "dev", "eth0"))
            for link in ("lo", "eth0"):
                run(self.inside(name, "ip", "link", "set", link, "up"))

    def cable(self, name, state):
        """Pulls a host's cable out of the switch, or puts it back: "down" or "up"."""
        run(self.inside("switch", "ip", "link", "set", f"to-{name}", state))

    def __exit__(self, *_):
        for name in [*HOSTS, "switch"]:
            subprocess.run(["ip", "netns", "delete", self.space(name)], capture_output=True)


def several_hosts(context):
    if os.geteuid() != 0:
        raise Skip("network namespaces need root")
    context.need_binary()
    folder = context.work / "hosts"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run([context.vpt, "certs", "--out", folder / "certs"])
    learner, relay = f"http://{HOSTS['learner']}:50051", f"http://{HOSTS['relay']}:50052"
    common = ["--config", context.root / "deploy/checks/small_run.toml", "--set", "security.mode=mtls",
              "--set", f"security.certs={folder / 'certs'}"]

    def sets(**values):
        return [part for key, value in values.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]

    with Network() as network, Processes(folder) as processes:
        def vpt(host, *arguments):
            return network.inside(host, context.vpt, *arguments)

        def ask():
            processes.alive()
            said = status(vpt("learner", "status", "--learner", learner, "--json", *common))
            if said:
                balanced(said)
            return said

        def reached(condition):
            said = ask()
            return said if said and condition(said) else None

        processes.start("learner", vpt("learner", "learner", *common, *sets(
            learner__listen=f"{HOSTS['learner']}:50051", learner__out=folder / "out")))
        processes.start("relay", vpt("relay", "relay", *common, *sets(
            relay__listen=f"{HOSTS['relay']}:50052", relay__upstream=f'["{learner}"]')))
        for host in ("a", "b"):
            processes.start(f"envserver-{host}", vpt(host, "envserver", *common, *sets(envserver__ops_listen="127.0.0.1:9091")))
            processes.start(f"actor-{host}", vpt(host, "actor", *common, *sets(
                actor__id=host, actor__learner=learner, actor__weights=f'["{relay}"]')))
        until("both hosts and three versions", lambda: reached(
            lambda said: connected(said) == ["a", "b"] and sequence(said)[1] >= 3))

        network.cable("b", "down")
        said = until("the learner to miss the host that is cut off", lambda: reached(lambda said: connected(said) == ["a"]))
        until("versions without it", lambda: reached(lambda later: sequence(later) > (said["version"]["epoch"], sequence(said)[1] + 2)))

        network.cable("b", "up")
        said = until("it to come back", lambda: reached(lambda said: connected(said) == ["a", "b"]))
        produced = {actor["actor_id"]: actor["env_steps_produced"] for actor in said["actors"]}
        said = until("its steps", lambda: reached(lambda later: all(
            actor["env_steps_produced"] > produced[actor["actor_id"]] for actor in later["actors"])))
        before = sequence(said)
        for name in ("actor-a", "actor-b", "envserver-a", "envserver-b", "relay", "learner"):
            processes.stop(name)
        if not (folder / "out/checkpoints/latest").is_file():
            raise Fault("the learner left no checkpoint")
    return f"{len(HOSTS)} hosts, version {before[1]}"


CHECKS = [("several hosts", several_hosts)]
