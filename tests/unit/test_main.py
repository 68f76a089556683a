"""An invalid setting is named, and its value is not repeated."""

from __future__ import annotations

import pytest

from defender_devops.main import main


@pytest.mark.parametrize(
    ("setting", "value", "mentioned"),
    [
        ("IDENTITY_GRANTS", '[{"namespace": "canary"', "identity_grants"),
        ("IDENTITY_GRANTS", '[{"namespace": "canary", "secret": "canary"}]', "IDENTITY_GRANTS"),
        ("SIGNIN_URL", "http://user:canary@example.com/", "SIGNIN_URL"),
        ("CHECK_INTERVAL", "canary", "CHECK_INTERVAL"),
    ],
    ids=["no JSON", "JSON of another kind", "an address that is not safe", "no number"],
)
def test_an_invalid_setting_ends_the_operator_before_it_starts(
    setting: str, value: str, mentioned: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"DEFENDER_DEVOPS_{setting}", value)
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 2
    output = capsys.readouterr().err
    assert mentioned in output
    assert "canary" not in output
