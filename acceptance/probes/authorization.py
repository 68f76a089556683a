"""Probe `authorization`: connectors whose authorization does not work any more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from acceptance.checks import Check, Cost, Observation, Probe, agreement
from acceptance.probes.discovery import parse_time
from acceptance.session.answer import Answer, Inconclusive, text_of
from acceptance.session.session import ARM
from acceptance.tenant import Tenant, required
from acceptance.tenant_file import LostSection

__all__ = ["PROBE"]

_CLEANUP: Final = timedelta(hours=26)
_DISCOVERY_MAX: Final = timedelta(hours=10)
"""After which a discovery run, one in eight hours, has met the loss."""

_SETTLING: Final = timedelta(hours=1)
_OWN_DENIALS: Final = {"AuthorizationFailed", "InvalidAuthenticationToken", "ExpiredAuthenticationToken"}
_STATUSES: Final = {401: "unauthorized", 403: "forbidden", 500: "serverError"}
_BAD_REQUEST: Final = 400
_EXCHANGE_FAILED: Final = "TokenExchangeFailed"


def _lost(tenant: Tenant) -> LostSection:
    if tenant.file.lost is None:
        raise Inconclusive("needs lost in the tenant file")
    return tenant.file.lost


def _refusal(answer: Answer) -> Observation | None:
    """Return the form of a refusal; None where the answer is a success."""
    if answer.is_success:
        return None
    code = answer.error_code
    evidence = f"HTTP {answer.status} {code}".rstrip()
    if not code or code in _OWN_DENIALS:
        raise Inconclusive(evidence)
    if answer.status == _BAD_REQUEST:
        return Observation("tokenExchangeFailed" if code == _EXCHANGE_FAILED else "badRequest", evidence)
    if answer.status not in _STATUSES:
        raise Inconclusive(evidence)
    return Observation(_STATUSES[answer.status], evidence)


async def _available_after_loss(tenant: Tenant) -> Observation:
    name = _lost(tenant).connector
    await tenant.configuration(name=name)  # without the right to read it, a refusal would show nothing
    answer = await tenant.available(name)
    items = [] if not answer.is_success else answer.values()
    return _refusal(answer) or Observation("stale" if items else "empty", f"HTTP 200 with {len(items)} organizations")


async def _available_without_organizations(tenant: Tenant) -> Observation:
    name = required(tenant.file.connector_without_organizations, "connectorWithoutOrganizations")
    await tenant.configuration(name=name)
    answer = await tenant.available(name)
    if answer.is_success and answer.values():
        raise Inconclusive("the account is in organizations")
    return _refusal(answer) or Observation("empty", "HTTP 200 with an empty list")


async def _state_after_loss(tenant: Tenant) -> Observation:
    section = _lost(tenant)
    state = text_of(await tenant.configuration(name=section.connector), "properties", "provisioningState")
    if state == "Failed":
        return Observation("failed", "provisioningState Failed")
    if state != "Succeeded":
        raise Inconclusive("provisioningState is neither Succeeded nor Failed")
    moments = [
        moment
        for item in await tenant.organizations(section.connector)
        if (moment := parse_time(text_of(item, "properties", "provisioningStatusUpdateTimeUtc"))) is not None
    ]
    if not moments:
        raise Inconclusive("provisioningState is Succeeded, and the organizations have no time")
    if max(moments) > section.since:
        return Observation("refreshed", "Succeeded, the newest organization is newer than the loss")
    if _seconds_since(tenant, section) < _DISCOVERY_MAX.total_seconds():
        raise Inconclusive("still Succeeded; ten hours have to pass after the loss for a discovery run")
    return Observation("unchanged", "Succeeded, the newest organization is older than the loss")


async def _message(tenant: Tenant) -> Observation:
    configuration = await tenant.configuration(name=_lost(tenant).connector)
    if text_of(configuration, "properties", "provisioningState") != "Failed":
        raise Inconclusive("the configuration has not failed")
    message = text_of(configuration, "properties", "provisioningStatusMessage")
    if not message:
        return Observation("empty", "no message")
    if "oauth2/token" in message:
        return Observation("quoted", "the message quotes the request")
    return Observation("plain", "a message without the request")


def _seconds_since(tenant: Tenant, section: LostSection) -> float:
    """Return the age of the loss."""
    return tenant.session.clock.wall() - section.since.timestamp()


def _has_changed(rows: list[dict[str, Any]], since: datetime) -> bool:
    """Whether an assessment came or changed after a moment, with some time for what was under way."""
    moments = [
        parse_time(text_of(row, "status", name)) for row in rows for name in ("statusChangeDate", "firstEvaluationDate")
    ]
    return any(moment is not None and moment > since + _SETTLING for moment in moments)


async def _assessments_after_loss(tenant: Tenant) -> Observation:
    section = _lost(tenant)
    # Of the connector that works: without them, missing ones would show nothing.
    is_anything_moving = _has_changed(await tenant.assessments(), section.since)
    rows = await tenant.assessment_rows(section.connector)
    if _has_changed(rows, section.since):
        return Observation("moving", "an assessment changed after the loss")
    is_over = _seconds_since(tenant, section) >= _CLEANUP.total_seconds()
    if not rows and not is_over:
        raise Inconclusive("no assessment; more than a day has to pass after the loss")
    if not rows:
        return Observation("vanish", "no assessment a day after the loss")
    undecided = (*(() if is_anything_moving else ("moving",)), *(() if is_over else ("vanish",)))
    control = "have" if is_anything_moving else "have not, either"
    evidence = f"{len(rows)} assessments, none changed after the loss; those of the working connector {control}"
    return Observation("stale", evidence, undecided)


async def _open_id(tenant: Tenant) -> Observation:
    path = f"/{tenant.file.tenant}/v2.0/.well-known/openid-configuration"
    body = (await tenant.session.get("authority", path, token=None)).object()
    if not text_of(body, "issuer"):
        raise Inconclusive("the answer names no issuer")
    names = {"authorization_endpoint", "token_endpoint", "device_authorization_endpoint", "jwks_uri"}
    return agreement(names <= body.keys(), f"{len(names & body.keys())} of {len(names)} endpoints")


async def _tenant_of_subscription(tenant: Tenant) -> Observation:
    body = (await tenant.session.get(ARM, tenant.subscription_path(), {"api-version": "2022-12-01"})).object()
    holds = text_of(body, "tenantId").lower() == tenant.file.tenant.lower()
    return agreement(holds, "the subscription is in the tenant" if holds else "the subscription names another tenant")


PROBE: Final = Probe(
    "authorization",
    "the connectors of `lost` and `connectorWithoutOrganizations`, the subscription, the public endpoints of Entra ID",
    Cost(reads=6, writes=2, queries=4),
    (
        Check(
            "listAvailable answers 400 TokenExchangeFailed", _available_after_loss, "listAvailableWithoutAuthorization"
        ),
        Check(
            "listAvailable answers 400 TokenExchangeFailed",
            _available_without_organizations,
            "listAvailableWithoutOrganizations",
        ),
        Check("an authorization stops working with the account", _state_after_loss, "provisioningAfterLoss"),
        Check("a failed create keeps the resource", _message, "tokenExchangeMessage"),
        Check(
            "without access to an organization its assessments",
            _assessments_after_loss,
            "assessmentsWithoutAuthorization",
        ),
        Check("OpenID configuration, keys", _open_id),
        Check("AuthorizationFailed, RequestDisallowedByPolicy", _tenant_of_subscription),
    ),
    requirements=(Tenant.require_resource_graph,),
)
