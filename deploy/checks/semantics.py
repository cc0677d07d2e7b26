"""Runs the rules over every rendering, and every mutation against its rule."""

import copy
import tomllib

import rules
from mutations import MUTATIONS
from report import Fault, must


def release(context):
    manifest = tomllib.loads((context.root / "Cargo.toml").read_text())
    return manifest["workspace"]["package"]["version"]


def semantics(context):
    context.need_rendered()
    rules.images.version = release(context)
    problems = []
    for name, objects in context.rendered.items():
        for rule in rules.RULES:
            problems += [f"{name}: {problem}" for problem in rule(objects)]
    must(problems)
    return f"{len(rules.RULES)} rules"


def mutations(context):
    context.need_rendered()
    rules.images.version = release(context)
    by_name = {rule.__name__: rule for rule in rules.RULES}
    missed = []
    for rule, rendering, mutate in MUTATIONS:
        changed = copy.deepcopy(context.rendered[rendering])
        mutate(changed)
        if not by_name[rule](changed):
            missed.append(f"{rule} does not find what {mutate.__name__} breaks")
    missed += [f"{name} has no mutation" for name in set(by_name) - {rule for rule, _, _ in MUTATIONS}]
    must(missed)
    if not MUTATIONS:
        raise Fault("no mutation")
    return f"{len(MUTATIONS)} mutations"


CHECKS = [("semantics", semantics), ("semantics find mistakes", mutations)]
