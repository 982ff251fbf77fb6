"""The profile obeys Kafka's start-up rules and ours: loopback only, and text Java reads back."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaprep.engine.cluster import properties as p
from kafkaprep.engine.cluster.install import START_FLAGS, Installation
from kafkaprep.engine.cluster.java import Java
from kafkaprep.errors import ClusterError


def broker(changes: dict[str, str] | None = None, folder: Path = Path("/x/1")) -> dict[str, str]:
    dotted = {name.replace("_", "."): value for name, value in (changes or {}).items()}
    return p.broker_properties(
        1,
        folder=folder,
        controller_port=9000,
        internal_port=9001,
        client_port=9002,
        advertised_client_port=9003,
        changes=dotted,
    )


def test_clients_are_told_the_proxys_port() -> None:
    found = broker()
    assert found["listeners"] == "INTERNAL://127.0.0.1:9001,CLIENT://127.0.0.1:9002"
    assert found["advertised.listeners"] == "INTERNAL://127.0.0.1:9001,CLIENT://127.0.0.1:9003"
    assert found["controller.quorum.voters"] == "100@127.0.0.1:9000"
    assert found["process.roles"] == "broker"


def test_the_controller_owns_what_the_controller_decides() -> None:
    controller = p.controller_properties(folder=Path("/x/c"), port=9000)
    for name in ("min.insync.replicas", "default.replication.factor", "unclean.leader.election.interval.ms"):
        assert name in controller
        assert name not in broker()
    for name in ("broker.session.timeout.ms", "broker.heartbeat.interval.ms"):
        assert controller[name] == broker()[name]


def test_one_node_alone_replicates_nothing() -> None:
    alone = p.single_node_properties(folder=Path("/x"), controller_port=9000, internal_port=9001, client_port=9002)
    factors = {value for name, value in alone.items() if name.endswith((".replication.factor", ".min.isr"))}
    assert factors == {"1"}
    assert alone["process.roles"] == "broker,controller"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"replica_fetch_wait_max_ms": "2001"}, "must not be above replica.socket.timeout.ms"),
        (
            {"replica_fetch_wait_max_ms": "1500", "replica_lag_time_max_ms": "1000"},
            "must not be above replica.lag.time.max.ms",
        ),
        ({"log_cleaner_dedupe_buffer_size": "1048576"}, "must be above 1 MiB"),
        ({"log_cleaner_threads": "2"}, "must be above 1 MiB"),
        ({"group_consumer_heartbeat_interval_ms": "3000"}, "must be below group.consumer.session"),
        ({"group_consumer_heartbeat_interval_ms": "499"}, "must not be above group.consumer.heartbeat"),
        ({"group_consumer_session_timeout_ms": "2999"}, "must not be above group.consumer.session"),
        ({"broker_heartbeat_interval_ms": "4000"}, "must be below broker.session.timeout.ms"),
        ({"replica_lag_time_max_ms": "soon"}, "must be a whole number, not 'soon'"),
        ({"listeners": "CLIENT://0.0.0.0:9002"}, "must hold only 127.0.0.1"),
        ({"listeners": "CLIENT://localhost:9002"}, "must hold only 127.0.0.1"),
        ({"listeners": "A://127.0.0.1:9002,B://127.0.0.1:9002"}, "must not name a port twice"),
        ({"listeners": "A://127.0.0.1:70000"}, "must name ports from 1 to 65535"),
        ({"advertised_listeners": "CONTROLLER://127.0.0.1:9002"}, "must not contain CONTROLLER"),
    ],
)
def test_what_kafka_would_refuse_is_refused_first(changes: dict[str, str], rule: str) -> None:
    with pytest.raises(ClusterError) as caught:
        broker(changes)
    assert rule in caught.value.message


def test_a_comma_in_a_folder_is_refused() -> None:
    with pytest.raises(ClusterError, match="KAFKAPREP_STATE_DIR"):
        broker(folder=Path("/x,y/1"))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("/a b/c", "/a b/c"),
        (" leading", "\\ leading"),
        ("/é", "/\\u00e9"),
        ("/🂡", "/\\ud83c\\udca1"),
        ("back\\slash", "back\\\\slash"),
        ("two\nlines", "two\\nlines"),
        ("a=b:c#d!e", "a=b:c#d!e"),
    ],
)
def test_the_text_is_latin1_with_escapes(value: str, written: str) -> None:
    assert p.properties_text({"some.name": value}) == f"some.name={written}\n"


def test_a_command_line_is_marked_and_keeps_its_paths_whole() -> None:
    installation = Installation(
        "4.4.0",
        Java(Path("/é x/java"), "17.0.1", "PATH"),
        (Path("/é x/a.jar"), Path("/é x/b.jar")),
        (*START_FLAGS, "-XX:SharedArchiveFile=/é x/c.jsa"),
        "downloaded",
    )
    command = p.server_command(installation, "nonce1", Path("/é x/s.properties"), log4j2=Path("/é x/l"), heap_mib=100)
    assert command[0] == "/é x/java"
    assert command[-2:] == ["kafka.Kafka", "/é x/s.properties"]
    assert command[command.index("-cp") + 1] == "/é x/a.jar:/é x/b.jar"
    for argument in ("-Xmx100m", "-Dkafkaprep.cluster=nonce1", "-Dlog4j2.configurationFile=/é x/l"):
        assert argument in command
