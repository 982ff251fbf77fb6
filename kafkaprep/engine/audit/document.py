"""Reads a ledger document, refuses a malformed one, and answers it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from kafkaprep.engine.audit.classes import Classification, classify
from kafkaprep.engine.audit.ledger import MAX_PARTITION, OUTCOMES, Ledger, LedgerBuilder, Name
from kafkaprep.errors import UsageError

WAY_OUT = "The README describes the format of a ledger document."

Fields = dict[str, object]


def answer_text(text: str, *, json_lines: bool) -> list[dict[str, object]]:
    """The answers to one document, or to one document per line of which blank ones are skipped."""
    if not json_lines:
        return [answer_document(_decode(text, ""))]
    lines = enumerate(text.split("\n"), start=1)
    return [_answer_line(line, number) for number, line in lines if line.strip()]


def answer_document(document: object) -> dict[str, object]:
    ledger = parse_document(document)
    assert isinstance(document, dict)
    return answer(document.get("name"), classify(ledger, limit=None))


def answer(name: object, classification: Classification) -> dict[str, object]:
    """The classes that are not empty, each with its sorted members."""
    return {"name": name, "classes": {key: tally.members for key, tally in classification.classes.items()}}


def parse_document(document: object) -> Ledger:
    """The ledger of a decoded document; `expect`, `why` and any other field it does not know are ignored."""
    fields = _object(document, "the document")
    _optional_text(fields, "name", "")
    _choice(fields, "isolation", ("read_committed", "read_uncommitted"))
    sends = _rows(fields, "sends")
    sent_ids = [_whole(row, "id", f"sends[{number}]") for number, row in enumerate(sends)]
    planned = _planned(fields)
    builder = LedgerBuilder(planned, dense=_dense(sent_ids, planned or ()))
    _feed_sends(builder, sends, sent_ids)
    _feed_log(builder, _rows(fields, "log"))
    _feed_processed(builder, _rows(fields, "processed"))
    _feed_bounds(builder, fields)
    if _flag(fields, "compacted"):
        builder.compacted()
    return builder.build()


def _answer_line(line: str, number: int) -> dict[str, object]:
    try:
        return answer_document(_decode(line, ""))
    except UsageError as error:
        raise UsageError(f"line {number}: {error.message}", error.way_out) from None


def _decode(text: str, where: str) -> object:
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}This is not JSON: {error}.", WAY_OUT) from None


def _dense(sent_ids: list[int], planned: Iterable[int]) -> int:
    """How many ids may index the arrays themselves: none where they are sparse."""
    known = {*sent_ids, *planned}
    largest = max(known, default=-1)
    return largest + 1 if largest <= 4 * len(known) else 0


def _planned(fields: Fields) -> list[int] | None:
    if fields.get("planned") is None:
        return None
    values = _list(fields["planned"], "planned")
    return [_number(value, f"planned[{number}]") for number, value in enumerate(values)]


def _feed_sends(builder: LedgerBuilder, rows: list[Fields], ids: list[int]) -> None:
    for number, (row, message) in enumerate(zip(rows, ids, strict=True)):
        where = f"sends[{number}]"
        outcome = row.get("outcome")
        if not isinstance(outcome, str) or outcome not in OUTCOMES:
            raise _wrong(f"{where}.outcome", "acked, failed or unknown", outcome)
        reported = _choice(row, "reported", ("ok", "error"), where)
        builder.sent(
            message,
            OUTCOMES[outcome],
            None if row.get("partition") is None else _partition(row, where),
            None if row.get("offset") is None else _offset(row, where, lowest=None),
            producer=_name(row, "producer", where),
            key=_name(row, "key", where),
            txn=_name(row, "txn", where),
            reported_ok=None if reported is None else reported == "ok",
        )


def _feed_log(builder: LedgerBuilder, rows: list[Fields]) -> None:
    for number, row in enumerate(rows):
        where = f"log[{number}]"
        if "committed" not in row:
            raise UsageError(f"{where}.committed is missing; it is true, false or null.", WAY_OUT)
        committed = row["committed"]
        if committed is not None and not isinstance(committed, bool):
            raise _wrong(f"{where}.committed", "true, false or null", committed)
        builder.stored(_partition(row, where), _offset(row, where), _whole(row, "id", where), committed)


def _feed_processed(builder: LedgerBuilder, rows: list[Fields]) -> None:
    for number, row in enumerate(rows):
        where = f"processed[{number}]"
        _name(row, "consumer", where)
        builder.processed(_partition(row, where), _offset(row, where), _whole(row, "id", where))


def _feed_bounds(builder: LedgerBuilder, fields: Fields) -> None:
    _each_partition(fields, "log_start", lambda p, value, where: builder.log_start(p, _number(value, where)))
    _each_partition(fields, "final_read", lambda p, value, where: _feed_read(builder, p, value, where))
    _each_partition(fields, "last_stable", lambda p, value, where: _feed_last_stable(builder, p, value, where))
    if fields.get("committed_offsets") is not None:
        builder.commits_were_read()
        _each_partition(fields, "committed_offsets", lambda p, value, where: _feed_commit(builder, p, value, where))


def _feed_read(builder: LedgerBuilder, partition: int, value: object, where: str) -> None:
    read = _object(value, where)
    builder.final_read(partition, _whole(read, "read_to", where), _whole(read, "end", where))


def _feed_last_stable(builder: LedgerBuilder, partition: int, value: object, where: str) -> None:
    if value is not None:
        _number(value, where)
    builder.name_partition(partition)


def _feed_commit(builder: LedgerBuilder, partition: int, value: object, where: str) -> None:
    """A null or negative offset is Kafka's way to say that nothing was committed."""
    builder.committed_offset(partition, 0 if value is None else _number(value, where, lowest=None))


