"""The cluster that kubectl would use, and connectors in it by name."""

from __future__ import annotations

import difflib
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from defender_devops.cli.cluster_target import ClusterTarget
from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cluster.client import Body, KubernetesClient
from defender_devops.cluster.connectors import connectors_path
from defender_devops.cluster.kubeconfig.credentials import CredentialsLoader
from defender_devops.cluster.organizations import organizations_path
from defender_devops.cluster.user_actions import MANAGER, UserActions
from defender_devops.errors import KubernetesError, KubernetesRefused

__all__ = ["Cluster", "not_found_message", "open_cluster", "require_organizations"]

_TIMEOUT: Final = 20.0
"""Seconds for one request."""

_LISTED_NAMES_MAX: Final = 8
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connected cluster. All methods raise KubernetesError.

    Attributes:
        client: Kubernetes API client with the user's permissions.
        namespace: namespace of names without one.
    """

    client: KubernetesClient
    namespace: str

    @property
    def user_actions(self) -> UserActions:
        """Actions of a person on connectors."""
        return UserActions(self.client)

    async def connectors(self, namespace: str | None) -> list[Body]:
        """Return all connectors of a namespace, or of all namespaces."""
        return [body async for body in self.client.items(connectors_path(namespace))]

    async def organizations(self, namespace: str | None) -> list[Body]:
        """Return all organizations of a namespace, or of all namespaces."""
        return [body async for body in self.client.items(organizations_path(namespace))]

    async def select(self, name: str | None, *, all_namespaces: bool) -> tuple[list[Body], list[Body]]:
        """Return the connectors that the options of a command select, and all organizations of their namespaces.

        Args:
            name: NAME or NAMESPACE/NAME of one connector; None for all.
            all_namespaces: whether all means those of every namespace.

        Raises:
            CommandFailed: there is none.
        """
        if name is not None:
            body = await self.find(name)
            return [body], await self.organizations(body["metadata"]["namespace"])
        namespace = None if all_namespaces else self.namespace
        bodies = await self.connectors(namespace)
        if not bodies:
            place = "this cluster" if namespace is None else f"namespace {namespace}"
            hint = "" if namespace is None else " Use -A for all namespaces."
            raise CommandFailed(f"There are no connectors in {place}.{hint}")
        return bodies, await self.organizations(namespace)

    async def find(self, name: str) -> Body:
        """Return the connector NAME or NAMESPACE/NAME.

        Raises:
            CommandFailed: it does not exist; the message suggests a similar name.
        """
        namespace, _, plain_name = name.rpartition("/")
        namespace = namespace or self.namespace
        try:
            return await self.user_actions.get(namespace, plain_name)
        except KubernetesError as error:
            # Without the CRDs the API server's response has no Status, and the list below says what is missing.
            if error.status != _NOT_FOUND:
                raise
        try:
            bodies = await self.connectors(None)
        except KubernetesRefused:  # no permission in other namespaces: suggest names of this one
            bodies = await self.connectors(namespace)
        names: defaultdict[str, list[str]] = defaultdict(list)
        for body in bodies:
            names[body["metadata"]["namespace"]].append(body["metadata"]["name"])
        raise CommandFailed(not_found_message(plain_name, namespace, names))


@asynccontextmanager
async def open_cluster(target: ClusterTarget) -> AsyncIterator[Cluster]:
    """Connect as kubectl would.

    Raises:
        KubernetesError: there is no usable kubeconfig.
    """
    if target.kubeconfig is not None:
        # The credentials loader reads its files from this variable, as kubectl does.
        os.environ["KUBECONFIG"] = str(target.kubeconfig)
    credentials_loader = CredentialsLoader(target.context)
    credentials = await credentials_loader.credentials()
    client = KubernetesClient(credentials_loader, timeout=_TIMEOUT, field_manager=MANAGER)
    try:
        yield Cluster(client, target.namespace or credentials.namespace or "default")
    finally:
        await client.close()


def require_organizations(names: Iterable[str], present: Iterable[str]) -> None:
    """Reject names of organizations that do not exist: their list would be empty.

    Args:
        names: names from the command line.
        present: names of existing organizations.

    Raises:
        CommandFailed: there is no such organization.
    """
    spelling = {name.lower(): name for name in present}
    for name in names:
        if name.lower() not in spelling:
            choices = ", ".join(sorted(spelling.values(), key=str.lower)) or "none"
            raise CommandFailed(f"No selected connector has an organization {name}. Existing organizations: {choices}.")


def not_found_message(name: str, namespace: str, names: Mapping[str, Iterable[str]]) -> str:
    """Return the message for a connector that does not exist.

    Args:
        name: name from the command line.
        namespace: namespace that was searched.
        names: names of existing connectors by namespace.
    """
    not_found = f"There is no connector {name} in namespace {namespace}"
    same_name = sorted(other for other, present in names.items() if name in present)
    if same_name:
        return f"{not_found}, but there is one in {same_name[0]}: add -n {same_name[0]}."
    names_here = sorted(names.get(namespace, ()))
    if similar := difflib.get_close_matches(name, names_here, n=1):
        return f"{not_found}. Did you mean {similar[0]}?"
    namespaces = {present: other for other, all_names in names.items() for present in all_names}
    if similar := difflib.get_close_matches(name, namespaces, n=1):
        return f"{not_found}. Did you mean {namespaces[similar[0]]}/{similar[0]}?"
    if not names_here:
        return f"{not_found}. The namespace has no connectors: select another one with -n."
    omitted = len(names_here) - _LISTED_NAMES_MAX
    listed = ", ".join(names_here[:_LISTED_NAMES_MAX]) + (f" and {omitted} more" if omitted > 0 else "")
    return f"{not_found}. Existing connectors: {listed}."
