"""Bills of materials are valid by the schemas of CycloneDX and SPDX, and have the same content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from referencing import Registry, Resource

from deploy.release.sbom import _id, as_json, locked_packages, spdx
from tests.support.chart.helm import ROOT

EPOCH = 1_700_000_000


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    return locked_packages(ROOT)


def test_the_bill_is_valid_cyclonedx(bill: dict[str, Any]) -> None:
    import cyclonedx.schema  # noqa: PLC0415 - it takes a second

    folder = Path(cyclonedx.schema.__file__).parent / "_res"
    schemas = [
        json.loads(path.read_text())
        for path in (folder / "spdx.SNAPSHOT.schema.json", folder / "jsf-0.82.SNAPSHOT.schema.json")
    ]
    registry: Registry[Any] = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas
    )
    schema = json.loads((folder / "bom-1.5.SNAPSHOT.schema.json").read_text())
    jsonschema.Draft7Validator(schema, registry=registry).validate(bill)


def test_the_bill_has_all_extras_and_no_tools_of_development(bill: dict[str, Any]) -> None:
    names = {component["name"] for component in bill["components"]}
    assert {"kopf", "typer", "opentelemetry-sdk"} <= names
    assert names.isdisjoint({"pytest", "mypy", "mkdocs-material"})


def test_two_bills_are_equal(bill: dict[str, Any]) -> None:
    assert as_json(locked_packages(ROOT)) == as_json(bill)
    assert "timestamp" not in bill["metadata"]


def test_the_document_is_valid_spdx(bill: dict[str, Any], tmp_path: Path) -> None:
    from spdx_tools.spdx.parser.parse_anything import parse_file  # noqa: PLC0415 - it takes a second
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document  # noqa: PLC0415

    path = tmp_path / "bill.spdx.json"
    path.write_text(as_json(spdx(bill, EPOCH)))
    document = parse_file(str(path))
    assert validate_full_spdx_document(document) == []
    assert document.creation_info.created.timestamp() == EPOCH


def test_the_document_has_the_packages_and_edges_of_the_bill(bill: dict[str, Any]) -> None:
    document = spdx(bill, EPOCH)
    assert len(document["packages"]) == len(bill["components"]) + 1
    purls = {
        reference["referenceLocator"]
        for package in document["packages"]
        for reference in package.get("externalRefs", [])
    }
    assert {component["purl"] for component in bill["components"] if "purl" in component} <= purls
    edges = [edge for edge in document["relationships"] if edge["relationshipType"] == "DEPENDS_ON"]
    assert len(edges) == sum(len(node.get("dependsOn", [])) for node in bill["dependencies"])


def test_another_content_is_another_document(bill: dict[str, Any]) -> None:
    other = json.loads(json.dumps(bill))
    other["components"][0]["version"] = "9.9.9"
    assert spdx(other, EPOCH)["documentNamespace"] != spdx(bill, EPOCH)["documentNamespace"]


@given(st.text(max_size=20), st.text(max_size=20))
def test_different_references_stay_different(first: str, second: str) -> None:
    assert (_id(first) == _id(second)) == (first == second)
