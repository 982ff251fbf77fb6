"""The final reader on real brokers: aborted, open and trimmed logs, and what is committed."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from kafkaprep.engine.process import Guardian
from kafkaprep.engine.traffic.actors import ConsumerActor, ProducerActor, ReaderActor
from kafkaprep.engine.traffic.payload import encode
from kafkaprep.engine.traffic.specs import ConsumerSpec, ProducerSpec, ReaderSpec
from kafkaprep.engine.waiting import wait_until
from kafkaprep.model.ledger import Committed, Row, RowKind, RowReader

pytestmark = pytest.mark.kafka

NONCE = "fedcba9876543210"
LONG_S = 30.0
STOP = threading.Event()


@pytest.fixture
def guardian(tmp_path: Path) -> Iterator[Guardian]:
    guardian = Guardian(uuid.uuid4().hex, tmp_path / "journal.json", log=tmp_path / "guardian.log")
    yield guardian
    guardian.close()


@pytest.fixture
def topic(cluster_bootstrap: str) -> Iterator[str]:
    """A topic with three partitions; the last one stays empty."""
    name = f"reader-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": cluster_bootstrap})
    admin.create_topics([NewTopic(name, num_partitions=3, replication_factor=3)])[name].result(LONG_S)
    yield name
    admin.delete_topics([name])[name].result(LONG_S)


class Writer:
    """Puts messages of the run where a test wants them."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self.plain_producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})

    def transactional(self) -> Producer:
        producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "transactional.id": uuid.uuid4().hex,
                "transaction.timeout.ms": 60_000,
                "linger.ms": 0,
            }
        )
        producer.init_transactions(LONG_S)
        return producer

    def put(self, producer: Producer, partition: int, ids: range) -> None:
        for one in ids:
            value = encode(bytes.fromhex(NONCE), one, producer=0, attempt=0, message_bytes=100)
            producer.produce(self._topic, value, str(one), partition=partition)
        assert producer.flush(LONG_S) == 0

    def settle(self, partitions: int = 2) -> None:
        """Wait for the transactions' markers: they are written after the commit or abort was answered."""
        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]

        def ends(isolation: IsolationLevel) -> list[int]:
            wanted = {TopicPartition(self._topic, one): latest for one in range(partitions)}
            futures = admin.list_offsets(wanted, isolation_level=isolation)
            return [future.result(LONG_S).offset for future in futures.values()]

        def settled() -> bool:
            return ends(IsolationLevel.READ_COMMITTED) == ends(IsolationLevel.READ_UNCOMMITTED)

        wait_until(settled, LONG_S, STOP, "a transaction stayed open")


class Read:
    """What one read of the topic found."""

    def __init__(
        self,
        guardian: Guardian,
        bootstrap: str,
        topic: str,
        folder: Path,
        *,
        group: str | None = None,
        transactional: bool = True,
        budget_s: float = 20.0,
    ) -> None:
        name = f"reader-{uuid.uuid4().hex[:6]}"
        spec = ReaderSpec(
            name=name,
            bootstrap=bootstrap,
            topic=topic,
            nonce=NONCE,
            actor=0,
            t0=time.monotonic(),
            ledger=str(folder / f"{name}.ledger"),
            bounds=str(folder / f"{name}.json"),
            transactional=transactional,
        )
        actor = ReaderActor(spec, folder=folder)
        actor.start(guardian)
        actor.read(budget_s, group)
        self.complete = actor.wait_for(lambda seen: seen.complete is not None, LONG_S, STOP, "not read").complete
        assert actor.close(LONG_S)
        reader = RowReader(actor.ledger.read_bytes())
        self.rows: list[Row] = list(reader)
        assert not reader.torn
        assert {row.kind for row in self.rows} <= {RowKind.STORED}
        self.bounds: dict[str, Any] = json.loads(actor.bounds.read_text())

    def ids(self, code: Committed) -> list[int]:
        return [row.id for row in self.rows if row.code == code]

    def part(self, partition: int) -> tuple[int, int, int, int]:
        one = self.bounds["partitions"][str(partition)]
        return one["log_start"], one["end"], one["last_stable"], one["read_to"]


def test_aborted_open_and_committed_messages(
    cluster_bootstrap: str, topic: str, guardian: Guardian, tmp_path: Path
) -> None:
    writer = Writer(cluster_bootstrap, topic)
    producer = writer.transactional()
    producer.begin_transaction()
    writer.put(producer, 0, range(10))
    writer.put(producer, 1, range(50, 55))
    producer.commit_transaction(LONG_S)
    writer.settle()
    producer.begin_transaction()
    writer.put(producer, 0, range(10, 20))
    writer.put(producer, 1, range(60, 65))
    producer.abort_transaction(LONG_S)
    writer.settle()
    writer.put(writer.plain_producer, 0, range(20, 25))
    open_producer = writer.transactional()
    open_producer.begin_transaction()
    writer.put(open_producer, 0, range(30, 35))
    writer.put(writer.plain_producer, 0, range(40, 45))

    first = Read(guardian, cluster_bootstrap, topic, tmp_path)
    assert first.bounds["notes"] == []
    assert first.complete
    # 10 committed, marker, 10 aborted, marker, 5 plain, then 5 in the open transaction and 5 plain behind them
    assert first.part(0) == (0, 37, 27, 37)
    # 5 committed, marker, 5 aborted, marker: the log ends with a control record
    assert first.part(1) == (0, 12, 12, 12)
    assert first.part(2) == (0, 0, 0, 0)
    assert first.ids(Committed.TRUE) == [*range(10), *range(20, 25), *range(50, 55)]
    assert first.ids(Committed.FALSE) == [*range(10, 20), *range(60, 65)]
    assert first.ids(Committed.NULL) == [*range(30, 35), *range(40, 45)]
    assert [row.offset for row in first.rows if row.partition == 0] == [
        *range(10), *range(11, 21), *range(22, 37),
    ]  # fmt: skip

    open_producer.abort_transaction(LONG_S)
    writer.settle()
    second = Read(guardian, cluster_bootstrap, topic, tmp_path)
    assert second.complete
    assert second.part(0) == (0, 38, 38, 38)
    assert second.ids(Committed.NULL) == []
    assert set(second.ids(Committed.FALSE)) == {*range(10, 20), *range(30, 35), *range(60, 65)}
    assert set(second.ids(Committed.TRUE)) >= {*range(40, 45)}
    epochs = {one["leader_epoch"] for one in second.bounds["partitions"].values()}
    assert all(isinstance(epoch, int) for epoch in epochs)


