"""Each promise broken, kept and left open; and what the settings allow."""

from __future__ import annotations

from typing import Any

import pytest
from histories import h, s, w

from kafkaprep.engine.audit.classes import classify
from kafkaprep.engine.audit.document import parse_document
from kafkaprep.engine.audit.judge import EVIDENCE, Observation, judge
from kafkaprep.errors import UsageError
from kafkaprep.model.settings import Settings
from kafkaprep.model.verdict import Outcome, Promise, PromiseResult, Severity, Verdict

SAFE = {
    "producer": {"acks": "all", "enable.idempotence": "true"},
    "topic": {"min.insync.replicas": "2"},
    "consumer": {"isolation.level": "read_committed", "auto.offset.reset": "earliest"},
    "application": {"commit": "after"},
}
SHORT = {"0": {"read_to": 3, "end": 9}}
ACKED = [s(0, "a", 0, 0), s(1, "a", 0, 1)]
LOG = [w(0, 0), w(1, 1)]
DONE = [h(0, 0), h(1, 1)]
LOST = [s(0, "a", 0, 0), s(1, "a", 0, 2)]


def verdict(promises: Any, sends: Any = ACKED, log: Any = LOG, processed: Any = DONE, **more: Any) -> Verdict:
    options = {name: more.pop(name) for name in ("replication", "brokers_lost", "observations") if name in more}
    settings = Settings.from_dict({**SAFE, **more.pop("settings", {})})
    document = {"sends": sends, "log": log, "processed": processed, "committed_offsets": {"0": 2}, **more}
    return judge(classify(parse_document(document)), promises, settings, **options)


def result(promise: str, *ledgers: Any, **more: Any) -> PromiseResult:
    (only,) = verdict([promise], *ledgers, **more).promises
    return only


