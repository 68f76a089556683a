"""Read and write YAML as Kubernetes tools do (sigs.k8s.io/yaml over go-yaml v2). Pure.

PyYAML implements YAML 1.1: it reads `12:30` as 750, `2024-01-01` as a date, and writes the string `1e3` without quotes,
which kubectl reads as a number. go-yaml resolves unquoted scalars by rules of its own, and sigs.k8s.io/yaml converts
the result to JSON: keys are strings, dates stay strings, and there is no infinity. A test compares both directions with
kubectl's reader.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

import yaml

__all__ = ["dump_yaml", "load_yaml", "resolve_scalar"]

_STRING: Final = "tag:yaml.org,2002:str"
_MERGE: Final = "tag:yaml.org,2002:merge"
_PLAIN: Final = "!plain"
"""Tag of unquoted scalars without an explicit tag: only for these do the rules of go-yaml decide about the type."""

_NAMED_VALUES: Final[dict[str, object]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}
_NOT_JSON: Final = frozenset(sign + dot for sign in ("", "+", "-") for dot in (".inf", ".Inf", ".INF")) | {
    ".nan",
    ".NaN",
    ".NAN",
}

# strconv.ParseInt with base 0, and the float of go-yaml (yamlStyleFloat), both after all underscores were removed.
_INTEGER: Final = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# A text that begins with a dot goes to strconv.ParseFloat as it is, which accepts underscores between digits only.
_FLOAT_WITHOUT_INTEGER_PART: Final = re.compile(r"\.[0-9]+(_[0-9]+)*([eE][-+]?[0-9]+(_[0-9]+)*)?")
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_EXPONENT_FROM: Final = 1e21
"""From here on encoding/json writes an exponent, so that the number is not read as an integer."""

_MAX_DEPTH: Final = 1000
_TAGGED_TYPES: Final = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}

_LINE_SEPARATORS: Final = "\u0085\u2028\u2029"


def load_yaml(content: bytes) -> list[Any]:
    """Return all documents of a file as JSON values, empty documents included as None.

    Args:
        content: YAML or JSON in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        UnicodeDecodeError: the content is neither.
        yaml.YAMLError: it is not YAML, or has a value that JSON does not have.
    """
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    # As kubectl does: one byte order mark belongs to the file, another one may begin each line.
    text = re.sub(r"^\ufeff", "", content.decode(encoding).removeprefix("\ufeff"), flags=re.MULTILINE)
    if re.search(r"^\ufeff", text, flags=re.MULTILINE):
        raise yaml.YAMLError("it has several byte order marks in a row")
    if text.lstrip().startswith("{"):
        try:
            return list(_json_documents(text))
        except ValueError:
            pass  # a flow mapping of YAML
    if text.startswith("%"):
        raise yaml.YAMLError("directives are not supported, since kubectl does not read them")
    depth = 0
    for event in yaml.parse(text, _BASE):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:  # libyaml would recurse until the stack overflows
            raise yaml.YAMLError("it is nested too deeply")
    try:
        return list(yaml.load_all(text, _Loader))
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None


def dump_yaml(document: Any) -> str:  # noqa: ANN401 - JSON
    """Return a JSON value as YAML in block style: keys in their order, long lines unwrapped.

    A string is quoted if a YAML 1.1 or 1.2 reader would read it as something else. Control characters, and characters
    that change the direction of text, are escaped.
    """
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)
    return text


def resolve_scalar(text: str) -> object:
    """Return the JSON value that go-yaml reads from an unquoted scalar.

    Raises:
        yaml.YAMLError: the value is infinity or not a number, which JSON cannot express.
    """
    if text in _NAMED_VALUES:
        return _NAMED_VALUES[text]
    if text in _NOT_JSON:
        raise yaml.YAMLError(f"{text} has no representation in JSON")
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    match = _INTEGER.fullmatch(digits)
    if match is not None and text[0] != ".":
        sign, *numbers = match.groups()
        number, base = next((number, base) for number, base in zip(numbers, (16, 2, 8, 10), strict=True) if number)
        value = int(f"{sign}{number}", base)
        if _INT64_MIN <= value <= _INT64_MAX:
            return value
        if 0 < value < 2**64 and not sign:
            return float(value)
    is_float = _FLOAT_WITHOUT_INTEGER_PART.fullmatch(text) if text[0] == "." else _FLOAT.fullmatch(digits)
    if is_float:
        return _from_float(float(digits), text)
    return text


def _from_float(value: float, text: str) -> object:
    """Return a number as JSON has it; text that overflows is a string in go-yaml."""
    if value in (float("inf"), float("-inf")):
        return text
    return int(value) if value.is_integer() and abs(value) < _EXPONENT_FROM else value


def _json_documents(text: str) -> Iterator[Any]:
    """Yield the documents of a JSON stream, as kubectl reads it.

    Raises:
        ValueError: the text is not JSON.
    """
    decoder, position = json.JSONDecoder(), 0
    while (position := len(text) - len(text[position:].lstrip())) < len(text):
        document, position = decoder.raw_decode(text, position)
        yield document


_BASE: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml, of which go-yaml is a port, allows tabs where PyYAML's own scanner does not; wheels of PyYAML contain it."""


