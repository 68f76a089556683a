"""ARM clients, one for each identity, which all connectors with that identity share."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretBytes, SecretStr

from defender_devops.api.connector import Azure, Identity, IdentityType
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.arm.token_source import TokenSource
from defender_devops.azure.identity.credentials import (
    AUDIENCE,
    certificate_credential,
    client_secret_credential,
    federated_credential,
    managed_identity_credential,
)
from defender_devops.azure.identity.grants import Grants
from defender_devops.azure.identity.operator_identity import OperatorIdentity, ResolvedIdentity
from defender_devops.credentials.text import InvalidCredential, client_secret_text
from defender_devops.errors import CredentialsMissing, KubernetesNotFound, KubernetesRefused

__all__ = ["ArmClients", "OperatorIdentity", "SecretReader", "ServiceAccountTokens"]


class SecretReader(Protocol):
    """Reads Secrets of the cluster."""

    async def __call__(self, namespace: str, name: str, key: str, *, is_sent: bool = False) -> SecretBytes | None:
        """Return the value of one key, or None where there is no such Secret or key.

        Raises:
            CredentialsMissing: the value `is_sent` to Entra ID, and the Secret has the type of something else.
            KubernetesError: it could not be read.
        """
        ...


class ServiceAccountTokens(Protocol):
    """Requests tokens of service accounts from the API server (TokenRequest)."""

    async def __call__(self, namespace: str, name: str, audience: str) -> SecretStr:
        """Return a token of a service account for an audience.

        Raises:
            KubernetesNotFound: there is no such service account.
            KubernetesError: the token could not be requested.
        """
        ...


@dataclass(slots=True)
class _Entry:
    """A client, and the uids of the resources that use it."""

    arm: ArmClient
    uids: set[str]


class ArmClients:
    """Provides each connector with the client of its identity.

    Args:
        session: what all clients share.
        grants: which namespace may use which identity.
        operator_identity: the operator's own identity.
        secrets: reads Secrets.
        tokens: requests tokens of service accounts.
    """

    def __init__(
        self,
        session: ArmSession,
        *,
        grants: Grants,
        operator_identity: OperatorIdentity | None = None,
        secrets: SecretReader,
        tokens: ServiceAccountTokens,
    ) -> None:
        self._session = session
        self._grants = grants
        self._operator_identity = operator_identity or OperatorIdentity(os.environ)
        self._secrets = secrets
        self._tokens = tokens
        self._entries: dict[tuple[str, ...], _Entry] = {}
        self._key_by_uid: dict[str, tuple[str, ...]] = {}

    async def client(self, uid: str, namespace: str, azure: Azure, *, is_deleting: bool = False) -> ArmClient:
        """Return the client for a connector.

        Args:
            uid: of the resource; the client is closed with the last resource that uses it.
            namespace: of the resource.
            azure: its `spec.azure`.
            is_deleting: the resource is being deleted. Where its Secret was deleted first, the client in use remains.

        Raises:
            CredentialsMissing: a grant, a Secret or a key of one is missing.
            KubernetesError: the Secret could not be read.
        """
        self._grants.require(namespace, azure)
        try:
            identity = await self._resolve(namespace, azure)
        except CredentialsMissing:
            if is_deleting and (key := self._key_by_uid.get(uid)) is not None:
                return self._entries[key].arm
            raise
        entry = self._entries.get(identity.key)
        if entry is None:
            client = identity.client_id or "system-assigned"
            arm = ArmClient(
                self._session,
                TokenSource(identity.build(), self._session.clock),
                principal=f"{azure.tenant_id}/{client}".lower(),
                identity_name=f"{identity.name} (client {identity.client_id})" if identity.client_id else identity.name,
            )
            entry = self._entries[identity.key] = _Entry(arm, set())
        entry.uids.add(uid)
        previous_key = self._key_by_uid.get(uid)
        self._key_by_uid[uid] = identity.key
        if previous_key is not None and previous_key != identity.key:
            await self._release(previous_key, uid)
        return entry.arm

    async def release(self, uid: str) -> None:
        """Close the client of a deleted resource unless others use it."""
        if (key := self._key_by_uid.pop(uid, None)) is not None:
            await self._release(key, uid)

    async def _release(self, key: tuple[str, ...], uid: str) -> None:
        entry = self._entries[key]
        entry.uids.discard(uid)
        if not entry.uids:
            del self._entries[key]
            await entry.arm.close()

    async def close(self) -> None:
        """Close all clients, but not the session that they share."""
        entries, self._entries = self._entries, {}
        self._key_by_uid.clear()
        for entry in entries.values():
            await entry.arm.close()

    async def _resolve(self, namespace: str, azure: Azure) -> ResolvedIdentity:
        identity, tenant_id = azure.identity, azure.tenant_id.lower()
        if identity is None:
            return self._operator_identity.resolve(tenant_id)
        client = identity.client_id.lower() if identity.client_id else None
        if identity.type is IdentityType.MANAGED_IDENTITY:
            key = ("managed", tenant_id, client or "")
            return ResolvedIdentity(
                key, client, "the managed identity", lambda: managed_identity_credential(tenant_id, client)
            )
        if client is None:  # the CRD's rules require it
            raise CredentialsMissing("spec.azure.identity names no clientId: add the application (client) id.")
        if identity.type is IdentityType.WORKLOAD_IDENTITY:
            return self._from_service_account(namespace, tenant_id, client, identity)
        return await self._from_secret(namespace, tenant_id, client, identity)

    def _from_service_account(
        self, namespace: str, tenant_id: str, client: str, identity: Identity
    ) -> ResolvedIdentity:
        if identity.service_account_ref is None:  # the CRD's rules require it
            raise CredentialsMissing("spec.azure.identity names no service account: add serviceAccountRef.")
        name = identity.service_account_ref.name

        async def assertion() -> SecretStr:
            try:
                return await self._tokens(namespace, name, AUDIENCE)
            except KubernetesNotFound as error:
                raise CredentialsMissing(
                    f"There is no service account {name} in namespace {namespace}, which spec.azure.identity names."
                ) from error
            except KubernetesRefused as error:
                raise CredentialsMissing(
                    f"The operator may not request tokens of service account {namespace}/{name}: its administrator "
                    "must name it in the chart's identityGrants (serviceAccountName)."
                ) from error

        subject = f"system:serviceaccount:{namespace}:{name}"
        return ResolvedIdentity(
            ("federated", tenant_id, client, namespace, name),
            client,
            f"service account {name}",
            lambda: federated_credential(tenant_id, client, subject, assertion),
        )

    async def _from_secret(self, namespace: str, tenant_id: str, client: str, identity: Identity) -> ResolvedIdentity:
        if identity.secret_ref is None:  # the CRD's rules require it
            raise CredentialsMissing("spec.azure.identity names no Secret: add secretRef.")
        name, key_name = identity.secret_ref.name, identity.secret_ref.key
        is_sent = identity.type is IdentityType.CLIENT_SECRET
        value = await self._secrets(namespace, name, key_name, is_sent=is_sent)
        if value is None or not value.get_secret_value().strip():
            raise CredentialsMissing(
                f"Secret {namespace}/{name}, which spec.azure.identity names, does not exist or has no value under the "
                f"key {key_name}: create it, and the connector continues by itself."
            )
        key = (identity.type, tenant_id, client, hashlib.sha256(value.get_secret_value()).hexdigest())
        if identity.type is IdentityType.CLIENT_CERTIFICATE:
            source = f"Secret {namespace}/{name}, key {key_name}"
            return ResolvedIdentity(
                key,
                client,
                f"Secret {name}",
                lambda: certificate_credential(tenant_id, client, lambda: value, source=source, allow_pkcs12=False),
            )
        try:
            secret = client_secret_text(value)
        except InvalidCredential as error:
            raise CredentialsMissing(
                f"Secret {namespace}/{name}, key {key_name}, does not contain a client secret: {error}."
            ) from None
        return ResolvedIdentity(
            key, client, f"Secret {name}", lambda: client_secret_credential(tenant_id, client, secret)
        )
