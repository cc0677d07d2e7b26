"""For every rule of rules.py a mistake that somebody could make, which the rule has to find."""

import model
from model import of_kind


def learner(objects):
    return next(pod for pod in model.pods(objects) if pod.component == "learner")


def actor(objects):
    return next(pod for pod in model.pods(objects) if pod.component == "actor")


def main(pod):
    return pod.spec["containers"][0]


def named(objects, kind, name):
    return next(item for item in of_kind(objects, kind) if item["metadata"]["name"].startswith(name))


def relabel(objects):
    named(objects, "Service", "learner")["spec"]["selector"]["app.kubernetes.io/component"] = "learners"


def reselect(objects):
    named(objects, "PodDisruptionBudget", "actor")["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] = "actors"


def rename_port(objects):
    main(learner(objects))["ports"][0]["name"] = "http"


def renumber_port(objects):
    named(objects, "Service", "learner")["spec"]["ports"][0]["port"] = 50052


def forget_volume(objects):
    learner(objects).spec["volumes"].pop()


def forget_mount(objects):
    main(actor(objects))["volumeMounts"].pop()


def lose_config(objects):
    main(actor(objects))["envFrom"][0]["configMapRef"]["name"] = "vpt-cluster"


def lose_account(objects):
    actor(objects).spec["serviceAccountName"] = "default"


def drop_probe(objects):
    del main(learner(objects))["livenessProbe"]


def kill_draining(objects):
    main(learner(objects))["livenessProbe"]["httpGet"]["path"] = "/readyz"


def drop_limit(objects):
    del main(learner(objects))["resources"]["limits"]["memory"]


def become_root(objects):
    del actor(objects).spec["securityContext"]["runAsNonRoot"]


def write_root(objects):
    main(actor(objects))["securityContext"]["readOnlyRootFilesystem"] = False


def take_latest(objects):
    main(actor(objects))["image"] = "vpt/actor:latest"


def close_learner(objects):
    objects.remove(named(objects, "NetworkPolicy", "learner"))


def open_learner(objects):
    named(objects, "NetworkPolicy", "learner")["spec"]["ingress"][0]["ports"].append({"protocol": "TCP", "port": "ops"})


def mistype_host(objects):
    named(objects, "ConfigMap", "vpt-cluster")["data"]["VPT__ACTOR__LEARNER"] = "http://learner-0.learners:50051"


def listen_elsewhere(objects):
    named(objects, "ConfigMap", "vpt-cluster")["data"]["VPT__LEARNER__LISTEN"] = "0.0.0.0:50052"


def two_masters(objects):
    named(objects, "Deployment", "actor")["spec"]["replicas"] = 2


def hide_collector(objects):
    objects.remove(named(objects, "NetworkPolicy", "actor-to-traces"))


def move_collector(objects):
    named(objects, "ConfigMap", "vpt-cluster")["data"]["VPT__TRACES__ENDPOINT"] = "http://otel-collector.monitoring:4318"


def show_collector(objects):
    spec = named(objects, "NetworkPolicy", "actor")["spec"]
    spec["egress"].append({"to": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 4317}]})


def lose_certificates(objects):
    main(learner(objects))["volumeMounts"] = [mount for mount in main(learner(objects))["volumeMounts"] if "certs" not in mount["name"]]


def swap_certificates(objects):
    main(actor(objects))["volumeMounts"] = [
        {**mount, "name": "envserver-certs"} if mount["name"] == "actor-certs" else mount for mount in main(actor(objects))["volumeMounts"]
    ]


# Rule, what is changed in which rendering.
MUTATIONS = [
    ("selectors", "base", relabel),
    ("selectors", "base", reselect),
    ("service_ports", "base", rename_port),
    ("service_ports", "base", renumber_port),
    ("volumes", "base", forget_volume),
    ("volumes", "base", forget_mount),
    ("references", "base", lose_config),
    ("references", "base", lose_account),
    ("probes", "base", drop_probe),
    ("probes", "base", kill_draining),
    ("resources", "base", drop_limit),
    ("confined", "base", become_root),
    ("confined", "base", write_root),
    ("images", "base", take_latest),
    ("edges", "base", close_learner),
    ("edges", "base", open_learner),
    ("edges", "base", mistype_host),
    ("listening", "base", listen_elsewhere),
    ("one_master", "base-spot-autoscale-traces", two_masters),
    ("traces", "base-jobset-traces", hide_collector),
    ("traces", "base-jobset-traces", move_collector),
    ("traces", "base", show_collector),
    ("certificates", "base-mtls", lose_certificates),
    ("certificates", "base-mtls", swap_certificates),
]
