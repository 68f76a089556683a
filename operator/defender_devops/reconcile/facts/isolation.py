"""Finds the organizations with which an evaluation of a snapshot raises, so that they do not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from defender_devops.api.organization import DevOpsOrganization
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot

__all__ = ["Isolated", "OrganizationFailure", "isolate"]

T = TypeVar("T")

OrganizationFailure = tuple[DevOpsOrganization, Exception]
"""An organization, and the unexpected exception that it causes."""


@dataclass(frozen=True, slots=True)
class Isolated(Generic[T]):
    """The result of an evaluation.

    Attributes:
        result: what the evaluation returned.
        snapshot: what was evaluated.
        failed: the organizations that are missing from that snapshot.
    """

    result: T
    snapshot: ConnectorSnapshot
    failed: tuple[OrganizationFailure, ...] = ()


def isolate(snapshot: ConnectorSnapshot, evaluate: Callable[[ConnectorSnapshot], T]) -> Isolated[T]:
    """Evaluate a snapshot, if necessary without the organizations with each of which alone the evaluation raises.

    Raises:
        Exception: of the evaluation, where no single organization is the cause.
    """
    try:
        return Isolated(evaluate(snapshot), snapshot)
    except Exception as error:  # noqa: BLE001 - any: the evaluation is a pure function
        failed = tuple(_failures(snapshot, evaluate))
        causes = {organization.metadata.uid for organization, _ in failed}
        remaining = tuple(item for item in snapshot.organizations if item.metadata.uid not in causes)
        reduced = replace(snapshot, organizations=remaining)
        try:
            return Isolated(evaluate(reduced), reduced, failed)
        except Exception:  # noqa: BLE001 - no organization alone is the cause
            raise error from None


def _failures(
    snapshot: ConnectorSnapshot, evaluate: Callable[[ConnectorSnapshot], object]
) -> Iterator[OrganizationFailure]:
    for organization in snapshot.organizations:
        try:
            evaluate(replace(snapshot, organizations=(organization,)))
        except Exception as error:  # noqa: BLE001 - any: the evaluation is a pure function
            yield organization, error
