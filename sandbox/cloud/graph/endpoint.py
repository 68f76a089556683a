"""`POST /providers/Microsoft.ResourceGraph/resources`: queries, page by page."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from sandbox.cloud.arm.authorization.rights import Rights
from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError
from sandbox.cloud.defender.model import Connector
from sandbox.cloud.graph.errors import QueryError, semantic
from sandbox.cloud.graph.query import Query, Source, parse_query
from sandbox.cloud.graph.quota import Quota
from sandbox.cloud.graph.runtime import plain
from sandbox.cloud.graph.stage import TypeFilter
from sandbox.cloud.graph.tables import TABLES, GraphRow, Snapshot, scan_containers, scan_role_assignments
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.azure import Subscription

__all__ = ["ResourceGraph"]

_MOST_ROWS = 1000
_DEFAULT_ROWS = 100
_MOST_BYTES = 16_777_216
_KEPT_RESULTS = 8
_TOKEN_SECONDS = 60.0
"""Validity of skip tokens in the variant in which they expire."""

_READ_CONNECTOR = "Microsoft.Security/securityConnectors/read"
_READ_ASSESSMENTS = "Microsoft.Security/assessments/read"
_SECURITY_ROLES = ("Security Reader", "Security Admin")
_READ_SUBSCRIPTION = "Microsoft.Resources/subscriptions/read"
_READ_ROLES = "Microsoft.Authorization/roleAssignments/read"
_TIME: Final = re.compile(r"\b(?:now|ago)\b")
"""Functions whose value depends on the time of the request."""


@lru_cache(maxsize=64)
def _compiled(text: str) -> Query:
    """Return a query that does not depend on the time: operators repeat the same few, which take 2 ms to compile."""
    return parse_query(text, TABLES)


@dataclass(frozen=True, slots=True)
class _Result:
    """Rows of a query, stored for its next pages.

    Attributes:
        schema: the columns with their types.
        rows: values in the order of the columns.
        wall: time of the query.
        pageable: whether there are further pages: only if `id` is projected and the rows are ordered.
    """

    schema: dict[str, str]
    rows: list[tuple[Any, ...]]
    wall: float
    pageable: bool


class ResourceGraph:
    """Resource Graph, with the quota of each principal and the stored results of paged queries."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights
        self._quota = Quota()
        self._results: OrderedDict[str, _Result] = OrderedDict()
        self._numbers = itertools.count(1)

    async def answer(self, call: Call) -> Reply:
        """Answer a query. It is evaluated in a thread, over a snapshot of the world."""
        granted, headers = self._quota.spend(call.principal.object_id, call.world.clock.wall())
        if not granted and call.world.settings.throttling:
            raise _throttled(call, headers)
        try:
            return await self._answer(call, headers)
        except QueryError as error:
            raise ArmError(400, "BadRequest", _support(call), details=error.details, headers=headers) from error

    async def _answer(self, call: Call, headers: dict[str, str]) -> Reply:
        body = call.body()
        options = _Options.parse(body.get("options"))
        key, result = self._stored_result(call, options)
        if result is None:
            result = await self._evaluate(call, body)
        page = _page(options, call.world.settings.resource_graph_page_size, key, result)
        if "$skipToken" in page:
            self._results[key] = result
        while len(self._results) > _KEPT_RESULTS:
            self._results.popitem(last=False)
        reply = json_reply(page, headers=headers)
        if len(reply.body) > _MOST_BYTES:
            message = (
                f"Response payload size is {len(reply.body)}, and has exceeded the limit of {_MOST_BYTES}. Please "
                "consider querying less data at a time and make paginated call if needed."
            )
            raise QueryError({"code": "ResponsePayloadTooLarge", "message": message})
        return reply

    async def _evaluate(self, call: Call, body: dict[str, Any]) -> _Result:
        text = body.get("query")
        if not isinstance(text, str) or not text.strip():
            raise semantic("The query is empty.")
        query = _compiled(text) if _TIME.search(text) is None else parse_query(text, TABLES, call.world.clock.wall())
        source = self._source(call, self._subscriptions(call, body.get("subscriptions")))
        names = list(query.schema)
        # In a thread: a query over 100,000 rows would block all other requests.
        rows = await asyncio.to_thread(lambda: [tuple(map(row.__getitem__, names)) for row in query.rows(source)])
        paged = call.world.variants.is_chosen("resourceGraphPages", "skipToken")
        return _Result(
            query.schema, rows, call.world.clock.wall(), pageable=paged and "id" in query.schema and query.ordered
        )

    def _subscriptions(self, call: Call, requested: object) -> list[Subscription]:
        """Return the requested subscriptions, as far as they are in the tenant of the principal."""
        subscriptions = call.world.subscriptions
        if requested is not None and not isinstance(requested, list):
            raise QueryError({"code": "InvalidRequest", "message": "subscriptions must be a list."})
        names = list(subscriptions) if requested is None else [str(name).lower() for name in requested]
        selected = [
            subscriptions[name]
            for name in names
            if name in subscriptions and subscriptions[name].tenant_id == call.principal.tenant_id
        ]
        if not selected and requested is not None:
            message = (
                f"There must be at least one subscription that is eligible to contain resources. Given: '{names}'."
            )
            raise QueryError({"code": "NoValidSubscriptionsInQueryRequest", "message": message})
        return selected

    def _source(self, call: Call, subscriptions: list[Subscription]) -> Source:
        """Return a function that gives the rows of a table as the principal may read them."""
        world, lag = call.world, call.world.graph_lag
        identifiers = {subscription.id for subscription in subscriptions}
        may = self._rights.allows
        readable = [
            connector
            for connector in chain(world.connectors_with_lag(lag).values(), world.lingering_connectors())
            if connector.subscription_id in identifiers and may(world, call.principal, _READ_CONNECTOR, connector.id)
        ]
        moment = call.now - lag
        snapshot = Snapshot(world, readable, moment)
        readable_keys = self._with_readable_assessments(call, readable)

        def at(action: str) -> list[Subscription]:
            return [
                subscription
                for subscription in subscriptions
                if may(world, call.principal, action, f"/subscriptions/{subscription.id}")
            ]

        containers, assignments = at(_READ_SUBSCRIPTION), {subscription.id for subscription in at(_READ_ROLES)}
        has_children = world.settings.resource_graph_children
        tables: dict[str, Callable[[TypeFilter], Iterable[GraphRow]]] = {
            "resources": lambda _: snapshot.connectors(),
            "securityresources": lambda admits_type: chain(
                snapshot.children(admits_type) if has_children else (), snapshot.assessments(admits_type, readable_keys)
            ),
            "resourcecontainers": lambda _: scan_containers(containers),
            "authorizationresources": lambda _: scan_role_assignments(world, assignments, moment),
        }
        return lambda table, admits_type: tables[table](admits_type)

    def _with_readable_assessments(self, call: Call, connectors: list[Connector]) -> set[str]:
        """Return the keys of the connectors whose assessments the principal may read."""
        world, principal, rights = call.world, call.principal, self._rights
        if world.variants.is_chosen("assessmentRows", "absent"):
            return set()
        by_role = world.variants.is_chosen("assessmentRights", "securityRoles")
        return {
            connector.key
            for connector in connectors
            if rights.allows(world, principal, _READ_ASSESSMENTS, connector.id)
            and (not by_role or rights.has_role(world, principal, _SECURITY_ROLES, connector.id))
        }

    def _stored_result(self, call: Call, options: _Options) -> tuple[str, _Result | None]:
        """Return the stored result of a skip token.

        Raises:
            QueryError: unknown or expired token.
        """
        if options.result is None:
            return f"{call.principal.object_id}/{next(self._numbers)}", None
        result = self._results.get(options.result)
        # The key begins with the principal, so that no one can read the pages of another one.
        expires = call.world.variants.is_chosen("skipTokens", "minute")
        if result is not None and expires and call.world.clock.wall() > result.wall + _TOKEN_SECONDS:
            result = None
        if result is None or not options.result.startswith(f"{call.principal.object_id}/"):
            raise QueryError({"code": "InvalidSkipToken", "message": "The skip token is invalid or has expired."})
        return options.result, result


