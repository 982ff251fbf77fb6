"""The local cluster on real brokers: who keeps it alive, and that nothing survives whoever was to look after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from ours import LONG_S, is_alive, ports_of, processes_naming, seconds_until, soon

from kafkaprep import paths
from kafkaprep.engine.cluster import local, nodes
from kafkaprep.engine.cluster.base import NodeState
from kafkaprep.engine.cluster.inspect import Inspector
from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.cluster.local import LocalCluster, running_host, take_down
from kafkaprep.engine.cluster.nodes import Nodes
from kafkaprep.engine.cluster.ports import PortBlock, is_listening
from kafkaprep.engine.cluster.properties import CONTROLLER_ID
from kafkaprep.engine.process import MARKER_FILE, Guardian
from kafkaprep.errors import BrokerDidNotStart, ClusterError

pytestmark = pytest.mark.kafka

STOP = threading.Event()
WITHIN_S = 2.0  # the promise on everything that must be gone

APP = """
import json, os, sys, threading, time
from kafkaprep.engine.cluster.local import LocalCluster
cluster = LocalCluster(keep="keep" in sys.argv)
cluster.start(lambda text: print(json.dumps({"progress": text}), flush=True), threading.Event())
print(json.dumps({"ready": cluster.bootstrap}), flush=True)
for line in sys.stdin:
    verb, *arguments = line.split()
    getattr(cluster, verb)(*map(int, arguments))
    print(json.dumps({"done": verb}), flush=True)
"""


class App:
    """Another program that attaches to the cluster: told what to do, and killed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", APP, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.progress: list[str] = []

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the app ended"
        return dict(json.loads(line))

    def ready(self) -> str:
        while "progress" in (heard := self.hear()):
            self.progress.append(heard["progress"])
        return str(heard["ready"])

    def tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()
        assert self.hear() == {"done": text.split()[0]}

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        """Let it come to its end: its input is over."""
        self.process.communicate(timeout=LONG_S)


@pytest.fixture
def apps(kafka_installation: Installation) -> Iterator[Callable[..., App]]:
    started: list[App] = []

    def start(*arguments: str) -> App:
        started.append(App(*arguments))
        return started[-1]

    yield start
    for app in started:
        if app.process.poll() is None:
            app.kill()


@pytest.fixture(autouse=True)
def nothing_is_left(own_folders: Path) -> Iterator[None]:
    yield
    take_down()
    soon(lambda: not processes_naming(own_folders), "processes are left")
    assert left_in_state(own_folders) == []


@pytest.fixture
def clusters(kafka_installation: Installation) -> Iterator[Callable[..., LocalCluster]]:
    made: list[LocalCluster] = []

    def start(installation: Installation = kafka_installation, *, keep: bool = False) -> LocalCluster:
        made.append(LocalCluster(installation, keep=keep))
        made[-1].start(lambda text: None, STOP)
        return made[-1]

    yield start
    for cluster in made:
        cluster.close()


def left_in_state(folder: Path) -> list[str]:
    """What a cluster that is down has left in the state folder, other than logs and the lock."""
    return sorted(
        str(path.relative_to(folder))
        for path in (folder / "state").rglob("*")
        if path.is_file() and path.suffix != ".log" and path.name != "lock"
    )


def jvms(folder: Path) -> dict[str, psutil.Process]:
    """The JVMs of the cluster under `folder`, by the name of their node's folder."""
    found: dict[str, psutil.Process] = {}
    for process in processes_naming(folder):
        with suppress(psutil.Error):  # it may end while it is looked at
            arguments = process.cmdline()
            if "kafka.Kafka" in arguments:
                found[Path(arguments[-1]).parent.name] = process
    return found


def host_pid() -> int:
    record = running_host()
    assert record is not None
    return int(record["pid"])


def guardian_pid(folder: Path) -> int:
    (journal,) = (folder / "state" / "journals").glob("*.json")
    return int(json.loads(journal.read_text())["guardian"]["pid"])


def gone(folder: Path) -> bool:
    return not processes_naming(folder) and not list((folder / "state" / "cluster").glob("cluster-*"))


