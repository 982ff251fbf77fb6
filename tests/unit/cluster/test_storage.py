"""Storage is laid down as Kafka's own tool would, and never over what is there."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from kafkaprep.engine.cluster import storage
from kafkaprep.errors import ClusterError


def read_meta(folder: Path) -> dict[str, str]:
    lines = (folder / "meta.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_ids_are_as_kafka_writes_them() -> None:
    ids = [storage.random_id() for _ in range(500)]
    assert len(set(ids)) == 500
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", one) for one in ids)
    assert all(len(base64.urlsafe_b64decode(f"{one}==")) == 16 for one in ids)


def test_a_broker_folder_holds_only_its_identity(tmp_path: Path) -> None:
    folder = tmp_path / "é x" / "1"
    directory_id = storage.lay_storage(folder, 1, "cluster")
    assert [file.name for file in folder.iterdir()] == ["meta.properties"]
    assert read_meta(folder) == {
        "version": "1",
        "cluster.id": "cluster",
        "node.id": "1",
        "directory.id": directory_id,
    }


def test_a_controller_folder_also_holds_the_bootstrap(tmp_path: Path) -> None:
    bootstrap = storage.shipped_bootstrap()
    storage.lay_storage(tmp_path / "c", 100, "cluster", bootstrap)
    laid = tmp_path / "c" / "__cluster_metadata-0" / "00000000000000000000-0000000000.checkpoint"
    assert laid.read_bytes() == bootstrap.content


def test_each_folder_has_its_own_id(tmp_path: Path) -> None:
    assert len({storage.lay_storage(tmp_path / str(node), node, "cluster") for node in range(5)}) == 5


def test_a_formatted_folder_is_refused(tmp_path: Path) -> None:
    storage.lay_storage(tmp_path, 1, "cluster")
    with pytest.raises(ClusterError, match="already holds"):
        storage.lay_storage(tmp_path, 1, "cluster")


def test_the_shipped_bootstrap_holds_features_and_nothing_else_readable() -> None:
    readable = re.findall(rb"[A-Za-z.]{5,}", storage.shipped_bootstrap().content)
    assert {word.decode() for word in readable} == {
        "metadata.version",
        "eligible.leader.replicas.version",
        "group.version",
        "share.version",
        "streams.version",
        "transaction.version",
    }


def test_only_another_version_needs_a_jvm(tmp_path: Path) -> None:
    def never() -> list[str]:
        raise AssertionError

    assert storage.bootstrap_for(storage.SHIPPED_FOR, never) == storage.shipped_bootstrap()
    tool = tmp_path / "tool"
    tool.write_text(
        "#!/bin/sh\n"
        '[ "$1 $2 $3 $5" = "kafka.tools.StorageTool format -t -c" ] || exit 1\n'
        "mkdir controller && echo made > controller/bootstrap.checkpoint\n"
    )
    tool.chmod(0o755)
    made = storage.bootstrap_for("4.0.0", lambda: [str(tool)])
    assert made == storage.Bootstrap("bootstrap.checkpoint", b"made\n")


def test_a_failed_format_quotes_its_last_line(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho first\necho 'no such class' >&2\nexit 1\n")
    tool.chmod(0o755)
    with pytest.raises(ClusterError, match="no such class"):
        storage.format_bootstrap([str(tool)])
