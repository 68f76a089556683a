"""The acceptance kit against a simulated cloud without sockets, whose clock is moved where the kit waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from acceptance.checks import Probe, Verdict
from acceptance.command import PUBLIC_ADDRESSES, all_probes, create_report
from acceptance.report import Report
from acceptance.running import Row, run_probes
from acceptance.session.session import Session
from acceptance.session.tokens import Tokens
from acceptance.tenant import Tenant
from acceptance.tenant_file import TenantFile
from defender_devops.clock import Clock
from sandbox.cloud.world.load import DEFAULT_WORLD
from sandbox.cloud.world.schema import WorldFile
from tests.sandbox.cloud.direct import Direct

APPLICATION = "acceptance-kit"
HOUR = 3600.0
ADDRESSES = {service: f"https://{service.lower()}.test" for service in PUBLIC_ADDRESSES}

FILE: dict[str, Any] = {
    "tenant": "11111111-1111-1111-1111-111111111111",
    "subscription": "22222222-2222-2222-2222-222222222222",
    "resourceGroup": "Rg-DevOps-Security",
    "connector": "Contoso-Main",
    "organization": "Contoso-Retail",
    "connectorWithoutOrganizations": "contoso-moved",
    "organizationNotAdministered": "fabrikam",
    "organizationWithoutCodeSearch": "northwind",
    "unregisteredSubscription": "33333333-3333-3333-3333-333333333333",
    "forbiddenSubscription": "44444444-4444-4444-4444-444444444444",
    "hasSecurityRole": False,
}
WRITES: dict[str, Any] = {"expendableConnector": "trial", "deleteExpendableConnector": True}


@cache
def world_document() -> dict[str, Any]:
    """Return the world of the acceptance kit."""
    document: dict[str, Any] = yaml.safe_load((DEFAULT_WORLD.parent / "acceptance.yaml").read_text(encoding="utf-8"))
    return document


@dataclass
class DirectTokens:
    """Tokens of a simulated cloud."""

    direct: Direct
    issued: list[str] = field(default_factory=list)

    async def token(self, audience: str) -> str:
        token = self.direct.token(APPLICATION, "arm" if audience == "arm" else "devops")
        self.issued.append(token)
        return token

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Result:
    """A run of the kit."""

    rows: list[Row]
    session: Session
    report: Report

    def by_verdict(self, verdict: Verdict) -> dict[str, str]:
        """Return the keys of the rows with a verdict, with what was observed and its evidence."""
        return {row.key: f"{row.observed} ({row.evidence})" for row in self.rows if row.verdict is verdict}


class TenantInMemory:
    """A simulated tenant some days after its connectors were created.

    Args:
        variants: chosen from the start.
        document: the world, by default that of the acceptance kit.
    """

    def __init__(self, variants: Mapping[str, str] | None = None, document: dict[str, Any] | None = None) -> None:
        world = {**(document or world_document()), "variants": dict(variants or {})}
        self.direct = Direct(WorldFile.parse(world))
        self.tokens = DirectTokens(self.direct)
        self.lost_since: datetime | None = None

    async def age(self) -> None:
        """Let two accounts lose their access after 27 hours, and move on by thirty hours."""
        self.direct.move(27 * HOUR, wall=27 * HOUR)
        await self.direct.control("PATCH", "/accounts/leaver@contoso.com", blocked=True)
        await self.direct.control("POST", "/accounts/mover@contoso.com/access", access=False)
        self.lost_since = datetime.fromtimestamp(self.direct.clock.wall(), UTC)
        self.direct.move(30 * HOUR, wall=30 * HOUR)
        await self.direct.control("DELETE", "/journal")

    def file(self, **changes: object) -> TenantFile:
        lost = {"lost": {"connector": "contoso-left", "since": self.lost_since.isoformat()}} if self.lost_since else {}
        document = {**FILE, **lost, **changes}
        return TenantFile.model_validate({name: value for name, value in document.items() if value is not None})

    async def run(self, *, write: bool = False, probes: tuple[Probe, ...] | None = None, **changes: object) -> Result:
        """Run the kit."""
        file = self.file(**((WRITES if write else {}) | changes))
        expendable = (file.subscription, file.resource_group, file.expendable_connector or "") if write else None
        transport = httpx.MockTransport(self.handle)
        return await run_kit(
            file, transport, self.tokens, self.clock(), expendable=expendable, probes=probes or all_probes(write=write)
        )

    def clock(self) -> Clock:
        async def sleep(seconds: float) -> None:
            self.direct.move(seconds, wall=seconds)

        return Clock(self.direct.clock.wall, self.direct.clock.wall, sleep)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        service = next(name for name, address in ADDRESSES.items() if urlsplit(address).hostname == request.url.host)
        # As the server does: the path is decoded, the query is not.
        url = f"{ADDRESSES[service]}{request.url.path}?{request.url.query.decode()}"
        answer = await self.direct.send(service, request.method, url, request.content, dict(request.headers))
        assert answer is not None
        return httpx.Response(answer.status, headers=answer.headers, content=answer.content)

    async def effects(self) -> list[str]:
        """Return the operations that changed something, except what the test did itself."""
        entries = (await self.direct.control("GET", "/journal", effective="true"))["entries"]
        return [entry["operation"] for entry in entries]


async def run_kit(
    file: TenantFile,
    transport: httpx.AsyncBaseTransport,
    tokens: Tokens,
    clock: Clock,
    *,
    expendable: tuple[str, str, str] | None,
    probes: tuple[Probe, ...],
) -> Result:
    """Run the kit over a transport."""
    async with httpx.AsyncClient(transport=transport, follow_redirects=False) as http:
        session = Session(http, ADDRESSES, tokens, clock, expendable)
        outcome = await run_probes(Tenant(file, session), probes)
    return Result(outcome.rows, session, create_report(file, outcome.rows, session, ADDRESSES))