def states(cluster: LocalCluster) -> dict[int, NodeState]:
    return {node.id: node.state for node in cluster.status()}


def all_running(cluster: LocalCluster) -> bool:
    return set(states(cluster).values()) == {NodeState.RUNNING}


# What it is


def test_four_marked_jvms_listen_on_loopback_only(clusters: Callable[..., LocalCluster], own_folders: Path) -> None:
    cluster = clusters()
    assert cluster.brokers == (1, 2, 3)
    assert cluster.version.startswith("4.")
    nonce = cluster.details()["nonce"]
    running = jvms(own_folders)
    assert set(running) == {"1", "2", "3", str(CONTROLLER_ID)}
    addresses = ports_of(list(running.values()))
    assert len(addresses) == 7  # one of the controller, two of each broker
    assert {address.removeprefix("::ffff:") for address in addresses.values()} == {"127.0.0.1"}
    for process in running.values():
        assert f"-Dkafkaprep.cluster={nonce}" in process.cmdline()
        assert os.getpgid(process.pid) == process.pid
    others = [each for each in processes_naming(own_folders) if each.pid not in {jvm.pid for jvm in running.values()}]
    assert len(others) == 2  # the host and its guardian
    proxies = ports_of(others)
    assert set(proxies.values()) == {"127.0.0.1"}
    assert {int(each.rpartition(":")[2]) for each in cluster.bootstrap.split(",")} == proxies.keys()
    assert {int(each.rpartition(":")[2]) for each in cluster.direct_bootstrap.split(",")} <= addresses.keys()
    socket = Path(running_host()["socket"])  # type: ignore[index]
    assert socket.stat().st_mode & 0o077 == 0
    assert (own_folders / "state" / "cluster").stat().st_mode & 0o077 == 0


def test_brokers_are_paused_resumed_killed_and_restarted(clusters: Callable[..., LocalCluster]) -> None:
    cluster = clusters()
    inspector = Inspector(cluster.direct_bootstrap, STOP)
    inspector.await_brokers(cluster.brokers, LONG_S)
    cluster.pause(2)
    assert states(cluster)[2] is NodeState.PAUSED
    cluster.resume(2)
    assert all_running(cluster)
    pid = {node.id: node.pid for node in cluster.status()}[2]
    assert pid is not None
    cluster.kill(2)
    assert states(cluster)[2] is NodeState.DEAD
    assert not is_alive(pid)
    assert [node.note for node in cluster.status() if node.note] == []
    soon(lambda: inspector.brokers() == {1, 3}, "the dead broker is not fenced")
    with pytest.raises(ClusterError, match="Broker 2 is not running"):
        cluster.kill(2)
    cluster.restart(2)
    assert all_running(cluster)
    inspector.await_brokers(cluster.brokers, LONG_S)
    with pytest.raises(ClusterError, match="no node 9"):
        cluster.pause(9)


def test_a_broker_killed_by_somebody_else_is_noted(clusters: Callable[..., LocalCluster], own_folders: Path) -> None:
    cluster = clusters()
    jvms(own_folders)["3"].kill()
    soon(lambda: states(cluster)[3] is NodeState.DEAD, "the death was not noticed")
    assert [node.note for node in cluster.status()].count("broker 3 was killed by the system") == 1
    cluster.mend()
    assert all_running(cluster)
    assert [node.note for node in cluster.status()].count("broker 3 was killed by the system") == 1
    cluster.begin_lab()
    assert [node.note for node in cluster.status() if node.note] == []
    cluster.end_lab()
    assert is_listening({node.id: node.port for node in cluster.status()}[3])


# Who keeps it alive


def test_a_second_app_attaches_and_the_cluster_stays_until_the_last_has_left(
    clusters: Callable[..., LocalCluster], apps: Callable[..., App], own_folders: Path
) -> None:
    first, second = apps(), apps()
    bootstrap = first.ready()
    assert second.ready() == bootstrap
    host = host_pid()
    assert "Starting 1 controller and 3 brokers" in first.progress + second.progress
    first.end()
    third = clusters()
    assert third.bootstrap == bootstrap
    second.end()
    assert host_pid() == host
    assert all_running(third)
    third.close()
    soon(lambda: gone(own_folders), "the cluster outlived its last app")
    assert not is_alive(host)


