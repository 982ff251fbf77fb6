"""The final reader: what the log holds, and how far that is proven.

Each partition is read from its start to its end without regard to transactions, then, where transactions may have
been, once more as a read_committed consumer sees it. A pass is over only when an end-of-partition event stands at or
beyond the end that was asked for first: control records occupy offsets, silence proves nothing, and the client's
position stops before trailing control records. What could not be read to the end says so in `read_to`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec  # type: ignore[attr-defined]

from kafkaprep.engine.traffic.client_config import admin_config, reader_config
from kafkaprep.engine.traffic.control import Command, Control, run_child
from kafkaprep.engine.traffic.ledger_file import LedgerFile, body, row_prefix, ticks_since
from kafkaprep.engine.traffic.payload import decode
from kafkaprep.engine.traffic.specs import ReaderSpec, read_reader_spec
from kafkaprep.model.ledger import ROW_BYTES, Committed, Row, RowKind, RowReader, pack

TRIES = 3
_BATCH = 2_000
_POLL_S = 0.1
_REQUEST_S = 5.0
_LEADER_WAIT_S = 10.0
_LEADER_PAUSE_S = 0.05
_PATCH_ROWS = 4_096
_MOST_IN_A_BYTE = 255
_PARTITION_EOF = KafkaError._PARTITION_EOF
_OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})


class _Moved(Exception):
    """The log changed under the reader: what was read of this partition does not count."""


@dataclass(slots=True)
class _Bounds:
    log_start: int
    end: int
    last_stable: int
    leader_epoch: int | None
    read_to: int = 0

    def as_dict(self) -> dict[str, int | None]:
        return {
            "log_start": self.log_start,
            "end": self.end,
            "last_stable": self.last_stable,
            "read_to": self.read_to,
            "leader_epoch": self.leader_epoch,
        }


@dataclass(slots=True)
class _Result:
    partitions: dict[int, _Bounds] = field(default_factory=dict)
    committed_offsets: dict[int, int] | None = None
    unexpected: int = 0
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        committed = self.committed_offsets
        return {
            "partitions": {str(one): bounds.as_dict() for one, bounds in sorted(self.partitions.items())},
            "committed_offsets": None
            if committed is None
            else {str(one): offset for one, offset in sorted(committed.items())},
            "unexpected": self.unexpected,
            "notes": self.notes,
        }


class LogReader:
    def __init__(self, spec: ReaderSpec, control: Control) -> None:
        self._spec = spec
        self._control = control
        self._nonce = spec.nonce_bytes
        self._connection = spec.connection()
        self._deadline = 0.0
        self._stored = 0
        self._unexpected = 0
        self._all_led = False
        self._result = _Result()
        self._consumers: dict[str, Consumer] = {}

    def read(self, budget_s: float, group: str | None) -> bool:
        """Read everything, write both files; true if every partition was read to its end."""
        self._deadline = time.monotonic() + budget_s
        self._admin = AdminClient(admin_config(self._spec.bootstrap, self._spec.name, self._connection))
        Path(self._spec.ledger).unlink(missing_ok=True)
        self._ledger = LedgerFile(self._spec.ledger)
        partitions = self._led_partitions()
        for partition in partitions:
            self._read_partition(partition)
        if group is not None:
            self._result.committed_offsets = self._committed_offsets(group, partitions)
        self._ledger.close()
        self._write_bounds()
        return self._complete(partitions)

    def _complete(self, partitions: list[int]) -> bool:
        bounds = self._result.partitions
        return self._all_led and all(one in bounds and bounds[one].read_to >= bounds[one].end for one in partitions)

    # Partitions and their bounds

    def _left_s(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _request_s(self) -> float:
        return max(0.1, min(_REQUEST_S, self._left_s()))

    def _note(self, text: str) -> None:
        if text not in self._result.notes:
            self._result.notes.append(text)

    def _led_partitions(self) -> list[int]:
        """The partitions that have a leader, once all have one or the wait for that is over."""
        until = time.monotonic() + min(_LEADER_WAIT_S, self._left_s() / 4)
        while True:
            led: list[int] = []
            missing: list[int] = []
            trouble = "the topic is not known to the cluster"
            try:
                topic = self._admin.list_topics(self._spec.topic, timeout=self._request_s()).topics[self._spec.topic]
            except KafkaException as raised:
                trouble = f"the cluster did not describe the topic: {raised.args[0].name()}"
            else:
                if topic.error is not None:
                    trouble = f"the topic cannot be read: {topic.error.name()}"
                for number, partition in sorted(topic.partitions.items()):
                    (led if partition.leader >= 0 else missing).append(number)
            if (led and not missing) or time.monotonic() >= until:
                break
            self._pause(_LEADER_PAUSE_S)
        self._all_led = bool(led) and not missing
        for number in missing:
            self._note(f"partition {number} has no leader")
        if not led and not missing:
            self._note(trouble)
        return led

    def _pause(self, for_s: float) -> None:
        """Wait a moment, serving the client's own callbacks meanwhile."""
        self._admin.poll(for_s)

    def _offsets(self, partition: int, spec: OffsetSpec, isolation: IsolationLevel) -> ListOffsetsResultInfo:
        wanted = TopicPartition(self._spec.topic, partition)
        timeout_s = self._request_s()
        futures: dict[TopicPartition, Future[ListOffsetsResultInfo]] = self._admin.list_offsets(
            {wanted: spec}, isolation_level=isolation, request_timeout=timeout_s
        )
        (future,) = futures.values()
        return future.result(timeout_s + 1.0)

    def _ask_bounds(self, partition: int) -> _Bounds:
        """The bounds, asked again while a leader is still being found."""
        until = time.monotonic() + min(_LEADER_WAIT_S, self._left_s() / 4)
        while True:
            try:
                return self._ask_bounds_once(partition)
            except (KafkaException, TimeoutError):
                if time.monotonic() >= until:
                    raise
            self._pause(_LEADER_PAUSE_S)

    def _ask_bounds_once(self, partition: int) -> _Bounds:
        earliest = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        start = self._offsets(partition, earliest, IsolationLevel.READ_UNCOMMITTED)
        end = self._offsets(partition, latest, IsolationLevel.READ_UNCOMMITTED)
        stable = self._offsets(partition, latest, IsolationLevel.READ_COMMITTED)
        return _Bounds(
            log_start=start.offset,
            end=end.offset,
            last_stable=min(stable.offset, end.offset),
            leader_epoch=end.leader_epoch,
            read_to=start.offset,
        )

    # Reading

    def _consumer(self, isolation: str) -> Consumer:
        """One reader per isolation level, fresh for this read; assigned by hand, never a group member."""
        consumer = self._consumers.get(isolation)
        if consumer is None:
            name = f"{self._spec.name}-{isolation}"
            config: dict[str, Any] = dict(
                reader_config(self._spec.bootstrap, name, isolation=isolation, connection=self._connection)
            )
            config["error_cb"] = lambda _error: None  # librdkafka's log has it
            consumer = self._consumers[isolation] = Consumer(config)
        return consumer

    def _read_partition(self, partition: int) -> None:
        rows_before, stored, unexpected = self._ledger.size, self._stored, self._unexpected
        last_seen: _Bounds | None = None
        for attempt in range(1, TRIES + 1):
            self._ledger.cut(rows_before)
            self._stored, self._unexpected = stored, unexpected
            try:
                bounds = self._ask_bounds(partition)
                last_seen = bounds
                self._read_between(partition, bounds)
                if bounds.read_to < bounds.end:
                    self._note(f"partition {partition} was read to {bounds.read_to} of {bounds.end}")
                    break
                after = self._ask_bounds(partition)
                if after.end < bounds.end or after.leader_epoch != bounds.leader_epoch:
                    raise _Moved
                if after.end > bounds.end and attempt < TRIES:
                    continue  # something still landed: read that too
                if after.end > bounds.end:
                    self._note(f"partition {partition} was still growing")
                break
            except _Moved:
                last_seen = bounds
                self._note(f"partition {partition} changed while it was read")
            except (KafkaException, TimeoutError) as raised:
                name = raised.args[0].name() if isinstance(raised, KafkaException) else "no answer"
                self._note(f"partition {partition} could not be asked for its offsets: {name}")
                if self._left_s() == 0:
                    self._discard(rows_before, stored, unexpected)
                    return self._short(partition, last_seen)
        else:
            self._discard(rows_before, stored, unexpected)
            return self._short(partition, last_seen)
        self._result.partitions[partition] = bounds
        self._result.unexpected = self._unexpected
        return None

    def _discard(self, rows_before: int, stored: int, unexpected: int) -> None:
        self._ledger.cut(rows_before)
        self._stored, self._unexpected = stored, unexpected

    def _short(self, partition: int, bounds: _Bounds | None) -> None:
        """Nothing is proven: say how long the log is, and that none of it was read."""
        if bounds is None or bounds.end <= bounds.log_start:
            return
        bounds.read_to = bounds.log_start
        self._result.partitions[partition] = bounds

    def _read_between(self, partition: int, bounds: _Bounds) -> None:
        rows_start = self._ledger.size
        bounds.read_to = self._pass(
            "read_uncommitted", partition, bounds.log_start, bounds.end, self._storing(partition)
        )
        self._ledger.flush()
        # A read_committed consumer leaves out two things: what lies at or beyond the last stable offset, and records
        # of an aborted transaction. The broker lists an aborted transaction by producer id and the client filters
        # only batches that carry the transactional flag. A producer without transactional.id never sets that flag,
        # and rows are made only of messages with the run's nonce. So if no producer of the run had one and nothing
        # lies beyond the last stable offset, the second pass could only repeat the first.
        if not self._spec.transactional and bounds.last_stable == bounds.end:
            return
        seen = bytearray(max(0, bounds.end - bounds.log_start))
        decided_to = self._pass(
            "read_committed",
            partition,
            bounds.log_start,
            bounds.last_stable,
            self._marking(seen, bounds.log_start),
        )
        self._mark_rows(rows_start, seen, bounds.log_start, decided_to=min(decided_to, bounds.last_stable))
        if decided_to < bounds.last_stable:
            self._note(f"partition {partition}: transactions are known only up to offset {decided_to}")

    def _storing(self, partition: int) -> Callable[[int, Message], None]:
        add, nonce, t0 = self._ledger.bodies.append, self._nonce, self._spec.t0
        prefixes: dict[tuple[int, int], bytes] = {}

        def store(offset: int, message: Message) -> None:
            value = message.value()
            payload = decode(value if isinstance(value, bytes) else None, nonce)
            if payload is None:
                self._unexpected += 1
                return
            key = (payload.producer, payload.attempt)
            prefix = prefixes.get(key)
            if prefix is None:
                attempt = min(payload.attempt, _MOST_IN_A_BYTE)
                prefix = row_prefix(RowKind.STORED, Committed.TRUE, partition, payload.producer, attempt)
                prefixes[key] = prefix
            add(body(prefix, payload.id, offset, ticks_since(t0)))
            self._stored += 1

        return store

    @staticmethod
    def _marking(seen: bytearray, log_start: int) -> Callable[[int, Message], None]:
        size = len(seen)

        def mark(offset: int, _message: Message) -> None:
            if 0 <= offset - log_start < size:
                seen[offset - log_start] = 1

        return mark

    def _pass(self, isolation: str, partition: int, start: int, end: int, take: Callable[[int, Message], None]) -> int:
        """Hand every record of [start, end) to `take`; returns how far that is proven, at most `end`."""
        if start >= end:
            return end
        consumer = self._consumer(isolation)
        consumer.assign([TopicPartition(self._spec.topic, partition, start)])
        proven = start
        try:
            while time.monotonic() < self._deadline:
                for message in consumer.consume(_BATCH, _POLL_S):
                    offset = message.offset()
                    error = message.error()
                    if message.partition() != partition or offset is None:
                        continue
                    if error is None:
                        if offset < end:
                            take(offset, message)
                        proven = max(proven, offset + 1)
                    elif error.code() == _PARTITION_EOF:
                        if offset >= end:
                            return end
                    elif error.code() in _OUT_OF_RANGE:
                        raise _Moved
                    else:
                        # Damaged, or not ours to read: what comes after it was not looked at.
                        self._note(f"partition {partition} at offset {proven}: {error.name()}")
                        return min(proven, end - 1)
                self._ledger.flush()
                self._control.counts(self._counts)
            # The budget is spent. Even with the last record in hand nobody has said that it was the last.
            return min(proven, end - 1)
        finally:
            consumer.unassign()

    def _mark_rows(self, rows_start: int, seen: bytearray, log_start: int, *, decided_to: int) -> None:
        """Mark the rows that the read_committed pass did not see: aborted below `decided_to`, else undecided."""
        stop = self._ledger.size
        for start in range(rows_start, stop, _PATCH_ROWS * ROW_BYTES):
            data = self._ledger.read_rows_bytes(start, min(stop, start + _PATCH_ROWS * ROW_BYTES))
            marked = bytearray()
            for row in RowReader(data):
                if not seen[row.offset - log_start]:
                    row = self._unseen(row, decided_to)
                marked += pack(row)
            if marked != data:
                self._ledger.replace_bytes(self._spec.ledger, start, bytes(marked))

    @staticmethod
    def _unseen(row: Row, decided_to: int) -> Row:
        return row._replace(code=Committed.FALSE if row.offset < decided_to else Committed.NULL)

    # Committed offsets

    def _committed_offsets(self, group: str, partitions: list[int]) -> dict[int, int] | None:
        wanted = [TopicPartition(self._spec.topic, one) for one in partitions]
        timeout_s = self._request_s()
        try:
            futures = self._admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, wanted)], request_timeout=timeout_s
            )
            (future,) = futures.values()
            answer = future.result(timeout_s + 1.0)
        except (KafkaException, TimeoutError) as raised:
            name = raised.args[0].name() if isinstance(raised, KafkaException) else "no answer"
            self._note(f"the committed offsets of {group} could not be read: {name}")
            return None
        found: dict[int, int] = {}
        for one in answer.topic_partitions:
            if one.error is not None:
                self._note(f"the committed offsets of {group} could not be read: {one.error.name()}")
                return None
            if one.offset >= 0:
                found[one.partition] = one.offset
        return found

    # Telling

    def _counts(self) -> Command:
        return {"stored": self._stored, "unexpected": self._unexpected}

    def _write_bounds(self) -> None:
        path = Path(self._spec.bounds)
        draft = path.with_name(path.name + ".part")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(self._result.as_dict(), file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def tell_counts(self) -> None:
        self._control.counts(self._counts, now=True)


def main(path: Path, control: Control) -> None:
    spec = read_reader_spec(path)
    control.event("ready")
    while True:
        command = control.next_command(1.0)
        if command is None:
            continue
        if command["do"] == "close":
            break
        if command["do"] == "read":
            reader = LogReader(spec, control)
            complete = reader.read(float(command["budget_s"]), command.get("group"))
            reader.tell_counts()
            control.event("read", complete=complete)
    control.event("closed", left=0)


if __name__ == "__main__":
    run_child(main)
