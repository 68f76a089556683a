"""Variants: choosing them, and their table in docs/sandbox.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from sandbox.cloud.__main__ import main
from sandbox.cloud.variants import VARIANTS, UnknownVariant, Variants
from sandbox.cloud.world.load import DEFAULT_WORLD, read_world_file
from sandbox.cloud.world.schema import WorldFile
from tests.sandbox.cloud.direct import Direct

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text(encoding="utf-8")
TESTS = Path(__file__).parent


def test_the_page_lists_every_variant_with_its_values_in_their_order() -> None:
    section = PAGE.partition("## Variants")[2].partition("\n## ")[0]
    listed: dict[str, dict[str, str]] = {}
    for head, value, reason, files in re.findall(r"^\| (.*) ?\| `(\w+)` \| (.*) \| (.*) ?\|$", section, re.MULTILINE):
        if head.strip():
            name, _, behaviour = head.strip().partition(": ")
            name = name.strip("`")
            assert behaviour == VARIANTS[name].behaviour
            listed[name] = {}
            switching = "\n".join((TESTS / file).read_text(encoding="utf-8") for file in re.findall(r"`(.*?)`", files))
            for alternative in list(VARIANTS[name].values)[1:]:
                assert re.search(_switch(name, alternative), switching), f"{name}={alternative} is switched elsewhere"
        listed[name][value] = reason
    assert listed == {name: dict(variant.values) for name, variant in VARIANTS.items()}
    assert [list(values) for values in listed.values()] == [list(variant.values) for variant in VARIANTS.values()]


def test_every_inferred_behaviour_names_its_variants_and_every_variant_has_its_behaviour() -> None:
    sections = PAGE.partition("## Entra ID")[2].partition("## What is not simulated")[0]
    variant_names: set[str] = set()
    inferred, without_variant = 0, []
    for row in re.findall(r"^\| (.*) \|$", sections, re.MULTILINE):
        behaviour, _, mark = row.rpartition(" | ")
        names = {name for name in re.findall(r"`(\w+)`", mark) if name in VARIANTS}
        variant_names |= names
        inferred += bool(re.search(r"\bI\b", mark))
        if re.search(r"\bI\b", mark) and not names:
            without_variant.append(behaviour)
        assert not names or re.search(r"\bI\b", mark), f"{behaviour} has a variant, but is not inferred"
    assert variant_names == set(VARIANTS)
    assert without_variant == [], "a behaviour that is inferred needs a variant"
    assert 0 < inferred <= len(VARIANTS), "as many variants as inferred behaviours"


def test_every_alternative_is_switched_by_a_test() -> None:
    sources = "\n".join(file.read_text(encoding="utf-8") for file in TESTS.rglob("test_*.py"))
    for name, variant in VARIANTS.items():
        assert len(variant.values) > 1, name
        for value in list(variant.values)[1:]:
            assert re.search(_switch(name, value), sources), f"{name}={value}"


def _switch(name: str, value: str) -> str:
    """Return a regular expression that matches the choice of a value in a test."""
    return rf'"?{name}"?(=|, ?|: ?)"{value}"'


async def test_the_control_interface_lists_and_chooses_variants(direct: Direct) -> None:
    listed = await direct.control("GET", "/variants")
    assert set(listed) == set(VARIANTS)
    assert listed["assessmentIds"]["value"] == listed["assessmentIds"]["default"] == "arm"
    chosen = await direct.control("PATCH", "/variants", assessmentIds="lowerCase")
    assert chosen["assessmentIds"] == "lowerCase"
    refused = await direct.try_control("PATCH", "/variants", assessmentRows="absent", assessmentIds="upside-down")
    assert refused.status == 400
    assert "it has arm, lowerCase" in refused.json["error"]
    assert not direct.world.variants.is_chosen("assessmentRows", "absent"), "all or nothing"
    await direct.control("POST", "/reset")
    assert direct.world.variants["assessmentIds"] == "arm"


def test_a_world_file_chooses_variants() -> None:
    document = read_world_file(DEFAULT_WORLD).model_dump(by_alias=True)
    direct = Direct(WorldFile.parse({**document, "variants": {"assessmentIds": "lowerCase"}}))
    assert direct.world.variants["assessmentIds"] == "lowerCase"
    with pytest.raises(ValidationError, match="there is no variant 'planets'"):
        WorldFile.parse({**document, "variants": {"planets": "many"}})


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ("planets=many", "there is no variant 'planets'; there are .*assessmentIds"),
        ("assessmentIds=many", "has no value 'many'; it has arm"),
        ("assessmentIds", "has no value ''"),
    ],
)
def test_a_wrong_option_is_explained(choice: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sandbox.cloud", "--variant", choice])
    with pytest.raises(SystemExit, match=complaint):
        main()


def test_a_misspelled_name_in_the_code_is_an_error() -> None:
    with pytest.raises(UnknownVariant):
        Variants().is_chosen("assessmentIds", "capitals")
    with pytest.raises(KeyError):
        Variants()["assesmentIds"]
