"""Isolation of every test, and one real cluster for all tests that only need some cluster.

A test writes to folders of its own. Tests marked `kafka` share the developer's cache, so that Kafka is fetched once;
all others get an empty one and may open connections to loopback only.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from kafkaprep.engine.cluster import install
from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.cluster.local import LocalCluster, take_down
from kafkaprep.errors import InstallError

# In CI the same examples each time: what lands must not hang on chance. By hand they stay random, to find more.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

KAFKA_TEST_TIMEOUT_S = 300
_DEAD_PROXY = "http://127.0.0.1:9"  # nothing listens on the discard port


class _Outside:
    """An audit hook cannot be removed, so it is installed once and watches while `watching`."""

    def __init__(self) -> None:
        self.watching = False
        self.attempts: list[str] = []
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        if event in ("socket.connect", "socket.sendto"):
            self._check(event, arguments[1])
        elif event == "socket.getaddrinfo":
            self._check(event, arguments[:2])

    def _check(self, event: str, address: object) -> None:
        if not isinstance(address, tuple) or not address[0]:
            return  # a Unix socket, or an address to bind
        host = address[0].decode() if isinstance(address[0], bytes) else str(address[0])
        if _is_loopback(host):
            return
        self.attempts.append(f"{event} {host}:{address[1]}")
        raise OSError(f"a test that needs no network opened a connection to {host}:{address[1]}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


_OUTSIDE = _Outside()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real brokers take their time on a busy machine."""
    for item in items:
        if item.get_closest_marker("kafka") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(KAFKA_TEST_TIMEOUT_S))


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short path: a Unix socket's path may have about 100 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="kp-", dir="/tmp")).resolve()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def own_folders(request: pytest.FixtureRequest, short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder under which this test's state and data are, and its cache unless it needs the real Kafka."""
    monkeypatch.setenv("KAFKAPREP_STATE_DIR", str(short_folder / "state"))
    monkeypatch.setenv("KAFKAPREP_DATA_DIR", str(short_folder / "data"))
    if request.node.get_closest_marker("kafka") is None:
        monkeypatch.setenv("KAFKAPREP_CACHE_DIR", str(short_folder / "cache"))
        monkeypatch.delenv("KAFKA_HOME", raising=False)
    return short_folder


@pytest.fixture(autouse=True)
def outside_connections(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a test of the fast set tried to reach beyond loopback; anything at all fails it.

    Child processes are not watched. They get a proxy where nobody listens.
    """
    if request.node.get_closest_marker("kafka") is not None:
        yield []
        return
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name.upper(), _DEAD_PROXY)
    _OUTSIDE.attempts.clear()
    _OUTSIDE.watching = True
    yield _OUTSIDE.attempts
    _OUTSIDE.watching = False
    assert not _OUTSIDE.attempts, "connections beyond loopback, which only tests marked kafka may open"


@pytest.fixture(scope="session")
def kafka_installation() -> Installation:
    """The real Kafka, fetched if it is missing. In CI a Kafka that cannot be had is a failure, not a skip."""
    try:
        return install.install(lambda progress: None, threading.Event())
    except InstallError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def shared_state(kafka_installation: Installation) -> Iterator[Path]:
    """The state folder of the shared cluster; a program started with it attaches to that cluster."""
    folder = Path(tempfile.mkdtemp(prefix="kp-", dir="/tmp")).resolve()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(kafka_installation: Installation, shared_state: Path) -> Iterator[LocalCluster]:
    """A running cluster that all tests share: leave it as you found it."""
    started = LocalCluster(kafka_installation)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KAFKAPREP_STATE_DIR", str(shared_state))
        started.start(lambda text: None, threading.Event())
    yield started
    started.close()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KAFKAPREP_STATE_DIR", str(shared_state))
        take_down()


@pytest.fixture
def cluster_bootstrap(cluster: LocalCluster) -> str:
    """Where the shared cluster is reached."""
    return cluster.bootstrap


@pytest.fixture
def free_port() -> int:
    """A loopback port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
