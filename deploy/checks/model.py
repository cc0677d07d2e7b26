"""Rendered objects seen as what runs: pods with labels, containers with their settings, and who may talk to whom."""

import re
from dataclasses import dataclass

# Servers of each role: the setting with the address it listens on.
LISTENS = {"learner": "LEARNER__LISTEN", "relay": "RELAY__LISTEN", "envserver": "ENVSERVER__LISTEN"}

# Whom a role connects to: settings with URLs.
DIALS = {
    "actor": ["ACTOR__LEARNER", "ACTOR__WEIGHTS", "ACTOR__ENVSERVER"],
    "relay": ["RELAY__UPSTREAM"],
    "learner": ["LEARNER__RANKS__RENDEZVOUS"],
}


@dataclass
class Pod:
    """One kind of pod."""

    owner: dict
    labels: dict
    spec: dict

    @property
    def name(self):
        return f"{self.owner['kind']} {self.owner['metadata']['name']}"

    @property
    def component(self):
        return self.labels.get("app.kubernetes.io/component", "")

    def containers(self):
        return self.spec.get("initContainers", []) + self.spec["containers"]

    def lasting(self):
        """Containers that run as long as the pod does: sidecars and the main ones."""
        sidecars = [item for item in self.spec.get("initContainers", []) if item.get("restartPolicy") == "Always"]
        return sidecars + self.spec["containers"]

    def port(self, wanted):
        """The number of a port named or numbered `wanted`; None when no container has it."""
        for container in self.containers():
            for port in container.get("ports", []):
                if wanted in (port.get("name"), port["containerPort"]):
                    return port["containerPort"]
        return None


def pods(objects):
    found = []
    for item in objects:
        if item["kind"] in ("Deployment", "StatefulSet"):
            template = item["spec"]["template"]
            found.append(Pod(item, template["metadata"]["labels"], template["spec"]))
        if item["kind"] == "JobSet":
            for job in item["spec"]["replicatedJobs"]:
                template = job["template"]["spec"]["template"]
                found.append(Pod(item, template["metadata"]["labels"], template["spec"]))
    return found


def of_kind(objects, *kinds):
    return [item for item in objects if item["kind"] in kinds]


def settings(objects, container, pod="pod-0"):
    """The VPT__ variables of a container, as kubelet would set them."""
    maps = {item["metadata"]["name"]: item.get("data", {}) for item in of_kind(objects, "ConfigMap")}
    found = {}
    for source in container.get("envFrom", []):
        found |= maps.get(source["configMapRef"]["name"], {})
    for entry in container.get("env", []):
        if "value" in entry:
            found[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found.get(match[1], "0"), entry["value"])
        else:
            # Names of pods are text, everything else that is asked for here is a number.
            path = entry["valueFrom"]["fieldRef"]["fieldPath"]
            found[entry["name"]] = pod if path == "metadata.name" else "0"
    return found


def role(container):
    return container.get("args", [""])[0]


def addresses(objects, container):
    """(host, port) of everyone the container connects to on other pods."""
    found, set_here = [], settings(objects, container)
    for key in DIALS.get(role(container), []):
        for host, port in re.findall(r"([\w.-]+):(\d+)", set_here.get(f"VPT__{key}", "")):
            if host not in ("127.0.0.1", "localhost"):
                found.append((host, int(port)))
    return found


def matches(selector, labels):
    wanted = (selector or {}).get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items())


def owner_of(objects, host):
    """The pods behind a host name: a Service's, a StatefulSet's member or a JobSet's."""
    last = host.split(".")[-1]
    for service in of_kind(objects, "Service"):
        if service["metadata"]["name"] == last:
            return [pod for pod in pods(objects) if matches({"matchLabels": service["spec"]["selector"]}, pod.labels)]
    for item in of_kind(objects, "JobSet"):
        if item["metadata"]["name"] == last:
            job = host.split(".")[0].removeprefix(f"{last}-").rsplit("-", 2)[0]
            return [pod for pod in pods(objects) if pod.owner is item and pod.component == job]
    return []


def wanted_edges(objects):
    """(from, to, port) of every connection that the settings ask for."""
    edges, dangling = set(), []
    for pod in pods(objects):
        for container in pod.lasting():
            for host, port in addresses(objects, container):
                targets = owner_of(objects, host)
                if not targets:
                    dangling.append(f"{pod.name}: container {container['name']} connects to {host}, which nothing is called")
                edges |= {(pod.component, target.component, port) for target in targets}
    return edges, dangling


def allowed_edges(objects, direction):
    """(from, to, port) between pods that the policies of one side let through, "Egress" or "Ingress"; port None for all."""
    policies, edges = of_kind(objects, "NetworkPolicy"), set()
    key, side = ("egress", "to") if direction == "Egress" else ("ingress", "from")

    def ports(pod, other):
        """What the policies of `pod` say of `other`."""
        target = other if direction == "Egress" else pod
        selecting = [policy["spec"] for policy in policies
                     if direction in policy["spec"]["policyTypes"] and matches(policy["spec"]["podSelector"], pod.labels)]
        named = set() if selecting else {None}
        for rule in (rule for spec in selecting for rule in spec.get(key, [])):
            selectors = [peer["podSelector"] for peer in rule.get(side, []) if "podSelector" in peer]
            if any(matches(selector, other.labels) for selector in selectors):
                named |= {target.port(port["port"]) for port in rule["ports"]} if "ports" in rule else {None}
        return named

    for source in pods(objects):
        for target in pods(objects):
            found = ports(source, target) if direction == "Egress" else ports(target, source)
            edges |= {(source.component, target.component, port) for port in found}
    return edges
