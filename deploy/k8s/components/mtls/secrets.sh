#!/usr/bin/env bash
# Turns the folder that `vpt certs` wrote into the Secrets of the component mtls, as YAML on standard output.
#
#   vpt certs --out certs && deploy/k8s/components/mtls/secrets.sh certs | kubectl apply -f -
#
# To rotate, give it the new folder; deploy/OPERATIONS.md says in which order.
set -euo pipefail
certs=$1 namespace=${2:-vpt}

secret() { # name key=file...
    local name=$1
    shift
    kubectl create secret generic "$name" --namespace "$namespace" --dry-run=client -o yaml "${@/#/--from-file=}"
    echo ---
}

for role in learner actor relay envserver operator; do
    secret "vpt-$role-tls" "tls.crt=$certs/$role.pem" "tls.key=$certs/$role-key.pem" "ca.crt=$certs/ca.pem"
done
secret vpt-token "token=$certs/token"
