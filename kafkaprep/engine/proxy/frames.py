"""Where a Kafka frame begins and ends, and what its head says: pure.

A frame is an int32 length and that many bytes. Only heads are read; a body is a range of the caller's buffer. A head is
handed out whole or not at all: its bytes stay with the caller until the rest of it has arrived.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

MAX_FRAME_BYTES = 100 * 1024 * 1024  # the broker's own socket.request.max.bytes
MAX_HEAD_BYTES = 128 * 1024  # a head that is longer is forwarded unread
PRODUCE = 0

# What Kafka 4.4 serves on a client's listener.
API_NAMES: Mapping[int, str] = {
    0: "Produce",
    1: "Fetch",
    2: "ListOffsets",
    3: "Metadata",
    8: "OffsetCommit",
    9: "OffsetFetch",
    10: "FindCoordinator",
    11: "JoinGroup",
    12: "Heartbeat",
    13: "LeaveGroup",
    14: "SyncGroup",
    15: "DescribeGroups",
    16: "ListGroups",
    17: "SaslHandshake",
    18: "ApiVersions",
    19: "CreateTopics",
    20: "DeleteTopics",
    21: "DeleteRecords",
    22: "InitProducerId",
    23: "OffsetForLeaderEpoch",
    24: "AddPartitionsToTxn",
    25: "AddOffsetsToTxn",
    26: "EndTxn",
    27: "WriteTxnMarkers",
    28: "TxnOffsetCommit",
    29: "DescribeAcls",
    30: "CreateAcls",
    31: "DeleteAcls",
    32: "DescribeConfigs",
    33: "AlterConfigs",
    34: "AlterReplicaLogDirs",
    35: "DescribeLogDirs",
    36: "SaslAuthenticate",
    37: "CreatePartitions",
    38: "CreateDelegationToken",
    39: "RenewDelegationToken",
    40: "ExpireDelegationToken",
    41: "DescribeDelegationToken",
    42: "DeleteGroups",
    43: "ElectLeaders",
    44: "IncrementalAlterConfigs",
    45: "AlterPartitionReassignments",
    46: "ListPartitionReassignments",
    47: "OffsetDelete",
    48: "DescribeClientQuotas",
    49: "AlterClientQuotas",
    50: "DescribeUserScramCredentials",
    51: "AlterUserScramCredentials",
    55: "DescribeQuorum",
    57: "UpdateFeatures",
    60: "DescribeCluster",
    61: "DescribeProducers",
    64: "UnregisterBroker",
    65: "DescribeTransactions",
    66: "ListTransactions",
    68: "ConsumerGroupHeartbeat",
    69: "ConsumerGroupDescribe",
    71: "GetTelemetrySubscriptions",
    72: "PushTelemetry",
    74: "ListConfigResources",
    75: "DescribeTopicPartitions",
    76: "ShareGroupHeartbeat",
    77: "ShareGroupDescribe",
    78: "ShareFetch",
    79: "ShareAcknowledge",
    80: "AddRaftVoter",
    81: "RemoveRaftVoter",
    83: "InitializeShareGroupState",
    84: "ReadShareGroupState",
    85: "WriteShareGroupState",
    86: "DeleteShareGroupState",
    87: "ReadShareGroupStateSummary",
    88: "StreamsGroupHeartbeat",
    89: "StreamsGroupDescribe",
    90: "DescribeShareGroupOffsets",
    91: "AlterShareGroupOffsets",
    92: "DeleteShareGroupOffsets",
    93: "StreamsGroupTopologyDescriptionUpdate",
    94: "UnregisterController",
}
API_KEYS: Mapping[str, int] = {name: key for key, name in API_NAMES.items()}

_LENGTH = struct.Struct(">i")
_REQUEST = struct.Struct(">ihhih")  # length, api key, api version, correlation id, length of the client id
_RESPONSE = struct.Struct(">ii")  # length, correlation id
_INT16 = struct.Struct(">h")
_LEAST_REQUEST = 8  # key, version, correlation id: the oldest header there is
_LEAST_RESPONSE = 4
_PRODUCE_NAMES_TRANSACTION = 3  # first version of Produce that starts with a transactional id
_PRODUCE_FLEXIBLE = 9  # first version with tagged fields and compact strings


class MalformedFrame(ValueError):
    """The bytes are no Kafka frame: a length that is negative, absurd or too short for a head."""


class RequestHead(NamedTuple):
    """`size` counts the whole frame. `answered` is false for a Produce with acks=0, which gets no response."""

    size: int
    api_key: int
    api_version: int
    correlation_id: int
    client: bytes | None
    answered: bool


class ResponseHead(NamedTuple):
    """`size` counts the whole frame."""

    size: int
    correlation_id: int


Head = TypeVar("Head", RequestHead, ResponseHead)


class Splitter(Generic[Head]):
    """Finds the frames of one direction of a connection, whatever the chunks it is shown.

    The `kept` last bytes of a chunk begin a head that is not complete: show them again before the next bytes.
    `within` says whether the last piece was not the end of its frame. Once `malformed` is set, the stream is lost.
    """

    __slots__ = ("_head", "_missing", "kept", "malformed")

    def __init__(self, head: Callable[[bytearray, int, int], Head | None]) -> None:
        self._head: Callable[[bytearray, int, int], Head | None] = head
        self._missing = 0
        self.kept = 0
        self.malformed = ""

    @property
    def within(self) -> bool:
        return self._missing > 0

    def split(self, buffer: bytearray, end: int) -> list[tuple[Head | None, int, int]]:
        """The pieces of `buffer[:end]` in order: head (None for a frame begun earlier), start, stop.

        Only the last piece can lack the end of its frame. Nothing follows what is malformed.
        """
        pieces: list[tuple[Head | None, int, int]] = []
        at = 0
        if self._missing:
            at = min(self._missing, end)
            self._missing -= at
            if at:
                pieces.append((None, 0, at))
        while at < end and not self.malformed:
            try:
                head = self._head(buffer, at, end)
            except MalformedFrame as error:
                self.malformed = str(error)
                break
            if head is None:
                break
            stop = at + head.size
            if stop > end:
                self._missing = stop - end
                stop = end
            pieces.append((head, at, stop))
            at = stop
        self.kept = 0 if self.malformed else end - at
        return pieces


def request_head(buffer: bytearray, at: int, end: int) -> RequestHead | None:
    """The head of the request at `at`, None while it is incomplete. Raises MalformedFrame.

    A head that makes no sense within a sound frame has no client; the broker will judge it.
    """
    have = end - at
    if have < 4:
        return None
    (length,) = _LENGTH.unpack_from(buffer, at)
    if not _LEAST_REQUEST <= length <= MAX_FRAME_BYTES:
        raise MalformedFrame(f"a request of {length} bytes")
    if have < 14 and have < length + 4:
        return None
    size = length + 4
    if length < 10:
        key, version, correlation = struct.unpack_from(">hhi", buffer, at + 4)
        return RequestHead(size, key, version, correlation, None, True)
    _, key, version, correlation, named = _REQUEST.unpack_from(buffer, at)
    body = at + 14 + max(named, 0)
    if named < -1 or body > at + size:
        return RequestHead(size, key, version, correlation, None, True)
    if body > end:
        return None
    client = bytes(buffer[at + 14 : body]) if named >= 0 else None
    if key != PRODUCE:
        return RequestHead(size, key, version, correlation, client, True)
    sound = min(at + size, at + MAX_HEAD_BYTES)
    try:
        acks = _acks(buffer, version, body, min(sound, end))
    except _BeyondEnd:
        if sound > end:
            return None
        acks = -1
    return RequestHead(size, key, version, correlation, client, acks != 0)


def response_head(buffer: bytearray, at: int, end: int) -> ResponseHead | None:
    """The head of the response at `at`, None while it is incomplete. Raises MalformedFrame."""
    if end - at < 8:
        if end - at >= 4:
            _checked_response(_LENGTH.unpack_from(buffer, at)[0])
        return None
    length, correlation = _RESPONSE.unpack_from(buffer, at)
    _checked_response(length)
    return ResponseHead(length + 4, correlation)


def _checked_response(length: int) -> None:
    if not _LEAST_RESPONSE <= length <= MAX_FRAME_BYTES:
        raise MalformedFrame(f"a response of {length} bytes")


class _BeyondEnd(Exception):
    """What is sought lies beyond the bytes at hand."""


def _acks(buffer: bytearray, version: int, at: int, end: int) -> int:
    """The acks of the Produce request whose header's client id ends at `at`. Raises _BeyondEnd."""
    if version >= _PRODUCE_FLEXIBLE:
        tags, at = _varint(buffer, at, end)
        for _ in range(tags):
            if at >= end:
                raise _BeyondEnd
            _, at = _varint(buffer, at, end)
            length, at = _varint(buffer, at, end)
            at += length
        length, at = _varint(buffer, at, end)
        at += max(0, length - 1)
    elif version >= _PRODUCE_NAMES_TRANSACTION:
        length, at = _int16(buffer, at, end)
        at += max(0, length)
    return _int16(buffer, at, end)[0]


def _int16(buffer: bytearray, at: int, end: int) -> tuple[int, int]:
    if at + 2 > end:
        raise _BeyondEnd
    return _INT16.unpack_from(buffer, at)[0], at + 2


def _varint(buffer: bytearray, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if at >= end:
            raise _BeyondEnd
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return value, at
