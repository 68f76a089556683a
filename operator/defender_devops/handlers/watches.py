"""Runs kopf with settings for clusters behind load balancers, and with nothing of kopf's own written anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import kopf

from defender_devops.api.names import GROUP
from defender_devops.errors import KubernetesUnavailable
from defender_devops.handlers.events import EventReceiver, register

__all__ = ["Login", "watch"]

Login = Callable[[], Awaitable[kopf.ConnectionInfo]]
"""Gives the API server's address and a token that is good now; asked again whenever the server says 401."""


class _NoDiffs(kopf.DiffBaseStorage):
    """Compares nothing: kopf would copy every body as a whole, for change handlers that are not here."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:  # noqa: ARG002 - kopf's
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 - kopf's
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing is kept on the objects."""


async def watch(
    inbox: EventReceiver, login: Login, namespaces: tuple[str, ...], on_started: Callable[[], None]
) -> None:
    """Watch both resources until cancelled.

    kopf's own way to run would take every task of the event loop for one of its own and cancel it when it ends, and
    would take the signals; so its tasks are started and ended here.

    Args:
        inbox: where events go.
        login: gives the connection.
        namespaces: what to watch; none means all.
        on_started: called once kopf has started, to take the signals back.

    Raises:
        KubernetesUnavailable: a watch has ended for good; only a new start helps.
    """
    registry = kopf.OperatorRegistry()
    register(registry, inbox)

    @kopf.on.login(registry=registry)
    async def connection(**_: object) -> kopf.ConnectionInfo:
        return await login()

    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=_settings(scoped=bool(namespaces)),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
    )
    on_started()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        causes = [str(task.exception()) for task in done if not task.cancelled() and task.exception()]
        raise KubernetesUnavailable(f"Watching has ended: {'; '.join(causes) or 'for no known reason'}.")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _settings(*, scoped: bool) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # A watch that went silent behind a load balancer is noticed, and none is kept longer than it can be trusted.
    settings.watching.server_timeout = 270
    settings.watching.client_timeout = 280
    settings.watching.connect_timeout = 30
    settings.networking.request_timeout = 60
    # Reading CRDs and namespaces needs cluster-wide rights, which a scoped operator does not have.
    settings.scanning.disabled = scoped
    settings.posting.enabled = False
    # kopf strips a finalizer of its own name from objects that no handler of its needs: ours has another name.
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.diffbase_storage = _NoDiffs()
    # Asked at every event, for handlers that are not here; the default copies more.
    settings.persistence.progress_storage = kopf.StatusProgressStorage()
    return settings
