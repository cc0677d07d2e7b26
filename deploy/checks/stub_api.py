"""An API server that can say which kinds it knows, and nothing else: as much as `kubectl --dry-run=client` asks of one."""

import http.server
import json
import threading

# Group and version -> kinds and their plural names; what a cluster with the operators of OPERATIONS.md serves.
KINDS = {
    "v1": ["Namespace/namespaces", "ServiceAccount/serviceaccounts", "ConfigMap/configmaps", "Service/services",
           "Secret/secrets", "PersistentVolumeClaim/persistentvolumeclaims"],
    "apps/v1": ["Deployment/deployments", "StatefulSet/statefulsets"],
    "policy/v1": ["PodDisruptionBudget/poddisruptionbudgets"],
    "networking.k8s.io/v1": ["NetworkPolicy/networkpolicies"],
    "monitoring.coreos.com/v1": ["PodMonitor/podmonitors", "PrometheusRule/prometheusrules"],
    "keda.sh/v1alpha1": ["ScaledObject/scaledobjects"],
    "cert-manager.io/v1": ["Issuer/issuers", "Certificate/certificates"],
    "jobset.x-k8s.io/v1alpha2": ["JobSet/jobsets"],
    "kueue.x-k8s.io/v1beta1": ["ResourceFlavor/resourceflavors", "ClusterQueue/clusterqueues", "LocalQueue/localqueues"],
}
CLUSTER_SCOPED = {"Namespace", "ResourceFlavor", "ClusterQueue"}


def resources(version):
    listed = []
    for entry in KINDS[version]:
        kind, plural = entry.split("/")
        listed.append({"name": plural, "singularName": kind.lower(), "namespaced": kind not in CLUSTER_SCOPED, "kind": kind,
                       "verbs": ["get", "create", "patch"]})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}


def answers():
    groups = []
    for version in KINDS:
        if "/" in version:
            group, number = version.split("/")
            this = {"groupVersion": version, "version": number}
            groups.append({"name": group, "versions": [this], "preferredVersion": this})
    found = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
    }
    for version in KINDS:
        found[f"/apis/{version}" if "/" in version else f"/api/{version}"] = resources(version)
    return found


class Handler(http.server.BaseHTTPRequestHandler):
    known = answers()

    def do_GET(self):
        answer = self.known.get(self.path.split("?")[0])
        body = answer or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        data = json.dumps(body).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def serve():
    """A running server; the caller shuts it down."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
