"""A producer under test: records each call before it, each report when it comes.

The CALLED rows of a batch are in the ledger before the first produce() of that batch; REPORTED rows are there before
any event mentions them. A send with a CALLED row and neither a report nor a refusal has an unknown outcome.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from kafkaprep.engine.traffic.client_config import (
    effective_acks,
    effective_retries,
    is_idempotent,
    producer_config,
)
from kafkaprep.engine.traffic.control import Barriers, Command, Control, run_child
from kafkaprep.engine.traffic.ledger_file import LedgerFile, body, row_prefix, ticks_since
from kafkaprep.engine.traffic.outcomes import Code, outcome_of
from kafkaprep.engine.traffic.payload import encoder, identity
from kafkaprep.engine.traffic.specs import ProducerSpec, read_producer_spec
from kafkaprep.model.ledger import NO_OFFSET, NO_PARTITION, TICKS_PER_SECOND, RowKind, SendOutcome

BATCH = 500
MAX_ATTEMPT = 255  # what a row can hold
_POLL_S = 0.05
_FLUSH_S = 0.1
_IDLE_S = 0.5

Send = tuple[int, int]  # id, attempt


class _Latencies:
    """Counts by 100 µs: percentiles without keeping every value."""

    def __init__(self) -> None:
        self.counts: defaultdict[int, int] = defaultdict(int)

    def percentiles(self) -> dict[str, float | None]:
        total = sum(self.counts.values())
        if not total:
            return {"p50": None, "p99": None}
        found: dict[str, float | None] = {}
        wanted = [("p50", 0.50 * total), ("p99", 0.99 * total)]
        seen = 0
        for ticks in sorted(self.counts):
            seen += self.counts[ticks]
            while wanted and seen >= wanted[0][1]:
                found[wanted.pop(0)[0]] = round(ticks * 1000 / TICKS_PER_SECOND, 1)
        return found


class _OkPrefixes(dict[tuple[int | None, int], bytes]):
    """The first bytes of the row of a report without error, by partition and attempt."""

    def __init__(self, outcome: SendOutcome, actor: int) -> None:
        super().__init__()
        self._outcome, self._actor = outcome, actor

    def __missing__(self, key: tuple[int | None, int]) -> bytes:
        partition, attempt = key
        if partition is None:
            partition = NO_PARTITION
        made = self[key] = row_prefix(RowKind.REPORTED, self._outcome, partition, self._actor, attempt)
        return made


class ProducerChild:
    def __init__(self, spec: ProducerSpec, control: Control) -> None:
        self._spec = spec
        self._control = control
        self._barriers = Barriers(control, spec.barriers)
        self._ledger = LedgerFile(spec.ledger)
        self._encode = encoder(spec.nonce_bytes, spec.index, spec.message_bytes)
        self._acks = effective_acks(spec.settings)
        self._retries = effective_retries(spec.settings)
        self._idempotent = is_idempotent(spec.settings)
        self._drop_when_full = spec.application.get("on_buffer_full", "poll_and_retry") == "drop"
        self._on_report_error = spec.application.get("on_report_error", "ignore")
        self._flush_on_exit = spec.application.get("flush_on_exit", "true") == "true"

        self._next_id = spec.index + spec.skip * spec.producers
        self._handed = 0  # ids we were told to send, so far
        self._to_send = 0  # of those, not yet called
        self._resend: deque[Send] = deque()
        self._called = self._reported = self._ok = self._errors = self._refused = 0
        self._error_names: defaultdict[str, int] = defaultdict(int)
        self._latencies = _Latencies()
        self._stopped = False  # an error report ended the sending (on_report_error=stop)
        self._resent_inside = False  # the client may have sent a message twice on its own
        self._fatal: str | None = None
        self._deadline: float | None = None  # set by the command to close

        without_error = outcome_of(
            None, acks=self._acks, retries=self._retries, idempotent=self._idempotent, first_attempt=True
        )
        self._prefixes = _OkPrefixes(without_error, spec.actor)
        self._report_barrier = self._barriers.ahead("after_report")
        config: dict[str, Any] = dict(producer_config(spec.bootstrap, spec.settings, spec.name, spec.connection()))
        config["on_delivery"] = self._delivery_callback()
        config["error_cb"] = self._client_error
        self._producer = Producer(config)

    # Reports

    def _delivery_callback(self) -> Callable[[KafkaError | None, Message], None]:
        # Called once per message: everything it needs is bound here.
        add, prefixes = self._ledger.bodies.append, self._prefixes
        latencies, offset_means_something = self._latencies.counts, self._acks != "0"
        t0, clock, ticks_per_s = self._spec.t0, time.monotonic, TICKS_PER_SECOND

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            message_id, _, attempt = identity(message.value())
            if error is None:
                offset = message.offset()
                if offset is None or offset < 0 or not offset_means_something:
                    offset = NO_OFFSET
                prefix = prefixes[message.partition(), attempt]
                add(body(prefix, message_id, offset, int((clock() - t0) * ticks_per_s)))
                self._ok += 1
                took_s = message.latency()
                if took_s is not None and took_s >= 0:
                    latencies[int(took_s * ticks_per_s)] += 1
            else:
                self._error_report(error, message, message_id, attempt)
            self._reported += 1
            if self._reported == self._report_barrier:
                self._stand("after_report", self._reported)
                self._report_barrier = self._barriers.ahead("after_report")

        return on_delivery

    def _error_report(self, error: KafkaError, message: Message, message_id: int, attempt: int) -> None:
        code = error.code()
        outcome = outcome_of(
            code,
            acks=self._acks,
            retries=self._retries,
            idempotent=self._idempotent,
            first_attempt=attempt == 0 and (self._retries == 0 or self._idempotent or not self._resent_inside),
        )
        partition = message.partition()
        if partition is None or partition < 0:
            partition = NO_PARTITION
        self._row(RowKind.REPORTED, message_id, attempt, code=outcome, partition=partition, error=code)
        self._errors += 1
        self._error_names[error.name()] += 1
        match self._on_report_error:
            case "resend" if attempt < MAX_ATTEMPT:
                self._resend.append((message_id, attempt + 1))
            case "stop":
                self._stopped = True
                self._to_send = 0

    def _client_error(self, error: KafkaError) -> None:
        """A broken connection or a request without answer: from here on the client may have sent again."""
        self._resent_inside = True
        if error.fatal() or error.code() == Code._FATAL:
            self._fatal = error.name()

    # Sends

    def _row(
        self, kind: RowKind, message_id: int, attempt: int, code: int = 0, partition: int = -1, error: int = 0
    ) -> None:
        prefix = row_prefix(kind, code, partition, self._spec.actor, attempt, error)
        self._ledger.bodies.append(body(prefix, message_id, NO_OFFSET, ticks_since(self._spec.t0)))

    def _ask_for(self, count: int | None) -> None:
        spec = self._spec
        left = max(0, len(range(self._next_id, spec.messages, spec.producers)) - self._to_send)
        count = left if count is None else min(count, left)
        if not self._stopped:
            self._to_send += count

    def _take(self, most: int) -> Sequence[Send]:
        """The next sends: messages to be sent again first, then new ids in order."""
        if self._resend:
            return [self._resend.popleft() for _ in range(min(most, len(self._resend)))]
        count = min(most, self._to_send)
        first, step = self._next_id, self._spec.producers
        self._next_id = first + count * step
        self._to_send -= count
        return [(message_id, 0) for message_id in range(first, self._next_id, step)]

    def _send_batch(self) -> None:
        barriers, done = self._barriers, self._called
        if barriers.ahead("before_send") == done + 1:
            self._stand("before_send", done + 1)
        most = min(BATCH, barriers.ahead("before_send") - 1 - done, barriers.ahead("after_call") - done)
        sends = self._take(most)
        self._write_called(sends)
        self._produce(sends)
        # Only now: whoever awaits reports must not take messages that are about to be sent for reported ones.
        self._handed += sum(attempt == 0 for _, attempt in sends)
        if barriers.ahead("after_call") == self._called:
            self._stand("after_call", self._called)

    def _write_called(self, sends: Sequence[Send]) -> None:
        ticks, actor = ticks_since(self._spec.t0), self._spec.actor
        prefixes = {
            attempt: row_prefix(RowKind.CALLED, 0, NO_PARTITION, actor, attempt)
            for attempt in {attempt for _, attempt in sends}
        }
        self._ledger.bodies.extend(
            [body(prefixes[attempt], message_id, NO_OFFSET, ticks) for message_id, attempt in sends]
        )
        self._ledger.flush()

    def _produce(self, sends: Sequence[Send]) -> None:
        produce, topic, keys = self._producer.produce, self._spec.topic, self._spec.keys
        encode = self._encode
        for message_id, attempt in sends:
            self._called += 1
            value, key = encode(message_id, attempt), str(message_id % keys)
            while True:
                try:
                    produce(topic, value, key)
                except BufferError:
                    if not self._drop_when_full and not self._too_late():
                        self._serve(_POLL_S)
                        continue
                    self._refuse(message_id, attempt, Code._QUEUE_FULL, Code._QUEUE_FULL.name)
                except KafkaException as raised:
                    error = raised.args[0]
                    self._refuse(message_id, attempt, error.code(), error.name())
                break

    def _refuse(self, message_id: int, attempt: int, code: int, name: str) -> None:
        self._row(RowKind.REFUSED, message_id, attempt, error=code)
        self._refused += 1
        self._error_names[name] += 1

    # The loop

    def _outstanding(self) -> int:
        return self._called - self._reported - self._refused

    def _too_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _serve(self, wait_s: float) -> None:
        """Run the callbacks that are due, note what they said, and listen to the parent."""
        self._producer.poll(wait_s)
        self._ledger.flush()
        self._control.counts(self._counts)
        while (command := self._control.next_command()) is not None:
            self._obey(command)

    def _stand(self, at: str, n: int) -> None:
        self._ledger.flush()
        self._control.counts(self._counts, now=True)
        self._barriers.reach(at, n)

    def _counts(self) -> Command:
        return {
            "planned_sent": self._handed,
            "resending": len(self._resend),
            "called": self._called,
            "reported": self._reported,
            "ok": self._ok,
            "errors": self._errors,
            "refused": self._refused,
            "error_names": dict(self._error_names),
            "latency_ms": self._latencies.percentiles(),
            "stopped": self._stopped,
            "fatal": self._fatal,
        }

    def _obey(self, command: Command) -> None:
        match command["do"]:
            case "send":
                self._ask_for(command.get("count"))
            case "close":
                self._deadline = time.monotonic() + float(command["timeout_s"])
                if not self._flush_on_exit:
                    self._leave()

    def run(self) -> None:
        self._control.event("ready")
        while True:
            working = bool(self._to_send or self._resend)
            if working and not self._too_late():
                self._send_batch()
                self._serve(0)
            elif self._deadline is not None:
                if self._outstanding() == 0 or self._too_late():
                    self._leave()
                self._producer.flush(min(_FLUSH_S, max(0.0, self._deadline - time.monotonic())))
                self._serve(0)
            elif self._outstanding():
                self._serve(_POLL_S)
            else:
                command = self._control.next_command(_IDLE_S)
                if command is not None:
                    self._obey(command)
                self._serve(0)
            if not self._to_send and (working or not self._outstanding()):
                self._control.counts(self._counts, now=True)

    def _leave(self) -> None:
        """End without the library's own farewell: what it still holds is left behind, as `left` says."""
        self._ledger.close()
        self._control.counts(self._counts, now=True)
        self._control.event("closed", left=self._outstanding())
        os._exit(0)


def main(path: Path, control: Control) -> None:
    ProducerChild(read_producer_spec(path), control).run()


if __name__ == "__main__":
    run_child(main)
