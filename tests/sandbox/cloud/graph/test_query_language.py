"""The supported part of Resource Graph's language: results and errors of queries."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloud.graph.errors import QueryError
from sandbox.cloud.graph.expressions import Schema
from sandbox.cloud.graph.query import parse_query

Row = dict[str, Any]

TABLES: dict[str, Schema] = {
    "things": {"id": "string", "name": "string", "size": "long", "properties": "dynamic"},
    "others": {"id": "string", "color": "string", "properties": "dynamic"},
    "resources": {"id": "string"},
}
THINGS: list[Row] = [
    {"id": "/a/B/1", "name": "One", "size": 1, "properties": {"state": "On", "tags": ["x", "y"], "deep": {"n": 7}}},
    {"id": "/a/B/2", "name": "Two", "size": 2, "properties": {"state": "Off"}},
    {"id": "/a/c/3", "name": "three", "size": 3, "properties": None},
]
OTHERS: list[Row] = [
    {"id": "/a/B/1", "color": "red", "properties": {}},
    {"id": "/a/B/1", "color": "blue", "properties": {}},
]


NOON = datetime(2026, 10, 1, 12, tzinfo=UTC).timestamp()


def run(query: str) -> list[Row]:
    """Return the rows of a query over two small tables."""
    tables = {"things": THINGS, "others": OTHERS, "resources": []}
    parsed = parse_query(query, TABLES, wall=NOON)
    rows = parsed.rows(lambda table, _: (dict(row) for row in tables[table]))
    return [{name: row[name] for name in parsed.schema} for row in rows]


def column(query: str) -> list[Any]:
    """Return the only column of a query."""
    return [next(iter(row.values())) for row in run(query)]


PREDICATES: dict[str, list[str]] = {
    "name == 'One'": ["One"],
    "name == 'one'": [],
    "name =~ 'ONE'": ["One"],
    "name != 'One'": ["Two", "three"],
    "name !~ 'one'": ["Two", "three"],
    "name in ('One', 'two')": ["One"],
    "name in~ ('one', 'TWO')": ["One", "Two"],
    "name !in ('One')": ["Two", "three"],
    "name !in~ ('one')": ["Two", "three"],
    "id contains 'A/b'": ["One", "Two"],
    "id contains_cs 'A/b'": [],
    "id !contains 'b'": ["three"],
    "id startswith '/A/B'": ["One", "Two"],
    "id startswith_cs '/A/B'": [],
    "id endswith '3'": ["three"],
    "id has 'b'": ["One", "Two"],
    "name has 'n'": [],
    "size > 1 and size <= 3": ["Two", "three"],
    "size < 2 or name == 'three'": ["One", "three"],
    "not(size == 1)": ["Two", "three"],
    "properties.state == 'On'": ["One"],
    "properties['state'] =~ 'off'": ["Two"],
    "properties.deep.n == 7": ["One"],
    "properties.deep.n > 6.5": ["One"],
    "properties.state > 1": [],
    "isempty(properties.state)": ["three"],
    "isnotempty(tostring(properties.deep.n))": ["One"],
    "isnull(properties)": ["three"],
    "properties.tags[1] == 'y'": ["One"],
    "properties.tags[-1] == 'y'": ["One"],
    "properties.tags[5] == 'y'": [],
    "array_length(properties.tags) == 2": ["One"],
    "size % 2 == 1": ["One", "three"],
    "size * 2 + 1 == 5": ["Two"],
    "(size - 1) / 2 == 1": ["three"],
    "true": ["One", "Two", "three"],
}


@pytest.mark.parametrize("predicate", PREDICATES)
def test_a_predicate_filters_rows(predicate: str) -> None:
    assert column(f"things | where {predicate} | project name") == PREDICATES[predicate]


VALUES: dict[str, Any] = {
    "tolower(name)": "one",
    "toupper(name)": "ONE",
    "strcat(name, '-', size)": "One-1",
    "strlen(name)": 3,
    "substring(name, 1)": "ne",
    "substring(name, 0, 1)": "O",
    "replace_string(name, 'O', 'o')": "one",
    "split(id, '/')": ["", "a", "B", "1"],
    "split(id, '/')[2]": "B",
    "split(id, '/')[9]": None,
    "tostring(split(id, '/')[9])": "",
    "tostring(properties.deep)": '{"n":7}',
    "tostring(size)": "1",
    "toint('12')": 12,
    "tolong(name)": None,
    "tobool('true')": True,
    "iff(size == 1, 'yes', 'no')": "yes",
    "case(size == 2, 'two', size == 1, 'one', 'many')": "one",
    "coalesce(properties.nothing, name)": "One",
    "bag_pack('a', size, 'b', name)": {"a": 1, "b": "One"},
    "parse_json('{\"x\": 1}').x": 1,
    "parse_json('no json')": "no json",
    "dynamic(null)": None,
    "dynamic(['a', 1])": ["a", 1],
    "-1": -1,
    "-size": -1,
    "1.5": 1.5,
    "size / 0": None,
    "case(size == 2, 'two', 'other') == 'other'": True,
    "tolower(coalesce(tostring(properties.nothing), tostring(properties.state)))": "on",
    "tolower(coalesce(tostring(properties.nothing), tostring(properties.nil)))": "",
    "split(id, '/', 2)": ["B"],
    "split(id, '/', 9)": [],
    "strcat_delim('-', name, size, 'x')": "One-1-x",
    "indexof(id, 'B')": 3,
    "indexof(id, 'Z')": -1,
    "extract('B/([0-9]+)', 1, id)": "1",
    "extract('nothing', 0, id)": "",
    "extract('(', 0, id)": "",
    "url_decode('a%20b')": "a b",
    "bag_keys(properties.deep)": ["n"],
    "bag_keys(name)": None,
    "tostring(todatetime('2026-10-01T04:12:00Z'))": "2026-10-01T04:12:00Z",
    "tostring(todatetime('2026-10-01T04:12:00.1234567Z'))": "2026-10-01T04:12:00.1234560Z",
    "tostring(todatetime('2026-10-01T04:12:00+02:00'))": "2026-10-01T02:12:00Z",
    "tostring(todatetime('yesterday'))": "",
    "tostring(todatetime(properties.nothing))": "",
    "tostring(datetime(2026-10-01))": "2026-10-01T00:00:00Z",
    "tostring(now())": "2026-10-01T12:00:00Z",
    "tostring(ago(90m))": "2026-10-01T10:30:00Z",
    "now() - datetime(2026-10-01T06:00:00Z) == 6h": True,
    "datetime(2026-10-01) + 1d > now()": True,
    "datetime(2026-10-01) < 5": False,
    "now() - 99999999d": None,
    "bag_pack('t', todatetime('2026-10-01T04:12:00Z'))": {"t": "2026-10-01T04:12:00Z"},
    "name + 1": None,
    "'it\\'s'": "it's",
    '"quoted"': "quoted",
    "@'c:\\x'": "c:\\x",
}


@pytest.mark.parametrize("expression", VALUES)
def test_an_expression_has_its_value(expression: str) -> None:
    assert column(f"things | where size == 1 | project value = {expression}") == [VALUES[expression]]


PIPELINES: dict[str, list[Row]] = {
    "things | count": [{"Count": 3}],
    "things | where size > 9 | count": [{"Count": 0}],
    "things | summarize count() by big = size > 1": [{"big": False, "count_": 1}, {"big": True, "count_": 2}],
    "things | summarize n = sum(size), least = min(size), most = max(name)": [{"n": 6, "least": 1, "most": "three"}],
    "things | summarize countif(size > 1), dcount(size)": [{"countif_": 2, "dcount_size": 3}],
    "things | where size > 9 | summarize n = count(), l = make_list(size)": [{"n": 0, "l": []}],
    "things | summarize l = make_list(properties.state)": [{"l": ["On", "Off"]}],
    "things | extend k = 1 | summarize s = make_set(k) by k": [{"k": 1, "s": [1]}],
    "things | summarize a = take_any(tostring(properties.state)) by k = 1": [{"k": 1, "a": "On"}],
    "things | summarize n = dcountif(name, size > 1), t = sumif(size, size < 3), a = take_anyif(name, size == 2)": [
        {"n": 2, "t": 3, "a": "Two"}
    ],
    "things | summarize s = make_set_if(size, size != 2), l = make_list_if(name, size == 2)": [
        {"s": [1, 3], "l": ["Two"]}
    ],
    "things | summarize least = minif(size, size > 1), most = maxif(size, size < 3), none = maxif(size, size > 9)": [
        {"least": 2, "most": 2, "none": None}
    ],
    "things | summarize m = maxif(name, size > 9) | project m = toupper(m)": [{"m": ""}],
    "things | summarize b = make_bag(bag_pack(name, size))": [{"b": {"One": 1, "Two": 2, "three": 3}}],
    "things | extend kind = case(size == 1, 'one', size > 2, 'many', 'few') | summarize n = count() by kind": [
        {"kind": "one", "n": 1},
        {"kind": "few", "n": 1},
        {"kind": "many", "n": 1},
    ],
    "things | summarize t = max(todatetime(strcat('2026-10-0', size, 'T00:00:00Z')))": [
        {"t": datetime(2026, 10, 3, tzinfo=UTC)}
    ],
    "things | project t = todatetime(strcat('2026-10-0', size)), size | order by t desc | project size | take 1": [
        {"size": 3}
    ],
    "things | summarize m = max(properties.state)": [{"m": "On"}],
    "things | summarize m = max(properties.deep)": [{"m": {"n": 7}}],
    "things | distinct id | order by id desc | take 1": [{"id": "/a/c/3"}],
    "things | project name, size | top 2 by size": [{"name": "three", "size": 3}, {"name": "Two", "size": 2}],
    "things | project name | sort by name asc | limit 1": [{"name": "One"}],
    "things | order by size desc | project-away id, properties, name": [{"size": 3}, {"size": 2}, {"size": 1}],
    "things | extend size = size + 1, before = size | where size == 2 | project size, before": [
        {"size": 2, "before": 1}
    ],
    "things | project properties.state | take 1": [{"properties_state": "On"}],
    "things | where size == 3 | project s = properties.state": [{"s": None}],
    "things | project id, size | join kind=inner (others | project id, color) on id | project size, color": [
        {"size": 1, "color": "red"},
        {"size": 1, "color": "blue"},
    ],
    "things | project id, size | join kind=leftouter (others | summarize n = count() by id) on id | project-away id": [
        {"size": 1, "n": 2, "id1": "/a/B/1"},
        {"size": 2, "n": None, "id1": ""},
        {"size": 3, "n": None, "id1": ""},
    ],
    "others | join (things | project key = id, size) on $left.id == $right.key | project color, size": [
        {"color": "red", "size": 1}
    ],
    "Things // a comment\n| where size == 1 // another\n| project name;": [{"name": "One"}],
    "where id == 'x'": [],
}


@pytest.mark.parametrize("query", PIPELINES)
def test_a_query_returns_its_rows(query: str) -> None:
    assert run(query) == PIPELINES[query]


REFUSED: dict[str, str] = {
    "nowhere | take 1": "InvalidQueryLanguage",
    "things | parse id with * '/' rest": "InvalidQueryLanguage",
    "things | mv-expand properties": "InvalidQueryLanguage",
    "things | join kind=rightanti (others) on id": "InvalidQueryLanguage",
    "things | where": "ParserFailure",
    "things where size == 1": "ParserFailure",
    "things | where name == 'open": "ParserFailure",
    "things | take many": "ParserFailure",
    "things | take 1.5": "ParserFailure",
    "things | project": "ParserFailure",
    "things | | take 1": "ParserFailure",
    "things | where (size == 1": "ParserFailure",
    "things | take 1 extra": "ParserFailure",
    "things | order by size asc nulls last": "ParserFailure",
    "things | where nothing == 1": "SemanticError",
    "things | where size": "SemanticError",
    "things | where unheard(size)": "SemanticError",
    "things | where tolower() == ''": "SemanticError",
    "things | summarize percentile(size)": "SemanticError",
    "things | summarize sum()": "SemanticError",
    "things | summarize dcountif(size)": "SemanticError",
    "things | summarize count(size)": "SemanticError",
    "things | where size > ago(1)": "SemanticError",
    "things | where now(1) == now()": "ParserFailure",
    "things | summarize count() by properties.state": "SemanticError",
    "things | order by properties asc": "SemanticError",
    "things | distinct properties": "SemanticError",
    "things | join (others) on properties": "SemanticError",
    "things | join (others) on size": "SemanticError",
    "things | project-away nothing": "SemanticError",
    "things | project x = dynamic([name])": "SemanticError",
}


@pytest.mark.parametrize("query", REFUSED)
def test_an_unsupported_query_is_rejected(query: str) -> None:
    with pytest.raises(QueryError) as caught:
        run(query)
    first, second = caught.value.details
    assert first["code"] == "InvalidQuery"
    assert second["code"] == REFUSED[query]


TYPES: dict[str, tuple[list[str], list[str]]] = {
    "type =~ 'A/B'": (["a/b"], ["a/c"]),
    "type startswith 'a/' and type !endswith 'c'": (["a/b"], ["a/c", "b"]),
    "type in~ ('a/b', 'A/C')": (["a/b", "a/c"], ["b"]),
    "id contains 'x'": (["a/b", "b"], []),
    "type == id": (["a/b"], []),
    "true": (["a/b"], []),
}


@pytest.mark.parametrize("condition", TYPES)
def test_a_table_may_leave_out_rows_of_types_that_the_query_does_not_need(condition: str) -> None:
    columns: dict[str, Schema] = {"things": {"id": "string", "type": "string"}}
    query = parse_query(f"things | where {condition} | where id != '' | project id", columns)
    admitted, left_out = TYPES[condition]
    assert [kind for kind in admitted if not query.admits_type(kind)] == []
    assert [kind for kind in left_out if query.admits_type(kind)] == []


@pytest.mark.parametrize(
    "start", ["take 5", "extend type = 'x'", "project type = id, id", "summarize n = count() by type = id, id"]
)
def test_only_conditions_on_the_type_that_the_table_gives_leave_rows_out(start: str) -> None:
    columns: dict[str, Schema] = {"things": {"id": "string", "type": "string"}}
    query = parse_query(f"things | {start} | where type == 'x' | project id", columns)
    assert query.admits_type("y")


def test_a_syntax_error_has_its_position() -> None:
    with pytest.raises(QueryError) as caught:
        run("things\n| where size ==\n| take 1")
    detail = caught.value.details[1]
    assert (detail["line"], detail["characterPositionInLine"], detail["token"]) == (3, 0, "|")


@given(st.text(max_size=40))
def test_any_text_is_either_a_query_or_rejected(text: str) -> None:
    with contextlib.suppress(QueryError):
        run(text)


@given(st.text(max_size=30))
def test_a_literal_can_have_any_content_and_is_never_executed(text: str) -> None:
    literal = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    assert column(f"things | take 1 | project value = {literal}") == [text]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 5)), max_size=20))
def test_grouping_agrees_with_python(pairs: list[tuple[str, int]]) -> None:
    parsed = parse_query("things | summarize total = sum(size), n = count() by name", TABLES)
    rows = parsed.rows(lambda *_: [{"id": "", "name": name, "size": size, "properties": None} for name, size in pairs])
    expected = {
        name: (sum(size for key, size in pairs if key == name), sum(key == name for key, _ in pairs))
        for name, _ in pairs
    }
    assert {row["name"]: (row["total"], row["n"]) for row in rows} == expected
