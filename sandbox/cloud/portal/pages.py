"""The portal's pages: a summary of the world, and a form for each step that only a person can do."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from sandbox.cloud.defender.assessments import TITLES
from sandbox.cloud.world.azure import REGIONS

__all__ = ["MOST_ASSESSMENTS", "dialog", "portal", "show_code"]

MOST_ASSESSMENTS = 50
"""Recommendations on the page."""

_STYLE = """
body{font-family:'Segoe UI',sans-serif;margin:0;color:#1b1b1b;background:#faf9f8}
header{background:#0078d4;color:#fff;padding:12px 24px;font-size:18px}
main{padding:16px 24px;max-width:1100px}
table{border-collapse:collapse;width:100%;background:#fff;margin-bottom:24px}
th,td{border:1px solid #e1dfdd;padding:6px 10px;text-align:left;font-size:14px;vertical-align:top}
th{background:#f3f2f1}form{display:inline-block;margin:0 8px 6px 0}
button{padding:4px 10px;border:1px solid #0078d4;background:#fff;color:#0078d4;cursor:pointer}
button.main{background:#0078d4;color:#fff}.note{color:#605e5c;font-size:13px}.error{color:#a4262c}
code{word-break:break-all}input,select{padding:3px;margin-right:4px}
"""


def _page(title: str, content: str) -> bytes:
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><header>{escape(title)}</header><main>{content}"
        '<p class="note">A simulated cloud: nothing here reaches Azure.</p></main></body></html>'
    ).encode()


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(label)}</th>" for label in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _form(action: str, label: str, fields: str = "", **hidden: str) -> str:
    inputs = "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in hidden.items())
    return f'<form method="post" action="/portal/{action}">{inputs}{fields}<button>{escape(label)}</button></form>'


def portal(world: dict[str, Any], assessments: list[dict[str, Any]], problem: str | None) -> bytes:
    """Return the main page: accounts, organizations, connectors, recommendations."""
    complaint = f'<p class="error" role="alert">{escape(problem)}</p>' if problem else ""
    return _page(
        "Defender for Cloud – simulated portal",  # noqa: RUF001 - a dash between title and kind
        f"{complaint}<h2>Accounts</h2>{_accounts(world)}<h2>Azure DevOps organizations</h2>{_organizations(world)}"
        f"<h2>Connectors</h2>{_connectors(world)}<h2>Recommendations</h2>{_assessments(world, assessments)}",
    )


def _accounts(world: dict[str, Any]) -> str:
    rows = []
    for account in world["accounts"]:
        name = account["userPrincipalName"]
        state = "deleted" if account["deleted"] else "blocked" if account["blocked"] else "enabled"
        access = ", ".join(account["organizations"]) or "none"
        actions = (
            f'<form method="get" action="/portal/authorize"><input type="hidden" name="account" value="{escape(name)}">'
            "<button>Authorize Defender</button></form>"
            + _form("access", "Remove from organizations", account=name, access="false")
            + _form("access", "Restore access", account=name, access="true")
            + _form("block", "Unblock" if account["blocked"] else "Block", account=name)
        )
        rows.append((escape(name), state, escape(access), actions))
    return _table(("Account", "State", "Organizations", ""), rows)


def _organizations(world: dict[str, Any]) -> str:
    rows = []
    for organization in world["organizations"]:
        name, allowed = organization["name"], organization["thirdPartyOAuth"]
        policy = _form("policy", "Turn off" if allowed else "Turn on", organization=name)
        rows.append((escape(name), str(organization["projects"]), f"{'on' if allowed else 'off'} {policy}"))
    accounts = "".join(f"<option>{escape(account['userPrincipalName'])}</option>" for account in world["accounts"])
    tenants = "".join(f"<option>{escape(tenant['domain'])}</option>" for tenant in world["tenants"])
    fields = (
        '<input name="name" placeholder="name" required>'
        f'<select name="tenant">{tenants}</select>'
        f'<select name="account" title="administrator">{accounts}</select>'
        '<input name="project" placeholder="project" value="first-project">'
        '<input name="repositories" type="number" min="0" value="5" title="repositories" style="width:5em">'
    )
    return _table(("Organization", "Projects", "Third-party access via OAuth"), rows) + _form(
        "organization", "Add organization", fields
    )


def _connectors(world: dict[str, Any]) -> str:
    rows = []
    for connector in world["connectors"]:
        configuration = connector["configuration"] or {}
        organizations = configuration.get("organizations", {})
        rows.append(
            (
                escape(connector["id"]),
                escape(configuration.get("provisioningState") or "not configured"),
                escape(configuration.get("authorizedBy") or ""),
                escape(
                    ", ".join(
                        f"{name} ({organization['projects']} projects)" for name, organization in organizations.items()
                    )
                ),
                escape(configuration.get("message") or ""),
            )
        )
    accounts = "".join(f"<option>{escape(account['userPrincipalName'])}</option>" for account in world["accounts"])
    subscriptions = "".join(
        f'<option value="{escape(subscription["id"])}">{escape(subscription["name"])}</option>'
        for subscription in world["subscriptions"]
    )
    names = sorted({group for subscription in world["subscriptions"] for group in subscription["resourceGroups"]})
    groups = "".join(f"<option>{escape(name)}</option>" for name in names)
    regions = "".join(
        f"<option{' selected' if region == 'westeurope' else ''}>{escape(region)}</option>" for region in REGIONS
    )
    fields = (
        '<input name="name" placeholder="name" required>'
        f'<select name="subscription" title="subscription">{subscriptions}</select>'
        f'<select name="resourceGroup" title="resource group">{groups}</select>'
        f'<select name="location" title="location">{regions}</select>'
        f'<select name="account" title="authorizing account">{accounts}</select>'
        '<input name="organizations" placeholder="all organizations, future ones too" size="34">'
    )
    return _table(("Connector", "State", "Authorized by", "Organizations", "Message"), rows) + _form(
        "environment", "Add environment", fields
    )


def _assessments(world: dict[str, Any], assessments: list[dict[str, Any]]) -> str:
    rows = []
    for assessment in assessments[:MOST_ASSESSMENTS]:
        resource = "/".join(filter(None, (assessment[name] for name in ("organization", "project", "repository"))))
        healthy = assessment["status"] == "Healthy"
        action = _form(
            "resolve", "Reopen" if healthy else "Resolve", key=assessment["key"], resolved=str(not healthy).lower()
        )
        cells = (assessment["title"], assessment["severity"], assessment["category"], assessment["status"])
        rows.append((escape(resource), *map(escape, cells), action))
    more = f"<p>The first {MOST_ASSESSMENTS}.</p>" if len(assessments) > MOST_ASSESSMENTS else ""
    names = [organization["name"] for organization in world["organizations"]]
    organizations = "".join(f"<option>{escape(name)}</option>" for name in names)
    categories = "".join(f"<option>{escape(category)}</option>" for category in TITLES)
    fields = (
        f'<select name="organization" title="organization">{organizations}</select>'
        '<input name="project" placeholder="project"><input name="repository" placeholder="repository">'
        '<input name="title" placeholder="title" required>'
        '<select name="severity" title="severity"><option>Critical</option><option selected>High</option>'
        "<option>Medium</option><option>Low</option></select>"
        f'<select name="category" title="category, empty for a posture recommendation">{categories}</select>'
    )
    table = _table(("Resource", "Recommendation", "Severity", "Category", "Status", ""), rows)
    return table + more + _form("assessment", "Add recommendation", fields)


def dialog(account: str, connectors: list[str]) -> bytes:
    """Return the authorization dialog: authorizes a connector, or shows a one-time code."""
    options = "".join(f"<option>{escape(connector)}</option>" for connector in connectors)
    choose = f'<label>Connector <select name="connector">{options}</select></label>' if connectors else ""
    direct = (
        f'<form method="post" action="/portal/authorize"><input type="hidden" name="account" value="{escape(account)}">'
        f'{choose}<button class="main">Authorize this connector</button></form>'
        if connectors
        else "<p>There is no connector yet: take a code, and let the operator create one.</p>"
    )
    content = (
        f"<h2>Microsoft Defender for Cloud wants to access Azure DevOps as {escape(account)}</h2>"
        "<ul><li>Read source code and metadata</li><li>Annotate pull requests</li><li>Install extensions</li></ul>"
        f"{direct}{_form('code', 'Accept, and show the code', account=account)}"
        '<p><a href="/portal">Cancel</a></p>'
    )
    return _page("Authorize Defender for Cloud", content)


def show_code(account: str, code: str, digest: str, minutes: int) -> bytes:
    """Return the page with the one-time code, shown once."""
    content = (
        f"<h2>One-time code of {escape(account)}</h2><p>Valid for {minutes} minutes and one use.</p>"
        f'<p><code id="code">{escape(code)}</code></p><p class="note">SHA-256 {digest}</p>'
        '<p><a href="/portal">Back</a></p>'
    )
    return _page("Authorize Defender for Cloud", content)
