"""shardcast's origin or client: one JSON request a line, one JSON answer a line."""

import json
import os
import sys

answers = os.fdopen(os.dup(1), "w")
# Whatever the library prints must not be taken for an answer.
os.dup2(2, 1)

import shardcast  # noqa: E402


def say(answer):
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


role, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.makedirs(folder, exist_ok=True)
if role == "origin":
    # Clients measure a server by this file before anything else.
    with open(os.path.join(folder, "data1.bin"), "wb") as probe:
        probe.write(bytes(1_000_000))
    shardcast.initialize(folder, port=port, max_distribution_folders=1)
    say({"name": "shardcast " + shardcast.__version__})
    for line in sys.stdin:
        say({"version": shardcast.broadcast(json.loads(line)["file"])})
    os._exit(0)
client = shardcast.ClientNode([f"http://127.0.0.1:{port}"], folder)
say({"name": "shardcast client"})
for line in sys.stdin:
    path = client.download_version(json.loads(line)["version"])
    say({"file": path} if path else {"error": "the download failed"})
