"""The children against librdkafka's mock cluster: rows, barriers, ends. No Java, no network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import confluent_kafka
import psutil
import pytest

from kafkaprep.engine.cluster.mock import MockCluster
from kafkaprep.engine.traffic.actors import Actor, ChildDied, ConsumerActor, ProducerActor, ReaderActor
from kafkaprep.engine.traffic.ledger_file import LedgerFile, body, row_prefix
from kafkaprep.engine.traffic.specs import Barrier, ConsumerSpec, ProducerSpec, ReaderSpec
from kafkaprep.engine.waiting import WaitTimeout
from kafkaprep.errors import RunStopped
from kafkaprep.model.ledger import Committed, Row, RowKind, RowReader, SendOutcome, pack

NONCE = "0123456789abcdef"
LONG_S = 15.0
STOP = threading.Event()
PRODUCE = 0  # Kafka's request key
OFFSET_COMMIT = 8
MSG_SIZE_TOO_LARGE = 10
NOT_ENOUGH_REPLICAS = 19
INVALID_COMMIT_OFFSET_SIZE = 28


class Mock(MockCluster):
    """One broker of the mock backend, with a new topic for each test."""

    def __init__(self) -> None:
        super().__init__(brokers=1)
        self._topics = 0

    def topic(self, partitions: int = 1) -> str:
        self._topics += 1
        name = f"topic-{self._topics}"
        self.create_topic(name, [[1]] * partitions)
        return name

    def down(self) -> None:
        self.kill(1)

    def up(self) -> None:
        self.restart(1)


class PlainChild:
    """What the guardian gives, made of a bare subprocess."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.stdin: IO[bytes] | None = process.stdin
        self.stdout: IO[bytes] | None = process.stdout
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    @property
    def paused(self) -> bool:
        return psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    def signal(self, signum: int) -> None:
        self._process.send_signal(signum)

    def wait(self, timeout_s: float) -> int | None:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


class PlainSpawner:
    marker = NONCE

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    def spawn(self, name: str, argv: Sequence[str], *, cwd: Path, stderr: Path, pipes: bool = False) -> PlainChild:
        with stderr.open("ab") as log:
            process = subprocess.Popen(
                list(argv),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
            )
        self.processes.append(process)
        return PlainChild(process)

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)
            for file in (process.stdin, process.stdout):
                if file is not None:
                    file.close()


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    cluster = Mock()
    cluster.start(lambda text: None, STOP)
    yield cluster
    cluster.close()


@pytest.fixture
def spawner() -> Iterator[PlainSpawner]:
    spawner = PlainSpawner()
    yield spawner
    spawner.end()


class Bench:
    """Starts children in one folder and reads their ledgers."""

    def __init__(self, mock: Mock, spawner: PlainSpawner, folder: Path) -> None:
        self.mock, self.spawner, self.folder = mock, spawner, folder
        self.topic = mock.topic()
        self._count = 0

    def _common(self, name: str) -> dict[str, Any]:
        self._count += 1
        return {
            "name": f"{name}-{self._count}",
            "bootstrap": self.mock.bootstrap,
            "topic": self.topic,
            "nonce": NONCE,
            "actor": 7,
            "t0": time.monotonic(),
            "ledger": str(self.folder / f"{name}-{self._count}.ledger"),
        }

    def producer(self, messages: int = 100, **fields: Any) -> ProducerActor:
        spec = ProducerSpec(**{**self._common("producer"), "keys": 4, "message_bytes": 60} | fields, messages=messages)
        actor = ProducerActor(spec, folder=self.folder)
        actor.start(self.spawner)
        return actor

    def consumer(self, **fields: Any) -> ConsumerActor:
        # The mock lets a group that lost its members wait for most of a session before it takes new ones.
        quick = {"session.timeout.ms": "1500", "heartbeat.interval.ms": "300"}
        settings = {**quick, "auto.offset.reset": "earliest", **fields.pop("settings", {})}
        spec = ConsumerSpec(**{**self._common("consumer"), "group": f"group-{self.topic}"} | fields, settings=settings)
        actor = ConsumerActor(spec, folder=self.folder)
        actor.start(self.spawner)
        return actor

    def filled(self, messages: int) -> None:
        """Put the first messages of the run into the topic, from this process."""
        from kafkaprep.engine.traffic.payload import encode

        producer = confluent_kafka.Producer({"bootstrap.servers": self.mock.bootstrap, "linger.ms": 0})
        for one in range(messages):
            value = encode(bytes.fromhex(NONCE), one, producer=0, attempt=0, message_bytes=60)
            producer.produce(self.topic, value, str(one), partition=0)
        assert producer.flush(LONG_S) == 0

    def foreign(self, *values: bytes | None) -> None:
        producer = confluent_kafka.Producer({"bootstrap.servers": self.mock.bootstrap, "linger.ms": 0})
        for value in values:
            producer.produce(self.topic, value, partition=0)
        assert producer.flush(LONG_S) == 0