TABLE: list[tuple[str, PromiseResult, str, list[int]]] = [
    ("no_reported_loss: lost", result("no_reported_loss", LOST, LOG[:1]), "broken", [1]),
    (
        "no_reported_loss: acks=0 vanished",
        result("no_reported_loss", [*ACKED[:1], s(1, "u", 0, reported="ok")], LOG[:1]),
        "broken",
        [1],
    ),
    (
        "no_reported_loss: unknown and said so",
        result("no_reported_loss", [*ACKED[:1], s(1, "u", 0, reported="error")], LOG[:1]),
        "kept",
        [],
    ),
    (
        "no_reported_loss: aborted",
        result("no_reported_loss", [*ACKED[:1], s(1, "f", reported="ok")], LOG[:1]),
        "kept",
        [],
    ),
    ("no_acked_loss", result("no_acked_loss", LOST, LOG[:1]), "broken", [1]),
    (
        "no_acked_loss: acks=0 is no ack",
        result("no_acked_loss", [*ACKED[:1], s(1, "u", 0, reported="ok")], LOG[:1]),
        "kept",
        [],
    ),
    (
        "no_acked_loss: beyond the read",
        result("no_acked_loss", [*ACKED[:1], s(1, "a", 0, 3)], LOG[:1], final_read=SHORT),
        "inconclusive",
        [1],
    ),
    (
        "no_acked_loss: an aborted copy does not prove it beyond the read",
        result("no_acked_loss", [s(1, "f"), s(1, "a", 0, 3)], [w(1, 0, "-")], final_read=SHORT),
        "inconclusive",
        [1],
    ),
    ("no_acked_loss: undecided", result("no_acked_loss", ACKED, [w(0, 0), w(1, 1, "?")]), "inconclusive", [1]),
    (
        "no_acked_loss: retention may hide it",
        result("no_acked_loss", ACKED, LOG[1:], DONE[1:], log_start={"0": 1}),
        "inconclusive",
        [0],
    ),
    (
        "no_acked_loss: processed before retention",
        result("no_acked_loss", ACKED, LOG[1:], log_start={"0": 1}),
        "kept",
        [],
    ),
    ("no_acked_loss: all found in a short read", result("no_acked_loss", final_read=SHORT), "kept", []),
    ("all_arrive: never sent", result("all_arrive", planned=[0, 1, 2]), "broken", [2]),
    ("all_arrive: failed", result("all_arrive", [*ACKED, s(2, "f")], final_read=SHORT), "broken", [2]),
    ("all_arrive: unknown", result("all_arrive", [*ACKED, s(2, "u")]), "broken", [2]),
    (
        "all_arrive: unknown, short read",
        result("all_arrive", [*ACKED, s(2, "u")], final_read=SHORT),
        "inconclusive",
        [2],
    ),
    ("all_arrive: unknown, compacted", result("all_arrive", [*ACKED, s(2, "u")], compacted=True), "inconclusive", [2]),
    ("all_arrive: undecided", result("all_arrive", [s(0, "f")], [w(0, 0, "?")]), "inconclusive", [0]),
    ("all_accepted: failed and unknown", result("all_accepted", [*ACKED, s(2, "f"), s(3, "u")]), "broken", [2, 3]),
    ("all_accepted: a later attempt succeeded", result("all_accepted", [s(0, "f"), *ACKED]), "kept", []),
    ("all_accepted: never sent", result("all_accepted", planned=[0, 1, 2]), "inconclusive", [2]),
    ("no_log_duplicates", result("no_log_duplicates", ACKED, [*LOG, w(0, 2)]), "broken", [0]),
    ("no_log_duplicates: short read", result("no_log_duplicates", final_read=SHORT), "inconclusive", []),
    (
        "no_log_duplicates: broken in a short read",
        result("no_log_duplicates", ACKED, [*LOG, w(0, 2)], final_read=SHORT),
        "broken",
        [0],
    ),
    ("no_log_duplicates: beginning gone", result("no_log_duplicates", log_start={"0": 1}), "inconclusive", []),
    (
        "no_log_duplicates: undecided copy",
        result("no_log_duplicates", ACKED, [*LOG, w(0, 2, "?")]),
        "inconclusive",
        [0],
    ),
    ("order_kept", result("order_kept", ACKED, [w(1, 0), w(0, 1)]), "broken", [0]),
    ("order_kept: short read", result("order_kept", final_read=SHORT), "inconclusive", []),
    (
        "order_kept: its first copy may be gone",
        result("order_kept", ACKED, [w(1, 1), w(0, 2)], log_start={"0": 1}),
        "inconclusive",
        [0],
    ),
    (
        "order_kept: an open transaction may hold an earlier copy",
        result("order_kept", ACKED, [w(0, 0, "?"), w(1, 1), w(0, 2)]),
        "inconclusive",
        [],
    ),
    (
        "keys_together",
        result("keys_together", [s(0, "u", key="k"), s(1, "u", key="k")], [w(0, 0), w(1, 0, "+", 1)]),
        "broken",
        [1],
    ),
    ("keys_together: short read", result("keys_together", final_read=SHORT), "inconclusive", []),
    ("nothing_skipped", result("nothing_skipped", ACKED, LOG, DONE[1:]), "broken", [0]),
    (
        "nothing_skipped: another copy may lie beyond the read",
        result("nothing_skipped", ACKED, LOG, DONE[1:], final_read=SHORT),
        "inconclusive",
        [0],
    ),
    (
        "nothing_skipped: pending",
        result("nothing_skipped", ACKED, LOG, DONE[:1], committed_offsets={"0": 1}),
        "inconclusive",
        [1],
    ),
    (
        "nothing_skipped: commits not read",
        result("nothing_skipped", ACKED, LOG, DONE[1:], committed_offsets=None),
        "inconclusive",
        [0],
    ),
    (
        "nothing_skipped: expired",
        result("nothing_skipped", ACKED, LOG[1:], DONE[1:], log_start={"0": 1}),
        "broken",
        [0],
    ),
    (
        "nothing_skipped: compacted",
        result(
            "nothing_skipped", [s(0, "a", 0, 0, key="k"), s(1, "a", 0, 1, key="k")], LOG[1:], DONE[1:], compacted=True
        ),
        "broken",
        [0],
    ),
    (
        "nothing_skipped: processed, then compacted",
        result("nothing_skipped", [s(0, "a", 0, 0, key="k"), s(1, "a", 0, 1, key="k")], LOG[1:], DONE, compacted=True),
        "kept",
        [],
    ),
    ("nothing_skipped: lost is not skipped", result("nothing_skipped", LOST, LOG[:1], DONE[:1]), "kept", []),
    ("nothing_skipped: nothing processed", result("nothing_skipped", LOST, [], []), "inconclusive", []),
    ("processed_once", result("processed_once", ACKED, LOG, [*DONE, h(0, 0)]), "broken", [0]),
    ("processed_once: unprocessed", result("processed_once", ACKED, LOG, DONE[:1]), "inconclusive", [1]),
    ("no_aborted_seen", result("no_aborted_seen", [s(0, "f"), *ACKED[1:]], [w(0, 0, "-"), w(1, 1)]), "broken", [0]),
    ("no_aborted_seen: undecided", result("no_aborted_seen", ACKED, [w(0, 0, "?"), w(1, 1)]), "inconclusive", [0]),
    ("no_aborted_seen: position unread", result("no_aborted_seen", ACKED, LOG[:1]), "inconclusive", [1]),
    ("no_aborted_seen: nothing processed", result("no_aborted_seen", ACKED, LOG, []), "inconclusive", []),
    ("no_phantom", result("no_phantom", ACKED, LOG[:1]), "broken", [1]),
    (
        "no_phantom: position unread",
        result("no_phantom", ACKED, [], [h(0, 3)], final_read=SHORT),
        "inconclusive",
        [0],
    ),
    (
        "no_phantom: perhaps compacted",
        result("no_phantom", [s(0, "u"), *ACKED[1:]], LOG[1:], compacted=True),
        "inconclusive",
        [0],
    ),
    ("readable_within: not probed", result("readable_within"), "inconclusive", []),
    ("sink_matches: not probed", result("sink_matches"), "inconclusive", []),
]


