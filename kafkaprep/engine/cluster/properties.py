"""What every broker and controller is told at start: one profile for all labs.

Session, lag and retention-check times cannot be changed while a broker runs, so there is one set of them, short
enough for a lab of half a minute and long enough for a laptop that stutters. Everything binds 127.0.0.1. A broker
has two listeners besides the controller's: INTERNAL for replication, and CLIENT, which advertises a port other than
the one it binds, so that a proxy can stand there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kafkaprep.errors import ClusterError

if TYPE_CHECKING:
    from kafkaprep.engine.cluster.install import Installation

HOST = "127.0.0.1"
CONTROLLER_ID = 100
SERVER_CLASS = "kafka.Kafka"
MARKER_PROPERTY = "kafkaprep.cluster"
HEAP_MIB = 192
SESSION_TIMEOUT_MS = 4000
REPLICA_FETCH_WAIT_MS = 100
_MIB = 1024 * 1024

# The controller judges a broker's session by these, the broker sends heartbeats by them: the same on every node.
_EVERYWHERE = {
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,CLIENT:PLAINTEXT",
    "broker.session.timeout.ms": str(SESSION_TIMEOUT_MS),
    "broker.heartbeat.interval.ms": "500",
}
# With eligible leader replicas on, the cluster's min.insync.replicas is the controller's, not the broker's.
_CONTROLLER = {
    "controller.quorum.election.timeout.ms": "500",
    "unclean.leader.election.interval.ms": "1000",
    "default.replication.factor": "3",
    "min.insync.replicas": "1",
    "auto.leader.rebalance.enable": "false",
}
_BROKER = {
    "inter.broker.listener.name": "INTERNAL",
    "auto.create.topics.enable": "false",
    # Replication: a follower that stops is out of the ISR after 4 s, and a quiet partition costs little.
    "replica.lag.time.max.ms": "4000",
    "replica.fetch.wait.max.ms": str(REPLICA_FETCH_WAIT_MS),
    "replica.fetch.backoff.ms": "200",
    "replica.socket.timeout.ms": "2000",
    "num.replica.fetchers": "1",
    # Internal topics: one partition each, on all brokers.
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "3",
    "offsets.retention.check.interval.ms": "1000",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "share.coordinator.state.topic.num.partitions": "1",
    # Groups: form at once, notice a lost member within seconds.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "3000",
    "group.consumer.session.timeout.ms": "3000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "500",
    # Retention and compaction: look every second, so that a lab can watch them.
    "log.retention.check.interval.ms": "1000",
    "log.initial.task.delay.ms": "100",
    "log.segment.delete.delay.ms": "100",
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": str(2 * _MIB),
    "log.index.size.max.bytes": str(_MIB),
    # Four JVMs share a laptop.
    "num.network.threads": "1",
    "num.io.threads": "2",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "1",
}
# Lines worth showing to learners (ISR changes, truncation, leader changes) are INFO; the rest only when it is wrong.
_LOG4J2 = """\
status=warn
appender.c.type=Console
appender.c.name=C
appender.c.layout.type=PatternLayout
appender.c.layout.charset=UTF-8
appender.c.layout.pattern=%d{HH:mm:ss.SSS} %p %m (%c)%n%throwable
rootLogger.level=warn
rootLogger.appenderRef.c.ref=C
logger.partition.name=kafka.cluster.Partition
logger.partition.level=info
logger.state.name=state.change.logger
logger.state.level=info
"""


def controller_properties(*, folder: Path, port: int, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The properties of the one controller. `changes` are laid over the profile."""
    return _checked(
        {
            "process.roles": "controller",
            "node.id": str(CONTROLLER_ID),
            "controller.quorum.voters": f"{CONTROLLER_ID}@{HOST}:{port}",
            "listeners": f"CONTROLLER://{HOST}:{port}",
            "log.dirs": _one_folder(folder),
            **_EVERYWHERE,
            **_CONTROLLER,
            **(changes or {}),
        }
    )


