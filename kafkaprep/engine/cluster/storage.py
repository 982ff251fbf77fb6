"""Lays down formatted storage without starting a JVM to format it.

A formatted folder holds meta.properties (the cluster's id, the node's id, a folder id of its own) and, on a
controller, a checkpoint with the feature levels a new cluster starts from. That checkpoint names no cluster and no
machine, so the one of the pinned Kafka version is shipped with the package; `python -m
kafkaprep.engine.cluster.lock` makes it anew. For any other version Kafka's own StorageTool is run once.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kafkaprep.engine.cluster.java import jvm_environment
from kafkaprep.engine.process import run_briefly
from kafkaprep.errors import ClusterError

META_PROPERTIES = "meta.properties"
METADATA_FOLDER = "__cluster_metadata-0"
_SHIPPED = Path(__file__).with_name("bootstrap.checkpoint")
SHIPPED_FOR = "4.4.0"
_FORMAT_TIMEOUT_S = 60.0
_FORMAT_PROPERTIES = """\
process.roles=controller
node.id=1
controller.quorum.voters=1@127.0.0.1:1
controller.listener.names=CONTROLLER
listeners=CONTROLLER://127.0.0.1:1
listener.security.protocol.map=CONTROLLER:PLAINTEXT
log.dirs=controller
"""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What a controller's folder holds before its first start: a file below it, and its bytes."""

    file: str
    content: bytes


def random_id() -> str:
    """A random id as Kafka writes them: 22 characters of URL-safe base64, never one that looks like an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not text.startswith("-"):
            return text


def shipped_bootstrap() -> Bootstrap:
    """The bootstrap checkpoint of a Kafka SHIPPED_FOR controller."""
    name = f"{METADATA_FOLDER}/00000000000000000000-0000000000.checkpoint"
    return Bootstrap(name, _SHIPPED.read_bytes())


def bootstrap_for(kafka_version: str, java_command: Callable[[], Sequence[str]]) -> Bootstrap:
    """The checkpoint for `kafka_version`: the shipped one, else made by one run of Kafka's StorageTool.

    `java_command` gives `java … -cp …`, up to but without the main class; it is asked only if needed.
    """
    return shipped_bootstrap() if kafka_version == SHIPPED_FOR else format_bootstrap(java_command())


def format_bootstrap(java_command: Sequence[str]) -> Bootstrap:
    """Make the checkpoint with Kafka's StorageTool. Raises ClusterError when that fails."""
    with TemporaryDirectory(prefix="kafkaprep-format-") as scratch:
        # Relative names, so that no path needs escaping in the properties file.
        (Path(scratch) / "controller.properties").write_text(_FORMAT_PROPERTIES)
        done = run_briefly(
            [
                *java_command,
                "kafka.tools.StorageTool",
                *("format", "-t", random_id(), "-c", "controller.properties"),
            ],
            timeout_s=_FORMAT_TIMEOUT_S,
            env=jvm_environment(),
            cwd=Path(scratch),
        )
        folder = Path(scratch) / "controller"
        made = sorted(folder.rglob("*.checkpoint"))
        if done.returncode != 0 or len(made) != 1:
            last_line = (f"{done.stdout}\n{done.stderr}".strip().splitlines() or ["it printed nothing"])[-1]
            raise ClusterError(f"Kafka's StorageTool could not format a folder: {last_line}")
        return Bootstrap(made[0].relative_to(folder).as_posix(), made[0].read_bytes())


def lay_storage(folder: Path, node_id: int, cluster_id: str, bootstrap: Bootstrap | None = None) -> str:
    """Make `folder` a formatted, empty storage folder of node `node_id`; returns its new folder id.

    A controller's folder needs a `bootstrap`. Raises ClusterError if the folder is formatted already or cannot be
    written.
    """
    directory_id = random_id()
    meta = f"version=1\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\n"
    if (folder / META_PROPERTIES).exists():
        raise ClusterError(f"{folder} already holds the storage of a broker.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if bootstrap is not None:
            checkpoint = folder / bootstrap.file
            checkpoint.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            checkpoint.write_bytes(bootstrap.content)
        # Last: a folder with this file counts as formatted.
        (folder / META_PROPERTIES).write_text(meta, encoding="ascii")
    except OSError as error:
        raise ClusterError(f"Cannot lay down storage in {folder}: {error.strerror}.") from error
    return directory_id