@pytest.mark.parametrize(("found", "outcome", "ids"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_promises(found: PromiseResult, outcome: str, ids: list[int]) -> None:
    assert (str(found.outcome), list(found.examples), found.count) == (outcome, ids, len(ids))
    assert (found.severity is not None) == (outcome == "broken")


def test_every_promise_has_a_judgement() -> None:
    assert set(EVIDENCE) == set(Promise)


@pytest.mark.parametrize("promise", sorted(set(Promise) - {Promise.READABLE_WITHIN, Promise.SINK_MATCHES}))
def test_a_clean_run_keeps_it(promise: Promise) -> None:
    assert result(promise).outcome is Outcome.KEPT


@pytest.mark.parametrize("promise", Promise)
@pytest.mark.parametrize("empty", [{"planned": []}, {"sends": [], "planned": [0, 1]}])
def test_without_messages_nothing_is_kept(promise: Promise, empty: dict[str, Any]) -> None:
    observations = {promise: Observation(Outcome.KEPT)}
    assert result(promise, **empty).outcome is not Outcome.KEPT
    assert result(promise, **empty, observations=observations).outcome is Outcome.INCONCLUSIVE


def test_an_observation_replaces_the_ledgers() -> None:
    twice = [*DONE, h(0, 0)]
    seen = {
        Promise.PROCESSED_ONCE: Observation(Outcome.KEPT),
        Promise.SINK_MATCHES: Observation(Outcome.BROKEN, 2, (9, 3)),
    }
    found = verdict(["processed_once", "sink_matches"], ACKED, LOG, twice, observations=seen)
    assert found.outcome is Outcome.BROKEN
    assert found.promises == (
        PromiseResult(Promise.PROCESSED_ONCE, Outcome.KEPT, 0, (), None),
        PromiseResult(Promise.SINK_MATCHES, Outcome.BROKEN, 2, (3, 9), Severity.PERMITTED),
    )


def test_the_verdict_is_the_worst_promise() -> None:
    assert verdict(["all_arrive", "no_acked_loss"]).outcome is Outcome.KEPT
    assert verdict(["all_arrive", "sink_matches"]).outcome is Outcome.INCONCLUSIVE
    assert verdict(["sink_matches", "no_phantom"], ACKED, LOG[:1]).outcome is Outcome.BROKEN
    assert verdict([]).outcome is Outcome.INCONCLUSIVE


def test_the_verdict_holds_what_the_ledgers_show() -> None:
    found = verdict(["no_acked_loss"], LOST, LOG[:1], DONE[:1])
    assert found.classes == {"lost": [1]}
    assert found.fates == {"lost": 1, "processed_once": 1}
    assert (found.counts["planned"], found.counts["missing"], found.partial) == (2, 1, False)
    assert verdict([], final_read=SHORT).partial


def test_at_most_twenty_examples() -> None:
    found = result("no_acked_loss", [s(i, "a", 0, i) for i in range(50, 0, -1)], [], [])
    assert (found.count, found.examples) == (50, tuple(range(1, 21)))


def test_an_unknown_promise() -> None:
    with pytest.raises(UsageError, match="no promise 'no_loss'"):
        verdict(["no_loss"])


def severity(promise: str, *ledgers: Any, **more: Any) -> str:
    found = result(promise, *ledgers, **more).severity
    return "" if found is None else str(found)


LOSS = ("no_acked_loss", LOST, LOG[:1], DONE[:1])
TWICE = ("no_log_duplicates", ACKED, [*LOG, w(0, 2)])
RESENT = ("no_log_duplicates", [*ACKED, s(0, "a", 0, 2)], [*LOG, w(0, 2)])
SKIPPED = ("nothing_skipped", ACKED, LOG, DONE[1:])
AGAIN = ("processed_once", ACKED, LOG, [*DONE, h(0, 0)])
ABORTED = ("no_aborted_seen", [s(0, "f"), *ACKED[1:]], [w(0, 0, "-"), w(1, 1)])

SEVERITIES: list[tuple[str, str]] = [
    (severity(*LOSS), "violation"),
    (severity(*LOSS, settings={"producer": {}}), "violation"),
    (severity(*LOSS, settings={"producer": {"acks": "-1"}}), "violation"),
    (severity(*LOSS, settings={"producer": {"acks": "1"}}), "permitted"),
    (severity(*LOSS, settings={"producer": {"acks": "0"}}), "permitted"),
    (severity(*LOSS, settings={"topic": {}}), "permitted"),
    (severity(*LOSS, settings={"topic": {}, "broker": {"min.insync.replicas": "2"}}), "violation"),
    (severity(*LOSS, replication=1), "permitted"),
    (severity(*LOSS, brokers_lost=2), "permitted"),
    (severity(*LOSS, settings={"broker": {"unclean.leader.election.enable": "true"}}), "permitted"),
    (severity("all_arrive", *LOSS[1:]), "violation"),
    (severity("all_arrive", [*ACKED, s(2, "f")]), "permitted"),
    (severity("no_phantom", ACKED, LOG[:1]), "violation"),
    (severity("all_accepted", [*ACKED, s(2, "f")]), "permitted"),
    (severity(*TWICE), "violation"),
    (severity(*TWICE, settings={"producer": {}}), "permitted"),
    (severity(*TWICE, settings={"producer": {"transactional.id": "t"}}), "violation"),
    (severity(*RESENT), "permitted"),
    (severity("order_kept", ACKED, [w(1, 0), w(0, 1)]), "violation"),
    (severity("order_kept", ACKED, [w(1, 0), w(0, 1)], settings={"producer": {}}), "permitted"),
    (severity(*SKIPPED), "violation"),
    (severity(*SKIPPED, settings={"application": {"commit": "before"}}), "permitted"),
    (severity(*SKIPPED, settings={"application": {}}), "violation"),
    (severity(*SKIPPED, settings={"application": {"commit": "auto"}}), "permitted"),
    (severity(*SKIPPED, settings={"consumer": {"auto.offset.reset": "latest"}}), "permitted"),
    (severity("nothing_skipped", ACKED, LOG[1:], DONE[1:], log_start={"0": 1}), "permitted"),
    (severity(*AGAIN), "permitted"),
    (severity(*AGAIN, settings={"application": {"commit": "before"}}), "violation"),
    (severity(*ABORTED), "violation"),
    (severity(*ABORTED, settings={"consumer": {"isolation.level": "read_uncommitted"}}), "expected"),
]


@pytest.mark.parametrize(("found", "expected"), SEVERITIES)
def test_severities(found: str, expected: str) -> None:
    assert found == expected