def test_an_app_that_comes_while_the_cluster_goes_down_gets_a_new_one(
    clusters: Callable[..., LocalCluster], own_folders: Path
) -> None:
    for _ in range(3):
        cluster = clusters()
        assert all_running(cluster)
        cluster.close()
    soon(lambda: gone(own_folders), "a cluster is left")


def test_a_killed_owner_takes_everything_along(apps: Callable[..., App], own_folders: Path) -> None:
    app = apps()
    app.ready()
    seen = processes_naming(own_folders)
    ports = ports_of(seen)
    assert len(seen) == 6 and len(ports) == 10
    app.kill()
    took_s = seconds_until(lambda: gone(own_folders), "something outlived the owner")
    assert took_s < WITHIN_S
    assert not any(is_listening(port) for port in ports)


def test_an_owner_killed_during_the_start_takes_everything_along(apps: Callable[..., App], own_folders: Path) -> None:
    app = apps()
    soon(lambda: len(jvms(own_folders)) == 4, "no JVM was started")
    app.kill()
    assert seconds_until(lambda: gone(own_folders), "something outlived the owner") < WITHIN_S


def test_an_owner_killed_before_it_could_attach_takes_the_host_along(
    apps: Callable[..., App], own_folders: Path
) -> None:
    app = apps()
    soon(lambda: bool(processes_naming("kafkaprep.engine.cluster.host")), "no host was started")
    app.kill()
    assert seconds_until(lambda: gone(own_folders), "the host outlived the owner") < 2 * WITHIN_S


def test_a_kept_cluster_stays_until_it_is_taken_down(
    apps: Callable[..., App], clusters: Callable[..., LocalCluster], own_folders: Path
) -> None:
    app = apps("keep")
    bootstrap = app.ready()
    app.kill()
    guest = clusters()
    assert guest.bootstrap == bootstrap
    assert guest.details()["keep"]
    guest.close()
    again = clusters()
    assert all_running(again)
    again.close()
    assert take_down()
    assert gone(own_folders)
    assert running_host() is None
    assert not take_down()


def test_a_guest_can_ask_for_a_running_cluster_to_be_kept(
    clusters: Callable[..., LocalCluster], apps: Callable[..., App]
) -> None:
    owner = apps()
    owner.ready()
    guest = clusters(keep=True)
    owner.end()
    guest.close()
    assert all_running(clusters())


# The host and its guardian die


def test_a_killed_host_takes_the_brokers_along_and_the_next_start_works(
    clusters: Callable[..., LocalCluster], own_folders: Path
) -> None:
    cluster = clusters()
    cluster.pause(1)
    before = jvms(own_folders)
    os.kill(host_pid(), signal.SIGKILL)
    took_s = seconds_until(lambda: gone(own_folders), "a broker outlived the host")
    assert took_s < WITHIN_S
    assert not any(is_alive(process.pid) for process in before.values())
    with pytest.raises(ClusterError, match="host"):
        cluster.status()
    assert running_host() is None
    again = clusters()
    assert all_running(again)
    assert again.bootstrap != cluster.bootstrap