@pytest.fixture
def bench(mock: Mock, spawner: PlainSpawner, tmp_path: Path) -> Bench:
    return Bench(mock, spawner, tmp_path)


def rows_of(actor: Actor[Any], kind: RowKind | None = None) -> list[Row]:
    reader = RowReader(actor.ledger.read_bytes())
    rows = [row for row in reader if kind is None or row.kind == kind]
    assert not reader.torn
    return rows


def ids_of(actor: Actor[Any], kind: RowKind) -> list[int]:
    return [row.id for row in rows_of(actor, kind)]


# Ledger files


def test_rows_are_those_of_the_model(tmp_path: Path) -> None:
    row = Row(RowKind.REPORTED, SendOutcome.FAILED, 3, 7, 2, -192, 2**63, 2**40, 123456)
    file = LedgerFile(str(tmp_path / "a.ledger"))
    prefix = row_prefix(row.kind, row.code, row.partition, row.actor, row.attempt, row.error)
    file.bodies.append(body(prefix, row.id, row.offset, row.ticks))
    file.close()
    assert (tmp_path / "a.ledger").read_bytes() == pack(row)


def test_a_torn_tail_is_noticed_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.ledger"
    file = LedgerFile(str(path))
    prefix = row_prefix(RowKind.CALLED, 0, -1, 0)
    file.bodies.extend(body(prefix, one, -1, 0) for one in range(10))
    file.close()
    whole = path.read_bytes()
    for cut in (1, 31, 33):
        reader = RowReader(whole[:-cut])
        assert [row.id for row in reader] == list(range(10 - (cut + 31) // 32))
        assert reader.torn


def test_a_barrier_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no such barrier"):
        ProducerSpec(
            name="p", bootstrap="", topic="", nonce=NONCE, actor=0, t0=0, ledger="", messages=1, keys=1,
            message_bytes=1, barriers=(Barrier("before_commit", 1),),
        )  # fmt: skip


# Producers


def test_everything_is_sent_reported_and_recorded(bench: Bench) -> None:
    producer = bench.producer(messages=1001, producers=2, index=1)
    producer.send(300)
    seen = producer.wait_for(lambda seen: seen.reported == 300, LONG_S, STOP, "not reported")
    assert (seen.planned_sent, seen.called, seen.ok, seen.errors, seen.refused) == (300, 300, 300, 0, 0)
    assert seen.outstanding == 0
    assert seen.latency_ms["p50"] is not None
    producer.send(None)
    producer.wait_for(lambda seen: seen.reported == 500, LONG_S, STOP, "not reported")
    assert producer.close(LONG_S)
    assert producer.snapshot.left == 0
    assert producer.child.returncode == 0
    ids = list(range(1, 1001, 2))
    called, reported = rows_of(producer, RowKind.CALLED), rows_of(producer, RowKind.REPORTED)
    assert [row.id for row in called] == ids
    assert {row.id for row in reported} == set(ids)
    assert {(row.code, row.partition, row.actor, row.error) for row in reported} == {(SendOutcome.ACKED, 0, 7, 0)}
    assert {row.offset for row in reported} == set(range(500))
    order = {(row.kind, row.id): place for place, row in enumerate(rows_of(producer))}
    assert all(order[RowKind.CALLED, one] < order[RowKind.REPORTED, one] for one in ids)


def test_acks_zero_is_unknown_and_has_no_offset(bench: Bench) -> None:
    producer = bench.producer(settings={"acks": "0"})
    producer.send(5)
    producer.wait_for(lambda seen: seen.ok == 5, LONG_S, STOP, "not reported")
    assert producer.close(LONG_S)
    assert {(row.code, row.offset) for row in rows_of(producer, RowKind.REPORTED)} == {(SendOutcome.UNKNOWN, -1)}


@pytest.mark.parametrize(
    ("at", "called", "least_reported"), [("before_send", 2, 0), ("after_call", 3, 0), ("after_report", 10, 3)]
)
def test_killed_at_a_barrier(bench: Bench, at: str, called: int, least_reported: int) -> None:
    producer = bench.producer(barriers=(Barrier(at, 3),))
    producer.send(10)
    producer.wait_barrier(at, LONG_S, STOP)
    producer.kill()
    assert len(ids_of(producer, RowKind.CALLED)) == called
    reported = ids_of(producer, RowKind.REPORTED)
    assert len(reported) == 3 if at == "after_report" else least_reported <= len(reported) <= called
    assert set(reported) <= set(ids_of(producer, RowKind.CALLED))


def test_a_passed_barrier_lets_everything_through(bench: Bench) -> None:
    producer = bench.producer(barriers=(Barrier("before_send", 3), Barrier("after_report", 5)))
    producer.send(10)
    producer.wait_barrier("before_send", LONG_S, STOP)
    producer.pass_barrier()
    producer.wait_barrier("after_report", LONG_S, STOP)
    producer.pass_barrier()
    producer.wait_for(lambda seen: seen.reported == 10, LONG_S, STOP, "not reported")
    assert producer.close(LONG_S)


def test_a_kill_in_the_middle_leaves_whole_rows(bench: Bench) -> None:
    producer = bench.producer(messages=1_000_000)
    producer.send(None)
    producer.wait_for(lambda seen: seen.called > 2_000, LONG_S, STOP, "nothing sent")
    producer.kill()
    kinds: Counter[int] = Counter()
    called: set[int] = set()
    for row in RowReader(producer.ledger.read_bytes()):
        kinds[row.kind] += 1
        if row.kind == RowKind.CALLED:
            called.add(row.id)
        else:
            assert row.id in called
    assert kinds[RowKind.CALLED] > 2_000


def test_the_end_of_stdin_ends_the_child(bench: Bench) -> None:
    producer = bench.producer(settings={"linger.ms": "5000"})
    producer.send(5)
    producer.wait_for(lambda seen: seen.called == 5, LONG_S, STOP, "not called")
    assert producer.child.stdin is not None
    producer.child.stdin.close()
    assert producer.child.wait(5) == 0
    assert len(ids_of(producer, RowKind.CALLED)) == 5
    assert ids_of(producer, RowKind.REPORTED) == []


def test_no_flush_on_exit_leaves_messages_behind(bench: Bench) -> None:
    producer = bench.producer(settings={"linger.ms": "5000"}, application={"flush_on_exit": "false"})
    producer.send(50)
    producer.wait_for(lambda seen: seen.called == 50, LONG_S, STOP, "not called")
    assert producer.close(LONG_S)
    assert producer.snapshot.left == 50
    assert ids_of(producer, RowKind.REPORTED) == []


def test_a_full_queue_waits_and_tries_again(bench: Bench) -> None:
    producer = bench.producer(settings={"queue.buffering.max.messages": "10", "linger.ms": "0"})
    producer.send(100)
    seen = producer.wait_for(lambda seen: seen.reported == 100, LONG_S, STOP, "not reported")
    assert seen.refused == 0
    assert producer.close(LONG_S)
    assert ids_of(producer, RowKind.REFUSED) == []


def test_a_full_queue_drops_and_close_is_bounded(bench: Bench, mock: Mock) -> None:
    mock.down()
    try:
        producer = bench.producer(
            settings={"queue.buffering.max.messages": "10"}, application={"on_buffer_full": "drop"}
        )
        producer.send(20)
        seen = producer.wait_for(lambda seen: seen.called == 20, LONG_S, STOP, "not called")
        assert (seen.refused, seen.outstanding, seen.error_names) == (10, 10, {"_QUEUE_FULL": 10})
        assert ids_of(producer, RowKind.REFUSED) == list(range(10, 20))
        assert producer.close(0.5)
        assert producer.snapshot.left == 10
    finally:
        mock.up()


def test_a_full_queue_ends_with_the_time_to_close(bench: Bench, mock: Mock) -> None:
    mock.down()
    try:
        producer = bench.producer(settings={"queue.buffering.max.messages": "10"})
        producer.send(20)
        producer.wait_for(lambda seen: seen.called > 10, LONG_S, STOP, "not called")
        assert producer.close(0.5)
        assert producer.snapshot.left == 10
        assert ids_of(producer, RowKind.REFUSED) == list(range(10, 20))
    finally:
        mock.up()


@pytest.mark.parametrize(("rule", "called", "ok"), [("ignore", 3, 2), ("resend", 4, 3), ("stop", 1, 0)])
def test_an_error_report_is_met_as_the_application_says(bench: Bench, rule: str, called: int, ok: int) -> None:
    bench.mock.push_errors(PRODUCE, NOT_ENOUGH_REPLICAS)
    producer = bench.producer(
        messages=3,
        settings={"retries": "0", "linger.ms": "0"},
        application={"on_report_error": rule},
        barriers=(Barrier("after_report", 1),),
    )
    producer.send(1)
    producer.wait_barrier("after_report", LONG_S, STOP)
    producer.pass_barrier()
    producer.send(2)
    seen = producer.wait_for(lambda seen: seen.called == called and seen.ok == ok, LONG_S, STOP, "not called")
    assert seen.errors == 1
    assert seen.error_names == {"NOT_ENOUGH_REPLICAS": 1}
    assert seen.stopped == (rule == "stop")
    assert producer.close(LONG_S)
    failed = [row for row in rows_of(producer, RowKind.REPORTED) if row.error]
    assert [(row.id, row.code, row.error) for row in failed] == [(0, SendOutcome.FAILED, NOT_ENOUGH_REPLICAS)]
    attempts = [row.attempt for row in rows_of(producer, RowKind.CALLED) if row.id == 0]
    assert attempts == ([0, 1] if rule == "resend" else [0])


def test_a_message_the_client_refuses_was_never_an_attempt(bench: Bench) -> None:
    producer = bench.producer(message_bytes=2000, settings={"message.max.bytes": "1000"})
    producer.send(2)
    seen = producer.wait_for(lambda seen: seen.refused == 2, LONG_S, STOP, "not refused")
    assert (seen.outstanding, seen.error_names) == (0, {"MSG_SIZE_TOO_LARGE": 2})
    assert producer.close(LONG_S)
    refused = [(row.id, row.error) for row in rows_of(producer, RowKind.REFUSED)]
    assert refused == [(0, MSG_SIZE_TOO_LARGE), (1, MSG_SIZE_TOO_LARGE)]


# Consumers


@pytest.mark.parametrize("commit", ["before", "after", "auto"])
def test_everything_is_delivered_worked_on_and_committed(bench: Bench, commit: str) -> None:
    bench.filled(120)
    bench.foreign(None, b"foreign", b"KPM1" + bytes.fromhex(NONCE) + bytes(40))
    consumer = bench.consumer(application={"commit": commit})
    consumer.wait_for(lambda seen: seen.assigned == (0,), LONG_S, STOP, "not assigned")
    consumer.drain({0: 123})
    seen = consumer.wait_for(lambda seen: seen.drained, LONG_S, STOP, "not drained")
    assert (seen.delivered, seen.processed, seen.unexpected) == (120, 120, 3)
    assert consumer.close(LONG_S)
    assert ids_of(consumer, RowKind.DELIVERED) == ids_of(consumer, RowKind.PROCESSED) == list(range(120))
    commits = [row for row in rows_of(consumer, RowKind.COMMITTED) if row.code == 1]
    assert max(row.offset for row in commits) == 123
    assert consumer.snapshot.committed == 123


def test_a_second_consumer_goes_on_where_the_first_stopped(bench: Bench) -> None:
    bench.filled(10)
    first = bench.consumer()
    first.drain({0: 10})
    first.wait_for(lambda seen: seen.drained, LONG_S, STOP, "not drained")
    assert first.close(LONG_S)
    bench.filled(3)
    second = bench.consumer()
    second.drain({0: 13})
    second.wait_for(lambda seen: seen.drained, LONG_S, STOP, "not drained")
    assert second.close(LONG_S)
    assert [row.offset for row in rows_of(second, RowKind.PROCESSED)] == [10, 11, 12]


@pytest.mark.parametrize(
    ("commit", "at", "processed", "committed"),
    [
        ("before", "before_commit", 0, []),
        ("before", "after_commit", 0, [5]),
        ("before", "before_work", 4, [20]),
        ("before", "after_work", 5, [20]),
        ("after", "before_commit", 5, []),
        ("after", "after_commit", 5, [5]),
        ("after", "before_work", 4, []),
        ("after", "after_work", 5, []),
    ],
)
def test_a_consumer_killed_at_a_barrier(
    bench: Bench, commit: str, at: str, processed: int, committed: list[int]
) -> None:
    bench.filled(20)
    consumer = bench.consumer(application={"commit": commit}, barriers=(Barrier(at, 5),))
    consumer.wait_barrier(at, LONG_S, STOP)
    consumer.kill()
    assert ids_of(consumer, RowKind.DELIVERED) == list(range(20))
    assert ids_of(consumer, RowKind.PROCESSED) == list(range(processed))
    assert [row.offset for row in rows_of(consumer, RowKind.COMMITTED)] == committed


@pytest.mark.parametrize(("commit", "delivered"), [("before", [*range(5), *range(5)]), ("after", [*range(5)])])
def test_a_refused_commit(bench: Bench, commit: str, delivered: list[int]) -> None:
    """Committing first gives the messages back, unworked; committing afterwards tries again."""
    bench.filled(5)
    bench.mock.push_errors(OFFSET_COMMIT, INVALID_COMMIT_OFFSET_SIZE)
    consumer = bench.consumer(application={"commit": commit})
    consumer.drain({0: 5})
    seen = consumer.wait_for(lambda seen: seen.drained, LONG_S, STOP, "not drained")
    assert (seen.processed, seen.committed) == (5, 5)
    assert consumer.close(LONG_S)
    assert ids_of(consumer, RowKind.DELIVERED) == delivered
    assert ids_of(consumer, RowKind.PROCESSED) == list(range(5))
    answers = [(row.code, row.error, row.offset) for row in rows_of(consumer, RowKind.COMMITTED)]
    assert answers == [(0, INVALID_COMMIT_OFFSET_SIZE, 5), (1, 0, 5)]


# The final reader, as far as the mock cluster goes


def reader_of(bench: Bench, **fields: Any) -> ReaderActor:
    spec = ReaderSpec(**{**bench._common("reader"), "bounds": str(bench.folder / "bounds.json")} | fields)
    actor = ReaderActor(spec, folder=bench.folder)
    actor.start(bench.spawner)
    return actor


@pytest.mark.parametrize("transactional", [False, True])
def test_the_log_is_read_to_its_end(bench: Bench, transactional: bool) -> None:
    bench.topic = bench.mock.topic(partitions=2)
    bench.filled(30)
    bench.foreign(b"foreign")
    reader = reader_of(bench, transactional=transactional)
    reader.read(10.0, None)
    seen = reader.wait_for(lambda seen: seen.complete is not None, LONG_S, STOP, "not read")
    bounds = json.loads(reader.bounds.read_text())
    assert seen.complete, bounds
    assert bounds["partitions"]["0"] | {"leader_epoch": 0} == {
        "log_start": 0, "end": 31, "last_stable": 31, "read_to": 31, "leader_epoch": 0,
    }  # fmt: skip
    assert (bounds["unexpected"], bounds["committed_offsets"], bounds["notes"]) == (1, None, [])
    assert set(bounds["partitions"]) == {"0", "1"}
    rows = rows_of(reader, RowKind.STORED)
    assert [(row.id, row.offset, row.code) for row in rows] == [(one, one, Committed.TRUE) for one in range(30)]
    assert reader.close(LONG_S)


def test_a_spent_budget_proves_nothing(bench: Bench, mock: Mock) -> None:
    bench.filled(5)
    reader = reader_of(bench)
    reader.read(0.0, None)
    seen = reader.wait_for(lambda seen: seen.complete is not None, LONG_S, STOP, "not read")
    assert seen.complete is False
    bounds = json.loads(reader.bounds.read_text())
    assert bounds["notes"]
    assert all(one["read_to"] < one["end"] for one in bounds["partitions"].values())
    assert reader.close(LONG_S)


# Actors


def test_a_child_that_dies_is_named_with_its_last_words(bench: Bench) -> None:
    producer = bench.producer(settings={"no\x1b[31mname": "1"})
    with pytest.raises(ChildDied, match=r"producer-1 failed with code 1 .*no\\x1b\[31mname") as raised:
        producer.wait_for(lambda seen: seen.ready, LONG_S, STOP, "not ready")
    assert "\x1b" not in str(raised.value)


def test_waits_end(bench: Bench) -> None:
    producer = bench.producer()
    producer.wait_for(lambda seen: seen.ready, LONG_S, STOP, "not ready")
    with pytest.raises(WaitTimeout, match="0 reports"):
        producer.wait_for(lambda seen: seen.ok > 0, 0.05, STOP, lambda seen: f"{seen.ok} reports")
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(RunStopped):
        producer.wait_for(lambda seen: seen.ok > 0, LONG_S, stopped, "never")
    producer.kill()
    with pytest.raises(ChildDied, match="was killed"):
        producer.wait_for(lambda seen: seen.ok > 0, LONG_S, STOP, "never")
    with pytest.raises(ChildDied):
        producer.send(1)
    assert not producer.close(1.0)


def test_a_hung_child_is_killed_and_its_sends_stay_unknown(bench: Bench) -> None:
    producer = bench.producer(settings={"linger.ms": "5000"})
    producer.send(5)
    producer.wait_for(lambda seen: seen.called == 5, LONG_S, STOP, "not called")
    producer.pause()
    assert not producer.close(0.2)
    assert producer.child.returncode == -signal.SIGKILL
    assert len(ids_of(producer, RowKind.CALLED)) == 5
    assert ids_of(producer, RowKind.REPORTED) == []


def test_ctrl_c_is_for_the_parent_and_sigterm_for_the_child(bench: Bench) -> None:
    producer = bench.producer()
    producer.wait_for(lambda seen: seen.ready, LONG_S, STOP, "not ready")
    assert os.getpriority(os.PRIO_PROCESS, producer.pid) >= 5
    producer.child.signal(signal.SIGINT)
    producer.send(1)
    producer.wait_for(lambda seen: seen.ok == 1, LONG_S, STOP, "Ctrl-C ended it")
    producer.child.signal(signal.SIGTERM)
    assert producer.child.wait(5) == -signal.SIGTERM
