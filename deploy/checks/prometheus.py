"""Rules and their tests by promtool, and that Kubernetes gets the same rules and dashboards as everybody else."""

import json
import shutil

import yaml

from model import of_kind
from report import Fault, Missing, must, run

RULE = "deploy/k8s/components/monitoring/prometheusrule.yaml"


def promtool(context, *arguments):
    if shutil.which("promtool") is None:
        raise Missing("promtool")
    folder = context.root / "deploy/monitoring"
    if not (folder / "rules").is_dir():
        raise Fault("deploy/monitoring/rules is missing")
    return run(["promtool", *arguments], cwd=folder)


def rule_files(context):
    files = sorted((context.root / "deploy/monitoring/rules").glob("*.yml"))
    if not files:
        raise Fault("deploy/monitoring/rules has no file")
    return files


def check(context):
    files = rule_files(context)
    promtool(context, "check", "rules", *files)
    promtool(context, "check", "config", "prometheus.yml")
    return f"{len(files)} rule files"


def test(context):
    tests = sorted((context.root / "deploy/monitoring/rules/tests").glob("*.yml"))
    if not tests:
        raise Fault("deploy/monitoring/rules/tests has no file")
    promtool(context, "test", "rules", *tests)
    return f"{len(tests)} test files"


def prometheus_rule(context):
    """The PrometheusRule object is the rule files, in one."""
    groups = [group for path in rule_files(context) for group in yaml.safe_load(path.read_text())["groups"]]
    wanted = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "vpt"},
        "spec": {"groups": groups},
    }
    path = context.root / RULE
    if context.write:
        header = "# Made of deploy/monitoring/rules by `deploy/checks/run.sh --write prometheus`; change those.\n"
        path.write_text(header + yaml.safe_dump(wanted, sort_keys=False, width=120))
    if yaml.safe_load(path.read_text()) != wanted:
        raise Fault(f"{RULE} is not what deploy/monitoring/rules says: deploy/checks/run.sh --write prometheus")
    return f"{len(groups)} groups"


def dashboards(context):
    """Every dashboard reaches the cluster, whole and labelled."""
    context.need_rendered()
    files = {path.name: path.read_text() for path in (context.root / "deploy/monitoring/grafana/dashboards").glob("*.json")}
    found = {}
    for item in of_kind(context.rendered["prod"], "ConfigMap"):
        if item["metadata"].get("labels", {}).get("grafana_dashboard") == "1":
            found |= item["data"]
    problems = [f"{name} is not in the overlay prod" for name in files.keys() - found.keys()]
    problems += [f"{name} differs" for name in files.keys() & found.keys() if files[name] != found[name]]
    problems += [f"{name} has no uid" for name, text in files.items() if not json.loads(text).get("uid")]
    must(problems)
    return f"{len(files)} dashboards"


def autoscaling(context):
    """What the autoscaler asks for is recorded, by a rule whose name says what it is."""
    context.need_rendered()
    recorded = {rule["record"] for path in rule_files(context) for group in yaml.safe_load(path.read_text())["groups"]
                for rule in group["rules"] if "record" in rule}
    asked = [trigger["metadata"]["query"] for item in of_kind(context.rendered["prod"], "ScaledObject")
             for trigger in item["spec"]["triggers"]]
    must([f"{query}: no rule records it" for query in asked if not any(name in query for name in recorded)])
    if not asked:
        raise Fault("the overlay prod does not scale by itself")


CHECKS = [("prometheus rules and config", check), ("prometheus rule tests", test), ("PrometheusRule", prometheus_rule),
          ("dashboards on the cluster", dashboards), ("autoscaling query", autoscaling)]
