"""Keys, certificates, tokens and kubeconfigs of a cluster, created at its start."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = ["Credentials", "kubeconfig", "write_secret"]

_KEY_BITS = 2048
_CONTROLLER_MANAGER = "system:kube-controller-manager"


@dataclass(frozen=True)
class Credentials:
    """Files in the cluster's folder, and the two bearer tokens in tokens.csv.

    Attributes:
        ca: certificate authority of the API server.
        service_account_key: private RSA key that signs service account tokens; Entra ID accepts RS256 only.
    """

    ca: Path
    certificate: Path
    certificate_key: Path
    service_account_key: Path
    service_account_public_key: Path
    tokens: Path
    admin_token: str
    controller_manager_token: str

    @classmethod
    def create(cls, folder: Path) -> Credentials:
        """Create all credentials in `folder`."""
        credentials = cls(
            ca=folder / "ca.pem",
            certificate=folder / "apiserver.pem",
            certificate_key=folder / "apiserver.key",
            service_account_key=folder / "service-account.key",
            service_account_public_key=folder / "service-account.pub",
            tokens=folder / "tokens.csv",
            admin_token=secrets.token_urlsafe(32),
            controller_manager_token=secrets.token_urlsafe(32),
        )
        authority = trustme.CA(organization_name="sandbox cluster")
        issued = authority.issue_cert("localhost", "127.0.0.1", "kubernetes.default.svc", "10.0.0.1")
        authority.cert_pem.write_to_path(credentials.ca)
        issued.private_key_pem.write_to_path(credentials.certificate_key)
        for blob in issued.cert_chain_pems:
            blob.write_to_path(credentials.certificate, append=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_secret(credentials.service_account_key, private.decode())
        credentials.service_account_public_key.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        users = [
            (credentials.admin_token, "admin", "system:masters"),
            (credentials.controller_manager_token, _CONTROLLER_MANAGER, ""),
        ]
        write_secret(credentials.tokens, "".join(f'{token},{user},{user},"{group}"\n' for token, user, group in users))
        return credentials


def kubeconfig(server: str, ca: Path, *, token: str | None = None, token_file: Path | None = None) -> str:
    """Return a kubeconfig for one user, with a token or a token file."""
    user = {"token": token} if token_file is None else {"tokenFile": str(token_file)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": "sandbox", "user": user}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox"}}],
        "current-context": "sandbox",
    }
    return yaml.safe_dump(config, sort_keys=False)


def write_secret(path: Path, text: str) -> None:
    """Write a file with mode 0600 atomically."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(path)
