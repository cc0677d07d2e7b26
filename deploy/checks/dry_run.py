"""`kubectl create --dry-run=client` of every rendered object, against stub_api.py."""

import yaml

import stub_api
from report import Fault, run
from schemas import unique


def apply(context, server, name, objects):
    path = context.work / f"{name}.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    host, port = server.server_address
    # No settings or cache of the user's.
    environment = {"KUBECONFIG": "/dev/null", "HOME": str(context.work), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    command = ["kubectl", "--server", f"http://{host}:{port}", "create", "--dry-run=client", "--validate=false", "-f", path]
    return run(command, env=environment)


def dry_run(context):
    context.need_rendered()
    server = stub_api.serve()
    try:
        objects = unique(item for objects in context.rendered.values() for item in objects)
        said = apply(context, server, "objects", objects)
        if said.count("created (dry run)") != len(objects):
            raise Fault(f"{len(objects)} objects, but:\n{said}")
        # A kind that no cluster knows must be refused, or the above shows nothing.
        wrong = [dict(context.rendered["base"][0], kind="Namespaces")]
        try:
            apply(context, server, "wrong", wrong)
        except Fault:
            return f"{len(objects)} objects"
        raise Fault("a mistyped kind was let through")
    finally:
        server.shutdown()


CHECKS = [("client dry run", dry_run)]