class _Loader(_BASE):  # type: ignore[misc]
    """PyYAML's parser with the types of go-yaml."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:  # noqa: ANN401 - as in the base class
        if kind is yaml.ScalarNode and implicit[0]:
            return _MERGE if value == "<<" else _PLAIN
        tag: str = super().resolve(kind, value, implicit)
        return tag

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)  # merge keys
        return {
            _json_key(self.construct_object(key, deep=True)): self.construct_object(value, deep=deep)
            for key, value in node.value
        }

    def construct_plain(self, node: yaml.ScalarNode) -> object:
        try:
            return resolve_scalar(node.value)
        except yaml.YAMLError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None

    def construct_tagged(self, node: yaml.ScalarNode) -> object:
        """Return the value of a scalar with an explicit tag, which must be of that type."""
        value = self.construct_plain(node)
        kind = node.tag.rpartition(":")[2]
        if type(value) not in _TAGGED_TYPES[kind]:
            raise yaml.constructor.ConstructorError(None, None, f"{node.value} is not a {kind}", node.start_mark)
        return value

    def construct_text(self, node: yaml.ScalarNode) -> str:
        return str(node.value)

    def construct_base64(self, node: yaml.ScalarNode) -> str:
        try:
            return base64.b64decode("".join(node.value.split()), validate=True).decode()
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None

    def construct_unknown(self, _suffix: str, node: yaml.Node) -> object:
        """Ignore a tag that go-yaml does not know."""
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        return self.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else node.value


_Loader.add_constructor(_PLAIN, _Loader.construct_plain)
for _tag in _TAGGED_TYPES:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_tagged)
for _tag in ("set", "omap", "pairs"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", lambda loader, node: loader.construct_unknown("", node))
for _tag in ("timestamp", "merge", "str"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_text)
_Loader.add_constructor("tag:yaml.org,2002:binary", _Loader.construct_base64)
_Loader.add_multi_constructor("", _Loader.construct_unknown)


def _json_key(key: object) -> str:
    """Return the key of a mapping as sigs.k8s.io/yaml converts it."""
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int):
        return str(key)
    if isinstance(key, float):
        return f"{key:g}"
    raise yaml.YAMLError(f"a key of type {type(key).__name__} has no representation in JSON")


class _Dumper(yaml.SafeDumper):
    """PyYAML's emitter that also quotes what only go-yaml, or a YAML 1.2 reader, takes for another type."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:  # noqa: ANN401 - as in the base class
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if kind is yaml.ScalarNode and implicit[0] and tag == _STRING and not _is_plain_string(value):
            return _PLAIN  # differs from the tag of the string, so that the emitter quotes it
        return tag

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - as in the base class
        return True  # equal values are written twice: anchors are unusual in manifests

    def write_double_quoted(self, text: str, split: bool = True) -> None:
        self.allow_unicode, allow_unicode = not _needs_escapes(text) and self.allow_unicode, self.allow_unicode
        super().write_double_quoted(text, split)
        self.allow_unicode = allow_unicode


def _represent_string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(_STRING, value, style='"' if _needs_escapes(value) else None)


_Dumper.add_representer(str, _represent_string)


def _is_plain_string(text: str) -> bool:
    try:
        return isinstance(resolve_scalar(text), str)
    except yaml.YAMLError:
        return False


def _needs_escapes(text: str) -> bool:
    """Whether a string has characters that a terminal or a reader of lines would interpret."""
    return any(
        char in _LINE_SEPARATORS or (unicodedata.category(char) in {"Cc", "Cf"} and char not in "\n\t") for char in text
    )
