#!/usr/bin/env bash
# Copies the newest checkpoint of a run, whole or not at all, while the learner runs. What it leaves is a folder that a
# learner starts from with --set learner.out=DEST; OPERATIONS.md says what to mind.
#
#   deploy/backup.sh OUT DEST        OUT is learner.out (or the --out of `vpt up`)
set -euo pipefail
out=$1 dest=$2

# A checkpoint is complete before `latest` names it, and stays until three newer ones are there (learner.checkpoint.keep):
# once more, should it have gone while it was copied.
for attempt in 1 2 3; do
    newest=$(cat "$out/checkpoints/latest")
    rm -rf "$dest/checkpoints/.partial"
    mkdir -p "$dest/checkpoints"
    if cp -a "$out/checkpoints/$newest" "$dest/checkpoints/.partial"; then
        rm -rf "${dest:?}/checkpoints/$newest"
        mv "$dest/checkpoints/.partial" "$dest/checkpoints/$newest"
        # A learner starts in the epoch after this one. The lost run may have been started again since, and actors may
        # hold what it published: whatever that was must be older than what comes, or it would be taken for the future.
        echo $(($(cat "$out/checkpoints/epoch") + 1000)) >"$dest/checkpoints/epoch"
        printf '%s' "$newest" >"$dest/checkpoints/latest.new"
        sync "$dest/checkpoints/latest.new"
        mv "$dest/checkpoints/latest.new" "$dest/checkpoints/latest"
        echo "$newest"
        exit 0
    fi
    echo "attempt $attempt: $newest went away while it was copied" >&2
done
echo "checkpoints come faster than they are copied: raise learner.checkpoint.keep" >&2
exit 1
