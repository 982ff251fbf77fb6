"""The price counts what was sent and reported before the first fault, and nothing else."""

from kafkaprep.engine.price import price
from kafkaprep.model.ledger import Row, RowKind


def c(id_: int, ticks: int, attempt: int = 0) -> Row:
    return Row(RowKind.CALLED, 0, -1, 0, attempt, 0, id_, -1, ticks)


def r(id_: int, ticks: int, attempt: int = 0) -> Row:
    return Row(RowKind.REPORTED, 2, 0, 0, attempt, 0, id_, id_, ticks)


def test_percentiles_and_rate() -> None:
    rows = [c(0, 0), c(1, 0), c(2, 0), r(0, 100), r(1, 200), r(2, 10_000)]
    found = price(rows, None)
    assert (found.messages, found.p50_ms, found.p99_ms, found.per_s) == (3, 20.0, 1000.0, 3.0)


def test_what_the_fault_touched_is_left_out() -> None:
    rows = [c(0, 0), c(1, 0), r(0, 100), r(1, 150), c(2, 900), r(2, 2_000), c(3, 1_500), r(3, 1_600)]
    assert price(rows, 0.1).as_dict() == price(rows[:4], None).as_dict()


def test_the_report_belongs_to_its_attempt() -> None:
    rows = [c(0, 0), c(0, 500, attempt=1), c(1, 0), r(0, 600, attempt=1), r(1, 100)]
    assert price(rows, None).p99_ms == 10.0


def test_too_little_is_no_price() -> None:
    assert price([c(0, 0), r(0, 5)], None).as_dict() == {"messages": 1, "p50_ms": None, "p99_ms": None, "per_s": None}
    assert price([], 1.0).messages == 0