def _each_partition(fields: Fields, name: str, feed: Callable[[int, object, str], None]) -> None:
    value = fields.get(name)
    if value is None:
        return
    for text, entry in _object(value, name).items():
        if not (text.isascii() and text.isdigit()) or int(text) > MAX_PARTITION:
            raise UsageError(f"{name}: {text!r} is not a partition, a number from 0 to {MAX_PARTITION}.", WAY_OUT)
        feed(int(text), entry, f"{name}[{text}]")


def _object(value: object, where: str) -> Fields:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    return value


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise _wrong(where, "a list", value)
    return value


def _rows(fields: Fields, name: str) -> list[Fields]:
    if name not in fields:
        raise UsageError(f"{name} is missing; an empty list says that there were none.", WAY_OUT)
    return [_object(row, f"{name}[{number}]") for number, row in enumerate(_list(fields[name], name))]


def _whole(row: Fields, name: str, where: str) -> int:
    if name not in row:
        raise UsageError(f"{where}.{name} is missing.", WAY_OUT)
    return _number(row[name], f"{where}.{name}")


def _number(value: object, where: str, lowest: int | None = 0) -> int:
    """A whole number; JSON's true and 1.0 are not."""
    if isinstance(value, bool) or not isinstance(value, int) or (lowest is not None and value < lowest):
        raise _wrong(where, "a whole number" if lowest is None else f"a whole number from {lowest}", value)
    return value


def _partition(row: Fields, where: str) -> int:
    partition = _whole(row, "partition", where)
    if partition > MAX_PARTITION:
        raise _wrong(f"{where}.partition", f"at most {MAX_PARTITION}", partition)
    return partition


def _offset(row: Fields, where: str, lowest: int | None = 0) -> int:
    if "offset" not in row:
        raise UsageError(f"{where}.offset is missing.", WAY_OUT)
    offset = _number(row["offset"], f"{where}.offset", lowest)
    if offset >= 2**63:
        raise _wrong(f"{where}.offset", "below 2^63", offset)
    return offset


def _name(row: Fields, name: str, where: str) -> Name | None:
    value = row.get(name)
    if value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise _wrong(f"{where}.{name}", "text", value)


def _optional_text(fields: Fields, name: str, where: str) -> None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(f"{where}{name}", "text", value)


def _choice(fields: Fields, name: str, choices: tuple[str, ...], where: str = "") -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or value not in choices:
        raise _wrong(f"{where}.{name}" if where else name, " or ".join(choices), value)
    return value


def _flag(fields: Fields, name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return bool(value)


def _wrong(where: str, wanted: str, got: object) -> UsageError:
    shown = json.dumps(got, ensure_ascii=True, default=str)
    if len(shown) > 40:
        shown = shown[:37] + "..."
    return UsageError(f"{where} must be {wanted}, not {shown}.", WAY_OUT)
