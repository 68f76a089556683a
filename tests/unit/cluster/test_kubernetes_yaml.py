"""YAML is read and written as kubectl does; kubectl itself is the reference."""

from __future__ import annotations

import codecs
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from defender_devops.cluster.kubernetes_yaml import dump_yaml, load_yaml, resolve_scalar
from tests.support.kubectl import read_with_kubectl

HEADER = "apiVersion: example.com/v1\nkind: Example\nmetadata: {name: a}\n"

# Each example starts kubectl once, so an example holds many values.
REFERENCE = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

AMBIGUOUS = [
    "1e3",
    "25921e05",
    "y",
    "Y",
    "n",
    "N",
    "yes",
    "Yes",
    "no",
    "NO",
    "on",
    "ON",
    "off",
    "true",
    "True",
    "null",
    "Null",
    "~",
    "0o17",
    "017",
    "08",
    "0x1F",
    "0b11",
    "-0b11",
    "+12",
    "-0",
    "00",
    ".5",
    "1.",
    "1.e3",
    "1_000",
    "1_0.5",
    "_1",
    "1_",
    "0_7",
    "12:30",
    "1:2:3",
    "=",
    "<<",
    ".inf",
    "-.Inf",
    ".NaN",
    ".inf1",
    "2024-01-01",
    "2024-02-30",
    "2024-01-01T00:00:00Z",
    "1e400",
    "1e",
    "0x",
    "0o8",
    "0b2",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "1e21",
    "-",
    "--",
    "---",
    "...",
    "?",
    ":",
    "!",
    "&",
    "*",
    "|",
    ">",
    "%",
    "@",
    "`",
    "#",
    ",",
    "[",
    "]",
    "{",
    "}",
    "'",
    '"',
    "\\",
    "1,000",
    "1e+3",
    "1E3",
    "+.5",
    "-.5",
    ".",
    "..",
    "+.",
    "e3",
    "0xg",
    "nan",
    "inf",
    "NaN",
    "Infinity",
]

strings = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(AMBIGUOUS)
scalars = st.text("0123456789abcdefxoyn_.:+-=~", min_size=1, max_size=8)


def read(folder: Path, values: str) -> Any:  # noqa: ANN401 - JSON
    """Return the field `values` as kubectl reads it."""
    file = folder / "file.yaml"
    file.write_bytes((HEADER + values).encode())
    (resource,) = read_with_kubectl(file)
    return resource["values"]


@REFERENCE
@given(st.lists(strings, min_size=20, max_size=60))
def test_kubectl_reads_the_strings_that_are_written(tmp_path: Path, values: list[str]) -> None:
    text = dump_yaml({"values": values})
    assert load_yaml(text.encode()) == [{"values": values}]
    assert read(tmp_path, text) == values


def test_kubectl_reads_ambiguous_strings_as_strings(tmp_path: Path) -> None:
    assert read(tmp_path, dump_yaml({"values": AMBIGUOUS})) == AMBIGUOUS


@REFERENCE
@example([".0_", ".5_5", ".5__5", ".5e1_0", ".5_e1", ".5e_1", "-.5_", "+.5_5_"])
@given(st.lists(scalars.filter(lambda text: text.lstrip("+-") not in {".inf", ".nan", ""}), min_size=30, max_size=90))
def test_unquoted_scalars_are_read_as_kubectl_reads_them(tmp_path: Path, values: list[str]) -> None:
    values = [value for value in values if _is_scalar(value)]
    text = "values:\n" + "".join(f"- {value}\n" for value in values)
    expected = read(tmp_path, text)
    actual = load_yaml(text.encode())[0]["values"]
    assert [(value, type(value) is str) for value in actual] == [(value, type(value) is str) for value in expected]


def _is_scalar(text: str) -> bool:
    """Whether a text is an unquoted scalar in a list, and neither a mapping nor a nested list."""
    return not text.endswith(":") and text not in {"-", "---", "..."}


SCALARS = [
    ("1e3", 1000),
    ("0o17", 15),
    ("017", 15),
    ("08", 8),
    ("y", True),
    ("OFF", False),
    ("~", None),
    ("12:30", "12:30"),
    ("2024-02-30", "2024-02-30"),
    ("=", "="),
    ("1_000", 1000),
    (".5", 0.5),
    ("1e400", "1e400"),
    ("18446744073709551616", 18446744073709551616.0),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_scalar_has_the_type_of_go_yaml(text: str, value: object) -> None:
    result = resolve_scalar(text)
    assert (result, type(result) is bool) == (value, type(value) is bool)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".NaN"])
def test_a_number_that_json_cannot_express_is_an_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml(f"a: {text}".encode())


