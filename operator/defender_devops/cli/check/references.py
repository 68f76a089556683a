"""Check whether the Secrets and service accounts that a manifest refers to exist. Their content is not read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.reasons import Reason
from defender_devops.cli.check.checks import Check
from defender_devops.cluster.client import KubernetesClient, api_path
from defender_devops.errors import KubernetesError, KubernetesNotFound

__all__ = ["reference_checks"]

_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_SUBJECT: Final = "Cluster"


async def reference_checks(
    connector: AzureDevOpsConnector, client: KubernetesClient, *, is_code_needed: bool
) -> list[Check]:
    """Return one check for each object that the spec refers to.

    Args:
        connector: connector to check.
        client: Kubernetes API client.
        is_code_needed: whether the one-time code is still needed.
    """
    namespace = connector.metadata.namespace
    checks = []
    for kind, field, name in _references(connector, is_code_needed=is_code_needed):
        label = f"{kind}/{name}"
        try:
            await client.get(api_path("v1", f"{kind.lower()}s", namespace, name), accept=_METADATA_ONLY)
        except KubernetesNotFound:
            message = f"There is no {kind} {name} in namespace {namespace}, which {field} refers to: create it."
            checks.append(Check(_SUBJECT, label, "False", Reason.CREDENTIALS_MISSING, message))
        except KubernetesError as error:
            checks.append(Check(_SUBJECT, label, "Unknown", str(error.reason), error.message))
        else:
            checks.append(Check(_SUBJECT, label, "True"))
    return checks


def _references(connector: AzureDevOpsConnector, *, is_code_needed: bool) -> Iterator[tuple[str, str, str]]:
    """Yield kind, field of the spec, and name of each referenced object."""
    spec = connector.spec
    if spec.authorization.code_secret_ref is not None and is_code_needed:
        yield "Secret", "spec.authorization.codeSecretRef", spec.authorization.code_secret_ref.name
    identity, sign_in = spec.azure.identity, spec.sign_in
    if identity is not None and identity.secret_ref is not None:
        yield "Secret", "spec.azure.identity.secretRef", identity.secret_ref.name
    if sign_in is not None and sign_in.client is not None and sign_in.client.secret_ref is not None:
        yield "Secret", "spec.signIn.client.secretRef", sign_in.client.secret_ref.name
    if sign_in is not None and sign_in.refresh_token_secret_ref is not None:
        yield "Secret", "spec.signIn.refreshTokenSecretRef", sign_in.refresh_token_secret_ref.name
    if identity is not None and identity.service_account_ref is not None:
        yield "ServiceAccount", "spec.azure.identity.serviceAccountRef", identity.service_account_ref.name