def test_what_outlived_host_and_guardian_is_swept_by_the_next_start(
    clusters: Callable[..., LocalCluster], own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a power cut of the guardian where nothing kills children with their parent: a process and a folder."""
    journals = paths.writable("state", "journals")
    data = paths.writable("state", "cluster", "cluster-old")
    (data / MARKER_FILE).write_text("old")
    argv = [sys.executable, "-c", "import time; time.sleep(600)", "-Dkafkaprep.cluster=old"]
    with subprocess.Popen(argv, start_new_session=True) as left:
        soon(lambda: psutil.Process(left.pid).cmdline() == argv, "not started")
        record = {
            "marker": "old",
            "guardian": {"pid": 2**22 + 1, "created": 1.0},
            "children": [{"pid": left.pid, "name": "broker 1", "created": psutil.Process(left.pid).create_time()}],
            "folders": [str(data)],
        }
        (journals / "old.json").write_text(json.dumps(record))
        told: list[str] = []
        cluster = LocalCluster()
        cluster.start(told.append, STOP)
        try:
            assert told[0] == "Swept 1 processes that a killed kafkaprep had left behind."
            assert not is_alive(left.pid)
            assert not data.exists()
            assert not (journals / "old.json").exists()
        finally:
            left.kill()
            cluster.close()


def test_a_killed_guardian_takes_the_brokers_along_and_the_app_gets_one_clear_error(
    clusters: Callable[..., LocalCluster], own_folders: Path
) -> None:
    cluster = clusters()
    cluster.pause(2)
    host = host_pid()
    os.kill(guardian_pid(own_folders), signal.SIGKILL)
    took_s = seconds_until(lambda: not jvms(own_folders), "a broker outlived the guardian")
    assert took_s < WITHIN_S
    soon(lambda: not is_alive(host), "the host stays without its brokers")
    with pytest.raises(ClusterError, match=r"host ended|does not answer|guardian of the brokers was killed"):
        cluster.status()
    assert gone(own_folders)
    assert all_running(clusters())


def test_a_stale_host_record_is_not_believed(clusters: Callable[..., LocalCluster]) -> None:
    record = paths.writable("state", "cluster") / "host.json"
    for text in ("", "[]", "{}", json.dumps({"pid": os.getpid(), "created": 1.0, "nonce": "x", "socket": "/nowhere"})):
        record.write_text(text)
        assert running_host() is None
    assert all_running(clusters())


# Labs on it


def test_a_dead_lab_holder_leaves_a_whole_cluster_to_the_next(
    apps: Callable[..., App], clusters: Callable[..., LocalCluster]
) -> None:
    owner = clusters()
    holder = apps()
    holder.ready()
    for text in ("begin_lab", "pause 1", "kill 2"):
        holder.tell(text)
    assert owner.details()["lab_pid"] == holder.process.pid
    assert (states(owner)[1], states(owner)[2]) == (NodeState.PAUSED, NodeState.DEAD)
    holder.kill()
    owner.begin_lab()
    assert all_running(owner)
    assert owner.details()["lab_pid"] == os.getpid()
    Inspector(owner.direct_bootstrap, STOP).await_brokers(owner.brokers, LONG_S)
    owner.end_lab()


def test_one_lab_at_a_time(apps: Callable[..., App], clusters: Callable[..., LocalCluster]) -> None:
    owner = clusters()
    holder = apps()
    holder.ready()
    holder.tell("begin_lab")
    began: list[float] = []

    def begin() -> None:
        owner_two = LocalCluster()
        owner_two.start(lambda text: None, STOP)
        try:
            owner_two.begin_lab()
            began.append(time.monotonic())
        finally:
            owner_two.close()

    waiting = threading.Thread(target=begin)
    waiting.start()
    assert owner.details()["lab_pid"] == holder.process.pid
    assert not began
    freed = time.monotonic()
    holder.tell("end_lab")
    waiting.join(LONG_S)
    assert began and began[0] >= freed


# Starting goes wrong


@pytest.fixture
def bare_nodes(kafka_installation: Installation, own_folders: Path) -> Iterator[Callable[..., Nodes]]:
    """The JVMs without a host around them."""
    guardians: list[Guardian] = []

    def make(installation: Installation = kafka_installation) -> Nodes:
        folder = own_folders / "nodes"
        folder.mkdir()
        journal = own_folders / "journal.json"
        guardians.append(Guardian("noncence", journal, log=own_folders / "log"))
        return Nodes(installation, folder, "noncence", guardians[-1], lambda ports: ports)

    yield make
    for guardian in guardians:
        guardian.close()


def test_a_port_lost_in_between_is_retried_with_others(
    bare_nodes: Callable[..., Nodes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    thieves: list[socket.socket] = []
    blocks: list[tuple[int, ...]] = []
    release = PortBlock.release

    def release_and_lose_one(self: PortBlock) -> None:
        release(self)
        blocks.append(self.ports)
        if len(blocks) == 1:
            thief = socket.socket()
            thief.bind(("127.0.0.1", self.ports[-1]))
            thief.listen(1)
            thieves.append(thief)

    monkeypatch.setattr(PortBlock, "release", release_and_lose_one)
    told: list[str] = []
    started = bare_nodes()
    try:
        started.start(told.append)
        assert {node.state for node in started.status()} == {NodeState.RUNNING}
        assert len(blocks) == 2
        assert blocks[0] != blocks[1]
        assert set(started.client_ports.values()) <= set(blocks[1])
        assert "A port was taken in between; trying others." in told
    finally:
        for thief in thieves:
            thief.close()
        started.end()


def test_ports_lost_every_time_end_in_an_error_after_three_blocks(
    bare_nodes: Callable[..., Nodes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    thieves: list[socket.socket] = []
    release = PortBlock.release

    def release_and_lose_one(self: PortBlock) -> None:
        release(self)
        thieves.append(socket.socket())
        thieves[-1].bind(("127.0.0.1", self.ports[0]))
        thieves[-1].listen(1)

    monkeypatch.setattr(PortBlock, "release", release_and_lose_one)
    started = bare_nodes()
    try:
        with pytest.raises(BrokerDidNotStart) as caught:
            started.start(lambda text: None)
        assert any("Address already in use" in line for line in caught.value.log_tail)
        assert len(thieves) == 3
    finally:
        for thief in thieves:
            thief.close()
        started.end()


def test_a_jvm_that_does_not_start_is_told_with_its_last_lines(
    kafka_installation: Installation, clusters: Callable[..., LocalCluster], own_folders: Path
) -> None:
    broken = replace(kafka_installation, jvm_flags=("-XX:+NoSuchFlag", *kafka_installation.jvm_flags))
    with pytest.raises(BrokerDidNotStart, match=r"ended with code 1 while starting") as caught:
        clusters(broken)
    assert any("NoSuchFlag" in line for line in caught.value.log_tail)
    assert "kafkaprep doctor" in caught.value.way_out
    assert caught.value.exit_code == 4
    soon(lambda: gone(own_folders), "the failed cluster is left")
    assert all_running(clusters())


def test_a_start_can_be_stopped(kafka_installation: Installation, own_folders: Path) -> None:
    from kafkaprep.errors import RunStopped

    stop = threading.Event()
    cluster = LocalCluster(kafka_installation)
    with pytest.raises(RunStopped):
        cluster.start(lambda text: stop.set(), stop)
    cluster.close()
    soon(lambda: gone(own_folders), "the stopped cluster is left")


def test_a_full_disk_is_refused_before_the_start(
    kafka_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "NEEDED_DISK_BYTES", 10**18)
    with pytest.raises(ClusterError, match="MB free") as caught:
        LocalCluster(kafka_installation).start(lambda text: None, STOP)
    assert "KAFKAPREP_STATE_DIR" in caught.value.way_out
    assert running_host() is None


def test_a_long_path_with_spaces_and_accents(
    clusters: Callable[..., LocalCluster], own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a Unix socket's path may be: the socket goes to a folder of its own, which goes with the host."""
    long = own_folders / "é x" / ("long " * 20).strip() / "state"
    monkeypatch.setenv("KAFKAPREP_STATE_DIR", str(long))
    sockets = own_folders / "tmp"
    sockets.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(sockets))
    monkeypatch.setenv("TMPDIR", str(sockets))
    cluster = clusters()
    assert all_running(cluster)
    assert len(list(sockets.rglob("*.sock"))) == 1
    os.kill(host_pid(), signal.SIGKILL)
    soon(lambda: not processes_naming(own_folders), "something outlived the host")
    soon(lambda: not list(sockets.glob("kafkaprep-*")), "the socket's folder is left")


def test_the_deadline_of_a_silent_jvm_is_an_error_with_its_log(
    bare_nodes: Callable[..., Nodes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "START_TIMEOUT_S", 0.05)
    started = bare_nodes()
    try:
        with pytest.raises(BrokerDidNotStart, match=r"Controller did not listen|controller did not listen"):
            started.start(lambda text: None)
    finally:
        started.end()
