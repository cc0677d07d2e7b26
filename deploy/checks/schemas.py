"""Every rendered object against strict schemas: Kubernetes' own in two versions, and for custom resources the parts of
their schemas that are used here (crds/*.json). An unknown field is an error: the API server would drop it silently."""

import copy
import json

from report import Fault, Missing, must

# The oldest that is supported, and the newest that schemas are known for.
VERSIONS = ["1.31", "1.37"]


def native(item, version):
    import kubernetes_validate

    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(str(part) for part in error.path)
        return [f"{version} {label(item)}: {where}: {error.message[:300]}"]
    return []


def label(item):
    return f"{item['kind']} {item['metadata']['name']}"


def custom(context):
    folder = context.root / "deploy/checks/crds"
    found = {}
    for path in sorted(folder.glob("*.json")):
        schema = json.loads(path.read_text())
        found[schema["x-kind"]] = schema
    return found


def problems_of(objects, schemas):
    import jsonschema

    problems = []
    for item in objects:
        schema = schemas.get(f"{item['apiVersion']}/{item['kind']}")
        if schema is not None:
            for error in jsonschema.Draft202012Validator(schema).iter_errors(item):
                where = ".".join(str(part) for part in error.path)
                problems.append(f"{label(item)}: {where}: {error.message[:300]}")
            for job in jobs(item):
                problems += [problem for version in VERSIONS for problem in native(job, version)]
            continue
        for version in VERSIONS:
            try:
                problems += native(item, version)
            except Exception as error:  # the library's own for a kind it does not know
                if type(error).__name__ != "SchemaNotFoundError":
                    raise
                problems.append(f"{label(item)}: no schema for {item['apiVersion']}; add it to deploy/checks/crds")
                break
    return problems


def jobs(item):
    """What a JobSet makes, which is a Job of Kubernetes' own."""
    for job in item["spec"].get("replicatedJobs", []) if item["kind"] == "JobSet" else []:
        name = {"name": f"{item['metadata']['name']}-{job['name']}"}
        yield {"apiVersion": "batch/v1", "kind": "Job", "metadata": name, "spec": job["template"]["spec"]}


def available():
    try:
        import jsonschema  # noqa: F401
        import kubernetes_validate  # noqa: F401
    except ImportError as error:
        raise Missing(f"Python's {error.name}") from error


def unique(objects):
    """Overlays share most objects: each is looked at once."""
    seen = {}
    for item in objects:
        seen.setdefault(json.dumps(item, sort_keys=True), item)
    return list(seen.values())


def strict(context):
    available()
    context.need_rendered()
    objects = unique(item for objects in context.rendered.values() for item in objects)
    must(problems_of(objects, custom(context)))
    return f"{len(objects)} objects, versions {' and '.join(VERSIONS)}"


def mistyped(context):
    """One wrong field in each kind of object must be found, or the check above shows nothing."""
    available()
    context.need_rendered()
    schemas, tried = custom(context), {}
    for objects in context.rendered.values():
        for item in objects:
            if "spec" in item:
                tried.setdefault(item["kind"], item)
    missed = []
    for kind, item in tried.items():
        wrong = copy.deepcopy(item)
        wrong["spec"]["replicass"] = 3
        if not problems_of([wrong], schemas):
            missed.append(f"{kind}: spec.replicass was let through")
    for item in (item for item in tried.values() if item["kind"] == "JobSet"):
        wrong = copy.deepcopy(item)
        wrong["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
        if not problems_of([wrong], schemas):
            missed.append("JobSet: a container's imagee was let through")
    must(missed)
    if not tried:
        raise Fault("no object to mistype")
    return f"{len(tried)} kinds"


CHECKS = [("schemas", strict), ("schemas find a wrong field", mistyped)]
