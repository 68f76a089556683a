"""Secrets and service accounts that a manifest names: whether they are there. What is in a Secret is not asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.reasons import Reason
from defender_devops.cli.check.checks import Check
from defender_devops.cluster.client import KubernetesClient, path
from defender_devops.errors import KubernetesError, KubernetesNotFound

__all__ = ["reference_checks"]

_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_SUBJECT: Final = "Cluster"


async def reference_checks(
    connector: AzureDevOpsConnector, client: KubernetesClient, *, waits_for_code: bool
) -> AsyncIterator[Check]:
    """One check for each object that the spec names.

    Args:
        connector: what is checked.
        client: the cluster.
        waits_for_code: whether the one-time code is still needed.
    """
    namespace = connector.metadata.namespace
    for field, name in _secrets(connector, waits_for_code=waits_for_code):
        yield await _exists(client, namespace, ("secrets", "Secret"), name, field)
    identity = connector.spec.azure.identity
    if identity is not None and identity.service_account_ref is not None:
        place = "spec.azure.identity.serviceAccountRef"
        kind = ("serviceaccounts", "ServiceAccount")
        yield await _exists(client, namespace, kind, identity.service_account_ref.name, place)


def _secrets(connector: AzureDevOpsConnector, *, waits_for_code: bool) -> Iterator[tuple[str, str]]:
    """Field and name of each Secret that is needed."""
    spec = connector.spec
    if spec.authorization.code_secret_ref is not None and waits_for_code:
        yield "spec.authorization.codeSecretRef", spec.authorization.code_secret_ref.name
    if spec.azure.identity is not None and spec.azure.identity.secret_ref is not None:
        yield "spec.azure.identity.secretRef", spec.azure.identity.secret_ref.name
    sign_in = spec.sign_in
    if sign_in is not None and sign_in.client is not None and sign_in.client.secret_ref is not None:
        yield "spec.signIn.client.secretRef", sign_in.client.secret_ref.name
    if sign_in is not None and sign_in.refresh_token_secret_ref is not None:
        yield "spec.signIn.refreshTokenSecretRef", sign_in.refresh_token_secret_ref.name


async def _exists(client: KubernetesClient, namespace: str, kind: tuple[str, str], name: str, field: str) -> Check:
    plural, word = kind
    what = f"{word}/{name}"
    try:
        await client.get(path("v1", plural, namespace, name), accept=_METADATA)
    except KubernetesNotFound:
        message = f"There is no {word} {name} in namespace {namespace}, which {field} names: create it."
        return Check(_SUBJECT, what, "False", Reason.CREDENTIALS_MISSING, message)
    except KubernetesError as error:
        return Check(_SUBJECT, what, "Unknown", str(error.reason), error.message)
    return Check(_SUBJECT, what, "True")
