"""Shell scripts of deploy/ and .ci, by shellcheck."""

import shutil

from report import Fault, Missing, run


def shell(context):
    if shutil.which("shellcheck") is None:
        raise Missing("shellcheck")
    files = [*sorted((context.root / "deploy").rglob("*.sh")), context.root / ".ci/run"]
    run(["shellcheck", "--severity=warning", *files])
    wrong = context.work / "wrong.sh"
    wrong.write_text("#!/bin/bash\nfor f in $(ls); do rm $undefined/$f; done\n")
    try:
        run(["shellcheck", "--severity=warning", wrong])
    except Fault:
        return f"{len(files)} scripts"
    raise Fault("a script with mistakes was let through")


CHECKS = [("shell scripts", shell)]
