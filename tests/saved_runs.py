"""Writes the folder of a run that never took place, so that judging and reporting need no broker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kafkaprep import paths
from kafkaprep.catalog.labs import find_lab, load_labs
from kafkaprep.engine.plan import make_plan, save_plan
from kafkaprep.engine.recorder import Recorder
from kafkaprep.engine.saved_run import BOUNDS, LOG_LEDGER, handled_ledger, sends_ledger
from kafkaprep.model.history import EventName, FaultRecord
from kafkaprep.model.lab import Lab
from kafkaprep.model.ledger import Committed, Row, RowKind, SendOutcome, pack
from kafkaprep.model.settings import Settings

MESSAGES = 400  # the fewest that the script of acks-zero sends by number
LOST = range(300, 400)
FAULTS = (
    FaultRecord("pause", "leader", 2, 1.25, "the process is stopped, its connections stay open"),
    FaultRecord("kill", "leader", 2, 1.93, "the process is gone"),
    FaultRecord("new leader", "broker 2", 3, 5.5, "leader moved 2→3"),
)
DURATIONS = {"prepare_s": 1.0, "run_s": 6.0, "heal_s": 3.0, "final_read_s": 0.5}


@cache
def acks_zero() -> Lab:
    return find_lab(load_labs(paths.labs()), "acks-zero")


def called(message: int) -> Row:
    return Row(RowKind.CALLED, 0, -1, 0, 0, 0, message, -1, message)


def reported(message: int, outcome: SendOutcome, offset: int = -1, error: int = 0) -> Row:
    return Row(RowKind.REPORTED, outcome, 0, 0, 0, error, message, offset, message)


def stored(message: int, offset: int) -> Row:
    return Row(RowKind.STORED, Committed.TRUE, 0, 0, 0, 0, message, offset, 0)


def processed(message: int, offset: int) -> Row:
    return Row(RowKind.PROCESSED, 0, 0, 0, 0, 0, message, offset, 0)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    path.write_bytes(b"".join(map(pack, rows)))


def save_run(
    folder: Path,
    *,
    solution: bool = False,
    lost: Iterable[int] = (),
    lab: Lab | None = None,
    changes: Mapping[Any, Any] | None = None,
    faults: Iterable[FaultRecord] = FAULTS,
) -> Path:
    """A complete run of acks-zero in the new folder `folder`, in which the ids of `lost` never reached the log."""
    folder.mkdir(parents=True)
    lab = lab or acks_zero()
    plan = make_plan(lab, Settings(changes or {}), solution=solution, messages=MESSAGES, seed=7)
    save_plan(plan, folder)
    gone = set(lost)
    log = [message for message in range(MESSAGES) if message not in gone]
    offsets = {message: offset for offset, message in enumerate(log)}
    sends: list[Row] = []
    for message in range(MESSAGES):
        if solution:
            report = reported(message, SendOutcome.ACKED, offsets.get(message, MESSAGES + message))
        else:
            report = reported(message, SendOutcome.UNKNOWN)
        sends += [called(message), report]
    write_rows(folder / sends_ledger(0), sends)
    write_rows(folder / LOG_LEDGER, (stored(message, offset) for message, offset in offsets.items()))
    write_rows(folder / handled_ledger(0), (processed(message, offset) for message, offset in offsets.items()))
    write_bounds(folder, end=len(log))
    recorder = Recorder(folder)
    recorder.record(
        EventName.RUN_STARTED,
        cluster={"backend": "local", "version": "4.4.0", "brokers": 3},
        client={"name": "librdkafka", "version": "2.16.0"},
    )
    for fault in faults:
        recorder.record(EventName.FAULT, **fault.as_dict())
    recorder.record(
        EventName.COUNTS,
        planned=MESSAGES,
        sent=MESSAGES,
        reported=MESSAGES,
        ok=MESSAGES,
        errors=0,
        delivered=len(log),
        processed=len(log),
        stored=len(log),
    )
    recorder.record(EventName.RUN_ENDED, durations=DURATIONS, latency_ms={"p50": 1.5, "p99": 20.0}, error_names={})
    recorder.close()
    return folder


def write_bounds(folder: Path, *, end: int, read_to: int | None = None) -> None:
    read = {"log_start": 0, "end": end, "last_stable": end, "read_to": end if read_to is None else read_to}
    record = {"partitions": {"0": read}, "committed_offsets": {"0": end}, "isr_full": True, "notes": []}
    (folder / BOUNDS).write_text(json.dumps(record))
