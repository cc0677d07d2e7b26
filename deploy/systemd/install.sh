#!/usr/bin/env bash
# Puts one machine of a run to work over ssh: binary, run file, certificates, units. Again with the same arguments updates it:
# its processes are restarted, which drains them first.
#
#   deploy/systemd/install.sh [OPTIONS] HOST ROLE...
#
# HOST is what ssh takes; the user there must be root or may sudo without a password. ROLE is learner, relay, envserver,
# actor (which brings its envserver along) or bootstrap (demonstrations and a clone, beside a learner that starts from them).
#
#   --learner ADDR   where all machines reach the learner, host:port; needed
#   --relay ADDR     where actors ask for weights first; may be repeated
#   --actors N       actors on this machine, 1 to 10 (1)
#   --run FILE       the run file (deploy/runs/cluster.toml)
#   --binary FILE    the vpt to install (target/release/vpt)
#   --certs DIR      folder of `vpt certs`; without it connections are plain, for networks of trusted machines only
#   --root DIR       install below DIR on HOST and start nothing: for images, and for tests
#
# SSH names another ssh command, with options if you like: SSH="ssh -p 2222".
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)

learner='' actors=1 run="$repository/deploy/runs/cluster.toml" binary="$repository/target/release/vpt" certs='' root=''
relays=()
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 64; }
while [ $# -gt 0 ]; do
    case $1 in
        --learner) learner=$2; shift 2 ;;
        --relay) relays+=("\"http://$2\""); shift 2 ;;
        --actors) actors=$2; shift 2 ;;
        --run) run=$2; shift 2 ;;
        --binary) binary=$2; shift 2 ;;
        --certs) certs=$2; shift 2 ;;
        --root) root=$2; shift 2 ;;
        -*) usage ;;
        *) break ;;
    esac
done
if [ $# -lt 2 ] || [ -z "$learner" ]; then usage; fi
[[ $actors =~ ^([1-9]|10)$ ]] || { echo "--actors $actors: must be 1 to 10" >&2; exit 64; }
host=$1
shift

for file in "$run" "$binary" ${certs:+"$certs/ca.pem"}; do
    [ -r "$file" ] || { echo "cannot read $file: name another with --run, --binary or --certs" >&2; exit 64; }
done

# Everything as it is to lie on the machine.
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
install -D -m 0755 "$binary" "$stage/usr/local/bin/vpt"
install -D -m 0644 "$run" "$stage/etc/vpt/run.toml"
units=()
unit() { # file instance...
    local file=$1
    shift
    install -D -m 0644 "$here/$file" "$stage/etc/systemd/system/$file"
    units+=("$@")
}
holders=()
for role in "$@"; do
    case $role in
        bootstrap) unit vpt-bootstrap.service vpt-bootstrap.service ;;
        learner | relay | envserver) unit "vpt-$role.service" "vpt-$role.service" && holders+=("$role") ;;
        actor)
            unit vpt-envserver.service vpt-envserver.service
            for ((i = 0; i < actors; i++)); do unit vpt-actor@.service "vpt-actor@$i.service"; done
            holders+=(actor envserver)
            ;;
        *) echo "$role: roles are bootstrap, learner, relay, envserver and actor" >&2; exit 64 ;;
    esac
done
{
    echo "VPT__ACTOR__LEARNER=http://$learner"
    echo "VPT__RELAY__UPSTREAM='[\"http://$learner\"]'"
    [ ${#relays[@]} = 0 ] || echo "VPT__ACTOR__WEIGHTS='[$(IFS=,; echo "${relays[*]}")]'"
    echo "VPT__LEARNER__LISTEN=0.0.0.0:${learner##*:}"
    if [ -n "$certs" ]; then
        echo 'VPT__SECURITY__MODE=mtls'
        echo 'VPT__SECURITY__CERTS=/etc/vpt/certs'
    else
        echo 'VPT__SECURITY__MODE=insecure'
    fi
} >"$stage/etc/vpt/cluster.env"
if [ -n "$certs" ]; then
    # A machine gets the keys of the roles it plays, no others.
    for file in ca.pem token; do install -D -m 0640 "$certs/$file" "$stage/etc/vpt/certs/$file"; done
    for role in "${holders[@]}"; do
        install -m 0640 "$certs/$role.pem" "$certs/$role-key.pem" "$stage/etc/vpt/certs/"
    done
fi

# Runs on the machine, with the files on its standard input.
# shellcheck disable=SC2016 # It expands there.
remote='
set -eu
root=$1; shift
umask 022
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
if [ -z "$root" ]; then
    as_root sh -c "getent passwd vpt >/dev/null || useradd --system --home-dir /var/lib/vpt --shell /usr/sbin/nologin vpt"
fi
as_root mkdir -p "$root/"
# Replaces files rather than writing over them: a running binary keeps its own.
as_root tar --extract --no-overwrite-dir --no-same-owner --directory "$root/"
if [ -z "$root" ]; then
    [ ! -d /etc/vpt/certs ] || as_root chgrp -R vpt /etc/vpt/certs
    as_root systemctl daemon-reload
    as_root systemctl enable --quiet "$@"
    as_root systemctl restart --no-block "$@"
fi
echo "$(hostname): installed $*"
'
# For any shell on the machine.
quoted() { printf "'%s' " "${1//\'/\'\\\'\'}"; }
command="sh -c $(quoted "$remote")vpt $(quoted "$root")"
for name in "${units[@]}"; do command+=$(quoted "$name"); done
tar --create --directory "$stage" etc usr | ${SSH:-ssh} "$host" "$command"
