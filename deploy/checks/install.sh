#!/usr/bin/env bash
# Brings the tools of deploy/checks that a Debian machine can have: packages, and Python's into target/deploy-checks/venv.
# What is there already is kept. As another user than root it leaves the packages out, and the checks that need them say so.
set -euo pipefail
cd "$(dirname "$0")/../.."

declare -A packages=([promtool]=prometheus [systemd-analyze]=systemd [ip]=iproute2 [dockerd]=docker.io [iptables]=iptables
    [shellcheck]=shellcheck [sshd]=openssh-server [openssl]=openssl [chromium]=chromium)
missing=()
for tool in "${!packages[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || missing+=("${packages[$tool]}")
done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ]; then
    apt-get update -qq || true
    # One that cannot be had must not take the others along.
    for package in "${missing[@]}"; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
            echo "cannot install $package" >&2
    done
fi

# Debian's Python has no venv by itself.
if ! python3 -c 'import ensurepip' 2>/dev/null && [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
fi
venv=target/deploy-checks/venv
if ! cmp -s deploy/checks/requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    mkdir -p target/deploy-checks
    if python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check -r deploy/checks/requirements.txt; then
        cp deploy/checks/requirements.txt "$venv/requirements.txt"
    else
        echo "cannot install deploy/checks/requirements.txt" >&2
        exit 1
    fi
fi
