"""Every check of deploy/, in order; see README.md beside this file. Started by run.sh."""

import argparse
import importlib
import os
import sys
from pathlib import Path

from report import Context, Report

MODULES = ["scripts", "render", "schemas", "dry_run", "semantics", "binary", "compose", "prometheus", "units", "hosts", "day_two", "certificates", "images"]


def main():
    parser = argparse.ArgumentParser(description="Checks deploy/ without a cluster.")
    parser.add_argument("--vpt", default="target/debug/vpt", help="the binary that manifests are to start (target/debug/vpt)")
    parser.add_argument("--work", default="target/deploy-checks", help="folder for what the checks write (target/deploy-checks)")
    parser.add_argument("--installed", action="store_true", help="fail, not skip, where a tool is missing that install.sh brings")
    parser.add_argument("--write", action="store_true", help="bring generated files up to date instead of comparing")
    parser.add_argument("modules", nargs="*", default=MODULES, help=f"which of: {', '.join(MODULES)}; those up to prometheus, and certificates, need render")
    options = parser.parse_args()
    root = Path(__file__).resolve().parents[2]
    work = (root / options.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    context = Context(root, (root / options.vpt).resolve(), work, options.write)
    report = Report(options.installed)
    for name in options.modules:
        for title, check in importlib.import_module(name).CHECKS:
            report.run(title, check, context)
    return report.close(os.environ.get("REQUIRE_ALL") == "1")


if __name__ == "__main__":
    sys.exit(main())
