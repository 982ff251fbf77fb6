"""The outcome table: acked and failed are proven, everything else is unknown."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from kafkaprep.engine.traffic.outcomes import Code, code_name, in_words, outcome_of
from kafkaprep.model.ledger import SendOutcome

ACKED, FAILED, UNKNOWN = SendOutcome.ACKED, SendOutcome.FAILED, SendOutcome.UNKNOWN
MANY = 2147483647


@pytest.mark.parametrize(("acks", "outcome"), [("0", UNKNOWN), ("1", ACKED), ("all", ACKED), ("2", ACKED)])
def test_a_report_without_error(acks: str, outcome: SendOutcome) -> None:
    assert outcome_of(None, acks=acks, retries=MANY, idempotent=False, first_attempt=True) is outcome


TABLE = [
    # code, retries, idempotent, first attempt, outcome
    ("_PURGE_QUEUE", MANY, False, False, FAILED),
    ("_PURGE_INFLIGHT", MANY, False, True, UNKNOWN),
    ("MSG_SIZE_TOO_LARGE", MANY, False, True, FAILED),
    ("MSG_SIZE_TOO_LARGE", MANY, False, False, UNKNOWN),
    ("TOPIC_AUTHORIZATION_FAILED", 0, False, True, FAILED),
    ("TOPIC_AUTHORIZATION_FAILED", 0, False, False, UNKNOWN),
    ("INVALID_RECORD", MANY, False, True, FAILED),
    ("INVALID_TIMESTAMP", MANY, False, True, FAILED),
    ("_INVALID_DIFFERENT_RECORD", MANY, True, True, FAILED),
    ("_INVALID_DIFFERENT_RECORD", MANY, True, False, UNKNOWN),
    ("NOT_ENOUGH_REPLICAS", 0, False, True, FAILED),
    ("NOT_ENOUGH_REPLICAS", MANY, True, True, FAILED),
    ("NOT_ENOUGH_REPLICAS", MANY, False, True, UNKNOWN),
    ("NOT_ENOUGH_REPLICAS", 1, False, True, UNKNOWN),
    ("INVALID_PRODUCER_EPOCH", 0, False, True, FAILED),
    ("INVALID_PRODUCER_EPOCH", MANY, False, True, UNKNOWN),
    ("_MSG_TIMED_OUT", 0, True, True, UNKNOWN),
    ("_TIMED_OUT", 0, True, True, UNKNOWN),
    ("REQUEST_TIMED_OUT", 0, False, True, UNKNOWN),
    ("_TRANSPORT", 0, False, True, UNKNOWN),
    ("NOT_ENOUGH_REPLICAS_AFTER_APPEND", 0, False, True, UNKNOWN),
    ("NOT_LEADER_FOR_PARTITION", 0, False, True, UNKNOWN),
    ("OUT_OF_ORDER_SEQUENCE_NUMBER", 0, True, True, UNKNOWN),
    ("DUPLICATE_SEQUENCE_NUMBER", 0, True, True, UNKNOWN),
    ("_FATAL", 0, True, True, UNKNOWN),
]


@pytest.mark.parametrize(("name", "retries", "idempotent", "first", "outcome"), TABLE)
@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_a_report_with_error(
    name: str, retries: int, idempotent: bool, first: bool, outcome: SendOutcome, acks: str
) -> None:
    code = getattr(KafkaError, name)
    assert outcome_of(code, acks=acks, retries=retries, idempotent=idempotent, first_attempt=first) is outcome


@given(st.integers(-400, 400), st.sampled_from(["0", "1", "all"]), st.integers(0, MANY), st.booleans(), st.booleans())
def test_an_error_is_never_an_ack(code: int, acks: str, retries: int, idempotent: bool, first: bool) -> None:
    assert outcome_of(code, acks=acks, retries=retries, idempotent=idempotent, first_attempt=first) is not ACKED


@given(st.integers(-400, 400).filter(lambda code: code not in set(Code)))
def test_a_code_that_is_not_listed_is_unknown(code: int) -> None:
    assert outcome_of(code, acks="all", retries=0, idempotent=True, first_attempt=True) is UNKNOWN


@pytest.mark.parametrize("code", list(Code))
def test_codes_are_those_of_the_client_library(code: Code) -> None:
    assert getattr(KafkaError, code.name) == code
    assert code_name(code) == code.name
    assert in_words(code) != code.name


def test_names_of_codes_that_are_not_listed() -> None:
    assert code_name(9999) == in_words(9999) == "error 9999"
