"""What has to hold between the fields of rendered objects, which no schema can say. Each rule is a function from objects to
what is wrong; mutations.py has for each a change that it must find."""

import re

import model
from model import of_kind, pods

# Secrets that somebody makes by hand or by cert-manager, as OPERATIONS.md says.
SECRETS_FROM_OUTSIDE = {"vpt-token"} | {f"vpt-{role}-tls" for role in ("learner", "actor", "relay", "envserver")}


# Roles that trace unrolls.
TRACERS = ("actor", "learner")

DNS = 53


def selectors(objects):
    """A selector that matches nothing starts nothing, or protects nothing."""
    found, labels = [], [pod.labels for pod in pods(objects)]
    for item in of_kind(objects, "Deployment", "StatefulSet"):
        template = item["spec"]["template"]["metadata"]["labels"]
        if not model.matches(item["spec"]["selector"], template):
            found.append(f"{item['kind']} {item['metadata']['name']}: its selector does not match its template")
    for item in of_kind(objects, "Service", "PodDisruptionBudget", "PodMonitor"):
        selector = item["spec"]["selector"]
        selector = {"matchLabels": selector} if item["kind"] == "Service" else selector
        if not any(model.matches(selector, pod) for pod in labels):
            found.append(f"{item['kind']} {item['metadata']['name']}: it selects no pod")
    return found


def service_ports(objects):
    found = []
    for item in of_kind(objects, "Service"):
        selector = {"matchLabels": item["spec"]["selector"]}
        for pod in pods(objects):
            if model.matches(selector, pod.labels):
                for port in item["spec"]["ports"]:
                    number = pod.port(port["targetPort"])
                    if number != port["port"]:
                        where = f"Service {item['metadata']['name']}, port {port['name']}"
                        found.append(f"{where}: {pod.name} has {number} there, not {port['port']}")
    return found


def volumes(objects):
    found = []
    for pod in pods(objects):
        claims = [claim["metadata"]["name"] for claim in pod.owner["spec"].get("volumeClaimTemplates") or []]
        declared = [volume["name"] for volume in pod.spec.get("volumes", [])] + claims
        mounted = {mount["name"] for item in pod.containers() for mount in item.get("volumeMounts", [])}
        found += [f"{pod.name}: volume {name} is mounted but not declared" for name in sorted(mounted - set(declared))]
        found += [f"{pod.name}: volume {name} is declared but not mounted" for name in sorted(set(declared) - mounted)]
        found += [f"{pod.name}: volume {name} is declared twice" for name in set(declared) if declared.count(name) > 1]
        for item in pod.containers():
            places = [mount["mountPath"] for mount in item.get("volumeMounts", [])]
            found += [f"{pod.name}: {place} is mounted twice" for place in set(places) if places.count(place) > 1]
    return found


