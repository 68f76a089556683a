"""Probe `changes`: writes to the expendable connector, and the end of their operations. Runs with `--write` only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from acceptance.checks import Check, Cost, Observation, Probe, agreement
from acceptance.session.answer import Answer, Inconclusive, object_of, text_of
from acceptance.session.session import ARM
from acceptance.tenant import CONNECTOR_VERSION, DEVOPS_VERSION, Tenant, required

__all__ = ["Expendable", "changes_probe"]

_POLL_MAX: Final = 20.0
_OPERATION_MAX: Final = 1200.0
"""Seconds after which the kit does not wait for an operation any more."""

_ENDED: Final = {"Succeeded", "Failed", "Canceled"}
"""States of an operation that has ended."""

_EXPIRY: Final = 360.0
_LAG_STEP: Final = 10.0
_LAG_NONE_MAX: Final = 60.0
_LAG_MAX: Final = 900.0
_UNKNOWN_ORGANIZATION: Final = "acceptance-kit-unknown"
_BAD_REQUEST: Final = 400
_METHOD_NOT_ALLOWED: Final = 405
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_OK: Final = 200
_ACCEPTED: Final = 202
_NO_CONTENT: Final = 204
_OTHER_REGION: Final = "westus"
_PATCH_MAX: Final = 33.0
_TAG: Final = "acceptance-kit"
_TAGS_IN_GRAPH: Final = """\
resources
| where type =~ 'microsoft.security/securityconnectors'
| where id contains '/securityconnectors/{connector}'
| project id, tags
| order by id asc
"""


@dataclass
class Expendable:
    """The expendable connector, and what the checks remember of it for each other.

    Attributes:
        tags: its tags before the run.
        organizations: names of its organizations before the run.
        operation: address of an operation that has ended, with the time of its end.
        is_deleted: whether a check deleted it.
        is_changing: whether an operation may run that changes its configuration.
    """

    tags: dict[str, str] = field(default_factory=dict)
    organizations: list[str] = field(default_factory=list)
    operation: tuple[str, float] | None = None
    is_deleted: bool = False
    is_changing: bool = False

    async def read(self, tenant: Tenant) -> None:
        """Read it before the first change.

        Raises:
            Inconclusive: it cannot be read, or is not ready.
        """
        connector = (await tenant.arm(_path(tenant), CONNECTOR_VERSION, fresh=True)).object()
        if text_of(await tenant.configuration(name=_name(tenant)), "properties", "provisioningState") != "Succeeded":
            raise Inconclusive("the expendable connector is not in state Succeeded")
        tags = connector.get("tags")
        self.tags = {str(key): str(value) for key, value in tags.items()} if isinstance(tags, dict) else {}
        self.organizations = await _organizations(tenant)
        if not self.organizations:
            raise Inconclusive("the expendable connector has no organization")

    async def restore(self, tenant: Tenant) -> None:
        """Restore the tags and the selection of organizations.

        Raises:
            Inconclusive: Azure refuses that, or does not end it.
        """
        if self.is_deleted or not self.organizations:
            return
        await _write(tenant, "PATCH", "", {"tags": self.tags}, CONNECTOR_VERSION)
        # Where an operation runs, the list is that of before: it may become another one yet.
        if self.is_changing or sorted(await _organizations(tenant)) != sorted(self.organizations):
            await self.select(tenant, self.organizations)

    async def select(self, tenant: Tenant, names: list[str]) -> str:
        """Select these organizations and wait for the end; return the status of the operation."""
        properties = {"autoDiscovery": "Disabled", "topLevelInventoryList": names}
        answer = await self.change(tenant, "PATCH", "/devops/default", properties)
        waited = 0.0
        while answer.status == _CONFLICT and waited < _OPERATION_MAX:  # an earlier operation still runs
            await tenant.session.clock.sleep(_POLL_MAX)
            waited += _POLL_MAX
            answer = await self.change(tenant, "PATCH", "/devops/default", properties)
        return await self.wait(tenant, answer)

    async def change(self, tenant: Tenant, method: str, below: str, properties: Mapping[str, Any]) -> Answer:
        """Send a write whose operation ends later, and remember until then that it runs."""
        self.is_changing = True
        answer = await _write(tenant, method, below, {"properties": properties})
        self.is_changing = answer.is_success or answer.status == _CONFLICT
        return answer

    async def is_running(self, tenant: Tenant, answer: Answer) -> bool:
        """Whether the operation of an accepted write still runs."""
        link = answer.headers.get("azure-asyncoperation", "")
        if not answer.is_success or not link:
            return False
        return text_of((await tenant.session.follow(ARM, link)).object(), "status") not in _ENDED

    async def wait(self, tenant: Tenant, answer: Answer) -> str:
        """Wait until the operation of an accepted write has ended; return its status.

        Raises:
            Inconclusive: the write was refused, or the operation does not end.
        """
        if not answer.is_success:
            raise Inconclusive(f"{answer.operation}: HTTP {answer.status} {answer.error_code}".rstrip())
        link = answer.headers.get("azure-asyncoperation", "")
        clock = tenant.session.clock
        waited = 0.0
        while link and waited < _OPERATION_MAX:
            body = (await tenant.session.follow(ARM, link)).object()
            status = text_of(body, "status")
            if status in _ENDED:
                self.operation = (link, clock.wall())
                self.is_changing = False
                return status
            await clock.sleep(_POLL_MAX)
            waited += _POLL_MAX
        if link:
            raise Inconclusive(f"the operation has not ended after {_OPERATION_MAX / 60:.0f} minutes")
        raise Inconclusive("the answer names no operation")


def _name(tenant: Tenant) -> str:
    return required(tenant.file.expendable_connector, "expendableConnector")


def _path(tenant: Tenant) -> str:
    return tenant.connector_path(_name(tenant))


async def _write(
    tenant: Tenant,
    method: str,
    below: str,
    body: Mapping[str, Any] | None = None,
    version: str = DEVOPS_VERSION,
) -> Answer:
    """Send a write to the expendable connector, or to something below it."""
    return await tenant.session.send(method, ARM, f"{_path(tenant)}{below}", {"api-version": version}, body)


async def _organizations(tenant: Tenant) -> list[str]:
    """Return the names of the organizations of the expendable connector, read again."""
    answer = await tenant.arm(f"{_path(tenant)}/devops/default/azureDevOpsOrgs", fresh=True)
    return [name for item in answer.values() if (name := text_of(item, "name"))]


class _Changes:
    """The checks of one run, which share what they have changed."""

    def __init__(self) -> None:
        self.expendable = Expendable()

    async def _start(self, tenant: Tenant) -> Expendable:
        if not self.expendable.organizations:
            await self.expendable.read(tenant)
        return self.expendable

    async def errors(self, tenant: Tenant) -> Observation:
        await self._start(tenant)
        body = {"location": "westeurope", "tags": self.expendable.tags, "properties": {}}
        answer = await _write(tenant, "PUT", "", body, CONNECTOR_VERSION)
        if answer.status != _BAD_REQUEST:
            raise Inconclusive(f"HTTP {answer.status} for a connector without properties")
        if text_of(answer.json(), "errorMessage"):
            return Observation("own", "errorMessage")
        if answer.error_code:
            return Observation("arm", "error with a code")
        raise Inconclusive("an error of another shape")

    async def region(self, tenant: Tenant) -> Observation:
        await self._start(tenant)
        connector = (await tenant.arm(_path(tenant), CONNECTOR_VERSION)).object()
        body = {"location": _OTHER_REGION, "tags": self.expendable.tags, "properties": connector.get("properties")}
        answer = await _write(tenant, "PUT", "", body, CONNECTOR_VERSION)
        if not answer.error_code:
            raise Inconclusive(f"HTTP {answer.status} for a region without DevOps security")
        holds = answer.error_code == "LocationNotAvailableForResourceType"
        return agreement(holds, f"HTTP {answer.status} {answer.error_code}")

    async def duration(self, tenant: Tenant) -> Observation:
        started = tenant.session.clock.wall()
        await self.selection_ends(tenant)
        seconds = tenant.session.clock.wall() - started
        return agreement(seconds <= _PATCH_MAX + _POLL_MAX, f"a PATCH has ended after at most {seconds:.0f} s")

    async def tags(self, tenant: Tenant) -> Observation:
        await self._start(tenant)
        for tags in ({_TAG: "1", f"{_TAG}-2": "2"}, {_TAG: "3"}):
            answer = await _write(tenant, "PATCH", "", {"tags": tags}, CONNECTOR_VERSION)
            answer.object()
        connector = (await tenant.arm(_path(tenant), CONNECTOR_VERSION, fresh=True)).object()
        return agreement(connector.get("tags") == {_TAG: "3"}, "a second PATCH replaces the tags of the first")

    async def synchronous(self, tenant: Tenant) -> Observation:
        await self._start(tenant)
        answer = await _write(tenant, "PATCH", "", {"tags": {_TAG: "4"}}, CONNECTOR_VERSION)
        answer.object()
        holds = answer.status == _OK and "azure-asyncoperation" not in answer.headers
        return agreement(holds, f"PATCH: HTTP {answer.status}")

    async def graph_lag(self, tenant: Tenant) -> Observation:
        await self._start(tenant)
        value = f"{tenant.session.clock.wall():.0f}"
        (await _write(tenant, "PATCH", "", {"tags": {_TAG: value}}, CONNECTOR_VERSION)).object()
        waited = 0.0
        while waited <= _LAG_MAX:
            rows = (
                (await tenant.graph(tenant.query_below(_TAGS_IN_GRAPH, _name(tenant)), fresh=True)).object().get("data")
            )
            for row in rows if isinstance(rows, list) else []:
                if text_of(row, "id").lower() == _path(tenant).lower() and text_of(row, "tags", _TAG) == value:
                    return Observation("none" if waited <= _LAG_NONE_MAX else "minutes", f"after {waited:.0f} s")
            await tenant.session.clock.sleep(_LAG_STEP)
            waited += _LAG_STEP
        raise Inconclusive(f"the row does not show a tag after {_LAG_MAX / 60:.0f} minutes")

    async def child_body(self, tenant: Tenant) -> Observation:
        expendable = await self._start(tenant)
        remediation = {"state": "Disabled", "categoryConfigurations": [], "inheritFromParentState": "Disabled"}
        below = f"/devops/default/azureDevOpsOrgs/{quote(expendable.organizations[0], safe='')}"
        answer = await expendable.change(tenant, "PATCH", below, {"actionableRemediation": remediation})
        content = answer.object() if answer.content.strip() else {}
        names = {"id", "name", "type"} & content.keys()
        names |= {"provisioningState"} & object_of(content, "properties").keys()
        await expendable.wait(tenant, answer)
        holds = answer.status == _ACCEPTED and not names
        return agreement(holds, f"HTTP {answer.status}, with {len(names)} of the fields")

    async def polling(self, tenant: Tenant) -> Observation:
        await self.selection_ends(tenant)
        link, _ = self.expendable.operation or ("", 0.0)
        if not link:
            raise Inconclusive("no operation has ended")
        answer = await tenant.session.follow(ARM, link)
        answer.object()
        return agreement("retry-after" in answer.headers, f"HTTP {answer.status} after the end")

    async def selection_ends(self, tenant: Tenant) -> Observation:
        expendable = await self._start(tenant)
        properties = {"autoDiscovery": "Disabled", "topLevelInventoryList": expendable.organizations}
        answer = await expendable.change(tenant, "PATCH", "/devops/default", properties)
        started = tenant.session.clock.wall()
        status = await expendable.wait(tenant, answer)
        seconds = tenant.session.clock.wall() - started
        holds = answer.status == _ACCEPTED and "location" not in answer.headers and status == "Succeeded"
        return agreement(holds, f"HTTP {answer.status}, {status} after at most {seconds:.0f} s")

    async def inventory(self, tenant: Tenant) -> Observation:
        expendable = await self._start(tenant)
        if len(expendable.organizations) < 2:  # noqa: PLR2004 - one that stays, one that goes
            raise Inconclusive("the expendable connector needs two organizations")
        first = expendable.organizations[0]
        properties = {"autoDiscovery": "Disabled", "topLevelInventoryList": [first, _UNKNOWN_ORGANIZATION]}
        answer = await expendable.change(tenant, "PATCH", "/devops/default", properties)
        if answer.status == _BAD_REQUEST and answer.error_code:
            await expendable.select(tenant, [first])
            return Observation("refusesUnknown", f"HTTP {answer.status} for an unknown name")
        await expendable.wait(tenant, answer)
        names = await _organizations(tenant)
        if names == [first]:
            return Observation("replaces", "the other organizations are gone")
        if set(names) == set(expendable.organizations):
            return Observation("adds", "the other organizations are still there")
        raise Inconclusive("the list has other organizations than before")

    async def without_inventory(self, tenant: Tenant) -> Observation:
        expendable = await self._start(tenant)
        selected = set(await _organizations(tenant))
        available = {
            text_of(item, "name")
            for item in (await tenant.available(_name(tenant))).values()
            if text_of(item, "properties", "onboardingState") != "OnboardedByOtherConnector"
        }
        if not available - selected:
            raise Inconclusive("every organization of the account is selected already")
        answer = await expendable.change(tenant, "PATCH", "/devops/default", {"autoDiscovery": "Disabled"})
        await expendable.wait(tenant, answer)
        names = set(await _organizations(tenant))
        if names == selected:
            return Observation("keeps", "the selection is as before")
        return Observation("all", f"{len(names)} organizations in place of {len(selected)}")

    async def organization_put(self, tenant: Tenant) -> Observation:
        expendable = await self._start(tenant)
        below = f"/devops/default/azureDevOpsOrgs/{quote(expendable.organizations[-1], safe='')}"
        answer = await expendable.change(tenant, "PUT", below, {})
        if answer.status == _METHOD_NOT_ALLOWED:
            return Observation("refused", f"HTTP {answer.status}")
        await expendable.wait(tenant, answer)
        return Observation("onboards", f"HTTP {answer.status}")

    async def concurrent(self, tenant: Tenant) -> Observation:
        expendable = await self._start(tenant)
        properties = {"autoDiscovery": "Disabled", "topLevelInventoryList": expendable.organizations}
        answers = [await expendable.change(tenant, "PATCH", "/devops/default", properties) for _ in ("first", "second")]
        was_running = await expendable.is_running(tenant, answers[0])
        await expendable.wait(tenant, answers[0])
        if answers[1].status == _CONFLICT:
            return Observation("conflict", f"HTTP {answers[1].status} {answers[1].error_code}".rstrip())
        await expendable.wait(tenant, answers[1])
        evidence = f"HTTP {answers[1].status} for both"
        if was_running:
            return Observation("lastWins", evidence)
        return Observation("lastWins", f"{evidence}, but the first may have ended before the second", ("conflict",))

    async def without_code(self, tenant: Tenant) -> Observation:
        expendable = await self._start(tenant)
        properties = {"autoDiscovery": "Disabled", "topLevelInventoryList": expendable.organizations}
        answer = await expendable.change(tenant, "PUT", "/devops/default", properties)
        if answer.status == _BAD_REQUEST and answer.error_code:
            return Observation("refused", f"HTTP {answer.status}")
        status = await expendable.wait(tenant, answer)
        return Observation("reuses" if status == "Succeeded" else "fails", f"HTTP {answer.status}, then {status}")

    async def expiry(self, tenant: Tenant) -> Observation:
        await self._start(tenant)
        if self.expendable.operation is None:
            raise Inconclusive("no operation has ended")
        link, ended = self.expendable.operation
        clock = tenant.session.clock
        await clock.sleep(max(0.0, ended + _EXPIRY - clock.wall()))
        answer = await tenant.session.follow(ARM, link)
        if answer.status == _NOT_FOUND and answer.error_code:
            return Observation("expire", f"HTTP 404 after {_EXPIRY / 60:.0f} minutes")
        answer.object()
        return Observation("stay", f"HTTP {answer.status} after {_EXPIRY / 60:.0f} minutes")

    async def children(self, tenant: Tenant) -> Observation:
        expendable = await self._start(tenant)
        if not tenant.file.delete_expendable_connector:
            raise Inconclusive("needs deleteExpendableConnector: true in the tenant file")
        await expendable.restore(tenant)
        answer = await _write(tenant, "DELETE", "", version=CONNECTOR_VERSION)
        if answer.status == _CONFLICT and answer.error_code:
            await expendable.wait(tenant, await _write(tenant, "DELETE", "/devops/default"))
            self.deletion = await _write(tenant, "DELETE", "", version=CONNECTOR_VERSION)
            self.expendable.is_deleted = self.deletion.is_success
            return Observation("required", f"HTTP {answer.status} {answer.error_code}")
        if not answer.is_success:
            raise Inconclusive(f"HTTP {answer.status} for the deletion")
        self.deletion = answer
        self.expendable.is_deleted = True
        return Observation("deleted", f"HTTP {answer.status}")

    deletion: Answer | None = None

    async def deletion_answer(self, tenant: Tenant) -> Observation:
        if self.deletion is None or not self.deletion.is_success:
            raise Inconclusive("the expendable connector was not deleted")
        if self.deletion.status == _ACCEPTED:
            await tenant.session.clock.sleep(_POLL_MAX)
            return Observation("accepted", f"HTTP {_ACCEPTED}")
        answer = await tenant.arm(_path(tenant), CONNECTOR_VERSION, fresh=True)
        holds = self.deletion.status in {_OK, _NO_CONTENT} and answer.status == _NOT_FOUND
        return Observation("atOnce" if holds else "later", f"HTTP {self.deletion.status}, then {answer.status}")

    async def graph_deletion(self, tenant: Tenant) -> Observation:
        if not self.expendable.is_deleted:
            raise Inconclusive("the expendable connector was not deleted")
        waited = 0.0
        while waited <= _LAG_MAX:
            rows = (
                (await tenant.graph(tenant.query_below(_TAGS_IN_GRAPH, _name(tenant)), fresh=True)).object().get("data")
            )
            ids = {text_of(row, "id").lower() for row in rows} if isinstance(rows, list) else set()
            if isinstance(rows, list) and _path(tenant).lower() not in ids:
                return Observation("followed", f"its row is gone after {waited:.0f} s")
            await tenant.session.clock.sleep(_LAG_MAX / 15)
            waited += _LAG_MAX / 15
        return Observation("linger", f"its row is there after {_LAG_MAX / 60:.0f} minutes")


def changes_probe() -> Probe:
    """Return the probe with the state of one run."""
    changes = _Changes()
    return Probe(
        "changes",
        "the expendable connector and its organizations, before and after each change",
        Cost(reads=400, writes=25, queries=120, seconds=1800),
        (
            Check("the connector's own errors", changes.errors, "connectorErrors"),
            Check("regions of DevOps security", changes.region),
            Check("PATCH replaces the whole map of tags", changes.tags),
            Check("connector synchronous, 201/200", changes.synchronous),
            Check("delayed by exactly `resourceGraphLag`", changes.graph_lag, "graphLag"),
            Check("the 202 body of a child's PATCH", changes.child_body),
            Check("`devops/default`: PUT 201 then 200", changes.selection_ends),
            Check("PATCH without a code uses the existing authorization", changes.selection_ends),
            Check("polling always returns 200", changes.polling),
            Check("seconds: failed create", changes.duration),
            Check("two operations at once", changes.concurrent, "concurrentOperations"),
            Check("a changed list offboards organizations", changes.inventory, "inventoryPatch"),
            Check("the selection of organizations applies", changes.without_inventory, "patchWithoutInventory"),
            Check("PUT of an organization onboards", changes.organization_put, "organizationPut"),
            Check("PUT without a code on an existing configuration", changes.without_code, "putWithoutCode"),
            Check("polling always returns 200", changes.expiry, "operationResults"),
            Check("DELETE of a connector deletes its children", changes.children, "connectorChildren"),
            Check("DELETE of a connector deletes its children", changes.deletion_answer, "connectorDeletion"),
            Check("the children's properties are", changes.graph_deletion, "graphDeletions"),
        ),
        changes="tags, annotations and the selection of organizations of expendableConnector (every organization of "
        "its account is onboarded for a minute), a PUT without a code; with deleteExpendableConnector it is deleted",
        finish=changes.expendable.restore,
    )
