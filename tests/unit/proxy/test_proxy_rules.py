"""A rule fits what it names and nothing else, acts in its window, and survives JSON; nonsense is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kafkaprep.engine.proxy.rules import (
    UNKNOWN_API,
    Action,
    Direction,
    FrameInfo,
    Rule,
    RuleBook,
    parse_rule,
)
from kafkaprep.errors import ClusterError

REQUEST, RESPONSE, BOTH = Direction.REQUEST, Direction.RESPONSE, Direction.BOTH
PRODUCE, FETCH = 0, 1


def frame(
    api: int = PRODUCE, direction: Direction = REQUEST, *, broker: int = 1, client: str = "producer-1"
) -> FrameInfo:
    return FrameInfo(broker, direction, api, client)


@pytest.mark.parametrize(
    ("rule", "hit", "missed"),
    [
        (Rule(Action.DROP_REQUEST), [frame(), frame(FETCH)], [frame(direction=RESPONSE)]),
        (Rule(Action.DROP_REQUEST, api=PRODUCE), [frame()], [frame(FETCH), frame(UNKNOWN_API)]),
        (Rule(Action.DROP_RESPONSE, api=PRODUCE), [frame(direction=RESPONSE)], [frame()]),
        (Rule(Action.DROP_RESPONSE), [frame(UNKNOWN_API, RESPONSE)], []),
        (Rule(Action.BLACK_HOLE), [frame(), frame(direction=RESPONSE)], []),
        (Rule(Action.BLACK_HOLE, direction=RESPONSE), [frame(direction=RESPONSE)], [frame()]),
        (Rule(Action.CLOSE, client="producer"), [frame()], [frame(client="consumer"), frame(client="")]),
        (Rule(Action.HOLD, broker=2), [frame(broker=2)], [frame(broker=1)]),
        (Rule(Action.REFUSE), [], [frame(), frame(direction=RESPONSE)]),
    ],
)
def test_what_fits(rule: Rule, hit: list[FrameInfo], missed: list[FrameInfo]) -> None:
    book = RuleBook()
    rule_id = book.add(rule)
    assert [book.decide(one) for one in missed] == [None] * len(missed)
    assert [book.decide(one) for one in hit] == [(rule_id, rule)] * len(hit)
    assert book.counts(rule_id).matched == book.counts(rule_id).acted == len(hit)


@pytest.mark.parametrize(
    ("first", "last", "acts_on"),
    [(1, None, [1, 2, 3, 4, 5]), (1, 2, [1, 2]), (3, 3, [3]), (2, 4, [2, 3, 4]), (4, None, [4, 5]), (9, 9, [])],
)
def test_occurrences(first: int, last: int | None, acts_on: list[int]) -> None:
    book = RuleBook()
    rule_id = book.add(Rule(Action.DROP_REQUEST, api=PRODUCE, from_nth=first, to_nth=last))
    acted = []
    for number in range(1, 6):
        assert book.decide(frame(FETCH)) is None
        if book.decide(frame()):
            acted.append(number)
    assert acted == acts_on
    assert (book.counts(rule_id).matched, book.counts(rule_id).dropped) == (5, len(acts_on))


def test_the_oldest_rule_whose_window_is_open_acts_and_all_count() -> None:
    book = RuleBook()
    second = book.add(Rule(Action.DROP_REQUEST, from_nth=2, to_nth=2))
    always = book.add(Rule(Action.DELAY, delay_ms=30))
    chosen = [verdict.rule_id for _ in range(3) if (verdict := book.decide(frame()))]
    assert chosen == [always, second, always]
    assert book.counts(second).as_dict() | {"matched": 3, "acted": 1, "dropped": 1} == book.counts(second).as_dict()
    assert (book.counts(always).matched, book.counts(always).delayed, book.counts(always).delayed_ms) == (3, 2, 60)


def test_a_removed_rule_acts_no_more_and_keeps_its_counts() -> None:
    book = RuleBook()
    rule_id = book.add(Rule(Action.HOLD))
    book.decide(frame())
    version = book.version
    book.remove(rule_id)
    assert book.decide(frame()) is None and book.version != version
    assert book.counts(rule_id).held == 1
    book.forget()
    for call in (book.counts, book.remove):
        with pytest.raises(ClusterError, match="no rule 1"):
            call(rule_id)
    assert book.add(Rule(Action.HOLD)) == rule_id + 1


def test_who_is_concerned() -> None:
    book = RuleBook()
    assert not book.concerns(1, "any")
    book.add(Rule(Action.HOLD, broker=2, client="c"))
    assert book.concerns(2, "c-1") and not book.concerns(1, "c-1") and not book.concerns(2, "")


def test_connections_are_refused_as_they_open_or_when_the_client_is_known() -> None:
    book = RuleBook()
    everyone = book.add(Rule(Action.REFUSE, broker=1, to_nth=1))
    by_client = book.add(Rule(Action.REFUSE, client="producer"))
    assert book.refuses(2, None) is None
    assert book.refuses(1, None) == everyone
    assert book.refuses(1, None) is None  # its window is over, and the other asks for the client
    assert book.refuses(1, "producer-1", since=by_client) == by_client
    assert book.refuses(1, "producer-1", since=everyone) is None  # the connection is older than the rule
    assert book.refuses(1, "consumer-1", since=by_client) is None


RULES = [
    Rule(Action.DROP_REQUEST, api=PRODUCE, client="p", broker=3, from_nth=2, to_nth=4),
    Rule(Action.DROP_RESPONSE, close=True),
    Rule(Action.DELAY, delay_ms=5, direction=BOTH, overtake=True),
    Rule(Action.HOLD, direction=RESPONSE),
    Rule(Action.HOLD, close=True),
    Rule(Action.REFUSE, close=True),
    Rule(Action.BLACK_HOLE),
    Rule(Action.BLACK_HOLE, direction=REQUEST),
    Rule(Action.RESET, api=26),
    Rule(Action.CLOSE),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.action))
def test_json_both_ways(rule: Rule) -> None:
    assert parse_rule(json.loads(json.dumps(rule.as_dict()))) == rule


def test_the_json_of_a_rule() -> None:
    assert RULES[0].as_dict() == {
        "action": "drop_request",
        "api": "Produce",
        "client": "p",
        "broker": 3,
        "from_nth": 2,
        "to_nth": 4,
    }
    assert parse_rule({"action": "hold", "api": 8}).api == 8


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "must be a mapping"),
        ({}, "lacks the key action"),
        ({"action": "explode"}, "'explode'"),
        ({"action": 1}, "action cannot be 1"),
        ({"action": "hold", "colour": 1}, "no key 'colour'"),
        ({"action": "hold", "api": "Nothing"}, "no api 'Nothing'"),
        ({"action": "hold", "api": 5}, "api 5"),
        ({"action": "hold", "broker": True}, "broker cannot be True"),
        ({"action": "hold", "broker": "1"}, "broker cannot be '1'"),
        ({"action": "hold", "close": 1}, "close cannot be 1"),
        ({"action": "hold", "client": None}, "client cannot be None"),
        ({"action": "hold", "direction": "up"}, "'up'"),
        ({"action": "drop_request", "direction": "response"}, "direction response"),
        ({"action": "drop_response", "direction": "both"}, "direction both"),
        ({"action": "hold", "from_nth": 0}, "occurrences"),
        ({"action": "hold", "from_nth": 3, "to_nth": 2}, "occurrences"),
        ({"action": "hold", "delay_ms": 5}, "delay_ms"),
        ({"action": "delay"}, "delay_ms"),
        ({"action": "delay", "delay_ms": -1}, "delay_ms"),
        ({"action": "delay", "delay_ms": 10**7}, "delay_ms"),
        ({"action": "delay", "delay_ms": 1.5}, "delay_ms"),
        ({"action": "delay", "delay_ms": 1, "close": True}, "close"),
        ({"action": "hold", "close": True, "direction": "response"}, "needs its connection"),
        ({"action": "reset", "overtake": True}, "overtake"),
        ({"action": "refuse", "api": "Produce"}, "refuse"),
    ],
)
def test_nonsense_is_refused_with_the_reason(document: Any, reason: str) -> None:
    with pytest.raises(ClusterError, match=reason):
        parse_rule(document)
