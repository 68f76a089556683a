"""The checks behind /livez and /readyz."""

from __future__ import annotations

from typing import Final

from defender_devops.app.leadership import Leadership
from defender_devops.app.secret_watches import SecretWatches
from defender_devops.telemetry.http_server import Probes

__all__ = ["Health"]

_WATCH_STALE_SECONDS: Final = 900.0
"""Seconds without an event of the API server after which the process is restarted. The watches' own time-outs are a
tenth of that, so the fault is in the process and not in the network."""


class Health:
    """The state that the kubelet's probes report.

    Attributes:
        is_synced: whether both kinds of resources were listed. Set by the operator.
        missing_crd: name of a CustomResourceDefinition that it waits for. Set by the operator.
    """

    def __init__(self, leadership: Leadership, watches: SecretWatches) -> None:
        self._leadership = leadership
        self._watches = watches
        self.is_synced = False
        self.missing_crd: str | None = None

    def probes(self) -> Probes:
        """Return the named checks of both probes."""
        return Probes(live={"watches": self._stale_watches}, ready={"work": self._not_ready})

    def _stale_watches(self) -> str | None:
        """Name the watches that fell silent. One that never had an event is not among them: a restart is no help."""
        stale = [name for name, seconds in self._watches.silence().items() if seconds > _WATCH_STALE_SECONDS]
        return f"no event for {_WATCH_STALE_SECONDS:.0f} s: {', '.join(stale)}" if stale else None

    def _not_ready(self) -> str | None:
        """Name what is missing; nothing for a standby replica, since a rollout would otherwise never complete."""
        if self.is_synced or self._leadership.is_standby:
            return None
        if self.missing_crd is not None:
            return f"the CustomResourceDefinition {self.missing_crd} is missing"
        return "resources are not listed yet" if self._leadership.is_leader() else "leadership is not determined yet"
