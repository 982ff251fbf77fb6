"""A consumer under test: hands over, works and commits in the order it is told.

DELIVERED rows are written when a poll returns, PROCESSED rows before anything later can be seen to have happened,
COMMITTED rows with the broker's answer. The handler's only effect is its row, unless the application names a sink:
then it stores its effect there first. Where a commit is due at a barrier, the messages up to the barrier are committed
by themselves, so that the rows left behind are exactly known.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from kafkaprep.engine.traffic.client_config import consumer_config
from kafkaprep.engine.traffic.control import NEVER, Barriers, Command, Control, run_child
from kafkaprep.engine.traffic.ledger_file import LedgerFile, body, row_prefix, ticks_since
from kafkaprep.engine.traffic.payload import decode
from kafkaprep.engine.traffic.sink import Sink
from kafkaprep.engine.traffic.specs import ConsumerSpec, read_consumer_spec
from kafkaprep.model.ledger import RowKind

AUTO_BATCH = 500
_POLL_S = 0.05
_CURIOUS_ATTEMPT = 255  # an attempt number that no row can hold is cut to this
_PARTITION_EOF = KafkaError._PARTITION_EOF


class Handed(NamedTuple):
    """A message of the topic as the consumer got it; `id` is None if it is not one of the run's."""

    partition: int
    offset: int
    epoch: int | None
    id: int | None
    attempt: int


class _Coverage:
    """How many handed-over messages the accepted commits cover."""

    def __init__(self) -> None:
        self.covered = 0
        self._open: dict[int, deque[tuple[int, int]]] = {}  # by partition: (last offset, messages)

    def handed(self, messages: Iterable[Handed]) -> None:
        batch: dict[int, tuple[int, int]] = {}
        for message in messages:
            batch[message.partition] = (message.offset, batch.get(message.partition, (0, 0))[1] + 1)
        for partition, chunk in batch.items():
            self._open.setdefault(partition, deque()).append(chunk)

    def given_back(self, messages: Iterable[Handed]) -> None:
        """Take back the messages of the last call of `handed`, as far as no commit covers them."""
        for partition in {message.partition for message in messages}:
            if self._open.get(partition):
                self._open[partition].pop()

    def committed(self, partition: int, next_offset: int) -> None:
        chunks = self._open.get(partition)
        while chunks and chunks[0][0] < next_offset:
            self.covered += chunks.popleft()[1]


