"""Generates the pages of docs/reference: fields from the CRDs; conditions, reasons and metrics from their definitions.

Usage: python docs/generate.py [--check]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from error_table import error_rows

from defender_devops.api.reasons import REASONS, ConditionType, Reason
from defender_devops.telemetry.metric_definitions import METRICS, MetricDefinition

_DOCS = Path(__file__).parent
_CRDS = _DOCS.parent / "deploy/crds"
_GENERATED = "<!-- Generated from {source} by `make generate`: edit that file instead. -->\n\n"

Schema = dict[str, Any]


def main() -> int:
    """Write the pages, or with --check return the number of outdated ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is outdated")
    check = parser.parse_args().check
    stale = [(path, text) for path, text in _pages() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if check:
            print(f"{path.relative_to(_DOCS.parent)} is outdated: run `make generate`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return len(stale) if check else 0


def _pages() -> Iterator[tuple[Path, str]]:
    for path in sorted(_CRDS.glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())
        yield _DOCS / f"reference/{crd['spec']['names']['singular']}.md", _resource_page(crd)
    yield _DOCS / "reference/conditions.md", _conditions_page()
    yield _DOCS / "reference/metrics.md", _metrics_page()
    yield _DOCS / "reference/errors.md", _errors_page()


def _resource_page(crd: Schema) -> str:
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    return (
        _GENERATED.format(source=f"deploy/crds/{names['plural']}.yaml")
        + f"# {names['kind']}\n\n{schema['description']}\n\n"
        + f"`{crd['spec']['group']}/{version['name']}`, short {_listed(names['shortNames'])}, "
        + f"in {_listed(names['categories'])}. `kubectl explain {names['singular']}.spec` shows the same.\n\n"
        + _rules("## Rules of the whole resource", schema)
        + "".join(_fields_section(part, schema["properties"][part]) for part in ("spec", "status"))
        + _columns_section(version["additionalPrinterColumns"])
    )


def _fields_section(part: str, schema: Schema) -> str:
    rows = [_row(path, field, required=required) for path, field, required in _fields(schema, "")]
    lines = [f"## {part}", "", schema["description"], "", "| Field | Type | Description |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n\n" + _rules(f"### Rules of {part}", schema)


def _fields(schema: Schema, prefix: str) -> Iterator[tuple[str, Schema, bool]]:
    """Yield every nested field with its path and whether its parent requires it."""
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, field, name in schema.get("required", [])
        inner, mark = field, ""
        while inner["type"] == "array":
            inner, mark = inner["items"], mark + "[]"
        yield from _fields(inner, f"{path}{mark}.")


def _row(path: str, field: Schema, *, required: bool) -> str:
    facts = [_type(field)]
    if required:
        facts.append("**required**")
    if field.get("default") is not None and not isinstance(field["default"], dict):
        facts.append(f"default `{_value(field['default'])}`")
    facts += _bounds(field)
    rules = "; ".join(_messages(field))
    description = field["description"] + (f" *Validation: {rules}.*" if rules else "")
    return f"| `{path}` | {', '.join(facts)} | {_cell(description)} |"


def _type(field: Schema) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{_value(value)}`" for value in field["enum"])
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    if isinstance(field.get("additionalProperties"), dict):
        return f"map to {_type(field['additionalProperties'])}"
    return str(field.get("format") or field["type"]).replace("int64", "integer").replace("int32", "integer")


def _bounds(field: Schema) -> Iterator[str]:
    for key, template in (
        ("maxLength", "at most {} characters"),
        ("maxItems", "at most {}"),
        ("maxProperties", "at most {}"),
        ("minimum", "from {}"),
        ("maximum", "to {}"),
    ):
        if key in field:
            yield template.format(field[key])


def _messages(field: Schema) -> Iterator[str]:
    for rule in field.get("x-kubernetes-validations", []):
        yield str(rule.get("message") or rule["rule"]).rstrip(".")


def _rules(heading: str, schema: Schema) -> str:
    messages = [f"- {message}" for message in _messages(schema)]
    return "\n".join([heading, "", *messages]) + "\n\n" if messages else ""


def _columns_section(columns: list[Schema]) -> str:
    lines = ["## Columns of `kubectl get`", "", "| Column | Description | |", "|---|---|---|"]
    for column in columns:
        wide = "with `-o wide`" if column.get("priority") else ""
        lines.append(f"| {column['name'].upper()} | {_cell(column['description'])} | {wide} |")
    return "\n".join(lines) + "\n"


def _conditions_page() -> str:
    lines = [
        _GENERATED.format(source="operator/defender_devops/api/reasons.py").rstrip(),
        "",
        "# Conditions and reasons",
        "",
        "The conditions that `kubectl describe` shows, with the cause and the cure of each reason.",
        "",
        "| Condition | True means | Reasons |",
        "|---|---|---|",
    ]
    for condition in ConditionType:
        reasons = ", ".join(f"[{reason}](#{reason.lower()})" for reason in REASONS[condition])
        lines.append(f"| `{condition}` | {_cell(condition.meaning)} | {reasons} |")
    lines += ["", "## Reasons", ""]
    for reason in Reason:
        lines += [f"### {reason}", "", f"**Cause.** {reason.cause}", "", f"**Cure.** {reason.cure}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _metrics_page() -> str:
    lines = [
        _GENERATED.format(source="operator/defender_devops/telemetry/metric_definitions.py").rstrip(),
        "",
        "# Metrics",
        "",
        "The metrics at `/metrics` on port 8080, besides the usual `process_*` and `python_*`. In the chart,",
        "`metrics.serviceMonitor.enabled` makes Prometheus scrape it, `metrics.prometheusRule.enabled` installs the",
        "[alerts](../alerts.md), and `metrics.dashboard.enabled` installs the Grafana dashboard.",
        "",
        "The series of a resource are removed with it; all other labels have a bounded set of values. A standby",
        "exports the same names, with `defender_devops_leader` 0.",
        "",
        "| Metric | Type | Labels | Description |",
        "|---|---|---|---|",
        *(_metric_row(facts) for facts in METRICS),
    ]
    return "\n".join(lines) + "\n"


def _metric_row(facts: MetricDefinition) -> str:
    labels = ", ".join(f"`{label}`" for label in facts.labels)
    return f"| `{facts.full_name}` | {facts.type} | {labels} | {_cell(facts.text)} |"


def _errors_page() -> str:
    lines = [
        _GENERATED.format(source="docs/error_table.py").rstrip(),
        "",
        "# Errors",
        "",
        "Every error code that the operator knows, and what it concludes from it. The code decides, and the HTTP",
        "status only where the code is unknown.",
        "",
        "- **About** says what the failure is about. Only a failure about *Defender's authorization* can set",
        "  `ReauthRequired`; the operator's own access to Azure says nothing about it. A denial of",
        "  listAvailableAzureDevOpsOrgs that is not Resource Manager's own can be about either: once it was repeated",
        "  three times for an authorization that had worked, while the operator can read the connector, it counts as",
        "  lost. Any other error of that request, repeated three times, makes `ReauthRequired` Unknown. An operation",
        "  that the operator has started and that fails in the token exchange counts as lost even if the request",
        "  succeeds, unless the request was refused before: its list of organizations may be an old one.",
        "- **Retry**: *back-off* starts at `DEFENDER_DEVOPS_BACKOFF_INITIAL` (2 s) and doubles up to",
        "  `DEFENDER_DEVOPS_BACKOFF_MAXIMUM` (300 s); a longer Retry-After of the service has precedence. *slow* is",
        "  after 10 s, 30 s, and then every `DEFENDER_DEVOPS_TERMINAL_RETRY_INTERVAL` (600 s), because only a person",
        "  can fix it. A change of the manifest or of a referenced Secret is acted on at once.",
        "- **Condition** is the condition of the connector (of the organization for Azure DevOps) with its reason.",
    ]
    for service, rows in groupby(error_rows(), key=lambda row: row.service):
        lines += ["", f"## {service}", "", "| Code | About | Retry | Condition |", "|---|---|---|---|"]
        lines += [f"| {row.code} | {row.category.value} | {row.retry} | {row.condition} |" for row in rows]
    return "\n".join(lines) + "\n"


def _listed(values: list[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main())
