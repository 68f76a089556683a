from __future__ import annotations

import asyncio
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
import structlog
from pydantic import SecretStr

from defender_devops.telemetry.context import begin_reconcile, bind_resource, reconcile_id
from defender_devops.telemetry.logs import configure_logs

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"

SENTENCE = f"took {TOKEN} and went on"

Lines = Callable[[], list[dict[str, Any]]]
Start = Callable[[], Lines]


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Restore the logging of the process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def start(capsys: pytest.CaptureFixture[str]) -> Start:
    """Configure logging and return a reader of its lines; within the test, since pytest replaces the stream before."""

    def begin() -> Lines:
        configure_logs("json", "info")
        return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    return begin


def test_a_line_is_json_with_time_level_and_logger(start: Start) -> None:
    lines = start()
    structlog.get_logger("defender_devops.somewhere").info("listed", connectors=3)
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "listed", "level": "info", "logger": "defender_devops.somewhere", "connectors": 3}


def test_records_of_libraries_go_the_same_way(start: Start) -> None:
    lines = start()
    logging.getLogger("some.library").warning("lost %s of %d", "one", 3, extra={"detail": "x"})
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == ("lost one of 3", "warning", "some.library")


@pytest.mark.parametrize("library", ["kopf.objects", "httpx", "azure.identity", "aiohttp.access"])
def test_libraries_that_log_every_request_are_quiet_except_for_warnings(start: Start, library: str) -> None:
    lines = start()
    logging.getLogger(library).info("GET https://example.test/?code=abc")
    logging.getLogger(library).warning("something is wrong")
    assert [line["event"] for line in lines()] == ["something is wrong"]


@pytest.mark.parametrize(
    "log",
    [
        lambda log: log.info(SENTENCE),
        lambda log: log.info("took", header=f"Bearer {TOKEN}"),
        lambda log: log.info("took", deep={"a": [{"token": "plain"}, TOKEN]}),
        lambda log: log.info("took", value=SecretStr(TOKEN)),
        lambda log: log.info("took", error=ValueError(f"bad {TOKEN}")),
        lambda _: logging.getLogger("azure.identity").warning("refused %s", TOKEN),
        lambda _: logging.getLogger("azure.identity").warning("refused", extra={"token": "plain", "x": TOKEN}),
    ],
)
def test_no_secret_is_logged_by_any_logger(capsys: pytest.CaptureFixture[str], log: Callable[[Any], None]) -> None:
    configure_logs("json", "info")
    log(structlog.get_logger("x"))
    output = capsys.readouterr().err
    assert output
    assert TOKEN not in output
    assert "plain" not in output


def _fail_with_a_token() -> None:
    try:
        {}[f"https://example.test/?sig=signature&token={TOKEN}"]
    except KeyError as error:
        raise RuntimeError(f"while using {TOKEN}") from error


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("logger", [structlog.get_logger, logging.getLogger])
def test_tracebacks_are_shown_without_secrets(
    capsys: pytest.CaptureFixture[str],
    form: Literal["json", "console"],
    logger: Callable[[str], Any],
) -> None:
    configure_logs(form, "info")
    try:
        _fail_with_a_token()
    except RuntimeError:
        logger("x").exception("broken")
    output = capsys.readouterr().err
    assert "_fail_with_a_token" in output
    assert "KeyError" in output
    assert TOKEN not in output
    assert "signature" not in output


def test_the_level_applies_to_all_loggers(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "warning")
    structlog.get_logger("x").info("not shown")
    logging.getLogger("y").info("not shown")
    structlog.get_logger("x").warning("shown")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["shown"]


def test_warnings_of_python_are_lines_too(start: Start) -> None:
    lines = start()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("this goes away soon", DeprecationWarning, stacklevel=1)
    assert "this goes away soon" in lines()[0]["event"]


def test_the_console_format_is_not_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console", "info")
    structlog.get_logger("x").info("listed", connectors=3)
    output = capsys.readouterr().err
    assert "listed" in output
    assert "connectors=3" in output
    assert not output.startswith("{")


async def test_every_line_of_a_reconcile_has_its_id_and_its_resource(start: Start) -> None:
    lines = start()

    async def reconcile(name: str) -> str:
        identifier = begin_reconcile()
        bind_resource("AzureDevOpsConnector", "security", name)
        await asyncio.sleep(0)
        structlog.get_logger("x").info("listed")
        logging.getLogger("some.library").warning("hm")
        assert reconcile_id() == identifier
        return identifier

    identifiers = await asyncio.gather(*[asyncio.create_task(reconcile(name)) for name in "ab"])
    output = {(line["reconcile_id"], line["kind"], line["resource"], line["event"]) for line in lines()}
    assert output == {
        (identifier, "AzureDevOpsConnector", f"security/{name}", event)
        for identifier, name in zip(identifiers, "ab", strict=True)
        for event in ("listed", "hm")
    }
    assert reconcile_id() is None


def test_a_new_reconcile_forgets_the_resource_of_the_last(start: Start) -> None:
    lines = start()
    first = begin_reconcile()
    bind_resource("AzureDevOpsConnector", "security", "a")
    assert begin_reconcile() != first
    structlog.get_logger("x").info("listed")
    assert "resource" not in lines()[0]


def test_debug_lines_are_redacted_like_all_others(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "debug")
    log = structlog.get_logger("x")
    log.debug("planned", actions=[f"send {TOKEN}"], client_secret="plain")
    log.debug(SENTENCE)
    output = capsys.readouterr().err
    assert [json.loads(line)["level"] for line in output.splitlines()] == ["debug", "debug"]
    assert TOKEN not in output
    assert "plain" not in output


def test_debug_lines_cost_nothing_at_level_info() -> None:
    """Below the level no processor runs: a debug line neither copies the context nor formats a value."""

    class Costly:
        def __str__(self) -> str:
            raise AssertionError("formatted")

    configure_logs("json", "info")
    log = structlog.get_logger("x").bind()
    log.debug("planned", actions=Costly())
    assert log.debug.__name__ == "_nop"
