"""The compose files: their schema, and between their fields what `docker compose` would only say when it runs."""

import copy
import re

import yaml

from binary import ask
from report import Fault, Missing, Skip, must, run

FILES = ["compose.yaml", "gpu.yaml", "monitoring.yaml", "traces.yaml"]


def load(context, name):
    return yaml.safe_load((context.root / "deploy/compose" / name).read_text())


def schema(context):
    checker = [context.work / "venv/bin/check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    if not checker[0].exists():
        raise Missing("check-jsonschema")
    run([*checker, *(context.root / "deploy/compose" / name for name in FILES)])
    wrong = load(context, "compose.yaml")
    wrong["services"]["learner"]["stop_grace_perod"] = "75s"
    path = context.work / "wrong-compose.yaml"
    path.write_text(yaml.safe_dump(wrong))
    try:
        run([*checker, path])
    except Fault:
        return f"{len(FILES)} files"
    raise Fault("stop_grace_perod was let through")


def with_traces(files):
    """The services of compose.yaml as traces.yaml changes them: the settings that every other file leaves alone."""
    added = files["traces.yaml"]["services"]
    return {
        name: service | {"environment": service.get("environment", {}) | added.get(name, {}).get("environment", {})}
        for name, service in files["compose.yaml"]["services"].items()
    }


def problems_of(context, files):
    """What is wrong with a project made of these files."""
    services, problems = with_traces(files), []
    names = services.keys() | files["traces.yaml"]["services"].keys()
    networks, volumes = files["compose.yaml"]["networks"], files["compose.yaml"]["volumes"]
    run_file = context.root / "deploy/compose" / files["compose.yaml"]["configs"]["run"]["file"]
    for name, service in services.items():
        role = service["command"][0]
        given = {key: str(value) for key, value in service.get("environment", {}).items()}
        for other in service.get("depends_on", {}):
            if other not in services:
                problems.append(f"{name}: it waits for {other}, which is no service")
        for host in re.findall(r"http://([\w.-]+):", " ".join(given.values())):
            if host not in names:
                problems.append(f"{name}: it connects to {host}, which is no service")
        problems += [f"{name}: network {item} is not declared" for item in service["networks"] if item not in networks]
        for mount in service.get("volumes", []):
            if ":" in mount and mount.split(":")[0] not in volumes:
                problems.append(f"{name}: volume {mount} is not declared")
        if not service.get("read_only") or service.get("cap_drop") != ["ALL"]:
            problems.append(f"{name}: it is not confined")
        if role in ("learner", "actor", "relay", "envserver"):
            try:
                needed = ask(context, role, run_file, given)
            except Fault as fault:
                problems.append(f"{name}: {fault}")
                continue
            granted = int(service.get("stop_grace_period", "10s").removesuffix("s"))
            if granted <= needed:
                problems.append(f"{name}: it ends within {needed} s, and is killed after {granted} s")
    for other in FILES[1:]:
        for name, service in files[other]["services"].items():
            if name not in services and "image" not in service:
                problems.append(f"{other}: {name} is neither a service of compose.yaml nor has an image")
            for mount in service.get("volumes", []):
                source = mount.split(":")[0]
                if source.startswith(".") and not (context.root / "deploy/compose" / source).exists():
                    problems.append(f"{other}: {name} mounts {source}, which does not exist")
    return problems


def fields(context):
    files = {name: load(context, name) for name in FILES}
    must(problems_of(context, files))
    mistakes = {
        "a name that is no service": lambda services: services["actor"]["environment"].update({"VPT__ACTOR__LEARNER": "http://leaner:50051"}),
        "too little time to stop": lambda services: services["learner"].update({"stop_grace_period": "20s"}),
        "an unknown setting": lambda services: services["relay"]["environment"].update({"VPT__RELAY__LISTNE": "x"}),
        "waiting for nobody": lambda services: services["actor"]["depends_on"].update({"learners": {}}),
        "a root that can be written": lambda services: services["learner"].update({"read_only": False}),
    }
    for name, mistake in mistakes.items():
        wrong = copy.deepcopy(files)
        mistake(wrong["compose.yaml"]["services"])
        if not problems_of(context, wrong):
            raise Fault(f"{name} was let through")
    wrong = copy.deepcopy(files)
    wrong["traces.yaml"]["services"]["actor"]["environment"]["VPT__TRACES__ENDPOINT"] = "http://jager:4317"
    if not problems_of(context, wrong):
        raise Fault("a collector that is no service was let through")
    return f"{len(mistakes) + 1} mutations"


CHECKS = [("compose schema", schema), ("compose fields", fields)]
