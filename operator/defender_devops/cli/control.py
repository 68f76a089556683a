"""`reconcile`, `suspend`, `resume`: what a person asks of connectors in the cluster."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from defender_devops.api.conditions import is_true
from defender_devops.api.names import TRACKING_ANNOTATIONS, TRACKING_LABELS
from defender_devops.api.reasons import ConditionType
from defender_devops.cli.cluster_access import Cluster, connectors_url, open_cluster
from defender_devops.cli.cluster_target import Target
from defender_devops.cli.exit_codes import CommandFailed, ExitCode
from defender_devops.cli.output import note
from defender_devops.cli.status.lines import lines
from defender_devops.cli.status.view import views
from defender_devops.cluster.client import Body, with_query
from defender_devops.cluster.watch import watch_objects

__all__ = ["reconcile", "resume", "suspend"]


async def reconcile(target: Target, names: Sequence[str], *, wait: bool, timeout: float) -> ExitCode:  # noqa: ASYNC109 - a person's patience, in seconds
    """Ask for a look now; with `wait` until the operator has had it.

    Raises:
        OperatorError: the cluster does not let us.
        CommandFailed: there is no such connector, or the operator did not look in time.
    """
    async with open_cluster(target) as cluster:
        found = [await cluster.find(name) for name in names]
        moment = datetime.now(UTC).isoformat(timespec="microseconds")
        for body in found:
            namespace, name = _key(body)
            await cluster.user_actions.request_reconcile(namespace, name, moment)
            if not wait:
                sys.stdout.write(f"{namespace}/{name}: a look was asked for\n")
        looked = [await _looked_at(cluster, body, moment, timeout) for body in found] if wait else found
    if not wait:
        return ExitCode.OK
    sys.stdout.writelines(f"{line}\n" for line in lines(views(looked, [])))
    ready = all(is_true(view.status.conditions, ConditionType.READY) for view in views(looked, []))
    return ExitCode.OK if ready else ExitCode.NOT_OK


async def suspend(target: Target, names: Sequence[str]) -> ExitCode:
    """Set `spec.suspend`.

    Raises:
        OperatorError: the cluster does not let us.
        CommandFailed: there is no such connector.
    """
    async with open_cluster(target) as cluster:
        for body in [await cluster.find(name) for name in names]:
            await cluster.user_actions.suspend(*_key(body))
            _tell(body, "suspended: the operator leaves Azure alone", "suspend: true")
    return ExitCode.OK


async def resume(target: Target, names: Sequence[str]) -> ExitCode:
    """Take `spec.suspend` away.

    Raises:
        OperatorError: the cluster does not let us.
        CommandFailed: there is no such connector.
    """
    async with open_cluster(target) as cluster:
        for body in [await cluster.find(name) for name in names]:
            await cluster.user_actions.resume(*_key(body))
            _tell(body, "resumed", "suspend: false")
    return ExitCode.OK


async def _looked_at(cluster: Cluster, body: Body, moment: str, patience: float) -> Body:
    """The connector once the operator has answered the request of that moment."""
    namespace, name = _key(body)
    url = with_query(connectors_url(namespace), fieldSelector=f"metadata.name={name}")
    try:
        async with asyncio.timeout(patience):
            async for bodies in watch_objects(cluster.client, url):
                for each in bodies:
                    if (each.get("status") or {}).get("lastHandledReconcileAt") == moment:
                        return each
    except TimeoutError:
        pass
    raise CommandFailed(
        f"The operator has not looked at {namespace}/{name} within {patience:g} s: is it running, and does it watch "
        "that namespace?",
        ExitCode.NOT_OK,
    )


def _tell(body: Body, done: str, field: str) -> None:
    namespace, name = _key(body)
    sys.stdout.write(f"{namespace}/{name}: {done}\n")
    if _is_in_git(body["metadata"]):
        note(f"{namespace}/{name} comes from git: write {field} there too, or the next sync takes this back.")


def _is_in_git(metadata: dict[str, Any]) -> bool:
    """Whether the object carries the mark of a GitOps tool."""
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return not (TRACKING_LABELS.isdisjoint(labels) and TRACKING_ANNOTATIONS.isdisjoint(annotations))


def _key(body: Body) -> tuple[str, str]:
    return body["metadata"]["namespace"], body["metadata"]["name"]
