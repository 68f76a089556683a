"""Runs kopf's watches of both resources, with settings for clusters behind load balancers.

Nothing of kopf's own is written to the objects.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import kopf
import structlog

from defender_devops.api.names import GROUP
from defender_devops.backoff import Backoff
from defender_devops.cluster.kubeconfig.credentials import Credentials, CredentialsLoader
from defender_devops.errors import KubernetesRefused, KubernetesUnavailable
from defender_devops.handlers.events import EventReceiver, register_handlers
from defender_devops.text import printable

__all__ = ["watch_resources"]

_RESTART: Final = Backoff(initial=0.5, maximum=10.0)
_ENDS_MAX: Final = 6
_ENDS_PERIOD: Final = 600.0
"""Seconds in which the watches may not end that often: a permission that is missing is shown by the process's end."""

_CAUSE_MAX: Final = 400

_log: Final = structlog.get_logger(__name__)


class _NoDiffs(kopf.DiffBaseStorage):
    """Disables diffs: kopf would copy every body as a whole for change handlers, of which there are none here."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:  # noqa: ARG002 - kopf's
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 - kopf's
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing on the objects."""


async def watch_resources(
    receiver: EventReceiver,
    credentials_loader: CredentialsLoader,
    namespaces: tuple[str, ...],
    on_started: Callable[[], None],
) -> None:
    """Watch both resources until cancelled.

    kopf ends for good after an error that it does not expect, such as an ERROR event of a server whose cache is behind,
    or an empty list. It is started again then, and lists both kinds anew.

    kopf's own way to run takes every task of the event loop for one of its own and cancels it at the end, and installs
    signal handlers. Its tasks are started and ended here instead.

    Args:
        receiver: receives the events.
        credentials_loader: provides the connection to the API server.
        namespaces: namespaces to watch; an empty tuple means all.
        on_started: called once kopf has started, to install the operator's signal handlers again.

    Raises:
        KubernetesUnavailable: the watches have ended too often, and only a restart of the process helps.
        KubernetesRefused: the kubeconfig has a field that kopf does not support.
    """
    credentials = await credentials_loader.credentials()
    fields = {"as": credentials.impersonation, "tls-server-name": credentials.server_name}
    if unsupported := [name for name, value in fields.items() if value]:
        # Ignored, they would give the watches other permissions than the operator's other requests have.
        raise KubernetesRefused(
            f"The kubeconfig has {unsupported[0]}, which the operator's watches do not support (the command line "
            "does): use a kubeconfig without it."
        )
    registry = kopf.OperatorRegistry()
    register_handlers(registry, receiver)

    # kopf calls it again whenever the server answers 401.
    @kopf.on.login(registry=registry)
    async def log_in(**_: object) -> kopf.ConnectionInfo:
        return _connection_info(await credentials_loader.credentials(refused=True))

    # The causes are logged below, without the tracebacks of an outage.
    for name in ("kopf._core.reactor.orchestration", "kopf._core.reactor.running"):
        logging.getLogger(name).addFilter(_has_no_traceback)
    clock = asyncio.get_running_loop().time
    ends: deque[float] = deque(maxlen=_ENDS_MAX)
    while True:
        cause = await _run_watches(registry, namespaces, on_started)
        ends.append(clock())
        if len(ends) == _ENDS_MAX and ends[-1] - ends[0] < _ENDS_PERIOD:
            raise KubernetesUnavailable(f"A watch has ended: {cause}.")
        delay = _RESTART.delay(len(ends), 0.0)
        _log.warning("watches interrupted", cause=cause, retry_in=delay)
        await asyncio.sleep(delay)


async def _run_watches(
    registry: kopf.OperatorRegistry, namespaces: tuple[str, ...], on_started: Callable[[], None]
) -> str:
    """Run kopf until one of its tasks ends, and return the cause."""
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=_settings(scoped=bool(namespaces)),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
    )
    on_started()
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        causes = [task.exception() for task in ended if not task.cancelled()]
        return "; ".join(_describe(cause) for cause in causes if cause is not None) or "the cause is unknown"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _describe(cause: BaseException) -> str:
    return printable(f"{type(cause).__name__}: {cause}".removesuffix(": "))[:_CAUSE_MAX]


def _has_no_traceback(record: logging.LogRecord) -> bool:
    return record.exc_info is None


def _connection_info(credentials: Credentials) -> kopf.ConnectionInfo:
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_path=credentials.ca_file,
        insecure=credentials.insecure,
        token=credentials.token.get_secret_value() if credentials.token else None,
        certificate_path=credentials.certificate_file,
        private_key_path=credentials.key_file,
        proxy_url=credentials.proxy.url_with_credentials() if credentials.proxy else None,
    )


def _settings(*, scoped: bool) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # A watch that a load balancer cut silently ends after these time-outs, and a new one begins.
    settings.watching.server_timeout = 270
    settings.watching.client_timeout = 280
    settings.watching.connect_timeout = 30
    settings.networking.request_timeout = 60
    # By default kopf waits up to 21 s between two attempts: nobody sees an edit for so long after an outage.
    settings.networking.error_backoffs = (1, 1, 2, 3, *[5] * 10)
    # kopf keeps the body of an event until its object was idle for this long, and the whole list of a start at once:
    # with 6,000 objects a third of the process's memory, for events that are no news.
    settings.watching.chunk_size = 250
    settings.queueing.idle_timeout = 0.2
    # Reading CRDs and namespaces needs cluster-wide rights, which a scoped operator does not have.
    settings.scanning.disabled = scoped
    settings.posting.enabled = False
    # kopf removes its own finalizer from objects that none of its handlers needs, so that one has another name.
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.diffbase_storage = _NoDiffs()
    # Read at every event for handlers that do not exist here; the default storage copies more.
    settings.persistence.progress_storage = kopf.StatusProgressStorage()
    return settings
