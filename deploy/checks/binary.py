"""What the real binary says: every run file is usable by every role, every rendered container starts with settings that
its role accepts, and is given longer to stop than it says it needs."""

import os
import re
import subprocess

import model
from report import Fault, must

ROLES = ["learner", "actor", "relay", "envserver"]


def ask(context, role, run_file, variables):
    """How long the role takes to end; a Fault when the settings are not usable."""
    context.need_binary()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VPT__")} | variables
    command = [context.vpt, role, "--config", run_file, "--check-config"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    found = re.search(r"ends within (\d+) s", done.stdout)
    if done.returncode != 0 or found is None:
        raise Fault(f"{done.stdout}{done.stderr}".strip())
    return int(found[1])


def run_files(context):
    files = sorted((context.root / "deploy/runs").glob("*.toml"))
    if not files:
        raise Fault("deploy/runs is empty")
    problems = []
    for path in files:
        for role in ROLES:
            try:
                ask(context, role, path, {})
            except Fault as fault:
                problems.append(f"{path.name}, {role}: {fault}")
    must(problems)
    return f"{len(files)} files, {len(ROLES)} roles"


def overdue(context, objects, label):
    """Containers that are not given the time they need, or do not accept what they are given."""
    problems = []
    files = {item["metadata"]["name"]: item["data"]["run.toml"] for item in model.of_kind(objects, "ConfigMap")
             if "run.toml" in item.get("data", {})}
    for pod in model.pods(objects):
        names = [volume["configMap"]["name"] for volume in pod.spec["volumes"] if "configMap" in volume]
        path = context.work / "run.toml"
        path.write_text(files[names[0]])
        for container in pod.containers():
            role = model.role(container)
            if role not in ROLES:
                continue
            where = f"{label}: {pod.name}, container {container['name']}"
            try:
                needed = ask(context, role, path, model.settings(objects, container))
            except Fault as fault:
                problems.append(f"{where}: {fault}")
                continue
            needed += container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            granted = pod.spec["terminationGracePeriodSeconds"]
            if granted <= needed:
                problems.append(f"{where}: it ends within {needed} s, and is killed after {granted} s")
    return problems


def containers(context):
    context.need_rendered()
    must([problem for name, objects in context.rendered.items() for problem in overdue(context, objects, name)])
    return f"{len(context.rendered)} renderings"


def mistakes(context):
    """A grace that is too short and a setting that no role knows must both be found."""
    context.need_rendered()
    import copy

    short, unknown = copy.deepcopy(context.rendered["base"]), copy.deepcopy(context.rendered["base"])
    for pod in model.pods(short):
        pod.spec["terminationGracePeriodSeconds"] = 10
    if len(overdue(context, short, "base")) < 2:
        raise Fault("ten seconds for everybody were let through")
    for item in model.of_kind(unknown, "ConfigMap"):
        item["data"]["VPT__LEARNER__LISTNE"] = "0.0.0.0:50051"
    if not overdue(context, unknown, "base"):
        raise Fault("VPT__LEARNER__LISTNE was let through")


CHECKS = [("run files", run_files), ("settings and drain deadlines", containers), ("they find mistakes", mistakes)]
