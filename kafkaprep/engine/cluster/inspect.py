"""What Kafka says of itself, and the few admin acts a run needs.

Every call has a short timeout of its own, because a paused broker answers nothing and any broker may be asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kafkaprep.engine.waiting import WaitTimeout, wait_until
from kafkaprep.errors import ClusterError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError
    from confluent_kafka.admin import AdminClient

T = TypeVar("T")

CALL_TIMEOUT_S = 1.5
OFFSETS_TOPIC = "__consumer_offsets"


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One partition as the controller knows it. `leader` is None while there is none."""

    partition: int
    leader: int | None
    isr: tuple[int, ...]
    replicas: tuple[int, ...]

    @property
    def isr_full(self) -> bool:
        return set(self.isr) == set(self.replicas)


class Inspector:
    """An admin client with patience: calls that fail for a passing reason are asked again until a deadline."""

    def __init__(
        self,
        bootstrap: str,
        stop: threading.Event,
        properties: Mapping[str, str] | None = None,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._bootstrap = bootstrap
        self._stop = stop
        self._properties = dict(properties or {})
        self._call_timeout_s = call_timeout_s
        self._callbacks: dict[str, Any] = {}
        self._client: AdminClient | None = None
        self._last_error = ""

    @property
    def client(self) -> AdminClient:
        """The AdminClient, made on first use (importing it costs a tenth of a second)."""
        if self._client is None:
            from confluent_kafka.admin import AdminClient

            self._client = AdminClient(
                {
                    "broker.address.family": "v4",
                    **self._properties,
                    "bootstrap.servers": self._bootstrap,
                    "client.id": "kafkaprep-inspector",
                    "socket.timeout.ms": round(self._call_timeout_s * 1000),
                    "reconnect.backoff.ms": 20,
                    "reconnect.backoff.max.ms": 200,
                    "log_level": 0,
                    **self._callbacks,
                }
            )
        return self._client

    def brokers(self) -> set[int]:
        """The ids of the brokers that are registered and not fenced; empty if nobody answers."""
        return self._try(lambda: set(self.client.list_topics(timeout=self._call_timeout_s).brokers)) or set()

    def await_brokers(self, wanted: Sequence[int], timeout_s: float) -> None:
        """Wait until every broker of `wanted` is registered. Raises ClusterError."""
        self._await(
            lambda: set(wanted) <= self.brokers(),
            timeout_s,
            lambda: f"Brokers {_listed(wanted)} did not all register within {timeout_s:g} s.",
        )

    def partitions(self, topic: str) -> tuple[PartitionState, ...]:
        """The topic's partitions as a usable broker sees them now; empty if nobody answers or it does not exist.

        Asked by a Metadata request, which any broker answers: DescribeTopics goes to "the controller", for which
        librdkafka takes a random broker in KRaft mode, a dead one too.
        """

        def ask() -> tuple[PartitionState, ...]:
            described = self.client.list_topics(topic, timeout=self._call_timeout_s).topics[topic]
            return tuple(
                PartitionState(
                    partition=int(info.id),
                    leader=None if info.leader < 0 else int(info.leader),
                    isr=tuple(sorted(int(node) for node in info.isrs)),
                    replicas=tuple(int(node) for node in info.replicas),
                )
                for _, info in sorted(described.partitions.items())
            )

        return self._try(ask) or ()

    def create_topic(
        self,
        name: str,
        assignment: Sequence[Sequence[int]],
        config: Mapping[str, str],
        timeout_s: float = 60.0,  # a broker that is just back may be asked, and cannot reach the controller yet
    ) -> tuple[PartitionState, ...]:
        """Create `name` with exactly these replicas per partition, the first of each preferred leader.

        Returns its partitions when each has its leader and a full ISR. Raises ClusterError with Kafka's reason.
        """
        from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

        topic = NewTopic(
            name,
            num_partitions=len(assignment),
            replication_factor=-1,
            replica_assignment=[list(replicas) for replicas in assignment],
            config=dict(config),
        )

        def create() -> bool:
            try:
                self.client.create_topics([topic], request_timeout=5)[name].result(6)
            except Exception as error:
                reason = kafka_error(error)
                if reason.name() == "TOPIC_ALREADY_EXISTS":
                    return True
                if reason.name() in PERMANENT:
                    raise ClusterError(f"Kafka refused to create the topic: {reason.str()}.") from error
                self._last_error = reason.str()
                return False
            return True

        self._await(create, timeout_s, lambda: f"The topic {name} could not be created: {self._last_error}.")
        return self._await_led(name, len(assignment), timeout_s)

    def _await_led(self, name: str, count: int, timeout_s: float) -> tuple[PartitionState, ...]:
        created: tuple[PartitionState, ...] = ()

        def led() -> bool:
            nonlocal created
            created = self.partitions(name)
            return len(created) == count and _healthy(created)

        self._await(led, timeout_s, lambda: f"The topic {name} has no leader or no full ISR after {timeout_s:g} s.")
        return created

    def ensure_offsets_topic(self, brokers: Sequence[int]) -> None:
        """Create the group offsets topic ourselves, led by the last broker.

        Labs kill the first ones, and a dead group coordinator would add its own election to every measurement. The
        settings are the ones the broker itself would use (GroupCoordinator, offsetsTopicConfigs).
        """
        self.create_topic(
            OFFSETS_TOPIC,
            [list(reversed(brokers))],
            {"cleanup.policy": "compact", "compression.type": "producer"},
        )

    def place_group(self, group: str, brokers: Sequence[int]) -> None:
        """Have the last broker coordinate `group`; here it coordinates every group."""
        self.ensure_offsets_topic(brokers)

    def settle_offsets_topic(self, brokers: Sequence[int]) -> None:
        """Bring the group coordinator back to where `ensure_offsets_topic` put it."""
        states = self.partitions(OFFSETS_TOPIC)
        if any(state.leader != brokers[-1] for state in states):
            self.elect_preferred(OFFSETS_TOPIC, [state.partition for state in states])

    def end_offsets(self, topic: str, partitions: Sequence[int], timeout_s: float = 20.0) -> dict[int, int]:
        """The end of each partition's log, as a read_committed reader may reach it (its last stable offset).

        Raises ClusterError when not all are answered in time.
        """
        from confluent_kafka import IsolationLevel, TopicPartition
        from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

        latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(topic, partition): latest for partition in partitions}

        def ask() -> dict[int, int]:
            asked = self.client.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self._call_timeout_s
            )
            return {
                key.partition: int(future.result(self._call_timeout_s + 0.5).offset) for key, future in asked.items()
            }

        ends: dict[int, int] = {}

        def answered() -> bool:
            ends.update(self._try(ask) or {})
            return len(ends) == len(wanted)

        self._await(answered, timeout_s, lambda: f"The end of {topic} could not be read: {self._last_error}.")
        return ends

    def delete_topic(self, name: str) -> None:
        """Ask for the deletion of `name`, ours by its prefix; one that fails is left to the cluster's end."""
        self._try(
            lambda: self.client.delete_topics([name], request_timeout=self._call_timeout_s)[name].result(
                self._call_timeout_s + 0.5
            )
        )

    def delete_group(self, group: str) -> None:
        self._try(
            lambda: self.client.delete_consumer_groups([group], request_timeout=self._call_timeout_s)[group].result(
                self._call_timeout_s + 0.5
            )
        )

    def elect_preferred(self, topic: str, partitions: Sequence[int]) -> None:
        """Ask for the preferred leaders of `topic`; a partition that has its own already is no error."""
        from confluent_kafka import ElectionType, TopicPartition

        wanted = [TopicPartition(topic, partition) for partition in partitions]
        self._try(
            lambda: self.client.elect_leaders(
                ElectionType.PREFERRED,
                wanted,
                request_timeout=self._call_timeout_s,
                operation_timeout=self._call_timeout_s,
            ).result(self._call_timeout_s + 0.5)
        )

    def await_full_isr(self, topic: str, timeout_s: float) -> bool:
        """Wait until every replica of `topic` is in sync; False, not an error, if that takes too long."""
        try:
            wait_until(lambda: _healthy(self.partitions(topic)), timeout_s, self._stop, "")
        except WaitTimeout:
            return False
        return True

    def _await(self, condition: Callable[[], bool], timeout_s: float, message: Callable[[], str]) -> None:
        try:
            wait_until(condition, timeout_s, self._stop, message)
        except WaitTimeout as error:
            raise ClusterError(error.message, "`kafkaprep cluster status` shows the brokers.") from error

    def _try(self, call: Callable[[], T]) -> T | None:
        """The answer, or None after an error that asking again may mend (the text is kept for messages)."""
        try:
            return call()
        except Exception as error:  # confluent_kafka, concurrent.futures: all mean "no answer now"
            self._last_error = kafka_error(error).str()
            return None


PERMANENT = {
    "INVALID_CONFIG",
    "INVALID_REPLICA_ASSIGNMENT",
    "INVALID_REPLICATION_FACTOR",
    "INVALID_TOPIC_EXCEPTION",
    "INVALID_PARTITIONS",
    "POLICY_VIOLATION",
    "TOPIC_AUTHORIZATION_FAILED",
    "_INVALID_ARG",
}


class _NoAnswer:
    """Stands in for a KafkaError where the call failed otherwise (a timeout of the future)."""

    def __init__(self, text: str) -> None:
        self._text = text

    def name(self) -> str:
        return "NO_ANSWER"

    def str(self) -> str:
        return self._text


def kafka_error(error: Exception) -> KafkaError | _NoAnswer:
    from confluent_kafka import KafkaError

    first: Any = error.args[0] if error.args else None
    return first if isinstance(first, KafkaError) else _NoAnswer(str(error) or type(error).__name__)


def _healthy(states: tuple[PartitionState, ...]) -> bool:
    """Whether there are partitions, and each has a leader and a full ISR."""
    return bool(states) and all(state.leader is not None and state.isr_full for state in states)


def _listed(ids: Sequence[int]) -> str:
    return ", ".join(str(each) for each in ids)
