from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cli.manifest_files import read_manifests
from tests.support.manifests import REFUSED, Refused, connector, organization

EXAMPLES = Path(__file__).parents[3] / "examples"


def write(folder: Path, *documents: object, name: str = "file.yaml") -> Path:
    file = folder / name
    file.write_text(yaml.safe_dump_all(documents))
    return file


def complaint(*paths: Path) -> str:
    with pytest.raises(CommandFailed) as caught:
        read_manifests(paths, "default")
    return caught.value.message


def test_every_example_is_read() -> None:
    found = read_manifests([EXAMPLES], "default")
    assert [each.key for each in found.connectors] == [
        ("security", "adventure-works"),
        ("security", "contoso"),
        ("security", "northwind"),
    ]
    assert [each.key for each in found.organizations] == [("security", "tailspin")]


def test_what_is_not_ours_is_passed_over(tmp_path: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    found = read_manifests([write(tmp_path, secret, connector(), None)], "default")
    assert [each.body["metadata"]["name"] for each in found.connectors] == ["contoso"]


def test_a_manifest_without_a_namespace_gets_the_one_that_is_worked_in(tmp_path: Path) -> None:
    nameless = connector(namespace=None)
    found = read_manifests([write(tmp_path, connector(), nameless, connector(namespace="other"))], "team")
    assert [each.key[0] for each in found.connectors] == ["team", "team", "other"]


def test_the_items_of_a_list_are_read(tmp_path: Path) -> None:
    found = read_manifests([write(tmp_path, {"kind": "List", "items": [connector(), organization()]})], "default")
    assert (len(found.connectors), len(found.organizations)) == (1, 1)


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(connector())))
    assert len(read_manifests([Path("-")], "default").connectors) == 1


def test_a_complaint_about_standard_input_calls_it_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(connector("azure: {location: West Europe}"))))
    assert complaint(Path("-")).startswith("standard input: AzureDevOpsConnector contoso: spec.azure.location: ")


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_the_api_server_refuses_is_refused_with_the_same_words(case: Refused, tmp_path: Path) -> None:
    message = complaint(write(tmp_path, dict(case.body)))
    assert f": {case.field}: " in message
    assert case.sentence in message


def test_the_document_of_a_file_with_several_is_named(tmp_path: Path) -> None:
    message = complaint(write(tmp_path, connector(), connector("azure: {location: ''}", name="second")))
    assert message.startswith(f"{tmp_path / 'file.yaml'}, document 2: AzureDevOpsConnector second: spec.azure.location")


UNKNOWN_FIELDS = [
    ({"lokation": "x"}, "spec.azure", "spec.azure.lokation: there is no such field. Did you mean location?"),
    ({"organisations": {}}, "spec", "spec.organisations: there is no such field. Did you mean organizations?"),
    ({"zzz": 1}, "spec", "spec.zzz: there is no such field."),
    ({"sepc": {}}, "", "sepc: there is no such field. Did you mean spec?"),
]


@pytest.mark.parametrize(("added", "place", "sentence"), UNKNOWN_FIELDS)
def test_a_field_that_there_is_not_is_named_with_a_suggestion(
    added: dict[str, object], place: str, sentence: str, tmp_path: Path
) -> None:
    body = connector()
    target = body
    for part in filter(None, place.split(".")):
        target = target[part]
    target.update(added)
    assert complaint(write(tmp_path, body)).endswith(sentence)


def test_a_misspelled_field_is_named_before_the_required_one_that_is_missing_by_it(tmp_path: Path) -> None:
    body = connector()
    body["spec"]["organisations"] = body["spec"].pop("organizations")
    assert "spec.organisations: there is no such field" in complaint(write(tmp_path, body))


def test_unknown_fields_in_lists_are_named_with_their_place(tmp_path: Path) -> None:
    scope = "agentlessScanning: {mode: Enabled, scope: [{organization: a}, {organization: b, projekt: p}]}"
    assert "spec.agentlessScanning.scope[1].projekt: there is no such field. Did you mean project?" in complaint(
        write(tmp_path, connector(scope))
    )


def test_of_metadata_any_field_may_stand_there(tmp_path: Path) -> None:
    body = connector(managedFields=[], selfLink="x", annotations={"a": "b"})
    assert read_manifests([write(tmp_path, body)], "default").connectors


CONTENTS = [
    (b"a: [b", "is no valid YAML: line 1"),
    (b"\xff\xfe\x00", "is no text: write manifests in UTF-8."),
    (b"", "There is neither an AzureDevOpsConnector nor a DevOpsOrganization in "),
    (b"- a\n- b\n", "There is neither"),
    (b"just words", "There is neither"),
    (b"apiVersion: defender-devops.io/v1alpha1\nkind: AzureDevopsConnector", "Did you mean AzureDevOpsConnector?"),
    (b"apiVersion: defender-devops.io/v2\nkind: AzureDevOpsConnector", "must be defender-devops.io/v1alpha1"),
    (b"kind: AzureDevOpsConnector", "must be defender-devops.io/v1alpha1"),
    (b"apiVersion: defender-devops.io/v1alpha1\nkind: AzureDevOpsConnector", "metadata.name: is required"),
    (b"apiVersion: defender-devops.io/v1alpha1\nkind: AzureDevOpsConnector\nmetadata: x", "metadata.name: is required"),
    (
        b"apiVersion: defender-devops.io/v1alpha1\nkind: AzureDevOpsConnector\nmetadata: {name: a}\nspec: []",
        "spec: must be a mapping of fields",
    ),
]


@pytest.mark.parametrize(("content", "words"), CONTENTS)
def test_a_file_that_cannot_be_used_is_refused_in_words(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(content)
    assert words in complaint(file)


def test_a_folder_without_manifests_is_no_folder_of_manifests(tmp_path: Path) -> None:
    assert complaint(tmp_path) == f"There is no file with .json, .yaml, .yml in {tmp_path}."
