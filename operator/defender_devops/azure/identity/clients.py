"""The identity of a connector: its credential, its tokens and its client, shared by all that use the same one."""

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
from defender_devops.azure.identity.credentials import AUDIENCE, certificate, client_secret, federated, managed_identity
from defender_devops.azure.identity.grants import Grants
from defender_devops.azure.identity.operator_identity import Choice, OwnIdentity
from defender_devops.errors import CredentialsMissing, KubernetesNotFound, KubernetesRefused

__all__ = ["Identities", "OwnIdentity", "SecretReader", "ServiceAccountTokens"]


class SecretReader(Protocol):
    """Reads Secrets of the cluster."""

    async def __call__(self, namespace: str, name: str, key: str) -> SecretBytes | None:
        """The value of one key, or None where there is no such Secret or key.

        Raises:
            KubernetesError: it could not be read.
        """
        ...


class ServiceAccountTokens(Protocol):
    """Asks the API server for tokens of service accounts (TokenRequest)."""

    async def __call__(self, namespace: str, name: str, audience: str) -> SecretStr:
        """A token of a service account for an audience.

        Raises:
            KubernetesNotFound: there is no such service account.
            KubernetesError: there is none to be had.
        """
        ...


@dataclass(slots=True)
class _Entry:
    """A client and those who use it."""

    arm: ArmClient
    users: set[str]


class Identities:
    """Gives each connector the client of its identity.

    Args:
        session: what all clients share.
        grants: who may act as whom.
        own: the operator's own identity.
        secrets: reads Secrets.
        tokens: asks for tokens of service accounts.
    """

    def __init__(
        self,
        session: ArmSession,
        *,
        grants: Grants,
        own: OwnIdentity | None = None,
        secrets: SecretReader,
        tokens: ServiceAccountTokens,
    ) -> None:
        self._session = session
        self._grants = grants
        self._own = own or OwnIdentity(os.environ)
        self._secrets = secrets
        self._tokens = tokens
        self._entries: dict[tuple[str, ...], _Entry] = {}
        self._used_by: dict[str, tuple[str, ...]] = {}

    async def client(self, user: str, namespace: str, azure: Azure, *, going: bool = False) -> ArmClient:
        """The client for a connector, as its spec says.

        Args:
            user: uid of the resource; the client is closed when nobody uses it any more.
            namespace: of the resource.
            azure: its `spec.azure`.
            going: the resource is being deleted: where its Secret has gone before it, the credential that is in use
                still counts.

        Raises:
            CredentialsMissing: a grant, a Secret or a key of one is missing.
            KubernetesError: the Secret could not be read.
        """
        self._grants.require(namespace, azure)
        try:
            choice = await self._choose(namespace, azure)
        except CredentialsMissing:
            if going and (key := self._used_by.get(user)) is not None:
                return self._entries[key].arm
            raise
        entry = self._entries.get(choice.key)
        if entry is None:
            entry = self._entries[choice.key] = _Entry(self._connect(azure.tenant_id, choice), set())
        entry.users.add(user)
        before = self._used_by.get(user)
        self._used_by[user] = choice.key
        if before is not None and before != choice.key:
            await self._release(before, user)
        return entry.arm

    async def forget(self, user: str) -> None:
        """A resource is gone."""
        if (key := self._used_by.pop(user, None)) is not None:
            await self._release(key, user)

    async def _release(self, key: tuple[str, ...], user: str) -> None:
        entry = self._entries[key]
        entry.users.discard(user)
        if not entry.users:
            del self._entries[key]
            await entry.arm.close()

    async def close(self) -> None:
        """Close all clients, but not what they share."""
        entries, self._entries = self._entries, {}
        self._used_by.clear()
        for entry in entries.values():
            await entry.arm.close()

    def _connect(self, tenant_id: str, choice: Choice) -> ArmClient:
        client = choice.client_id or "system-assigned"
        return ArmClient(
            self._session,
            TokenSource(choice.build(), self._session.clock),
            principal=f"{tenant_id}/{client}".lower(),
            who=choice.who if choice.client_id is None else f"{choice.who} (client {choice.client_id})",
        )

    async def _choose(self, namespace: str, azure: Azure) -> Choice:
        identity, tenant_id = azure.identity, azure.tenant_id.lower()
        if identity is None:
            return self._own.choose(tenant_id)
        client = identity.client_id.lower() if identity.client_id else None
        if identity.type is IdentityType.MANAGED_IDENTITY:
            key = ("managed", tenant_id, client or "")
            return Choice(key, client, "the managed identity", lambda: managed_identity(tenant_id, client))
        if client is None:  # the CRD's rules require it
            raise CredentialsMissing("spec.azure.identity names no clientId: add the application (client) id.")
        if identity.type is IdentityType.WORKLOAD_IDENTITY:
            return self._by_service_account(namespace, tenant_id, client, identity)
        return await self._by_secret(namespace, tenant_id, client, identity)

    def _by_service_account(self, namespace: str, tenant_id: str, client: str, identity: Identity) -> Choice:
        if identity.service_account_ref is None:  # as above
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
                    f"The operator may not ask for tokens of service account {namespace}/{name}: its administrator "
                    "must name it in the chart's identityGrants (serviceAccountName)."
                ) from error

        subject = f"system:serviceaccount:{namespace}:{name}"
        key = ("federated", tenant_id, client, namespace, name)
        return Choice(key, client, f"service account {name}", lambda: federated(tenant_id, client, subject, assertion))

    async def _by_secret(self, namespace: str, tenant_id: str, client: str, identity: Identity) -> Choice:
        if identity.secret_ref is None:  # as above
            raise CredentialsMissing("spec.azure.identity names no Secret: add secretRef.")
        name, entry = identity.secret_ref.name, identity.secret_ref.key
        value = await self._secrets(namespace, name, entry)
        if value is None or not value.get_secret_value().strip():
            raise CredentialsMissing(
                f"Secret {namespace}/{name}, which spec.azure.identity names, does not exist or has nothing under the "
                f"key {entry}: create it, and the connector goes on by itself."
            )
        key = (identity.type, tenant_id, client, hashlib.sha256(value.get_secret_value()).hexdigest())
        if identity.type is IdentityType.CLIENT_CERTIFICATE:
            return Choice(key, client, f"Secret {name}", lambda: certificate(tenant_id, client, lambda: value))
        try:
            # A line break at the end, as editors and `echo` leave it, is never a part of a secret of Entra ID.
            secret = SecretStr(value.get_secret_value().decode().strip())
        except UnicodeDecodeError as error:
            raise CredentialsMissing(
                f"Secret {namespace}/{name} holds no text under the key {entry}: store the client secret as it is."
            ) from error
        return Choice(key, client, f"Secret {name}", lambda: client_secret(tenant_id, client, secret))
