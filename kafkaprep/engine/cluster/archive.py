"""Trains the class archive: one Kafka start whose classes later starts map.

A single-node broker and controller starts on loopback ports in a scratch folder, carries a little traffic so that the
classes a lab needs are loaded, and is asked to end, at which the JVM writes the archive. Every step has a deadline,
and a guardian kills the JVM if we die. A failure is TrainingFailed: Kafka starts without an archive too.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from kafkaprep import paths
from kafkaprep.engine.cluster.install import Installation, archive_flags, uses_aot
from kafkaprep.engine.cluster.java import jvm_environment
from kafkaprep.engine.cluster.properties import (
    HOST,
    log4j2_text,
    properties_text,
    server_command,
    single_node_properties,
)
from kafkaprep.engine.cluster.storage import bootstrap_for, lay_storage, random_id
from kafkaprep.engine.process import MARKER_FILE, Child, Guardian, run_briefly
from kafkaprep.engine.terminal_text import log_tail
from kafkaprep.engine.waiting import wait_until
from kafkaprep.errors import KafkaprepError, RunStopped

_START_TIMEOUT_S = 60.0
_TRAFFIC_TIMEOUT_S = 20.0
_WRITE_TIMEOUT_S = 90.0
_CHECK_TIMEOUT_S = 20.0
_TOPIC = "kafkaprep-training"
_NODE_ID = 100


class TrainingFailed(KafkaprepError):
    """No archive could be made; the message says why."""

    exit_code = 4


def train(installation: Installation, archive: Path, stop: threading.Event) -> None:
    """Make `archive`, complete and checked, or raise TrainingFailed; RunStopped when `stop` is set."""
    nonce = random_id()
    scratch = archive.parent / f"training-{nonce}"
    scratch.mkdir(mode=0o700)
    (scratch / MARKER_FILE).write_text(nonce)
    journal = paths.writable("state", "journals") / f"training-{nonce}.json"
    guardian = Guardian(nonce, journal, log=scratch / "guardian.log", folders=[scratch])
    try:
        draft = scratch / archive.name
        _run_once(installation, nonce, scratch, draft, guardian, stop)
        _check(installation, draft)
        draft.replace(archive)
    except (RunStopped, TrainingFailed):
        raise
    except KafkaprepError as error:
        raise TrainingFailed(error.message) from error
    except OSError as error:
        raise TrainingFailed(f"{error.strerror}: {error.filename}") from error
    finally:
        guardian.close()


def _run_once(
    installation: Installation,
    nonce: str,
    scratch: Path,
    draft: Path,
    guardian: Guardian,
    stop: threading.Event,
) -> None:
    log4j2 = scratch / "log4j2.properties"
    log4j2.write_text(log4j2_text())
    bootstrap = bootstrap_for(
        installation.kafka_version,
        lambda: [str(installation.java.path), *installation.jvm_flags, "-cp", installation.class_path],
    )
    lay_storage(scratch / "storage", _NODE_ID, random_id(), bootstrap)
    controller_port, internal_port, client_port = _free_ports(3)
    properties = single_node_properties(
        folder=scratch / "storage",
        controller_port=controller_port,
        internal_port=internal_port,
        client_port=client_port,
    )
    properties_file = scratch / "server.properties"
    properties_file.write_text(properties_text(properties))
    java, *arguments = server_command(installation, nonce, properties_file, log4j2=log4j2)
    recording = "AOTCacheOutput" if uses_aot(installation.java) else "ArchiveClassesAtExit"
    child = guardian.spawn(
        "training",
        [java, f"-XX:{recording}={draft}", *arguments],
        cwd=scratch,
        stderr=scratch / "server.log",
        env=jvm_environment(),
    )
    _carry_traffic(f"{HOST}:{client_port}", child, scratch / "server.log", stop)
    child.signal(signal.SIGTERM)
    wait_until(lambda: not child.alive, _WRITE_TIMEOUT_S, stop, "writing it took too long")
    if not draft.is_file():
        raise TrainingFailed("this Java wrote none")


def _check(installation: Installation, draft: Path) -> None:
    """Raises TrainingFailed unless a JVM that insists on the archive starts."""
    insist = "-XX:AOTMode=on" if uses_aot(installation.java) else "-Xshare:on"
    done = run_briefly(
        [
            str(installation.java.path),
            *installation.jvm_flags,
            insist,
            *archive_flags(draft),
            *("-cp", installation.class_path),
            "-version",
        ],
        timeout_s=_CHECK_TIMEOUT_S,
        env=jvm_environment(),
    )
    if done.returncode != 0:
        raise TrainingFailed("this Java does not accept what it wrote")


def _carry_traffic(address: str, child: Child, log: Path, stop: threading.Event) -> None:
    """One topic, one transaction, one consumer in a group: the classes a lab loads first."""
    # Imported late: it loads a C library, which `installation()` does not need.
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

    def attempt(action: Any) -> bool:
        if not child.alive:
            last_line = log_tail(log)[-1:] or ("it printed nothing",)
            raise TrainingFailed(f"Kafka ended with status {child.returncode}: {last_line[0]}")
        with suppress(KafkaException):
            action()
            return True
        return False

    def create_topic() -> None:
        try:
            admin.create_topics([NewTopic(_TOPIC, num_partitions=1, replication_factor=1)])[_TOPIC].result(5)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    quiet: dict[str, Any] = {
        "bootstrap.servers": address,
        "log_level": 0,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200,
    }
    with ExitStack() as on_exit:
        admin = AdminClient(quiet)
        wait_until(lambda: attempt(lambda: admin.list_topics(timeout=1)), _START_TIMEOUT_S, stop, "no start")
        wait_until(lambda: attempt(create_topic), _TRAFFIC_TIMEOUT_S, stop, "no topic could be created")
        producer = Producer({**quiet, "transactional.id": "training"})
        consumer = Consumer({**quiet, "group.id": "training", "auto.offset.reset": "earliest"})
        on_exit.callback(consumer.close)
        try:
            producer.init_transactions(_TRAFFIC_TIMEOUT_S)
            producer.begin_transaction()
            producer.produce(_TOPIC, b"message")
            producer.commit_transaction(_TRAFFIC_TIMEOUT_S)
            consumer.subscribe([_TOPIC])
            deadline = time.monotonic() + _TRAFFIC_TIMEOUT_S
            while consumer.poll(0.2) is None and time.monotonic() < deadline:
                if stop.is_set():
                    raise RunStopped()
            consumer.commit(asynchronous=False)
        except KafkaException:
            # The classes of the start are what counts; those of the traffic are a bonus.
            return


def _free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now; held together while picked, so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
