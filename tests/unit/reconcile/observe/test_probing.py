"""How soon Defender is asked again which organizations are available."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest

from defender_devops.azure.identity.clients import ArmClients
from defender_devops.azure.resource_graph.pollers import ResourceGraphPollers
from defender_devops.reconcile.cache.connector_cache import ConnectorCaches
from defender_devops.reconcile.cache.drift_notifications import DriftNotifications
from defender_devops.reconcile.cache.posture_observations import PostureObservations
from defender_devops.reconcile.cache.resource_cache import ResourceCache
from defender_devops.reconcile.facts.snapshot import Timings
from defender_devops.reconcile.observe.cspm_plans import CspmPlans
from defender_devops.reconcile.observe.gatherer import Gatherer
from defender_devops.reconcile.observe.one_time_code import OneTimeCodes
from defender_devops.reconcile.observe.pipelines.observer import PipelineObserver
from defender_devops.reconcile.observe.sign_in import SignInObserver
from defender_devops.settings import Settings
from tests.unit.reconcile.builder import NOW, cloud_of, snapshot
from tests.unit.reconcile.cases import LISTED, OBSERVE, SELECTED
from tests.unit.reconcile.condition_cases import HELD, HELD_BY_NAME, TYPO

REFRESH, CHECK = timedelta(minutes=5), timedelta(minutes=10)

GATHERER = Gatherer(
    resources=ResourceCache(),
    clients=cast("ArmClients", None),
    pollers=cast("ResourceGraphPollers", None),
    drift_notifications=DriftNotifications(ConnectorCaches(), lambda _: None),
    posture=PostureObservations(lambda _: None, lambda: NOW),
    cspm_plans=CspmPlans(CHECK, lambda: NOW),
    codes=cast("OneTimeCodes", None),
    sign_ins=cast("SignInObserver", None),
    pipelines=cast("PipelineObserver", None),
    cluster_id="cluster-1",
    namespaces=None,
    timings=Timings(probe_interval=CHECK),
    refresh_interval=REFRESH,
    clock=lambda: NOW,
)
EXCLUDING = "spec: {organizations: {exclude: [fabrikam]}}"


@pytest.mark.parametrize(
    ("world", "soon"),
    [
        ((), False),
        ((SELECTED, LISTED), False),
        ((SELECTED, LISTED, "azure: {others: {tailspin: Held}}"), False),
        (("azure: {available: unknown}",), False),
        ((EXCLUDING, LISTED), True),
        ((EXCLUDING, LISTED, OBSERVE), False),
        ((TYPO, LISTED), True),
        ((HELD_BY_NAME,), True),
        ((HELD,), True),
        (("azure: {organizations: null, available: none}",), True),
    ],
    ids=[
        "all is well",
        "all that were named are there",
        "one that nobody wants is held elsewhere",
        "nobody answers",
        "new ones are ours to take in",
        "new ones are not ours to take in",
        "a named one is missing",
        "a named one is held elsewhere",
        "one of all is held elsewhere",
        "there is none at all",
    ],
)
def test_what_nothing_else_shows_is_asked_for_with_each_refresh(world: tuple[str, ...], *, soon: bool) -> None:
    current = snapshot(*world)
    since = NOW - (cloud_of(current).probed_at or NOW)
    assert GATHERER.requeue(current, None, None).requeue_after == ((REFRESH if soon else CHECK) - since).total_seconds()


def test_by_default_whatever_failed_is_tried_again_within_a_refresh() -> None:
    """Who takes the cause of a failure away need not touch the resource, nor wait for longer than that."""
    assert Settings().backoff_maximum <= Settings().refresh_interval
