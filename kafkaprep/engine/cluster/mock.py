"""librdkafka's mock cluster: real clients, a pretended Kafka, the client's view.

It starts in a millisecond, in this process, on loopback ports; clients in other processes connect to it. Its brokers
share one log per partition, so no fault of a broker ever loses or truncates anything: model/backends.py says what it
must therefore not be asked. The C API is declared experimental; every function used here is named in _SIGNATURES.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from kafkaprep.engine.cluster.base import NodeState, NodeStatus, Progress
from kafkaprep.engine.cluster.inspect import Inspector, PartitionState
from kafkaprep.errors import CapabilityMissing, ClusterError
from kafkaprep.model.backends import CLIENT_VIEW, MOCK_LACKS
from kafkaprep.model.lab import Capability

LOG_CAP_BYTES = 5 * 1024 * 1024  # of one partition; beyond it the oldest messages are dropped (rdkafka_mock.c)
NO_LEADER = -1
_BATCH_OVERHEAD_BYTES = 120  # a message alone in its batch, with key and header
_PRODUCER = 0  # rd_kafka_type_t; the handle only carries the mock cluster and never produces
_ERROR_BYTES = 512
_DEATH = "its connections are closed and it accepts none; we move its partitions to other brokers"

_Conf = ctypes.c_void_p
_Handle = ctypes.c_void_p
_Mock = ctypes.c_void_p
_SIGNATURES: Mapping[str, tuple[object, tuple[object, ...]]] = {
    "rd_kafka_version_str": (ctypes.c_char_p, ()),
    "rd_kafka_err2str": (ctypes.c_char_p, (ctypes.c_int,)),
    "rd_kafka_conf_new": (_Conf, ()),
    "rd_kafka_conf_destroy": (None, (_Conf,)),
    "rd_kafka_conf_set": (
        ctypes.c_int,
        (_Conf, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t),
    ),
    "rd_kafka_new": (_Handle, (ctypes.c_int, _Conf, ctypes.c_char_p, ctypes.c_size_t)),
    "rd_kafka_destroy": (None, (_Handle,)),
    "rd_kafka_mock_cluster_new": (_Mock, (_Handle, ctypes.c_int)),
    "rd_kafka_mock_cluster_destroy": (None, (_Mock,)),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, (_Mock,)),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, (_Mock, ctypes.c_int32)),
    "rd_kafka_mock_topic_create": (ctypes.c_int, (_Mock, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)),
    "rd_kafka_mock_partition_set_leader": (
        ctypes.c_int,
        (_Mock, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32),
    ),
    "rd_kafka_mock_broker_set_down": (ctypes.c_int, (_Mock, ctypes.c_int32)),
    "rd_kafka_mock_broker_set_up": (ctypes.c_int, (_Mock, ctypes.c_int32)),
    "rd_kafka_mock_coordinator_set": (
        ctypes.c_int,
        (_Mock, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int32),
    ),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        (_Mock, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)),
    ),
}


def bundled_library() -> Path:
    """The librdkafka inside the confluent-kafka wheel (Linux and macOS keep it apart). Raises ClusterError."""
    found = importlib.util.find_spec("confluent_kafka")
    if found is None or found.origin is None:
        raise ClusterError("confluent-kafka is not installed.", "Run `pip install confluent-kafka`.")
    package = Path(found.origin).parent
    folders = (package.parent / "confluent_kafka.libs", package / ".dylibs")
    libraries = sorted(file for folder in folders for file in folder.glob("librdkafka*"))
    if not libraries:
        raise ClusterError(
            f"The mock cluster needs the librdkafka of a confluent-kafka wheel, and {package} has none.",
            "Install a wheel (`pip install --only-binary :all: confluent-kafka`), or use --cluster local.",
        )
    return libraries[0]


@cache
def _api(library: Path) -> ctypes.CDLL:
    """The library with every signature declared: an undeclared one would cut pointers to 32 bits."""
    try:
        api = ctypes.CDLL(str(library))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(api, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise ClusterError(
            f"{library} has no mock cluster that can be used ({error}).", "Use --cluster local, or another wheel."
        ) from error
    return api


def most_messages(message_bytes: int) -> int:
    """How many messages surely fit into one partition, each stored twice at worst."""
    return LOG_CAP_BYTES // (2 * (message_bytes + _BATCH_OVERHEAD_BYTES))


class MockCluster:
    """`Cluster` over the mock cluster. See base.Cluster for what each method promises."""

    backend = "mock"
    view = CLIENT_VIEW
    capabilities = frozenset({Capability.KILL})
    client_config: Path | None = None

    def __init__(self, brokers: int = 3) -> None:
        self._size = brokers
        self._api: ctypes.CDLL | None = None
        self._handle: int | None = None
        self._mock: int | None = None
        self._ports: dict[int, int] = {}
        self._down: set[int] = set()
        self._replicas: dict[str, list[tuple[int, ...]]] = {}  # by topic and partition, the preferred leader first
        self._leaders: dict[str, list[int]] = {}
        self._coordinators: dict[str, int] = {}  # by group
        self.version = ""
        self.bootstrap = ""
        self.direct_bootstrap = ""
        self.brokers: tuple[int, ...] = ()

    def start(self, progress: Progress, stop: threading.Event) -> None:
        api = self._api = _api(bundled_library())
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        conf = api.rd_kafka_conf_new()
        api.rd_kafka_conf_set(conf, b"log_level", b"0", error, _ERROR_BYTES)
        self._handle = api.rd_kafka_new(_PRODUCER, conf, error, _ERROR_BYTES)
        if not self._handle:
            api.rd_kafka_conf_destroy(conf)  # rd_kafka_new takes it only if it succeeds
            raise ClusterError(f"The mock cluster did not start: {error.value.decode(errors='replace')}.")
        self._mock = api.rd_kafka_mock_cluster_new(self._handle, self._size)
        if not self._mock:
            self.close()
            raise ClusterError("The mock cluster did not start: no loopback ports could be had.")
        api.rd_kafka_mock_group_initial_rebalance_delay_ms(self._mock, 0)
        self.version = f"librdkafka {api.rd_kafka_version_str().decode()}"
        self.bootstrap = self.direct_bootstrap = api.rd_kafka_mock_cluster_bootstraps(self._mock).decode()
        addresses = self.bootstrap.split(",")
        self._ports = {broker: int(one.rpartition(":")[2]) for broker, one in enumerate(addresses, start=1)}
        self.brokers = tuple(self._ports)
        progress(f"Started librdkafka's mock cluster of {self._size} brokers: {self.view}")

    def inspector(self, stop: threading.Event) -> MockInspector:
        return MockInspector(self, stop)

    def status(self) -> tuple[NodeStatus, ...]:
        return tuple(
            NodeStatus(broker, "broker", self._state(broker), None, port, death=_DEATH)
            for broker, port in self._ports.items()
        )

    def _state(self, broker: int) -> NodeState:
        return NodeState.DEAD if broker in self._down else NodeState.RUNNING

    def pause(self, node: int) -> None:
        raise CapabilityMissing(f"The mock cluster cannot pause: {MOCK_LACKS[Capability.PAUSE]}.")

    def resume(self, node: int) -> None:
        raise CapabilityMissing(f"The mock cluster cannot resume: {MOCK_LACKS[Capability.PAUSE]}.")

    def kill(self, node: int) -> None:
        """Close the broker's connections, refuse new ones, and move to others what it led and coordinated."""
        self._call("rd_kafka_mock_broker_set_down", node)
        self._down.add(node)
        self._move_from_the_dead()

    def restart(self, node: int) -> None:
        self._call("rd_kafka_mock_broker_set_up", node)
        self._down.discard(node)
        self._move_from_the_dead()

    def mend(self) -> None:
        for node in sorted(self._down):
            self.restart(node)

    def begin_lab(self) -> None:
        """Nobody else has it."""

    def end_lab(self) -> None:
        if self._mock is not None:
            self.mend()

    def close(self) -> None:
        """The mock cluster first, then the handle that carries it; after the handle nothing may be called."""
        api, mock, handle = self._api, self._mock, self._handle
        self._mock = self._handle = None
        if api is not None and mock:
            api.rd_kafka_mock_cluster_destroy(mock)
        if api is not None and handle:
            api.rd_kafka_destroy(handle)

    # What the inspector of a real cluster asks of Kafka

    def create_topic(self, name: str, assignment: Sequence[Sequence[int]]) -> None:
        """A topic whose partitions have these replicas (a list of names, no copies), the first the leader."""
        self._call("rd_kafka_mock_topic_create", name.encode(), len(assignment), len(assignment[0]))
        self._replicas[name] = [tuple(replicas) for replicas in assignment]
        self._leaders[name] = [NO_LEADER] * len(assignment)
        self.prefer_leaders(name, range(len(assignment)))

    def prefer_leaders(self, topic: str, partitions: Sequence[int]) -> None:
        """Give each partition its first replica that is up."""
        for partition in partitions:
            self._set_leader(topic, partition, self._first_alive(self._replicas[topic][partition]))

    def place_group(self, group: str, broker: int) -> None:
        """Have `broker` coordinate `group`."""
        self._call("rd_kafka_mock_coordinator_set", b"group", group.encode(), broker)
        self._coordinators[group] = broker

    def push_errors(self, request: int, *codes: int) -> None:
        """Answer the next requests with that API key by these error codes, without doing what they ask."""
        errors = (ctypes.c_int * len(codes))(*codes)
        self._require().rd_kafka_mock_push_request_errors_array(self._mock, request, len(codes), errors)

    def _set_leader(self, topic: str, partition: int, broker: int) -> None:
        if self._leaders[topic][partition] != broker:
            self._call("rd_kafka_mock_partition_set_leader", topic.encode(), partition, broker)
            self._leaders[topic][partition] = broker

    def _move_from_the_dead(self) -> None:
        for topic, leaders in self._leaders.items():
            for partition, leader in enumerate(leaders):
                if leader in self._down or leader == NO_LEADER:
                    self._set_leader(topic, partition, self._first_alive(self._replicas[topic][partition]))
        for group, coordinator in list(self._coordinators.items()):
            if coordinator in self._down and (heir := self._first_alive(self.brokers)) != NO_LEADER:
                self.place_group(group, heir)

    def _first_alive(self, brokers: Sequence[int]) -> int:
        return next((broker for broker in brokers if broker not in self._down), NO_LEADER)

    def _require(self) -> ctypes.CDLL:
        if self._api is None or self._mock is None:
            raise ClusterError("The mock cluster is not running.")
        return self._api

    def _call(self, name: str, *arguments: object) -> None:
        api = self._require()
        code = getattr(api, name)(self._mock, *arguments)
        if code != 0:
            raise ClusterError(f"The mock cluster refused: {api.rd_kafka_err2str(code).decode()}.")