def test_without_the_second_pass_a_log_beyond_the_stable_offset_is_still_looked_at_twice(
    cluster_bootstrap: str, topic: str, guardian: Guardian, tmp_path: Path
) -> None:
    writer = Writer(cluster_bootstrap, topic)
    writer.put(writer.plain_producer, 0, range(5))
    plain = Read(guardian, cluster_bootstrap, topic, tmp_path, transactional=False)
    assert plain.complete
    assert plain.ids(Committed.TRUE) == list(range(5))
    producer = writer.transactional()
    producer.begin_transaction()
    writer.put(producer, 0, range(5, 8))
    surprised = Read(guardian, cluster_bootstrap, topic, tmp_path, transactional=False)
    producer.abort_transaction(LONG_S)
    assert surprised.ids(Committed.NULL) == [5, 6, 7]


def test_trimmed_log_committed_offsets_and_foreign_messages(
    cluster_bootstrap: str, topic: str, guardian: Guardian, tmp_path: Path
) -> None:
    writer = Writer(cluster_bootstrap, topic)
    writer.put(writer.plain_producer, 0, range(10))
    writer.plain_producer.produce(topic, b"not ours", partition=0)
    writer.plain_producer.produce(topic, None, "tombstone", partition=1)
    assert writer.plain_producer.flush(LONG_S) == 0
    admin = AdminClient({"bootstrap.servers": cluster_bootstrap})
    for future in admin.delete_records([TopicPartition(topic, 0, 4)]).values():
        future.result(LONG_S)
    group = f"group-{topic}"
    consumer = Consumer({"bootstrap.servers": cluster_bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    consumer.close()

    read = Read(guardian, cluster_bootstrap, topic, tmp_path, group=group)
    assert read.complete
    assert read.part(0) == (4, 11, 11, 11)
    assert read.ids(Committed.TRUE) == list(range(4, 10))
    assert read.bounds["committed_offsets"] == {"0": 7}
    assert read.bounds["unexpected"] == 2


def test_a_topic_that_is_not_there_proves_nothing(cluster_bootstrap: str, guardian: Guardian, tmp_path: Path) -> None:
    read = Read(guardian, cluster_bootstrap, "no-such-topic", tmp_path, budget_s=2.0)
    assert read.complete is False
    assert read.bounds["partitions"] == {}
    assert read.bounds["notes"]


def test_a_whole_run_through_the_guardian(
    cluster_bootstrap: str, topic: str, guardian: Guardian, tmp_path: Path
) -> None:
    def common(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "bootstrap": cluster_bootstrap,
            "topic": topic,
            "nonce": NONCE,
            "actor": 0,
            "t0": time.monotonic(),
            "ledger": str(tmp_path / f"{name}.ledger"),
        }

    messages = 3000
    producer = ProducerActor(
        ProducerSpec(
            **common("producer-0"),
            messages=messages,
            keys=8,
            message_bytes=100,
            settings={"acks": "all", "enable.idempotence": "true"},
        ),
        folder=tmp_path,
    )
    consumers = [
        ConsumerActor(
            ConsumerSpec(**common(name), group=f"group-{topic}", settings={"auto.offset.reset": "earliest"}),
            folder=tmp_path,
        )
        for name in ("consumer-0", "consumer-1")
    ]
    for one in consumers:
        one.start(guardian)
    for one in consumers:
        one.wait_for(lambda seen: len(seen.assigned or ()) in (1, 2), LONG_S, STOP, lambda seen: str(seen))
    producer.start(guardian)
    producer.send(None)
    producer.wait_for(lambda seen: seen.ok == messages, LONG_S, STOP, lambda seen: str(seen))
    assert producer.close(LONG_S)
    read = Read(guardian, cluster_bootstrap, topic, tmp_path, group=f"group-{topic}", transactional=False)
    assert read.complete
    assert sorted(read.ids(Committed.TRUE)) == list(range(messages))
    ends = {int(number): bounds["end"] for number, bounds in read.bounds["partitions"].items()}
    for one in consumers:
        one.drain(ends)
    for one in consumers:
        one.wait_for(lambda seen: seen.drained, LONG_S, STOP, lambda seen: str(seen))
    for one in consumers:
        assert one.close(LONG_S)
    again = Read(guardian, cluster_bootstrap, topic, tmp_path, group=f"group-{topic}", transactional=False)
    committed = {int(number): offset for number, offset in again.bounds["committed_offsets"].items()}
    assert committed == {number: end for number, end in ends.items() if end}
    processed = [
        row.id for one in consumers for row in RowReader(one.ledger.read_bytes()) if row.kind == RowKind.PROCESSED
    ]
    assert sorted(processed) == list(range(messages))
