"""A cluster and a cloud that keep running in the background.

`up` starts a background process that owns all the others and holds the lock on `.sandbox/lock`: the lock, not a file
with a process id, decides whether the sandbox is running. If that process is killed, all others end with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.cluster import Cluster
from sandbox.cluster.binaries import Binaries
from sandbox.cluster.credentials import write_secret
from sandbox.cluster.programs import log_progress
from sandbox.process import ProcessFailed
from sandbox.stack import Cloud, install_crds, prepare_namespace
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY

__all__ = ["down", "locked", "run", "up"]

_ROOT = Path(__file__).parents[1]
_GRANTS = [
    {"namespace": namespace, "tenantId": CLIENT_SECRET_IDENTITY["AZURE_TENANT_ID"], "subscriptionId": subscription}
    for namespace in ("default", "security")
    for subscription in ("22222222-2222-2222-2222-222222222222", "33333333-3333-3333-3333-333333333333")
]
"""Grants for the namespaces of the examples: the operator's own identity in the default world's subscriptions."""

_START_SECONDS = 180
_STOP_SECONDS = 30
_CHECK_SECONDS = 1.0
_POLL_SECONDS = 0.1


def up(folder: Path, speed: float) -> int:
    """Start everything in the background, wait until it is ready, and print how to use it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _running_process_id(folder) is not None:
        print(f"the sandbox is already running\n{_usage(folder)}")
        return 0
    Binaries.find()  # in the foreground, so that a build shows its progress
    _remove_access_files(folder)
    log_progress("starting a Kubernetes API server and the simulated cloud (about 20 s)")
    log = folder / "log"
    with log.open("w") as lines:
        background = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "--folder", folder, "run", "--speed", str(speed)],
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=lines,
            cwd=_ROOT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while not (folder / "env").exists():
        if background.poll() is not None or time.monotonic() > deadline:
            background.terminate()
            raise ProcessFailed(f"the sandbox did not start; the end of {log}:\n{log.read_text()}")
        time.sleep(_POLL_SECONDS)
    print(f"the sandbox is running\n{_usage(folder)}")
    return 0


def run(folder: Path, speed: float) -> int:
    """Run cluster and cloud until SIGTERM or SIGINT, or until one of their programs ends.

    Raises:
        ProcessFailed: one of them did not start, or ended by itself.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with locked(folder), Cluster.start(folder / "cluster") as cluster:
        federation = ("--federation-issuer", cluster.issuer, "--federation-jwks", cluster.jwks)
        with Cloud.start(folder / "cloud", "--speed", str(speed), *federation) as cloud:
            with cluster.client() as client:
                install_crds(client)
                prepare_namespace(client)
            write_secret(folder / "kubeconfig", cluster.kubeconfig.read_text())
            variables = _environment(folder, cloud)
            write_secret(folder / "env", "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))
            try:
                while not ended.wait(_CHECK_SECONDS):
                    cluster.check()
                    cloud.process.check()
            finally:
                _remove_access_files(folder)
    return 0


def down(folder: Path) -> int:
    """Stop the sandbox and remove its access files."""
    background = _running_process_id(folder)
    if background is None:
        _remove_access_files(folder)
        print("the sandbox is not running")
        return 0
    os.kill(background, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _running_process_id(folder) is not None:
        if time.monotonic() > deadline:
            os.kill(background, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    _remove_access_files(folder)
    print("the sandbox is stopped")
    return 0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder.

    Raises:
        ProcessFailed: another process holds it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProcessFailed(
                f"another sandbox is running in {folder}; stop it first: python -m sandbox --folder {folder} down"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _running_process_id(folder: Path) -> int | None:
    """Return the process id of the lock holder; None if the lock is free."""
    while True:
        try:
            with (folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            if process_id := (folder / "lock").read_text():
                return int(process_id)
            continue  # it has the lock, but has not written its process id yet
        return None


def _environment(folder: Path, cloud: Cloud) -> dict[str, str]:
    """Return the variables for `python -m defender_devops` with this cluster and this cloud."""
    return {
        "KUBECONFIG": str(folder / "kubeconfig"),
        **cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        "DEFENDER_DEVOPS_IDENTITY_GRANTS": json.dumps(_GRANTS),
        "DEFENDER_DEVOPS_METRICS_HOST": "127.0.0.1",
        "DEFENDER_DEVOPS_SIGNIN_HOST": "127.0.0.1",
        "DEFENDER_DEVOPS_SIGNIN_URL": "http://localhost:8081/signin",
        "DEFENDER_DEVOPS_REFRESH_INTERVAL": "5",
        "DEFENDER_DEVOPS_CHECK_INTERVAL": "10",
        "DEFENDER_DEVOPS_TERMINAL_RETRY_INTERVAL": "10",
        "DEFENDER_DEVOPS_MIN_REQUEUE_INTERVAL": "1",
        "DEFENDER_DEVOPS_DISCOVERY_SETTLE_INTERVAL": "30",
        "DEFENDER_DEVOPS_LOG_FORMAT": "console",
        "SANDBOX_PORTAL": str(cloud.endpoints["portal"]),
        "SANDBOX_CONTROL": cloud.control,
    }


def _usage(folder: Path) -> str:
    place = shlex.quote(str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder))
    lines = (folder / "env").read_text().splitlines()
    portal = next(line.partition("=")[2] for line in lines if line.startswith("SANDBOX_PORTAL="))
    python = Path(sys.executable)
    python = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    default = folder == (Path.cwd() / ".sandbox")
    command = f"{python} -m sandbox" if default else f"{python} -m sandbox --folder {place}"
    return f"""
  run the operator     set -a; . {place}/env; {python} -m defender_devops
  show the resources   kubectl --kubeconfig {place}/kubeconfig get azuredevopsconnectors,devopsorganizations -A
  without kubectl      {command} kubectl get azuredevopsconnectors -A
  portal               {portal}
  stop it              {"make sandbox-down" if default else f"{command} down"}"""


def _remove_access_files(folder: Path) -> None:
    for name in ("env", "kubeconfig"):
        (folder / name).unlink(missing_ok=True)
