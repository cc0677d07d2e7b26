"""Renders every overlay, and the components in combinations that the overlays do not have, and compares which objects come
out with objects.txt (`--write` brings that up to date)."""

import os
import shutil

import yaml

from report import Fault, Skip, must, run

OVERLAYS = ["dev", "gpu", "prod"]

# On top of the base; in the order in which kustomizations have to list them.
COMBINATIONS = {
    "base": [],
    "base-mtls": ["mtls"],
    "base-relays-separate-mtls": ["relays", "envserver-separate", "mtls", "cert-manager"],
    "base-spot-autoscale-traces": ["spot", "monitoring", "autoscale", "traces"],
    "base-jobset-traces": ["jobset", "traces"],
    "base-jobset-relays-mtls": ["relays", "jobset", "mtls", "cert-manager", "monitoring"],
}


def kustomize(folder):
    if shutil.which("kubectl") is None:
        raise Skip("kubectl is not installed")
    return run(["kubectl", "kustomize", folder])


def combination(context, name):
    """A kustomization of the base and some components, as an operator would write it."""
    folder = context.work / "combinations" / name
    folder.mkdir(parents=True, exist_ok=True)
    up = os.path.relpath(context.root / "deploy/k8s", folder)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "vpt",
        "resources": [f"{up}/base"],
        "components": [f"{up}/components/{part}" for part in COMBINATIONS[name]],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


def render(context):
    folders = {name: context.root / "deploy/k8s/overlays" / name for name in OVERLAYS}
    folders |= {name: combination(context, name) for name in COMBINATIONS}
    for name, folder in folders.items():
        text = kustomize(folder)
        if name == OVERLAYS[-1] and kustomize(folder) != text:
            raise Fault(f"{name} renders differently each time")
        context.rendered[name] = [item for item in yaml.safe_load_all(text) if item]
    return f"{len(folders)} renderings"


def listing(rendered):
    lines = []
    for name, objects in rendered.items():
        lines.append(f"# {name}")
        # Without the hash of what is in them.
        named = {(item["kind"], bare(item)) for item in objects}
        lines += [f"{kind} {name}" for kind, name in sorted(named)]
    return "\n".join(lines) + "\n"


def bare(item):
    name = item["metadata"]["name"]
    return name.rsplit("-", 1)[0] if item["kind"] == "ConfigMap" else name


def snapshot(context):
    context.need_rendered()
    path = context.root / "deploy/checks/objects.txt"
    found = listing(context.rendered)
    if context.write:
        path.write_text(found)
    kept = path.read_text()
    if found != kept:
        before, now = set(kept.splitlines()), set(found.splitlines())
        gone = [f"- {line}" for line in sorted(before - now)] + [f"+ {line}" for line in sorted(now - before)]
        raise Fault("\n     ".join(["objects.txt differs (deploy/checks/run.sh --write, and look at the difference)", *gone]))
    return f"{found.count(chr(10))} lines"


def copies(context):
    """Run files that overlays carry are those of deploy/runs: kustomize reads no file outside its folder."""
    pairs = {"base": "cluster.toml", "overlays/gpu": "gpu.toml", "overlays/prod": "paper-ppg.toml"}
    different = []
    for place, name in pairs.items():
        copy, source = context.root / "deploy/k8s" / place / "run.toml", context.root / "deploy/runs" / name
        if context.write:
            shutil.copy(source, copy)
        if copy.read_bytes() != source.read_bytes():
            different.append(f"{copy.relative_to(context.root)} differs from deploy/runs/{name}: copy it (--write)")
    must(different)


CHECKS = [("run files copied", copies), ("render", render), ("objects", snapshot)]
