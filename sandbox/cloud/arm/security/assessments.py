"""GET assessments of a subscription, or of a resource below a connector."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import not_found
from sandbox.cloud.arm.paging import next_link, position_of
from sandbox.cloud.clock import short_time
from sandbox.cloud.defender.assessment_shape import AssessmentShape
from sandbox.cloud.defender.assessments import Result
from sandbox.cloud.defender.evaluations import connector_results, discovered_organizations
from sandbox.cloud.transport.message import Reply, json_reply

__all__ = ["get", "list_all"]

_TYPE = "Microsoft.Security/assessments"
_PAGE_SIZE = 1000


def list_all(call: Call) -> Reply:
    """GET the collection: the assessments of everything at and below the scope."""
    position = position_of(call.request)
    part = list(islice(_assessments(call), position, position + _PAGE_SIZE + 1))
    more = {"nextLink": next_link(call.request, position + _PAGE_SIZE)} if len(part) > _PAGE_SIZE else {}
    return json_reply({"value": part[:_PAGE_SIZE], **more})


def get(call: Call) -> Reply:
    """GET one of the resource.

    Raises:
        ArmError: 404 ResourceNotFound.
    """
    identifier = call.path.id.lower()
    assessment = next((item for item in _assessments(call) if item["id"].lower() == identifier), None)
    if assessment is None:
        raise not_found(f"{_TYPE}/{call.name}", call.path.group)
    return json_reply(assessment)


def _assessments(call: Call) -> Iterator[dict[str, Any]]:
    world, scope = call.world, f"{call.path.scope.lower()}/"
    with_category = world.variants.is_chosen("assessmentLists", "withCategory")
    shape = AssessmentShape(
        world.variants, lambda moment: short_time(world.clock.wall_of(moment)), with_category=with_category
    )
    for connector in list(world.connectors.values()):
        # The scope is above the connector, the connector, or below it.
        if not (f"{connector.key}/".startswith(scope) or scope.startswith(f"{connector.key}/")):
            continue
        organizations = discovered_organizations(world, connector, call.now)
        for organization, results in connector_results(world, connector, organizations, call.now):
            base = shape.organization_id(connector, organization)
            for result in results:
                resource = shape.resource_id(base, result)
                if f"{resource.lower()}/".startswith(scope):
                    yield _render(shape, resource, result)


def _render(shape: AssessmentShape, resource: str, result: Result) -> dict[str, Any]:
    return {
        "id": shape.assessment_id(resource, result),
        "name": result.key,
        "type": _TYPE,
        "properties": shape.properties(result, resource),
    }