def broker_properties(
    broker_id: int,
    *,
    folder: Path,
    controller_port: int,
    internal_port: int,
    client_port: int,
    advertised_client_port: int | None = None,
    changes: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The properties of one broker, whose clients are told `advertised_client_port` (a proxy's).

    `changes` are laid over the profile.
    """
    advertised = client_port if advertised_client_port is None else advertised_client_port
    return _checked(
        {
            "process.roles": "broker",
            "node.id": str(broker_id),
            "controller.quorum.voters": f"{CONTROLLER_ID}@{HOST}:{controller_port}",
            "listeners": f"INTERNAL://{HOST}:{internal_port},CLIENT://{HOST}:{client_port}",
            "advertised.listeners": f"INTERNAL://{HOST}:{internal_port},CLIENT://{HOST}:{advertised}",
            "log.dirs": _one_folder(folder),
            **_EVERYWHERE,
            **_BROKER,
            **(changes or {}),
        }
    )


def single_node_properties(
    *, folder: Path, controller_port: int, internal_port: int, client_port: int
) -> dict[str, str]:
    """Controller and broker in one process, for the run that trains the class archive."""
    alone = {name: "1" for name in (*_BROKER, *_CONTROLLER) if name.endswith((".replication.factor", ".min.isr"))}
    broker = broker_properties(
        CONTROLLER_ID,
        folder=folder,
        controller_port=controller_port,
        internal_port=internal_port,
        client_port=client_port,
        changes={**_CONTROLLER, **alone},
    )
    listeners = f"{broker['listeners']},CONTROLLER://{HOST}:{controller_port}"
    return _checked({**broker, "process.roles": "broker,controller", "listeners": listeners})


def properties_text(properties: Mapping[str, str]) -> str:
    """The text of a Java properties file. It is read as Latin-1, so everything beyond ASCII is escaped."""
    return "".join(f"{_escaped(name, key=True)}={_escaped(value)}\n" for name, value in properties.items())


def log4j2_text() -> str:
    """The text of log4j2.properties: to stdout, warnings and the lines worth showing to learners."""
    return _LOG4J2


def jvm_arguments(installation: Installation, nonce: str, *, log4j2: Path, heap_mib: int = HEAP_MIB) -> tuple[str, ...]:
    """Everything between `java` and the main class. `nonce` marks the process as ours, for the sweep."""
    return (
        f"-Xmx{heap_mib}m",
        *installation.jvm_flags,
        f"-D{MARKER_PROPERTY}={nonce}",
        f"-Dlog4j2.configurationFile={log4j2}",
        *("-cp", installation.class_path),
    )


def server_command(
    installation: Installation, nonce: str, properties_file: Path, *, log4j2: Path, heap_mib: int = HEAP_MIB
) -> list[str]:
    """The command line of a broker or controller."""
    arguments = jvm_arguments(installation, nonce, log4j2=log4j2, heap_mib=heap_mib)
    return [str(installation.java.path), *arguments, SERVER_CLASS, str(properties_file)]


def _escaped(text: str, *, key: bool = False) -> str:
    special = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
    if key:
        special |= {mark: f"\\{mark}" for mark in " :=#!"}
    units = text.encode("utf-16-be", "surrogatepass")
    characters = [chr(int.from_bytes(units[at : at + 2], "big")) for at in range(0, len(units), 2)]
    written = "".join(special.get(c, c if " " <= c <= "~" else f"\\u{ord(c):04x}") for c in characters)
    return f"\\{written}" if written.startswith(" ") else written


def _one_folder(folder: Path) -> str:
    if "," in str(folder):
        raise ClusterError(
            f"Kafka cannot store anything under {folder}: a comma ends a folder's name in its settings.",
            "Set KAFKAPREP_STATE_DIR to a folder without a comma in its path.",
        )
    return str(folder)


def _checked(properties: dict[str, str]) -> dict[str, str]:
    """`properties`, if Kafka would start with them. Raises ClusterError naming the rule that they break."""
    broken = broken_rules(properties)
    if broken:
        raise ClusterError(f"Kafka would refuse to start: {'; '.join(broken)}.")
    return properties


def broken_rules(properties: Mapping[str, str]) -> list[str]:
    """The start-up rules of Kafka, and ours on addresses, that `properties` break."""

    def number(name: str) -> int:
        try:
            return int(properties[name])
        except ValueError:
            broken.append(f"{name} must be a whole number, not {properties[name]!r}")
            return 0

    broken: list[str] = []
    for smaller, larger in _NOT_ABOVE:
        if smaller in properties and larger in properties and number(smaller) > number(larger):
            broken.append(f"{smaller} must not be above {larger}")
    for smaller, larger in _BELOW:
        if smaller in properties and larger in properties and number(smaller) >= number(larger):
            broken.append(f"{smaller} must be below {larger}")
    buffer, threads = "log.cleaner.dedupe.buffer.size", "log.cleaner.threads"
    if buffer in properties and threads in properties and number(buffer) <= _MIB * number(threads):
        broken.append(f"{buffer} must be above 1 MiB for each of {threads}")
    return broken + _broken_addresses(properties)


_NOT_ABOVE = (
    ("replica.fetch.wait.max.ms", "replica.socket.timeout.ms"),
    ("replica.fetch.wait.max.ms", "replica.lag.time.max.ms"),
    ("group.consumer.min.session.timeout.ms", "group.consumer.session.timeout.ms"),
    ("group.consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
    ("group.consumer.min.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms"),
    ("group.consumer.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"),
    ("group.min.session.timeout.ms", "group.max.session.timeout.ms"),
)
_BELOW = (
    ("group.consumer.heartbeat.interval.ms", "group.consumer.session.timeout.ms"),
    ("broker.heartbeat.interval.ms", "broker.session.timeout.ms"),
)


def _broken_addresses(properties: Mapping[str, str]) -> list[str]:
    broken: list[str] = []
    for setting in ("listeners", "advertised.listeners"):
        addresses = [address for address in properties.get(setting, "").split(",") if address]
        ports = [address.rpartition(":")[2] for address in addresses]
        if any(f"://{HOST}:" not in address for address in addresses):
            broken.append(f"{setting} must hold only {HOST}")
        if any(not port.isdecimal() or not 0 < int(port) < 65536 for port in ports):
            broken.append(f"{setting} must name ports from 1 to 65535")
        if len(set(ports)) < len(ports):
            broken.append(f"{setting} must not name a port twice")
    if "CONTROLLER:" in properties.get("advertised.listeners", ""):
        broken.append("advertised.listeners must not contain CONTROLLER")
    return broken
