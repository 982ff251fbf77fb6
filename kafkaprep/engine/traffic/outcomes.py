"""What a delivery report proves: acked, failed, or (by default) unknown.

`failed` is claimed only when the message cannot be in the log. A timeout, a broken connection or a refusal that
may follow an earlier, successful try of the client's own retries leaves the outcome unknown.
"""

from __future__ import annotations

from enum import IntEnum

from kafkaprep.model.ledger import SendOutcome


class Code(IntEnum):
    """Kafka's and librdkafka's error codes that this project names. Negative ones are made by the client."""

    _PURGE_INFLIGHT = -151
    _PURGE_QUEUE = -152
    _INVALID_DIFFERENT_RECORD = -138
    _FENCED = -144
    _FATAL = -150
    _STATE = -172
    _TIMED_OUT = -185
    _QUEUE_FULL = -184
    _INVALID_ARG = -186
    _UNKNOWN_TOPIC = -188
    _UNKNOWN_PARTITION = -190
    _MSG_TIMED_OUT = -192
    _TRANSPORT = -195
    UNKNOWN_TOPIC_OR_PART = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_FOR_PARTITION = 6
    REQUEST_TIMED_OUT = 7
    MSG_SIZE_TOO_LARGE = 10
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    ILLEGAL_GENERATION = 22
    UNKNOWN_MEMBER_ID = 25
    REBALANCE_IN_PROGRESS = 27
    TOPIC_AUTHORIZATION_FAILED = 29
    INVALID_TIMESTAMP = 32
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_RECORD = 87
    PRODUCER_FENCED = 90


# The client still held the message: no broker ever saw it.
_NEVER_LEFT = frozenset({Code._PURGE_QUEUE})
# A broker refused the message itself. Proof only if no earlier try of the same message may have been appended.
_REFUSED_FOR_GOOD = frozenset(
    {
        Code.MSG_SIZE_TOO_LARGE,
        Code.TOPIC_AUTHORIZATION_FAILED,
        Code.INVALID_RECORD,
        Code.INVALID_TIMESTAMP,
        Code._INVALID_DIFFERENT_RECORD,
    }
)
# Refused before appending; a try before this one may have been appended unless there was none, or it is deduplicated.
_REFUSED_THIS_TIME = frozenset({Code.NOT_ENOUGH_REPLICAS, Code.INVALID_PRODUCER_EPOCH})

_IN_WORDS = {
    Code._PURGE_INFLIGHT: "thrown away by the client while a request was under way",
    Code._PURGE_QUEUE: "thrown away by the client before it was sent",
    Code._INVALID_DIFFERENT_RECORD: "another message of the same batch was refused",
    Code._FENCED: "a newer producer with the same transactional.id took over",
    Code._FATAL: "the producer met an error it cannot recover from",
    Code._STATE: "the client is in the wrong state for this",
    Code._TIMED_OUT: "no answer in time",
    Code._QUEUE_FULL: "the client's send queue is full",
    Code._INVALID_ARG: "the client refused the arguments",
    Code._UNKNOWN_TOPIC: "the topic does not exist",
    Code._UNKNOWN_PARTITION: "the partition does not exist",
    Code._MSG_TIMED_OUT: "the delivery timeout passed",
    Code._TRANSPORT: "the connection broke",
    Code.UNKNOWN_TOPIC_OR_PART: "the broker does not know the topic or partition",
    Code.LEADER_NOT_AVAILABLE: "the partition has no leader",
    Code.NOT_LEADER_FOR_PARTITION: "the broker does not lead the partition",
    Code.REQUEST_TIMED_OUT: "the broker waited too long for its followers",
    Code.MSG_SIZE_TOO_LARGE: "the message is larger than allowed",
    Code.NOT_ENOUGH_REPLICAS: "too few in-sync replicas, nothing was written",
    Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "too few in-sync replicas, but the leader did write it",
    Code.ILLEGAL_GENERATION: "the group has moved on to another generation",
    Code.UNKNOWN_MEMBER_ID: "the group no longer counts this consumer as a member",
    Code.REBALANCE_IN_PROGRESS: "the group is being rebalanced",
    Code.TOPIC_AUTHORIZATION_FAILED: "not allowed to write to the topic",
    Code.INVALID_TIMESTAMP: "the timestamp is out of the permitted range",
    Code.OUT_OF_ORDER_SEQUENCE_NUMBER: "a batch before this one is missing",
    Code.DUPLICATE_SEQUENCE_NUMBER: "the broker has seen this batch long ago",
    Code.INVALID_PRODUCER_EPOCH: "the producer's epoch is too old",
    Code.INVALID_RECORD: "the broker refused the record",
    Code.PRODUCER_FENCED: "a newer producer with the same transactional.id took over",
}


def outcome_of(
    error_code: int | None, *, acks: str, retries: int, idempotent: bool, first_attempt: bool
) -> SendOutcome:
    """The outcome of one attempt from its delivery report.

    `error_code` is None for a report without error. `first_attempt` says that neither the application nor, as far
    as can be seen, the client has sent the message before.
    """
    if error_code is None:
        return SendOutcome.UNKNOWN if acks == "0" else SendOutcome.ACKED
    if error_code in _NEVER_LEFT:
        return SendOutcome.FAILED
    if error_code in _REFUSED_FOR_GOOD and first_attempt:
        return SendOutcome.FAILED
    if error_code in _REFUSED_THIS_TIME and (retries == 0 or idempotent):
        return SendOutcome.FAILED
    return SendOutcome.UNKNOWN


def code_name(code: int) -> str:
    """The name as Kafka's documentation spells it, or `error N`."""
    try:
        return Code(code).name
    except ValueError:
        return f"error {code}"


def in_words(code: int) -> str:
    """What the code means, for people; the name where there is no sentence."""
    try:
        return _IN_WORDS[Code(code)]
    except ValueError:
        return code_name(code)
