"""A wrong setting is named, and what it holds is not repeated."""

from __future__ import annotations

import pytest

from defender_devops.main import main


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("IDENTITY_GRANTS", '[{"namespace": "canary"', "identity_grants"),
        ("IDENTITY_GRANTS", '[{"namespace": "canary", "secret": "canary"}]', "IDENTITY_GRANTS"),
        ("SIGNIN_URL", "http://user:canary@example.com/", "SIGNIN_URL"),
        ("CHECK_INTERVAL", "canary", "CHECK_INTERVAL"),
    ],
    ids=["no JSON", "JSON of another kind", "an address that is not safe", "no number"],
)
def test_a_wrong_setting_ends_the_operator_before_it_begins(
    setting: str, value: str, named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"DEFENDER_DEVOPS_{setting}", value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert named in said
    assert "canary" not in said
