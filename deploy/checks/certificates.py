"""The two ways to the Secrets of the component mtls: `vpt certs` with secrets.sh, and certificates as cert-manager makes
them from the component cert-manager, here made by openssl to the same settings; real processes train with those."""

import base64
import os
import shutil

import yaml

import model
from day_two import Run
from report import Fault, Missing, must, run


def secrets(context):
    """secrets.sh writes every Secret, with every key, that pods with TLS mount."""
    context.need_binary()
    context.need_rendered()
    folder = context.work / "secrets"
    shutil.rmtree(folder, ignore_errors=True)
    run([context.vpt, "certs", "--out", folder])
    said = run([context.root / "deploy/k8s/components/mtls/secrets.sh", folder], env=os.environ | {"KUBECONFIG": "/dev/null"})
    made = {item["metadata"]["name"]: item["data"] for item in yaml.safe_load_all(said) if item}
    missing = []
    for pod in model.pods(context.rendered["base-relays-separate-mtls"]):
        for volume in pod.spec["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                name, keys = source["secret"]["name"], {item["key"] for item in source["secret"]["items"]}
                missing += [f"{pod.name}: Secret {name} has no {key}" for key in keys - made.get(name, {}).keys()]
    must(missing)
    if base64.b64decode(made["vpt-actor-tls"]["tls.crt"]) != (folder / "actor.pem").read_bytes():
        raise Fault("vpt-actor-tls does not hold the actor's certificate")
    return f"{len(made)} Secrets"


def authority(folder):
    """A self-signed authority, as the component's first Certificate asks for."""
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
         "/CN=vpt-ca", "-keyout", folder / "ca-key.pem", "-out", folder / "ca.pem"])


def issue(folder, certificate):
    """One certificate of the component, by its own settings; returns the role it is for."""
    spec = certificate["spec"]
    role = spec["secretName"].removeprefix("vpt-").removesuffix("-tls")
    usages = {"digital signature": "digitalSignature", "server auth": "serverAuth", "client auth": "clientAuth"}
    given = [usages[usage] for usage in spec["usages"]]
    extensions = folder / f"{role}.ext"
    extensions.write_text(
        f"subjectAltName=critical,{','.join('DNS:' + name for name in spec['dnsNames'])}\n"
        f"keyUsage=critical,{','.join(usage for usage in given if 'Auth' not in usage)}\n"
        f"extendedKeyUsage={','.join(usage for usage in given if 'Auth' in usage)}\nbasicConstraints=critical,CA:FALSE\n"
    )
    if spec["privateKey"] != {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"}:
        raise Fault(f"{role}: this check makes keys of another kind")
    # cert-manager leaves the subject empty where no name is asked for.
    run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/", "-keyout",
         folder / f"{role}-key.pem", "-out", folder / f"{role}.csr"])
    run(["openssl", "x509", "-req", "-in", folder / f"{role}.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca-key.pem",
         "-CAcreateserial", "-days", "30", "-extfile", extensions, "-out", folder / f"{role}.pem"])
    (folder / f"{role}-key.pem").chmod(0o600)
    return role


def cert_manager(context):
    context.need_rendered()
    if shutil.which("openssl") is None:
        raise Missing("openssl")
    with (trial := Run(context, "cert-manager")).processes:
        folder = trial.folder / "certs"
        folder.mkdir()
        authority(folder)
        certificates = [item for item in model.of_kind(context.rendered["prod"], "Certificate") if not item["spec"].get("isCA")]
        roles = [issue(folder, item) for item in certificates]
        (folder / "token").write_text(os.urandom(32).hex())
        (folder / "token").chmod(0o600)
        trial.certs = dict.fromkeys(roles, folder)
        for role in ("learner", "envserver", "actor"):
            trial.start(role)
        reached = trial.goes_on("training with certificates as cert-manager makes them")
        for role in ("actor", "envserver", "learner"):
            trial.processes.stop(role)
    return f"{len(roles)} roles, version {reached}"


CHECKS = [("Secrets from vpt certs", secrets), ("certificates as of cert-manager", cert_manager)]