DOCUMENT = "a: é\nb: [1]\n"
ENCODED = [
    DOCUMENT.encode(),
    codecs.BOM_UTF8 + DOCUMENT.encode(),
    codecs.BOM_UTF8 * 2 + DOCUMENT.encode(),
    codecs.BOM_UTF16_LE + DOCUMENT.encode("utf-16-le"),
    codecs.BOM_UTF16_BE + DOCUMENT.encode("utf-16-be"),
]


@pytest.mark.parametrize("content", ENCODED)
def test_every_encoding_with_a_byte_order_mark_is_read(content: bytes) -> None:
    assert load_yaml(content) == [{"a": "é", "b": [1]}]


def test_concatenated_files_may_each_have_a_byte_order_mark() -> None:
    assert load_yaml(codecs.BOM_UTF8 + b"a: 1\n---\n" + codecs.BOM_UTF8 + b"b: 2\n") == [{"a": 1}, {"b": 2}]


def test_a_json_stream_is_read_with_tabs_and_without_separators() -> None:
    assert load_yaml(b'{\n\t"a": 1\n}\n{"b": 2}') == [{"a": 1}, {"b": 2}]


def test_keys_are_strings() -> None:
    assert load_yaml(b"1: a\ntrue: b\n1.5: c\ny: d\n")[0] == {"1": "a", "true": "d", "1.5": "c"}


def test_merge_keys_and_unknown_tags_are_read_as_in_go_yaml() -> None:
    assert load_yaml(b"a: &x {b: 1}\nc: {<<: *x, d: !foo 2}\ne: !!binary YQ==\n") == [
        {"a": {"b": 1}, "c": {"b": 1, "d": "2"}, "e": "a"}
    ]


UNREADABLE = [
    b"[" * 5000,
    b"- " * 300_000 + b"a",
    b"a: [b",
    b"~: 1",
    b"a: !!binary '*'",
    b"a: !!int b",
    b"a: \x1b",
    codecs.BOM_UTF8 * 3 + b"a: 1",
    b"%YAML 1.1\n---\na: 1",
]


@pytest.mark.parametrize("content", UNREADABLE, ids=lambda content: repr(content[:12]))
def test_what_cannot_be_read_is_one_kind_of_error(content: bytes) -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml(content)


@pytest.mark.parametrize("text", ["\x1b[31m", "a\u202eb", "\x9b1m", "a\u2028b", "\ufeff"])
def test_characters_that_a_terminal_interprets_are_escaped(text: str) -> None:
    written = dump_yaml([text])
    assert text not in written
    assert load_yaml(written.encode()) == [[text]]


HEAD = HEADER.encode()
FILES = {
    "tabs": HEAD + b"values:\t[1,\t2,\n\t3]\n",
    "duplicate keys": HEAD + b"values: 1\nvalues: {a: 1, a: 2}\n",
    "several documents": HEAD + b"values: 1\n--- # comment\n" + HEAD + b"values: 2\n...\n---\n---\n",
    "byte order marks": codecs.BOM_UTF8 + HEAD + b"---\n" + codecs.BOM_UTF8 + HEAD,
    "UTF-16": codecs.BOM_UTF16_LE + (HEADER + "values: é\n").encode("utf-16-le"),
    "Windows line ends": (HEAD + b"values: |\n  a\n  b\n").replace(b"\n", b"\r\n"),
    "keys of other types": HEAD + b"values: {1: a, yes: b, 1.5: c}\n",
    "anchors and merge keys": HEAD + b"a: &x {a: 1}\nb: &y {c: 3}\nvalues: {<<: [*x, *y], b: *x}\n",
    "tags": HEAD + b"values: [!!str 1, !!int '2', !!float 3, !!bool yes, !foo 4, !!set {a}, !!omap [a: 1]]\n",
    "JSON": b'{\n\t"apiVersion":"a/v1","kind":"A","metadata":{"name":"a"},"values":1e3}',
    "control character": HEAD + b'values: "\x1b"\n',
    "tab as indentation": HEAD + b"values:\n\ta: 1\n",
    "infinity": HEAD + b"values: .inf\n",
    "three byte order marks": codecs.BOM_UTF8 * 3 + HEAD,
    "directive": b"%YAML 1.1\n---\n" + HEAD,
    "null as key": HEAD + b"values: {~: 1}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_or_rejected_as_by_kubectl(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(FILES[name])
    try:
        expected = [_without_labels(resource) for resource in read_with_kubectl(file)]
    except subprocess.CalledProcessError:
        with pytest.raises(yaml.YAMLError):
            load_yaml(FILES[name])
    else:
        assert [document for document in load_yaml(FILES[name]) if document is not None] == expected


def _without_labels(resource: dict[str, Any]) -> dict[str, Any]:
    return {**resource, "metadata": {key: value for key, value in resource["metadata"].items() if key != "labels"}}
