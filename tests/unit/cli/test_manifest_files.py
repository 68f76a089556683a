from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cli.inputs.manifest_files import read_manifests
from tests.support.manifests import REFUSED, Refused, connector, organization

EXAMPLES = Path(__file__).parents[3] / "examples"


def write(folder: Path, *documents: object, name: str = "file.yaml") -> Path:
    file = folder / name
    file.write_text(yaml.safe_dump_all(documents))
    return file


def error_message(*paths: Path) -> str:
    with pytest.raises(CommandFailed) as error_info:
        read_manifests(paths, "default")
    return error_info.value.message


def test_every_example_is_read() -> None:
    manifests = read_manifests([EXAMPLES], "default")
    assert [manifest.key for manifest in manifests.connectors] == [
        ("security", "adventure-works"),
        ("security", "contoso"),
        ("security", "northwind"),
    ]
    assert [manifest.key for manifest in manifests.organizations] == [("security", "tailspin")]


def test_other_resources_are_ignored(tmp_path: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    manifests = read_manifests([write(tmp_path, secret, connector(), None)], "default")
    assert [manifest.body["metadata"]["name"] for manifest in manifests.connectors] == ["contoso"]


def test_a_manifest_without_a_namespace_gets_the_current_one(tmp_path: Path) -> None:
    nameless = connector(namespace=None)
    manifests = read_manifests([write(tmp_path, connector(), nameless, connector(namespace="other"))], "team")
    assert [manifest.key[0] for manifest in manifests.connectors] == ["team", "team", "other"]


def test_the_items_of_a_list_are_read(tmp_path: Path) -> None:
    manifests = read_manifests([write(tmp_path, {"kind": "List", "items": [connector(), organization()]})], "default")
    assert (len(manifests.connectors), len(manifests.organizations)) == (1, 1)


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(yaml.safe_dump(connector()).encode())))
    assert len(read_manifests([Path("-")], "default").connectors) == 1


def test_an_error_in_standard_input_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.stdin", io.TextIOWrapper(io.BytesIO(yaml.safe_dump(connector("azure: {location: West Europe}")).encode()))
    )
    assert error_message(Path("-")).startswith("standard input: AzureDevOpsConnector contoso: spec.azure.location: ")


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_manifest_that_the_api_server_rejects_is_rejected_with_the_same_message(
    case: Refused, tmp_path: Path
) -> None:
    message = error_message(write(tmp_path, dict(case.body)))
    assert f": {case.field}: " in message
    assert case.sentence in message


def test_the_document_in_a_file_with_several_is_named(tmp_path: Path) -> None:
    message = error_message(write(tmp_path, connector(), connector("azure: {location: ''}", name="second")))
    assert message.startswith(f"{tmp_path / 'file.yaml'}, document 2: AzureDevOpsConnector second: spec.azure.location")


UNKNOWN_FIELDS = [
    ({"lokation": "x"}, "spec.azure", "spec.azure.lokation: unknown field. Did you mean location?"),
    ({"organisations": {}}, "spec", "spec.organisations: unknown field. Did you mean organizations?"),
    ({"zzz": 1}, "spec", "spec.zzz: unknown field."),
    ({"sepc": {}}, "", "sepc: unknown field. Did you mean spec?"),
]


@pytest.mark.parametrize(("added", "place", "sentence"), UNKNOWN_FIELDS)
def test_an_unknown_field_is_named_with_a_suggestion(
    added: dict[str, object], place: str, sentence: str, tmp_path: Path
) -> None:
    body = connector()
    target = body
    for part in filter(None, place.split(".")):
        target = target[part]
    target.update(added)
    assert error_message(write(tmp_path, body)).endswith(sentence)


def test_a_misspelled_field_is_reported_before_the_missing_required_one(tmp_path: Path) -> None:
    body = connector()
    body["spec"]["organisations"] = body["spec"].pop("organizations")
    assert "spec.organisations: unknown field" in error_message(write(tmp_path, body))


def test_unknown_fields_in_lists_are_named_with_their_place(tmp_path: Path) -> None:
    scope = "agentlessScanning: {mode: Enabled, scope: [{organization: a}, {organization: b, projekt: p}]}"
    assert "spec.agentlessScanning.scope[1].projekt: unknown field. Did you mean project?" in error_message(
        write(tmp_path, connector(scope))
    )


def test_any_field_of_metadata_is_allowed(tmp_path: Path) -> None:
    body = connector(managedFields=[], selfLink="x", annotations={"a": "b"})
    assert read_manifests([write(tmp_path, body)], "default").connectors


CONTENTS = [
    (b"a: [b", "is not valid YAML: line "),
    (b"\xff\xfe\x00", "is not a text file: manifests must be UTF-8 or UTF-16."),
    (b"", "contains neither an AzureDevOpsConnector nor a DevOpsOrganization."),
    (b"- a\n- b\n", "contains neither"),
    (b"just words", "contains neither"),
    (b"apiVersion: defender-devops.io/v1alpha1\nkind: AzureDevopsConnector", "Did you mean AzureDevOpsConnector?"),
    (b"apiVersion: defender-devops.io/v2\nkind: AzureDevOpsConnector", "must be defender-devops.io/v1alpha1"),
    (b"kind: AzureDevOpsConnector", "must be defender-devops.io/v1alpha1"),
    (b"apiVersion: defender-devops.io/v1alpha1\nkind: AzureDevOpsConnector", "metadata.name is required."),
    (b"apiVersion: defender-devops.io/v1alpha1\nkind: AzureDevOpsConnector\nmetadata: x", "metadata.name is required."),
    (
        b"apiVersion: defender-devops.io/v1alpha1\nkind: AzureDevOpsConnector\nmetadata: {name: a}\nspec: []",
        "spec: must be a mapping of fields",
    ),
]


@pytest.mark.parametrize(("content", "message"), CONTENTS)
def test_an_unusable_file_is_rejected_with_the_cause(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(content)
    assert message in error_message(file)


def test_a_folder_without_manifests_is_rejected(tmp_path: Path) -> None:
    assert error_message(tmp_path) == f"{tmp_path} contains no file with the suffix .json, .yaml, .yml."
