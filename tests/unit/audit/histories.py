"""One-letter helpers that write ledger documents and run rows as small tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kafkaprep.engine.audit.classes import Classification, classify
from kafkaprep.engine.audit.document import answer_document
from kafkaprep.engine.audit.from_history import ledger_of_run
from kafkaprep.model.ledger import Committed, Row, RowKind, SendOutcome

WORDS = {"a": "acked", "f": "failed", "u": "unknown"}
STATES = {"+": True, "-": False, "?": None}
OUTCOMES = {"a": SendOutcome.ACKED, "f": SendOutcome.FAILED, "u": SendOutcome.UNKNOWN}
COMMITTED = {"+": Committed.TRUE, "-": Committed.FALSE, "?": Committed.NULL}


def s(message: int, outcome: str, partition: int | None = None, offset: int | None = None, **more: Any) -> Any:
    """A send: s(id, "a" | "f" | "u", partition, offset)."""
    return {"id": message, "outcome": WORDS[outcome], "partition": partition, "offset": offset, **more}


def w(message: int, offset: int, state: str = "+", partition: int = 0) -> Any:
    """A stored row, w for written: w(id, offset, "+" | "-" | "?")."""
    return {"partition": partition, "offset": offset, "id": message, "committed": STATES[state]}


def h(message: int, offset: int, partition: int = 0) -> Any:
    """A processed row, h for handled."""
    return {"consumer": "c", "partition": partition, "offset": offset, "id": message}


def classes(sends: list[Any], log: list[Any] = (), processed: list[Any] = (), **more: Any) -> Any:  # type: ignore[assignment]
    document = {"sends": sends, "log": list(log), "processed": list(processed), **more}
    return answer_document(document)["classes"]


class Rows(list[Row]):
    """The rows of one ledger file, torn or whole."""

    torn = False


def torn(rows: list[Row]) -> Rows:
    found = Rows(rows)
    found.torn = True
    return found


def c(message: int, attempt: int = 0, producer: int = 0) -> Row:
    return Row(RowKind.CALLED, 0, -1, producer, attempt, 0, message, -1, 0)


def r(message: int, outcome: str, offset: int = -1, attempt: int = 0, partition: int = 0, error: int = 0) -> Row:
    return Row(RowKind.REPORTED, OUTCOMES[outcome], partition, 0, attempt, error, message, offset, 0)


def x(message: int, attempt: int = 0) -> Row:
    return Row(RowKind.REFUSED, 0, -1, 0, attempt, -184, message, -1, 0)


def st(message: int, offset: int, state: str = "+", partition: int = 0) -> Row:
    return Row(RowKind.STORED, COMMITTED[state], partition, 0, 0, 0, message, offset, 0)


def p(message: int, offset: int, partition: int = 0) -> Row:
    return Row(RowKind.PROCESSED, 0, partition, 0, 0, 0, message, offset, 0)


def bounds(end: int, read_to: int | None = None, log_start: int = 0, commit: int | None = None) -> dict[str, Any]:
    read = {"log_start": log_start, "end": end, "last_stable": end, "read_to": end if read_to is None else read_to}
    commits = None if commit is None else {"0": commit}
    return {"partitions": {"0": read}, "committed_offsets": commits, "isr_full": True, "notes": []}


def audit(
    messages: int,
    sends: Iterable[Row],
    log: Iterable[Row],
    processed: Iterable[Row],
    limits: Mapping[str, Any],
    **more: Any,
) -> Classification:
    """The audit of a saved run with one partition and two keys."""
    plan = {"messages": messages, "keys": 2, "partitions": 1, **more}
    return classify(ledger_of_run(plan, sends, log, processed, limits))
