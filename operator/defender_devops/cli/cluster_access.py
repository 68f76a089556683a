"""The cluster that kubectl would use, and connectors in it by name."""

from __future__ import annotations

import difflib
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from defender_devops.api.names import API_VERSION, CONNECTOR, ORGANIZATION
from defender_devops.cli.cluster_target import Target
from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cluster.client import Body, KubernetesClient, path
from defender_devops.cluster.kubeconfig import CredentialsLoader
from defender_devops.cluster.user_actions import MANAGER, UserActions
from defender_devops.errors import KubernetesNotFound, KubernetesRefused

__all__ = ["Cluster", "connectors_url", "open_cluster", "organizations_url", "wrong_name"]

_TIMEOUT: Final = 20.0
_LISTED_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Cluster:
    """An open cluster. All methods raise KubernetesError.

    Attributes:
        client: the API, as whoever sits at the keyboard.
        namespace: to work in where no name says otherwise.
    """

    client: KubernetesClient
    namespace: str

    @property
    def user_actions(self) -> UserActions:
        """What a person does to connectors."""
        return UserActions(self.client)

    async def connectors(self, namespace: str | None) -> list[Body]:
        """All connectors of a namespace, or of all."""
        return [body async for body in self.client.items(connectors_url(namespace))]

    async def organizations(self, namespace: str | None) -> list[Body]:
        """All organizations of a namespace, or of all."""
        return [body async for body in self.client.items(organizations_url(namespace))]

    async def find(self, name: str) -> Body:
        """The connector of that name, which may have its namespace and a slash before it.

        Raises:
            CommandFailed: there is none; the message suggests what was meant.
        """
        namespace, _, plain = name.rpartition("/")
        namespace = namespace or self.namespace
        try:
            return await self.user_actions.get(namespace, plain)
        except KubernetesNotFound:
            raise CommandFailed(wrong_name(plain, namespace, await self._names(namespace))) from None

    async def _names(self, namespace: str) -> dict[str, list[str]]:
        """Names by namespace: of all where that is allowed."""
        try:
            bodies = await self.connectors(None)
        except KubernetesRefused:
            bodies = await self.connectors(namespace)
        names: defaultdict[str, list[str]] = defaultdict(list)
        for body in bodies:
            names[body["metadata"]["namespace"]].append(body["metadata"]["name"])
        return dict(names)


@asynccontextmanager
async def open_cluster(target: Target) -> AsyncIterator[Cluster]:
    """Connect as kubectl would.

    Raises:
        KubernetesError: there is no usable kubeconfig.
    """
    if target.kubeconfig is not None:
        os.environ["KUBECONFIG"] = str(target.kubeconfig)
    credentials_loader = CredentialsLoader(target.context)
    credentials = await credentials_loader.credentials()
    client = KubernetesClient(credentials_loader, timeout=_TIMEOUT, field_manager=MANAGER)
    try:
        yield Cluster(client, target.namespace or credentials.namespace or "default")
    finally:
        await client.close()


def connectors_url(namespace: str | None) -> str:
    """Where connectors are listed."""
    return path(API_VERSION, CONNECTOR.plural, namespace)


def organizations_url(namespace: str | None) -> str:
    """Where organizations are listed."""
    return path(API_VERSION, ORGANIZATION.plural, namespace)


def wrong_name(name: str, namespace: str, names: Mapping[str, Iterable[str]]) -> str:
    """What to say of a connector that is not there.

    Args:
        name: as it was typed.
        namespace: where it was looked for.
        names: connectors that there are, by namespace.
    """
    nothing = f"There is no connector {name} in namespace {namespace}"
    elsewhere = sorted(other for other, present in names.items() if name in present)
    if elsewhere:
        return f"{nothing}, but there is one in {elsewhere[0]}: add -n {elsewhere[0]}."
    here = sorted(names.get(namespace, ()))
    near = difflib.get_close_matches(name, here, n=1)
    if near:
        return f"{nothing}. Did you mean {near[0]}?"
    everywhere = {present: other for other, some in names.items() for present in some}
    near = difflib.get_close_matches(name, everywhere, n=1)
    if near:
        return f"{nothing}. Did you mean {everywhere[near[0]]}/{near[0]}?"
    return f"{nothing}. {_listed(here)}"


def _listed(names: list[str]) -> str:
    if not names:
        return "There is none at all in that namespace: name another one with -n."
    rest = f" and {len(names) - _LISTED_MAX} more" if len(names) > _LISTED_MAX else ""
    return f"There are: {', '.join(names[:_LISTED_MAX])}{rest}."
