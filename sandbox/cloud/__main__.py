"""`python -m sandbox.cloud`: start the simulated cloud, print one line of JSON when it is ready, stop on SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import signal
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvloop
import yaml
from aiohttp import web
from pydantic import ValidationError

from sandbox.cloud.certificates import make_certificates
from sandbox.cloud.clock import Clock
from sandbox.cloud.control.actions import ActionError, Actions
from sandbox.cloud.control.bodies import FederationBody
from sandbox.cloud.control.service import Control
from sandbox.cloud.devops.service import HOSTS
from sandbox.cloud.environment import client_environment
from sandbox.cloud.portal.service import Portal
from sandbox.cloud.replay.fixtures import RecordingError, read_recording
from sandbox.cloud.replay.simulation import ReplayedCloud
from sandbox.cloud.simulation import Simulation
from sandbox.cloud.transport.server import serve
from sandbox.cloud.variants import UnknownVariant, Variants
from sandbox.cloud.world.load import DEFAULT_WORLD, read_world_file
from sandbox.cloud.world.principals import UnknownName
from sandbox.os_errors import describe_os_error

_SHUTDOWN_SECONDS = 1.0
"""Seconds that running requests, such as waits for the journal, may take after SIGTERM."""

_SERVICES = ("arm", "authority", *HOSTS, "portal", "control")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.cloud",
        description="A simulated Entra ID, Azure Resource Manager with Defender for Cloud, Resource Graph and Azure "
        "DevOps over TLS on the loopback. Prints one line of JSON with its addresses when ready; stops on SIGTERM.",
    )
    parser.add_argument(
        "--world", type=Path, default=DEFAULT_WORLD, metavar="FILE", help="world file (default: %(default)s)"
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        metavar="X",
        help="simulated seconds for each real second; 0 stops the clock until moved (default: 1)",
    )
    parser.add_argument(
        "--port",
        action="append",
        default=[],
        metavar="SERVICE=N",
        help=f"port of a service, once for each; free ones otherwise. Services: {', '.join(_SERVICES)}",
    )
    parser.add_argument(
        "--dir", type=Path, metavar="FOLDER", help="where ca.pem is written (default: a temporary folder)"
    )
    parser.add_argument(
        "--env", type=Path, metavar="FILE", help="write the variables for its clients, for `set -a; . FILE` in a shell"
    )
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="form of an inferred behaviour, once for each; docs/sandbox.md lists them",
    )
    parser.add_argument(
        "--replay",
        type=Path,
        metavar="FOLDER",
        help="answer from a recording of the acceptance kit (docs/acceptance.md) in place of a world",
    )
    parser.add_argument("--no-throttling", action="store_true", help="do not enforce request budgets")
    parser.add_argument(
        "--journal", type=int, default=100_000, metavar="N", help="number of requests that the journal keeps"
    )
    federation = parser.add_argument_group(
        "workload identity federation",
        "an issuer whose tokens Entra accepts; more can be registered over the control port",
    )
    federation.add_argument("--federation-issuer", metavar="URL", help="issuer (`iss`) of the tokens")
    federation.add_argument("--federation-jwks", metavar="FILE_OR_URL", help="its keys")
    federation.add_argument("--federation-token-file", metavar="FILE", help="bearer token for that URL")
    federation.add_argument("--federation-ca", metavar="FILE", help="certificate authority of that URL")
    return parser


def _ports(values: list[str]) -> dict[str, int]:
    ports = {}
    for value in values:
        service, _, number = value.partition("=")
        if service not in _SERVICES or not number.isdecimal():
            raise SystemExit(f"--port {value}: give SERVICE=N with one of {', '.join(_SERVICES)}")
        ports[service] = int(number)
    return ports


def _variants(values: list[str]) -> dict[str, str]:
    choices = {}
    for value in values:
        name, _, choice = value.partition("=")
        choices[name] = choice
    try:
        Variants(choices)
    except UnknownVariant as error:
        raise SystemExit(f"--variant: {error}") from error
    return choices


def _make_simulation(arguments: argparse.Namespace) -> Simulation:
    if arguments.replay is not None:
        try:
            return ReplayedCloud(read_recording(arguments.replay), Clock(arguments.speed), arguments.journal)
        except RecordingError as error:
            raise SystemExit(f"--replay: {error}") from error
    try:
        spec = read_world_file(arguments.world)
        if arguments.no_throttling:
            spec.settings.throttling = False
        spec.variants |= _variants(arguments.variant)
        return Simulation(spec, Clock(arguments.speed), arguments.journal)
    except (OSError, yaml.YAMLError, ValidationError, UnknownName) as error:
        raise SystemExit(f"{arguments.world}: {error}") from error


def _register_issuer(arguments: argparse.Namespace, simulation: Simulation) -> None:
    if arguments.federation_issuer is None:
        return
    keys = arguments.federation_jwks or ""
    body = FederationBody(
        issuer=arguments.federation_issuer,
        jwks_url=keys if keys.startswith("http") else None,
        jwks_file=None if keys.startswith("http") or not keys else keys,
        bearer_token_file=arguments.federation_token_file,
        ca_file=arguments.federation_ca,
    )
    try:
        Actions(simulation).register_issuer(body)
    except (ActionError, OSError, ValueError) as error:
        raise SystemExit(f"--federation-jwks: {error}") from error


async def _listen(server: web.Server, port: int, context: ssl.SSLContext | None) -> tuple[web.ServerRunner, str]:
    runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
    await site.start()
    scheme = "http" if context is None else "https"
    actual = runner.addresses[0][1]
    return runner, f"{scheme}://localhost:{actual}"


def _announce(addresses: dict[str, str], authority_file: Path) -> dict[str, Any]:
    return {
        **{name: url for name, url in addresses.items() if name not in HOSTS},
        "azureDevOps": {name: addresses[name] for name in HOSTS},
        "ca": str(authority_file),
    }


def _write_environment(file: Path, announcement: dict[str, Any]) -> None:
    variables = client_environment(announcement)
    file.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()), encoding="utf-8")


async def _run(simulation: Simulation, ports: dict[str, int], folder: Path, environment_file: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    context, authority_file = make_certificates(folder)
    runners, addresses = [], {}
    for name, service in {**simulation.services, "portal": Portal(simulation)}.items():
        server = serve(service, "https", simulation.pipeline)
        runner, addresses[name] = await _listen(server, ports.get(name, 0), context)
        runners.append(runner)
    runner, addresses["control"] = await _listen(
        serve(Control(simulation), "http", None), ports.get("control", 0), None
    )
    runners.append(runner)
    simulation.set_addresses(addresses)
    announcement = _announce(addresses, authority_file)
    if environment_file is not None:
        _write_environment(environment_file, announcement)
    print(json.dumps(announcement), flush=True)
    await stop.wait()
    await asyncio.gather(*(runner.cleanup() for runner in runners))


def main() -> None:
    """Parse the command line and run until SIGTERM or Ctrl-C."""
    arguments = _parser().parse_args()
    simulation = _make_simulation(arguments)
    _register_issuer(arguments, simulation)
    with tempfile.TemporaryDirectory(prefix="sandbox-cloud-") as temporary:
        try:
            uvloop.run(_run(simulation, _ports(arguments.port), arguments.dir or Path(temporary), arguments.env))
        except OSError as error:
            raise SystemExit(f"cannot start: {describe_os_error(error)}") from error
    sys.exit(0)


if __name__ == "__main__":
    main()