class MockInspector(Inspector):
    """Looks through Kafka's protocol like any inspector; what the mock takes no admin request for, it does directly."""

    def __init__(self, cluster: MockCluster, stop: threading.Event) -> None:
        super().__init__(cluster.direct_bootstrap, stop)
        self._cluster = cluster

    def create_topic(
        self, name: str, assignment: Sequence[Sequence[int]], config: Mapping[str, str], timeout_s: float = 20.0
    ) -> tuple[PartitionState, ...]:
        if config:
            raise ClusterError(f"The mock cluster has no topic settings, so not {', '.join(config)} either.")
        self._cluster.create_topic(name, assignment)
        return self._await_led(name, len(assignment), timeout_s)

    def place_group(self, group: str, brokers: Sequence[int]) -> None:
        self._cluster.place_group(group, brokers[-1])

    def ensure_offsets_topic(self, brokers: Sequence[int]) -> None:
        """It keeps committed offsets without one."""

    def settle_offsets_topic(self, brokers: Sequence[int]) -> None:
        """Groups stay where they were moved: nothing measures that."""

    def elect_preferred(self, topic: str, partitions: Sequence[int]) -> None:
        self._cluster.prefer_leaders(topic, partitions)

    def delete_topic(self, name: str) -> None:
        """It lives in our memory and goes with the cluster."""

    def delete_group(self, group: str) -> None:
        """It lives in our memory and goes with the cluster."""
