"""The opponent: one stock Kafka broker, as its own scripts would start it, on the same jars and the same Java.

Flags and heap are those of bin/kafka-server-start.sh and bin/kafka-run-class.sh; the storage is formatted before the
clock starts; the properties are Kafka's defaults but for ports, folders and the replication of internal topics (1,
as in the config/server.properties that Kafka ships).
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.cluster.java import jvm_environment
from kafkaprep.engine.cluster.ports import PortBlock
from kafkaprep.engine.cluster.storage import bootstrap_for, lay_storage, random_id
from kafkaprep.engine.process import MARKER_FILE, Child, Guardian

_FLAGS = (
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
)


class StockBroker:
    """A formatted single node, ready to be started once."""

    def __init__(self, installation: Installation, folder: Path, guardian: Guardian) -> None:
        block = PortBlock(2)
        controller, self.port = block.ports
        block.release()
        self._installation = installation
        self._folder = folder
        self._guardian = guardian
        bootstrap = bootstrap_for(installation.kafka_version, list)
        lay_storage(folder / "log", 1, random_id(), bootstrap)
        (folder / "server.properties").write_text(
            "process.roles=broker,controller\n"
            "node.id=1\n"
            f"controller.quorum.voters=1@127.0.0.1:{controller}\n"
            "controller.listener.names=CONTROLLER\n"
            f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}\n"
            f"log.dirs={folder / 'log'}\n"
            "offsets.topic.replication.factor=1\n"
            "transaction.state.log.replication.factor=1\n"
            "transaction.state.log.min.isr=1\n"
        )

    def start(self) -> Child:
        argv = [
            str(self._installation.java.path),
            *_FLAGS,
            "-cp",
            self._installation.class_path,
            "kafka.Kafka",
            str(self._folder / "server.properties"),
        ]
        return self._guardian.spawn(
            "stock broker", argv, cwd=self._folder, stderr=self._folder / "log.txt", env=jvm_environment()
        )


@contextmanager
def stock_broker(installation: Installation) -> Iterator[StockBroker]:
    """A stock broker in a folder of its own; killed and deleted at the end."""
    nonce = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="kafkaprep-bench-") as scratch:
        folder = Path(scratch) / "stock"
        folder.mkdir()
        (folder / MARKER_FILE).write_text(nonce)
        guardian = Guardian(nonce, Path(scratch) / "journal.json", log=Path(scratch) / "guardian.log", folders=[folder])
        try:
            yield StockBroker(installation, folder, guardian)
        finally:
            guardian.close()
