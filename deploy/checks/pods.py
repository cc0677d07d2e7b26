"""Pods of a rendered overlay, started in a Docker engine in the way of a kubelet: init containers one after the other,
sidecars before the main container and on its network, settings from ConfigMaps, probes asked, SIGTERM in order."""

import json

import model
from processes import balanced, connected, sequence, until
from report import Fault


class RunningPod:
    """One pod: its containers share a network and the names that its Service gives it."""

    def __init__(self, engine, folder, objects, pod, name):
        self.engine, self.folder, self.objects, self.pod, self.name = engine, folder, objects, pod, name
        self.running = []

    def mounts(self, container):
        """The container's volumes as the engine takes them."""
        volumes = {volume["name"]: volume for volume in self.pod.spec["volumes"]}
        for mount in container.get("volumeMounts", []):
            volume = volumes[mount["name"]]
            if "configMap" in volume:
                data = next(item["data"] for item in model.of_kind(self.objects, "ConfigMap")
                            if item["metadata"]["name"] == volume["configMap"]["name"])
                source = self.folder / volume["configMap"]["name"]
                source.mkdir(exist_ok=True)
                for file, text in data.items():
                    (source / file).write_text(text)
                yield from ("--volume", f"{source}:{mount['mountPath']}:ro")
            elif volume["emptyDir"].get("medium") == "Memory":
                yield from ("--tmpfs", mount["mountPath"])
            else:
                yield from ("--volume", f"{self.name}-{mount['name']}:{mount['mountPath']}")

    def start(self, container, small, *options):
        """Starts one container and returns its name."""
        network = ["--network", f"container:{self.running[0]}"] if self.running else self.aliases()
        own = self.pod.spec["securityContext"]
        variables = small | model.settings(self.objects, container, self.name)
        given = [part for key, value in variables.items() for part in ("--env", f"{key}={value}")]
        name = f"{self.name}-{container['name']}"
        parts = ["4" if part == "256" else part for part in container["args"]]
        self.engine.docker("run", *options, "--name", name, *network, "--user", f"{own['runAsUser']}:{own['runAsGroup']}",
                           "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", *self.mounts(container), *given,
                           container["image"], *parts)
        return name

    def aliases(self):
        """The names under which others find it."""
        found = ["--network", "pods"]
        for service in model.of_kind(self.objects, "Service"):
            if model.matches({"matchLabels": service["spec"]["selector"]}, self.pod.labels):
                for alias in (service["metadata"]["name"], f"{self.name}.{service['metadata']['name']}"):
                    found += ["--network-alias", alias]
        return found

    def run(self, small):
        lasting = self.pod.lasting()
        for container in self.pod.containers():
            if container not in lasting:
                self.start(container, small, "--rm")
                continue
            name = self.start(container, small, "--detach")
            self.running.append(name)
            self.probe(name, container, "startupProbe")

    def probe(self, name, container, kind):
        asked = container[kind]["httpGet"]
        port = next(port["containerPort"] for port in container["ports"] if port["name"] == asked["port"])
        self.engine.wait_until_well(name, "--ops", f"127.0.0.1:{port}", "--probe", {"/livez": "live", "/readyz": "ready"}[asked["path"]])

    def ready(self):
        """Every probe says yes, which the pod's place in its Service and in a rollout hang on."""
        for name, container in zip(self.running, self.pod.lasting(), strict=True):
            for kind in ("readinessProbe", "livenessProbe"):
                self.probe(name, container, kind)

    def stop(self):
        """The main container first, sidecars after it."""
        for name in reversed(self.running):
            self.engine.stop(name, self.pod.spec["terminationGracePeriodSeconds"])


def overlay(engine, folder, objects, small):
    """Learner and two actors of an overlay: they train, are ready, and drain."""
    folder = folder / "pods"
    folder.mkdir(exist_ok=True)
    engine.docker("network", "create", "pods")
    found = {pod.component: pod for pod in model.pods(objects)}
    learner = RunningPod(engine, folder, objects, found["learner"], "learner-0")
    learner.run(small)
    actors = [RunningPod(engine, folder, objects, found["actor"], f"actor-{number}") for number in range(2)]
    for actor in actors:
        actor.run(small)

    def trained():
        try:
            said = engine.docker("exec", learner.running[0], "/usr/bin/vpt", "status", "--json", "--set", "security.mode=insecure")
        except Fault:
            return None
        said = json.loads(said)
        balanced(said)
        return said if len(connected(said)) == 2 and sequence(said)[1] >= 3 else None

    said = until("two actors and three versions", trained)
    for pod in (learner, *actors):
        pod.ready()
    for pod in (*actors, learner):
        pod.stop()
    return f"overlay dev: version {sequence(said)}"