class ConsumerChild:
    def __init__(self, spec: ConsumerSpec, control: Control) -> None:
        self._spec = spec
        self._control = control
        self._barriers = Barriers(control, spec.barriers)
        self._ledger = LedgerFile(spec.ledger)
        self._nonce = spec.nonce_bytes
        self._commit_rule = spec.application.get("commit", "after")
        self._batch = AUTO_BATCH if self._commit_rule == "auto" else max(1, spec.commit_every)

        self._sink = Sink(Path(spec.sink), spec.application["sink"]) if spec.sink else None

        self._delivered = self._processed = self._unexpected = 0
        self._error_names: defaultdict[str, int] = defaultdict(int)
        self._coverage = _Coverage()
        self._uncommitted: dict[int, TopicPartition] = {}  # by partition: the commit that is due
        self._assigned: set[int] = set()
        self._joined = False
        self._read_to: dict[int, int] = {}  # by partition: the fetch position an end-of-partition event told
        self._until: dict[int, int] | None = None
        self._drained = False
        self._prefixes: dict[tuple[int, int, int], bytes] = {}

        config: dict[str, Any] = dict(
            consumer_config(
                spec.bootstrap,
                spec.settings,
                spec.name,
                group=spec.group,
                commit=self._commit_rule,
                connection=spec.connection(),
            )
        )
        config["error_cb"] = lambda _error: None  # librdkafka's log has it
        if self._commit_rule == "auto":
            config["on_commit"] = self._auto_committed
        self._consumer = Consumer(config)

    # Assignment

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            self._assigned.add(one.partition)
            self._read_to.pop(one.partition, None)
        self._joined = True
        self._drained = False
        self._control.event("assigned", partitions=sorted(self._assigned))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._commit_rule == "after":
            self._commit()
        self._forget(partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            self._assigned.discard(one.partition)
            self._read_to.pop(one.partition, None)
            self._uncommitted.pop(one.partition, None)
        self._joined = False

    # Rows

    def _rows(self, kind: RowKind, messages: Iterable[Handed]) -> int:
        """Collect a row of this kind for each of the run's messages; returns how many there were."""
        add, prefixes, actor = self._ledger.bodies.append, self._prefixes, self._spec.actor
        ticks, count = ticks_since(self._spec.t0), 0
        for partition, offset, _, message_id, attempt in messages:
            if message_id is None:
                continue
            key = (kind, partition, attempt)
            prefix = prefixes.get(key)
            if prefix is None:
                prefix = prefixes[key] = row_prefix(kind, 0, partition, actor, attempt)
            add(body(prefix, message_id, offset, ticks))
            count += 1
        return count

    def _commit_row(self, partition: int, next_offset: int, error: int) -> None:
        prefix = row_prefix(RowKind.COMMITTED, 0 if error else 1, partition, self._spec.actor, error=error)
        self._ledger.bodies.append(body(prefix, 0, next_offset, ticks_since(self._spec.t0)))
        if not error:
            self._coverage.committed(partition, next_offset)

    # Messages

    def _sort_out(self, messages: Sequence[Message]) -> list[Handed]:
        handed: list[Handed] = []
        nonce, add = self._nonce, handed.append
        for message in messages:
            error = message.error()
            partition, offset = message.partition(), message.offset()
            if error is not None:
                if error.code() == _PARTITION_EOF and partition is not None and offset is not None:
                    self._read_to[partition] = offset
                else:
                    self._error_names[error.name()] += 1
                continue
            assert partition is not None and offset is not None
            value = message.value()
            payload = decode(value if isinstance(value, bytes) else None, nonce)
            if payload is None:
                self._unexpected += 1
                add(Handed(partition, offset, message.leader_epoch(), None, 0))
            else:
                attempt = min(payload.attempt, _CURIOUS_ATTEMPT)
                add(Handed(partition, offset, message.leader_epoch(), payload.id, attempt))
        return handed

    def _handle(self, messages: Sequence[Handed]) -> None:
        """The handler, once per message; its rows are in the ledger when it returns."""
        if self._barriers.ahead("before_work") == NEVER and self._barriers.ahead("after_work") == NEVER:
            self._work(messages)
        else:
            for message in messages:
                if message.id is None:
                    continue
                number = self._processed + 1
                if self._barriers.ahead("before_work") == number:
                    self._stand("before_work", number)
                self._work((message,))
                if self._barriers.ahead("after_work") == number:
                    self._stand("after_work", number)
        self._ledger.flush()

    def _work(self, messages: Sequence[Handed]) -> None:
        if self._sink is not None:
            actor = self._spec.actor
            self._sink.store((one.id, one.partition, one.offset, actor) for one in messages if one.id is not None)
        self._processed += self._rows(RowKind.PROCESSED, messages)

    def _due(self, messages: Sequence[Handed]) -> None:
        topic = self._spec.topic
        for message in messages:
            epoch = -1 if message.epoch is None else message.epoch
            self._uncommitted[message.partition] = TopicPartition(
                topic, message.partition, message.offset + 1, leader_epoch=epoch
            )

    def _commit(self) -> bool:
        """Commit what is due and wait for the answer; true if all of it was accepted."""
        if not self._uncommitted:
            return True
        offered = list(self._uncommitted.values())
        try:
            answers = self._consumer.commit(offsets=offered, asynchronous=False) or []
        except KafkaException as raised:
            code = raised.args[0].code()
            for one in offered:
                self._commit_row(one.partition, one.offset, code)
        else:
            for one in answers:
                error = one.error.code() if one.error is not None else 0
                self._commit_row(one.partition, one.offset, error)
                if not error:
                    self._uncommitted.pop(one.partition, None)
        self._ledger.flush()
        return not self._uncommitted

    def _auto_committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            if one.offset < 0:
                continue
            code = one.error.code() if one.error is not None else error.code() if error is not None else 0
            self._commit_row(one.partition, one.offset, code)
        self._ledger.flush()

    def _commit_at_barrier(self, number: int) -> bool:
        self._stand_if_due("before_commit", number)
        accepted = self._commit()
        self._stand_if_due("after_commit", number)
        return accepted

    def _until_next_commit_barrier(self, messages: list[Handed], done: int) -> int:
        """How many of `messages` to take, so that a barrier's message is the last one of its commit."""
        n = min(self._barriers.ahead("before_commit"), self._barriers.ahead("after_commit")) - done
        if n >= len(messages):
            return len(messages)
        for index, message in enumerate(messages):
            n -= message.id is not None
            if n <= 0:
                return index + 1
        return len(messages)

    def _work_off(self, messages: list[Handed]) -> None:
        first = self._delivered
        self._delivered += self._rows(RowKind.DELIVERED, messages)
        self._ledger.flush()
        if self._commit_rule == "auto":
            self._coverage.handed(messages)
            self._handle(messages)
            return
        while messages:
            cut = self._until_next_commit_barrier(messages, first)
            part, messages = messages[:cut], messages[cut:]
            first += sum(message.id is not None for message in part)
            self._coverage.handed(part)
            if self._commit_rule == "after":
                self._handle(part)
                self._due(part)
                self._commit_at_barrier(first)
            else:
                self._due(part)
                if not self._commit_at_barrier(first):
                    # Not ours any more, or not recorded: give them back instead of working on them.
                    self._uncommitted.clear()
                    self._coverage.given_back(part)
                    self._give_back(part + messages)
                    return
                self._handle(part)

    def _give_back(self, messages: Iterable[Handed]) -> None:
        lowest: dict[int, int] = {}
        for message in messages:
            lowest.setdefault(message.partition, message.offset)
        for partition, offset in lowest.items():
            self._read_to.pop(partition, None)
            if partition in self._assigned:
                with suppress(KafkaException):  # taken away meanwhile; the group tells us soon
                    self._consumer.seek(TopicPartition(self._spec.topic, partition, offset))

    # The loop

    def _stand_if_due(self, at: str, number: int) -> None:
        if self._barriers.ahead(at) == number:
            self._stand(at, number)

    def _stand(self, at: str, n: int) -> None:
        self._ledger.flush()
        self._control.counts(self._counts, now=True)
        self._barriers.reach(at, n)

    def _counts(self) -> Command:
        return {
            "delivered": self._delivered,
            "processed": self._processed,
            "committed": self._coverage.covered,
            "unexpected": self._unexpected,
            "error_names": dict(self._error_names),
        }

    def _notice_drained(self) -> None:
        if self._drained or self._until is None or not self._joined or self._uncommitted:
            return
        nowhere = -1
        if all(self._read_to.get(one, nowhere) >= self._until.get(one, 0) for one in self._assigned):
            self._drained = True
            self._control.counts(self._counts, now=True)
            self._control.event("drained")

    def run(self) -> None:
        self._consumer.subscribe(
            [self._spec.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        self._control.event("ready")
        while True:
            command = self._control.next_command()
            if command is not None:
                if command["do"] == "close":
                    break
                if command["do"] == "drain":
                    self._until = {int(one): int(end) for one, end in command["until"].items()}
                    self._drained = False
            messages = self._sort_out(self._consumer.consume(self._batch, _POLL_S))
            if messages:
                self._work_off(messages)
            elif self._uncommitted:
                self._commit()
            self._notice_drained()
            self._control.counts(self._counts)
        if self._commit_rule == "after":
            self._commit()
        self._consumer.close()
        self._ledger.close()
        if self._sink is not None:
            self._sink.close()
        self._control.counts(self._counts, now=True)
        self._control.event("closed", left=0)


def main(path: Path, control: Control) -> None:
    ConsumerChild(read_consumer_spec(path), control).run()


if __name__ == "__main__":
    run_child(main)
