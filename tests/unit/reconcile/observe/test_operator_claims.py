"""Which of several installations of the operator manages a connector: at most one, and never nobody for long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.names import ANNOTATION_OPERATOR, FINALIZER
from defender_devops.errors import KubernetesConflict, KubernetesError, KubernetesNotFound, KubernetesRefused
from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.reconcile.observe.operator_claims import Installation, OperatorClaims

KEY = Key("security", "contoso")
ONE, TWO = Installation("one/operator", "one/operator"), Installation("two/operator", "two/operator")
RENAMED = Installation(ONE.name, "two/operator")


@dataclass
class Cluster:
    """A connector and the leases of all installations."""

    now: float = 0.0
    operator: dict[str, str] | None = None
    annotation: str = ""
    has_finalizer: bool = True
    leases: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: KubernetesError | None = None
    lease_reads: int = 0
    claims: int = 0

    def body(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {"namespace": KEY.namespace, "name": KEY.name, "uid": "1"}
        metadata["finalizers"] = [FINALIZER] if self.has_finalizer else []
        metadata["annotations"] = {ANNOTATION_OPERATOR: self.annotation} if self.annotation else {}
        return {"metadata": metadata, "status": {"operator": self.operator} if self.operator else {}}

    def renew(self, installation: Installation) -> None:
        self.leases[installation.lease] = {"holderIdentity": "pod", "renewTime": self.now}

    def installation(self, installation: Installation) -> OperatorClaims:
        cluster = cast("Any", self)
        return OperatorClaims(installation, cluster, cluster, cluster, lambda: self.now)

    # What Connectors, Leases and WriteThrough offer.

    async def claim(self, live: Mapping[str, Any], claim: Mapping[str, str]) -> dict[str, Any]:
        if live["status"].get("operator") != self.operator:
            raise KubernetesConflict("claimed meanwhile")
        self.operator = dict(claim)
        self.claims += 1
        return self.body()

    async def read(self, namespace: str, name: str) -> Mapping[str, Any]:
        self.lease_reads += 1
        if self.error is not None:
            raise self.error
        try:
            return dict(self.leases[f"{namespace}/{name}"])
        except KeyError:
            raise KubernetesNotFound("no lease") from None

    def connector(self, body: Mapping[str, Any]) -> None:
        assert body == self.body()


async def test_a_connector_without_a_claim_is_claimed_once() -> None:
    cluster = Cluster()
    claims = cluster.installation(ONE)
    for _ in range(3):
        assert await claims.manages(KEY, cluster.body())
    assert cluster.operator == {"name": ONE.name, "lease": ONE.lease}
    assert (cluster.claims, cluster.lease_reads) == (1, 0), "at rest nothing is read or written"


async def test_a_new_connector_is_claimed_with_its_finalizer_and_not_by_a_write_of_its_own() -> None:
    cluster = Cluster(has_finalizer=False)
    assert await cluster.installation(ONE).manages(KEY, cluster.body())
    assert cluster.claims == 0
    cluster.has_finalizer, cluster.annotation = True, ONE.annotation
    cluster.renew(ONE)
    assert not await cluster.installation(TWO).manages(KEY, cluster.body())
    assert await cluster.installation(ONE).manages(KEY, cluster.body())
    assert (cluster.claims, cluster.operator) == (0, None)


@pytest.mark.parametrize("spec", [{"suspend": True}, {"managementPolicy": "Observe"}])
async def test_a_connector_without_a_finalizer_is_claimed_in_its_status(spec: dict[str, Any]) -> None:
    cluster = Cluster(has_finalizer=False)
    assert await cluster.installation(ONE).manages(KEY, {**cluster.body(), "spec": spec})
    assert cluster.operator == ONE.status()


async def test_the_status_counts_more_than_the_annotation() -> None:
    cluster = Cluster(operator=ONE.status(), annotation=TWO.annotation)
    cluster.renew(ONE)
    cluster.renew(TWO)
    assert await cluster.installation(ONE).manages(KEY, cluster.body())
    assert not await cluster.installation(TWO).manages(KEY, cluster.body())


@pytest.mark.parametrize("annotation", ["x", " ", "no-namespace name", "one/operator ", "/ "])
async def test_an_annotation_that_is_no_claim_is_ignored(annotation: str) -> None:
    cluster = Cluster(annotation=annotation)
    assert await cluster.installation(TWO).manages(KEY, cluster.body())
    assert cluster.operator == TWO.status()


async def test_of_two_that_claim_at_once_one_gets_a_conflict() -> None:
    cluster = Cluster()
    body = cluster.body()
    assert await cluster.installation(ONE).manages(KEY, body)
    with pytest.raises(KubernetesConflict):
        await cluster.installation(TWO).manages(KEY, body)
    assert cluster.operator == {"name": ONE.name, "lease": ONE.lease}


async def test_the_second_writes_nothing_while_the_first_runs_and_says_so_once() -> None:
    cluster = Cluster()
    await cluster.installation(ONE).manages(KEY, cluster.body())
    second = cluster.installation(TWO)
    with structlog.testing.capture_logs() as lines:
        for _ in range(24):
            cluster.renew(ONE)
            for number in range(20):
                assert not await second.manages(Key("security", f"contoso-{number}"), cluster.body())
            cluster.now += 300
    assert [(line["log_level"], line["operator"]) for line in lines] == [("warning", ONE.name)]
    assert "watchNamespaces" in lines[0]["fix"]
    assert second.managed_elsewhere() == {ONE.name: 20}
    assert cluster.claims == 1
    assert cluster.lease_reads == 24, "one read of the lease for all connectors"


@pytest.mark.parametrize("lease", [{"holderIdentity": "pod", "renewTime": 1}, {"holderIdentity": "", "renewTime": 1}])
async def test_an_installation_that_stopped_is_succeeded_after_ten_minutes(lease: dict[str, Any]) -> None:
    cluster = Cluster(operator={"name": ONE.name, "lease": ONE.lease}, leases={ONE.lease: lease})
    second = cluster.installation(TWO)
    for _ in range(10):
        assert not await second.manages(KEY, cluster.body())
        cluster.now += 60
    assert await second.manages(KEY, cluster.body())
    assert cluster.operator == {"name": TWO.name, "lease": TWO.lease}
    assert second.managed_elsewhere() == {}


async def test_a_restart_of_the_first_is_not_its_end() -> None:
    cluster = Cluster(operator={"name": ONE.name, "lease": ONE.lease})
    second = cluster.installation(TWO)
    for minute in range(120):
        if minute % 9 == 0:
            cluster.renew(ONE)
        assert not await second.manages(KEY, cluster.body())
        cluster.now += 60


async def test_a_second_installation_that_was_frozen_reads_the_lease_before_it_decides() -> None:
    cluster = Cluster(operator={"name": ONE.name, "lease": ONE.lease})
    cluster.renew(ONE)
    second = cluster.installation(TWO)
    assert not await second.manages(KEY, cluster.body())
    cluster.now += 7200
    cluster.renew(ONE)
    assert not await second.manages(KEY, cluster.body())


async def test_an_installation_without_a_lease_no_longer_exists() -> None:
    cluster = Cluster(operator={"name": ONE.name, "lease": ONE.lease})
    assert await cluster.installation(TWO).manages(KEY, cluster.body())


@pytest.mark.parametrize("operator", [{}, {"name": "x"}, {"lease": "a/b"}, {"name": "x", "lease": "no-namespace"}])
async def test_a_claim_that_nobody_can_hold_is_none(operator: dict[str, str]) -> None:
    cluster = Cluster(operator=operator or None)
    assert await cluster.installation(TWO).manages(KEY, cluster.body())
    assert cluster.lease_reads == 0


@pytest.mark.parametrize(
    "lease",
    [
        *("../..", "one/..", "../operator", "one/", "/operator", "one/a/b", "One/operator", "one/a%2fb"),
        *("one/\x1b[2J", "one/" + "a" * 254, "a" * 64 + "/operator", "one/operator\n", "one/operat\u043er"),
    ],
)
async def test_a_claim_with_the_name_of_no_lease_causes_no_request_and_blocks_nothing(lease: str) -> None:
    cluster = Cluster(operator={"name": "evil", "lease": lease}, error=KubernetesRefused("forbidden"))
    assert await cluster.installation(TWO).manages(KEY, cluster.body())
    assert cluster.lease_reads == 0
    assert cluster.operator == {"name": TWO.name, "lease": TWO.lease}


@pytest.mark.parametrize(("length", "is_claim"), [(256, True), (257, False), (200_000, False)])
async def test_a_long_name_in_the_annotation_labels_no_metric(length: int, is_claim: bool) -> None:
    cluster = Cluster()
    cluster.renew(ONE)
    body = cluster.body()
    body["metadata"]["annotations"] = {ANNOTATION_OPERATOR: f"{ONE.lease} {'x' * length}"}
    second = cluster.installation(TWO)
    assert await second.manages(KEY, body) is not is_claim
    assert all(len(name) <= 256 for name in second.managed_elsewhere())
    assert len(second.managed_elsewhere()) == is_claim


@pytest.mark.parametrize("renew_time", ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "", None, 7, {}])
async def test_a_forged_time_in_a_lease_does_not_prolong_a_claim(renew_time: object) -> None:
    cluster = Cluster(operator={"name": ONE.name, "lease": ONE.lease})
    cluster.leases[ONE.lease] = {"holderIdentity": "pod", "renewTime": renew_time, "leaseDurationSeconds": 10**9}
    second = cluster.installation(TWO)
    assert not await second.manages(KEY, cluster.body())
    cluster.now += 300
    assert not await second.manages(KEY, cluster.body())
    cluster.now += 301
    assert await second.manages(KEY, cluster.body())


async def test_claims_of_ever_other_leases_fill_no_memory() -> None:
    cluster = Cluster(error=KubernetesRefused("forbidden"))
    second = cluster.installation(TWO)
    with structlog.testing.capture_logs():
        for number in range(2_000):
            cluster.operator = {"name": f"evil-{number}", "lease": f"one/lease-{number}"}
            assert not await second.manages(KEY, cluster.body())
            cluster.now += 10
    assert second.managed_elsewhere() == {"evil-1999": 1}
    assert len(second._observations) <= 121


async def test_a_lease_that_may_not_be_read_counts_as_renewed_and_the_log_has_the_way_out() -> None:
    cluster = Cluster(operator={"name": ONE.name, "lease": ONE.lease}, error=KubernetesRefused("forbidden"))
    second = cluster.installation(TWO)
    with structlog.testing.capture_logs() as lines:
        for _ in range(100):
            assert not await second.manages(KEY, cluster.body())
            cluster.now += 300
    assert f"settings.operatorName to {ONE.name}" in lines[0]["fix"]
    assert len(lines) == 1
    assert await cluster.installation(RENAMED).manages(KEY, cluster.body())


async def test_an_unreadable_lease_says_nothing_about_its_holder() -> None:
    cluster = Cluster(operator={"name": ONE.name, "lease": ONE.lease}, error=KubernetesError("unavailable"))
    with pytest.raises(KubernetesError):
        await cluster.installation(TWO).manages(KEY, cluster.body())
    assert cluster.claims == 0


async def test_installations_of_one_name_count_as_one_and_never_alternate() -> None:
    cluster = Cluster(operator={"name": ONE.name, "lease": ONE.lease})
    cluster.renew(ONE)
    former, renamed = cluster.installation(ONE), cluster.installation(RENAMED)
    for _ in range(12):
        assert await renamed.manages(KEY, cluster.body())
        assert await former.manages(KEY, cluster.body())
        cluster.now += 60
        cluster.renew(ONE)
    assert cluster.claims == 0
    for _ in range(12):
        assert await renamed.manages(KEY, cluster.body())
        cluster.now += 60
    assert cluster.operator == {"name": ONE.name, "lease": RENAMED.lease}
    assert cluster.claims == 1


async def test_a_deleted_connector_is_not_counted() -> None:
    cluster = Cluster(operator={"name": ONE.name, "lease": ONE.lease})
    cluster.renew(ONE)
    second = cluster.installation(TWO)
    await second.manages(KEY, cluster.body())
    second.forget(KEY)
    assert second.managed_elsewhere() == {}


@given(
    st.lists(
        st.tuples(st.sampled_from(["one", "two", "renew one", "renew two"]), st.integers(min_value=1, max_value=400)),
        max_size=60,
    )
)
async def test_only_a_renewed_installation_or_the_next_one_manages(steps: list[tuple[str, int]]) -> None:
    """Whatever the order: nobody takes over from an installation that was renewed within ten minutes."""
    cluster = Cluster()
    installations = {"one": cluster.installation(ONE), "two": cluster.installation(TWO)}
    renewed_at = {ONE.name: float("-inf"), TWO.name: float("-inf")}
    for step, seconds in steps:
        before = cluster.operator
        if step.startswith("renew"):
            installation = ONE if step.endswith("one") else TWO
            cluster.renew(installation)
            renewed_at[installation.name] = cluster.now
        else:
            manages = await installations[step].manages(KEY, cluster.body())
            assert cluster.operator is not None
            assert manages == (cluster.operator["name"] == f"{step}/operator")
        if before is not None and cluster.operator != before:
            assert cluster.now - renewed_at[before["name"]] >= 600
        cluster.now += seconds
