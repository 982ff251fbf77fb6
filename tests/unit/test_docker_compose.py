"""docker-compose.yml: loopback only, the pinned Kafka, one controller apart, the local cluster's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kafkaprep.engine.cluster import install, properties

ROOT = Path(__file__).parents[2]
BROKERS = {"broker-1": 1, "broker-2": 2, "broker-3": 3}
# What differs because containers have networks and file systems of their own.
PLACES = {"advertised.listeners", "controller.quorum.voters", "listeners", "log.dirs", "node.id"}
# What only four JVMs on one laptop need, or what the image's own start sets.
LAPTOP_ONLY = {
    "background.threads",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.threads",
    "log.index.size.max.bytes",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def variable(setting: str) -> str:
    """The name under which the image takes a setting."""
    return "KAFKA_" + setting.upper().replace("_", "__").replace(".", "_")


def listeners(text: str) -> dict[str, str]:
    return dict(each.split("://") for each in text.split(","))


def test_there_are_three_brokers_and_a_controller_apart(compose: dict[str, Any]) -> None:
    assert compose["name"] == "kafkaprep"
    roles = {name: service["environment"]["KAFKA_PROCESS_ROLES"] for name, service in compose["services"].items()}
    assert roles == {"controller": "controller", **dict.fromkeys(BROKERS, "broker")}
    ids = {name: int(service["environment"]["KAFKA_NODE_ID"]) for name, service in compose["services"].items()}
    assert ids == {"controller": properties.CONTROLLER_ID, **BROKERS}


def test_the_image_is_the_pinned_kafka(compose: dict[str, Any]) -> None:
    images = {service["image"] for service in compose["services"].values()}
    assert images == {f"apache/kafka:{install.lock().kafka_version}"}


def test_every_port_is_bound_to_loopback_and_used_once(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(published) == len(BROKERS)
    addresses = [str(port).rsplit(":", 1) for port in published]
    assert len({host for host, _ in addresses}) == len(BROKERS)
    assert all(host.startswith("127.0.0.1:") for host, _ in addresses)
    assert "network_mode" not in str(compose["services"])


@pytest.mark.parametrize("name", BROKERS)
def test_the_host_is_told_the_published_port_and_containers_a_name(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    bound = listeners(service["environment"]["KAFKA_LISTENERS"])
    advertised = listeners(service["environment"]["KAFKA_ADVERTISED_LISTENERS"])
    (published,) = service["ports"]
    host, inside = published.rsplit(":", 1)
    assert advertised["CLIENT"] == host
    assert bound["CLIENT"] == f":{inside}"
    assert advertised["INTERNAL"] == f"{name}{bound['INTERNAL']}"
    assert service["environment"]["KAFKA_INTER_BROKER_LISTENER_NAME"] == "INTERNAL"


def test_the_quorum_is_the_controller_alone(compose: dict[str, Any]) -> None:
    services = compose["services"]
    controller = services["controller"]["environment"]
    port = listeners(controller["KAFKA_LISTENERS"])["CONTROLLER"]
    for service in services.values():
        assert service["environment"]["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"100@controller{port}"
        assert service["environment"]["CLUSTER_ID"] == controller["CLUSTER_ID"]
    assert "ports" not in services["controller"]


def test_every_node_has_a_healthcheck_on_a_port_it_listens_on(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        port = service["healthcheck"]["test"][-1].rsplit("/", 1)[1]
        assert f":{port}" in listeners(service["environment"]["KAFKA_LISTENERS"]).values()


def test_nothing_is_left_behind(compose: dict[str, Any]) -> None:
    assert "volumes" not in compose
    for service in compose["services"].values():
        assert "volumes" not in service
        assert service["restart"] == "no"
        # In the place of the volumes that the image declares; the log is in none of them, so it survives a kill.
        assert set(service["tmpfs"]) == {"/etc/kafka/secrets", "/mnt/shared/config", "/var/lib/kafka/data"}
        assert not service["environment"]["KAFKA_LOG_DIRS"].startswith(tuple(service["tmpfs"]))


def test_brokers_have_the_settings_of_the_local_cluster(compose: dict[str, Any], tmp_path: Path) -> None:
    local = properties.broker_properties(1, folder=tmp_path, controller_port=1, internal_port=2, client_port=3)
    expected = {variable(name): value for name, value in local.items() if name not in PLACES | LAPTOP_ONLY}
    for name in BROKERS:
        environment = compose["services"][name]["environment"]
        assert {key: environment.get(key) for key in expected} == expected


def test_the_controller_has_the_settings_of_the_local_cluster(compose: dict[str, Any], tmp_path: Path) -> None:
    local = properties.controller_properties(folder=tmp_path, port=1)
    expected = {variable(name): value for name, value in local.items() if name not in PLACES}
    environment = compose["services"]["controller"]["environment"]
    assert {key: environment.get(key) for key in expected} == expected
