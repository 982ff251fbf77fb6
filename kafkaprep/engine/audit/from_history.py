"""Builds the ledger of a saved run from its rows and the bounds of the read."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter

from kafkaprep.engine.audit.ledger import ACKED, FAILED, UNKNOWN, Ledger, LedgerBuilder
from kafkaprep.errors import KafkaprepError
from kafkaprep.model.ledger import Committed, Row, RowKind, RowReader, SendOutcome

_OUTCOME_OF: Mapping[int, int] = {SendOutcome.UNKNOWN: UNKNOWN, SendOutcome.FAILED: FAILED, SendOutcome.ACKED: ACKED}
_COMMITTED_OF: Mapping[int, bool | None] = {Committed.FALSE: False, Committed.TRUE: True, Committed.NULL: None}


class Joined:
    """The rows of several ledger files of one kind, by their ticks; torn if any of them is.

    The order within a file is kept, whatever its ticks say.
    """

    def __init__(self, readers: Iterable[RowReader]) -> None:
        self._readers = tuple(readers)

    def __iter__(self) -> Iterator[Row]:
        if len(self._readers) == 1:
            return iter(self._readers[0])
        return heapq.merge(*self._readers, key=attrgetter("ticks"))

    @property
    def torn(self) -> bool:
        return any(reader.torn for reader in self._readers)


def ledger_of_run(
    plan: Mapping[str, object],
    sends: Iterable[Row],
    log: Iterable[Row],
    processed: Iterable[Row],
    bounds: Mapping[str, object],
) -> Ledger:
    """`plan` is plan.json, `bounds` is bounds.json; rows of other kinds in a ledger are passed over.

    An iterable with a true `torn` once it is used up (RowReader, Joined) makes the audit partial: unseen sends may
    exist, the final read counts as not done, or unseen messages may have been processed.
    """
    messages = _whole(plan, "messages", "plan")
    keys = _whole(plan, "keys", "plan")
    builder = LedgerBuilder(range(messages), dense=messages, key_modulus=keys)
    builder.unnamed_reads_are_missing()
    for partition in range(_whole(plan, "partitions", "plan")):
        builder.name_partition(partition)
    if plan.get("compacted"):
        builder.compacted()
    _feed_sends(builder, sends)
    for row in log:
        if row.kind == RowKind.STORED:
            if row.code not in _COMMITTED_OF:
                raise KafkaprepError(f"The log ledger holds the unknown code {row.code}.")
            builder.stored(row.partition, row.offset, row.id, _COMMITTED_OF[row.code])
    for row in processed:
        if row.kind == RowKind.PROCESSED:
            builder.processed(row.partition, row.offset, row.id)
    builder.torn(sends=_is_torn(sends), log=_is_torn(log), processed=_is_torn(processed))
    _feed_bounds(builder, bounds)
    return builder.build()


def _feed_sends(builder: LedgerBuilder, rows: Iterable[Row]) -> None:
    """An attempt begins with CALLED; REPORTED completes it, REFUSED undoes it, silence leaves it unknown.

    Its rank is the place of its CALLED row. The same (id, attempt, producer) called again while open is another
    life of the producer: the first one stays unknown.
    """
    unanswered: dict[tuple[int, int, int], int] = {}  # id, attempt, producer → rank
    for row in rows:
        attempt = (row.id, row.attempt, row.actor)
        if row.kind == RowKind.CALLED:
            if attempt in unanswered:
                _feed_unknown(builder, attempt, unanswered[attempt])
            unanswered[attempt] = builder.next_rank()
        elif row.kind == RowKind.REFUSED:
            unanswered.pop(attempt, None)
        elif row.kind == RowKind.REPORTED:
            if row.code not in _OUTCOME_OF:
                raise KafkaprepError(f"The send ledger holds the unknown outcome {row.code}.")
            builder.sent(
                row.id,
                _OUTCOME_OF[row.code],
                None if row.partition < 0 else row.partition,
                row.offset,
                producer=row.actor,
                reported_ok=row.error == 0,
                rank=unanswered.pop(attempt, None),
            )
    for attempt, rank in unanswered.items():
        _feed_unknown(builder, attempt, rank)


def _feed_unknown(builder: LedgerBuilder, attempt: tuple[int, int, int], rank: int) -> None:
    message, _, producer = attempt
    builder.sent(message, UNKNOWN, producer=producer, rank=rank, reported_ok=False)


def _feed_bounds(builder: LedgerBuilder, bounds: Mapping[str, object]) -> None:
    for partition, entry in _by_partition(bounds.get("partitions"), "partitions"):
        where = f"partitions.{partition}"
        if not isinstance(entry, Mapping):
            raise KafkaprepError(f"bounds.json: {where} is not an object.")
        builder.log_start(partition, _whole(entry, "log_start", where))
        builder.final_read(partition, _whole(entry, "read_to", where), _whole(entry, "end", where))
    if bounds.get("committed_offsets") is not None:
        builder.commits_were_read()
        for partition, entry in _by_partition(bounds["committed_offsets"], "committed_offsets"):
            if entry is not None:
                builder.committed_offset(partition, _number(entry, f"committed_offsets.{partition}"))


def _by_partition(value: object, where: str) -> Iterator[tuple[int, object]]:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise KafkaprepError(f"bounds.json: {where} is not an object.")
    for text, entry in value.items():
        if not str(text).isdigit():
            raise KafkaprepError(f"bounds.json: {where} names the partition {text!r}.")
        yield int(text), entry


def _whole(fields: Mapping[str, object], name: str, where: str) -> int:
    number = _number(fields.get(name), f"{where}.{name}")
    if number < 0:
        raise KafkaprepError(f"The saved run is damaged: {where}.{name} is negative.")
    return number


def _number(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise KafkaprepError(f"The saved run is damaged: {where} is not a whole number.")
    return value


def _is_torn(rows: Iterable[Row]) -> bool:
    return bool(getattr(rows, "torn", False))