def references(objects):
    """ConfigMaps, Secrets, claims and accounts that are named have to be there."""
    names = {kind: {item["metadata"]["name"] for item in of_kind(objects, kind)}
             for kind in ("ConfigMap", "ServiceAccount", "PersistentVolumeClaim")}
    certificates = of_kind(objects, "Certificate")
    secrets = {item["spec"]["secretName"] for item in certificates} | {"vpt-token"} if certificates else SECRETS_FROM_OUTSIDE
    found = []

    def want(pod, kind, name, known):
        if name not in known:
            found.append(f"{pod.name}: there is no {kind} {name}")

    for pod in pods(objects):
        want(pod, "ServiceAccount", pod.spec.get("serviceAccountName"), names["ServiceAccount"])
        for container in pod.containers():
            for source in container.get("envFrom", []):
                want(pod, "ConfigMap", source["configMapRef"]["name"], names["ConfigMap"])
        for volume in pod.spec.get("volumes", []):
            if "configMap" in volume:
                want(pod, "ConfigMap", volume["configMap"]["name"], names["ConfigMap"])
            if "persistentVolumeClaim" in volume:
                want(pod, "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], names["PersistentVolumeClaim"])
            for source in volume.get("projected", {}).get("sources", []):
                want(pod, "Secret", source["secret"]["name"], secrets)
    return found


def probes(objects):
    found = []
    for pod in pods(objects):
        for item in pod.lasting():
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = item.get(kind)
                ports = [port["name"] for port in item.get("ports", [])]
                if probe is None:
                    found.append(f"{pod.name}: container {item['name']} has no {kind}")
                elif probe["httpGet"]["port"] not in ports or probe["httpGet"]["path"] not in ("/livez", "/readyz"):
                    found.append(f"{pod.name}: the {kind} of {item['name']} asks what nobody answers")
                elif kind == "livenessProbe" and probe["httpGet"]["path"] != "/livez":
                    found.append(f"{pod.name}: {item['name']} would be killed while it drains")
    return found


def resources(objects):
    found = []
    for pod in pods(objects):
        for item in pod.containers():
            given = item.get("resources", {})
            for key, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
                if name not in given.get(key, {}):
                    found.append(f"{pod.name}: container {item['name']} has no {key} of {name}")
    return found


def confined(objects):
    """What the namespace's level `restricted` demands, and a root that cannot be written."""
    found = []
    for pod in pods(objects):
        own = pod.spec.get("securityContext", {})
        if not own.get("runAsNonRoot") or own.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            found.append(f"{pod.name}: it must run as another user than root, with seccomp's RuntimeDefault")
        if pod.spec.get("automountServiceAccountToken") is not False:
            found.append(f"{pod.name}: it is given a token for the Kubernetes API")
        for item in pod.containers():
            given = item.get("securityContext", {})
            held = (given.get("allowPrivilegeEscalation"), given.get("readOnlyRootFilesystem"), given.get("capabilities"))
            if held != (False, True, {"drop": ["ALL"]}):
                found.append(f"{pod.name}: container {item['name']} is not confined")
    return found


def images(objects):
    """Tags are this release's, with what it was built for behind it."""
    found = []
    for pod in pods(objects):
        for item in pod.containers():
            if not re.fullmatch(rf"vpt/(actor|learner|envserver):{re.escape(images.version)}(-cuda)?", item["image"]):
                found.append(f"{pod.name}: {item['image']} is not of release {images.version}")
    return found


images.version = ""


def edges(objects):
    """NetworkPolicies of both ends let through the connections there are and no others."""
    wanted, found = model.wanted_edges(objects)
    for direction in ("Egress", "Ingress"):
        allowed = model.allowed_edges(objects, direction)
        for source, target, port in sorted(wanted):
            if not {(source, target, port), (source, target, None)} & allowed:
                found.append(f"{direction}: no NetworkPolicy lets {source} reach {target}:{port}")
        for source, target, port in sorted(allowed, key=str):
            # Ranks choose their ports themselves.
            ranks = source == target and any(edge[:2] == (source, target) for edge in wanted)
            if (source, target, port) not in wanted and not ranks:
                found.append(f"{direction}: a NetworkPolicy lets {source} reach {target}:{port}, which nothing asks for")
    return found


def traces(objects):
    """Who is to send traces may reach the collector, which is none of these pods, and others may reach nothing out there."""
    found = []
    for pod in pods(objects):
        urls = [model.settings(objects, item).get("VPT__TRACES__ENDPOINT", "") for item in pod.lasting() if model.role(item) in TRACERS]
        wanted = {int(url.rsplit(":", 1)[1]) for url in urls if url}
        policies = [policy["spec"] for policy in of_kind(objects, "NetworkPolicy") if model.matches(policy["spec"]["podSelector"], pod.labels)]
        rules = [rule for spec in policies for rule in spec.get("egress", []) if any("namespaceSelector" in peer for peer in rule["to"])]
        allowed = {port["port"] for rule in rules for port in rule["ports"]} - {DNS}
        found += [f"{pod.name}: no NetworkPolicy lets it reach the collector's port {port}" for port in sorted(wanted - allowed)]
        found += [f"{pod.name}: a NetworkPolicy lets it reach port {port} out there, which nothing asks for" for port in sorted(allowed - wanted)]
    return found


def listening(objects):
    """Servers listen where their ports are declared."""
    found = []
    for pod in pods(objects):
        for item in pod.lasting():
            role, given = model.role(item), model.settings(objects, item)
            ports = {port["containerPort"] for port in item.get("ports", [])}
            wanted = [f"VPT__{role.upper()}__OPS_LISTEN"]
            listen = f"VPT__{model.LISTENS[role]}" if role in model.LISTENS else None
            if listen and not given.get(listen, "").startswith("127.0.0.1:"):
                wanted.append(listen)
            for key in wanted:
                address = given.get(key, "")
                if not address.startswith("0.0.0.0:") or int(address.rsplit(":", 1)[1]) not in ports:
                    found.append(f"{pod.name}: {item['name']}: {key}={address} is none of its ports {sorted(ports)}")
    return found


def one_master(objects):
    """What an autoscaler sets, no manifest may set too."""
    found = []
    for scaler in of_kind(objects, "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]["name"]
        workloads = [item for item in of_kind(objects, "Deployment") if item["metadata"]["name"] == target]
        if not workloads:
            found.append(f"ScaledObject {scaler['metadata']['name']}: there is no Deployment {target}")
        found += [f"Deployment {target}: replicas is set, and so does the autoscaler" for item in workloads if "replicas" in item["spec"]]
    return found


def certificates(objects):
    """With TLS, a process has the certificate of its own role and no other's."""
    found = []
    for pod in pods(objects):
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
        for item in pod.lasting():
            given, role = model.settings(objects, item), model.role(item)
            mounts = {mount["mountPath"]: mount["name"] for mount in item.get("volumeMounts", [])}
            folder = mounts.get(given.get("VPT__SECURITY__CERTS", ""))
            if given.get("VPT__SECURITY__MODE") != "mtls":
                if folder:
                    found.append(f"{pod.name}: {item['name']} has certificates and does not use them")
                continue
            sources = volumes.get(folder, {}).get("projected", {}).get("sources", [])
            files = {file["path"] for source in sources for file in source["secret"]["items"]}
            if files != {f"{role}.pem", f"{role}-key.pem", "ca.pem", "token"}:
                found.append(f"{pod.name}: {item['name']} needs the certificates of a {role}, not {sorted(files)}")
    return found


RULES = [selectors, service_ports, volumes, references, probes, resources, confined, images, edges, traces, listening, one_master,
         certificates]