@dataclass(frozen=True, slots=True)
class _Options:
    """`options` of a request: page size, position, stored result, result format."""

    top: int
    skip: int
    result: str | None
    table: bool

    @classmethod
    def parse(cls, value: object) -> _Options:
        """Parse the options.

        Raises:
            QueryError: invalid value.
        """
        options = value if isinstance(value, dict) else {}
        top = options.get("$top")
        top = _DEFAULT_ROWS if top is None else top
        if not isinstance(top, int) or not 1 <= top <= _MOST_ROWS:
            raise QueryError({"code": "InvalidTop", "message": f"$top must be between 1 and {_MOST_ROWS}."})
        skip, result = int(options.get("$skip") or 0), None
        if options.get("$skipToken"):
            skip, result = _read_token(str(options["$skipToken"]))
        form = options.get("resultFormat") or "objectArray"
        if form not in ("objectArray", "table"):
            raise QueryError({"code": "InvalidResultFormat", "message": f"Unknown result format '{form}'."})
        return cls(top, skip, result, form == "table")


def _read_token(token: str) -> tuple[int, str]:
    try:
        content = json.loads(base64.b64decode(token))
        return int(content["$skip"]), str(content["$id"])
    except (ValueError, KeyError, TypeError) as error:
        raise QueryError({"code": "InvalidSkipToken", "message": "The skip token is invalid."}) from error


def _page(options: _Options, page_size: int, key: str, result: _Result) -> dict[str, Any]:
    """Return one page."""
    part = result.rows[options.skip : options.skip + min(options.top, page_size)]
    rows = [dict(zip(result.schema, map(plain, row), strict=True)) for row in part]
    following = options.skip + len(part)
    more = following < len(result.rows)
    body: dict[str, Any] = {
        "totalRecords": len(result.rows),
        "count": len(rows),
        "data": _as_table(rows, result.schema) if options.table else rows,
        "facets": [],
        "resultTruncated": "true" if more and not result.pageable else "false",
    }
    if more and result.pageable:
        token = json.dumps({"$id": key, "$skip": following})
        body["$skipToken"] = base64.b64encode(token.encode()).decode()
    return body


def _as_table(rows: list[dict[str, Any]], schema: dict[str, str]) -> dict[str, Any]:
    kinds = {"string": "string", "long": "integer", "real": "number", "bool": "boolean", "datetime": "datetime"}
    columns = [{"name": name, "type": kinds.get(kind, "object")} for name, kind in schema.items()]
    return {"columns": columns, "rows": [list(row.values()) for row in rows]}


def _support(call: Call) -> str:
    stamp = call.world.clock.stamp()
    return f"Please provide below info when asking for support: timestamp = {stamp}, correlationId = {uuid.uuid4()}."


def _throttled(call: Call, headers: dict[str, str]) -> ArmError:
    message = (
        "Client application has been throttled and should not attempt to repeat the request until an amount of time "
        "has elapsed. Please see https://aka.ms/resourcegraph-throttling for help."
    )
    details = [{"code": "RateLimiting", "message": message}]
    return ArmError(429, "RateLimiting", _support(call), details=details, headers=headers)
