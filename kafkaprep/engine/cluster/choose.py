"""Picks the cluster of a run: what was asked for, else what can be had honestly.

`auto` means the local cluster. Without Java or the jars a lab that says what it shows there runs on the mock cluster,
and nothing runs where it would prove nothing: a refusal names every reason and the ways out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kafkaprep.engine.client_properties import BOOTSTRAP, read_client_properties
from kafkaprep.engine.cluster.base import Cluster
from kafkaprep.engine.cluster.external import ExternalCluster
from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.cluster.local import LocalCluster, connect
from kafkaprep.engine.cluster.mock import MockCluster, most_messages
from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.errors import CapabilityMissing, ClusterError, InstallError, UsageError
from kafkaprep.model import backends
from kafkaprep.model.history import RunPlan
from kafkaprep.model.lab import Lab
from kafkaprep.model.settings import Scope

BACKENDS = ("auto", "local", "mock", "external")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_ELSEWHERE = "`--cluster local` runs it on real brokers on this machine"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a run shall go, as the command line says it. `properties` holds secrets: it is never printed."""

    backend: str
    bootstrap: str = ""
    client_config: Path | None = None
    properties: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """A cluster that has not started, and what to tell about it (empty: it is what was asked for)."""

    cluster: Cluster
    note: str = ""


def target(backend: str, bootstrap: str | None, client_config: Path | None) -> Target:
    """What the flags mean together. Raises UsageError when they contradict each other, ContentError for the file."""
    if bootstrap is None and client_config is None:
        if backend == "external":
            raise UsageError(
                "--cluster external needs the address of your cluster.", "Add --bootstrap HOST:PORT or --client-config."
            )
        return Target(backend)
    if backend not in ("auto", "external"):
        flag = "--bootstrap" if bootstrap is not None else "--client-config"
        raise UsageError(
            f"{flag} is for your own cluster, and --cluster {backend} is another.", "Leave one of the two out."
        )
    properties = {} if client_config is None else read_client_properties(client_config)
    in_file = properties.pop(BOOTSTRAP, None)
    if bootstrap is not None and in_file is not None and bootstrap != in_file:
        raise UsageError(f"--bootstrap and {BOOTSTRAP} in {client_config} differ.", "Leave one of the two out.")
    address = bootstrap or in_file
    if not address:
        raise UsageError(
            f"Neither --bootstrap nor {BOOTSTRAP} in {client_config} says where your cluster is.",
            "Add --bootstrap HOST:PORT.",
        )
    return Target("external", _checked(address), client_config, properties)


def _checked(addresses: str) -> str:
    for address in addresses.split(","):
        match = _ADDRESS.fullmatch(address.strip())
        if match is None or not 1 <= int(match[2]) <= 65535:
            raise UsageError("--bootstrap takes HOST:PORT, or several with commas between them.")
    return ",".join(address.strip() for address in addresses.split(","))


def choose(where: Target, lab: Lab, plans: Sequence[RunPlan], ready: Callable[[], Installation]) -> Choice:
    """The cluster for all of `plans`, refused before anything starts if it cannot run one of them.

    `ready` finds Kafka, fetching it if need be. Raises CapabilityMissing, ClusterError, RunStopped.
    """
    match where.backend:
        case "mock":
            _refuse("mock", lab, _refusals(mock_refusals, lab, plans), _ELSEWHERE)
            return Choice(MockCluster())
        case "external":
            _refuse("external", lab, _refusals(external_refusals, lab, plans), _ELSEWHERE)
            return Choice(ExternalCluster(where.bootstrap, where.client_config))
        case "local":
            return Choice(_local(ready))
        case _:
            try:
                return Choice(_local(ready))
            except InstallError as error:
                return _instead(error, lab, plans)


def _local(ready: Callable[[], Installation]) -> LocalCluster:
    running = connect()
    if running is None:
        return LocalCluster(ready())
    running.close()
    return LocalCluster()


def _refusals(ask: Callable[[Lab, RunPlan], list[str]], lab: Lab, plans: Sequence[RunPlan]) -> list[str]:
    """The reasons against any of the plans, each once."""
    return list(dict.fromkeys(reason for plan in plans for reason in ask(lab, plan)))


def _instead(error: InstallError, lab: Lab, plans: Sequence[RunPlan]) -> Choice:
    reasons = _refusals(mock_refusals, lab, plans)
    if reasons:
        own = (
            "" if _refusals(external_refusals, lab, plans) else " Or use a cluster of your own: --bootstrap HOST:PORT."
        )
        raise ClusterError(
            f"{error.message} The mock cluster cannot stand in for it: {reasons[0]}.",
            f"{error.way_out}{own}".strip(),
        ) from error
    return Choice(
        MockCluster(), f"No real Kafka here, so this runs on the mock cluster: {backends.CLIENT_VIEW}. {error.message}"
    )


def mock_refusals(lab: Lab, plan: RunPlan) -> list[str]:
    """Why the mock cluster would prove nothing about this run; empty when it can show it."""
    reasons = backends.missing(lab.needs, MockCluster.capabilities, backends.MOCK_LACKS)
    if reasons:
        return [*reasons, *backends.mock_refuses_settings(plan.settings)]
    reasons = [why for step in plan.steps if (why := backends.mock_refuses_step(*step))]
    reasons += backends.mock_refuses_consumers(plan.steps, plan.consumers)
    reasons += backends.mock_refuses_settings(plan.settings)
    if plan.messages > (most := most_messages(plan.message_bytes)):
        reasons.append(f"{plan.messages} messages (its log surely holds {most} of {plan.message_bytes} bytes)")
    if not reasons and not lab.mock:
        reasons.append("the lab does not say what it would show there")
    return reasons


def external_refusals(lab: Lab, plan: RunPlan) -> list[str]:
    """Why this run may not happen on somebody's own cluster; its number of brokers is not known yet."""
    counted = ExternalCluster.most_capabilities
    reasons = backends.missing(lab.needs, counted, backends.EXTERNAL_LACKS)
    reasons = reasons or [why for step in plan.steps if (why := backends.external_refuses_step(*step))][:1]
    return reasons + backends.external_refuses_settings(plan.settings)


def fit(lab: Lab, plan: RunPlan, cluster: Cluster) -> tuple[RunPlan, str]:
    """The plan as the started cluster can carry it, and what was changed, in words.

    Fewer brokers than replicas lower the replication, unless the lab is about it. Raises CapabilityMissing.
    """
    _refuse(
        cluster.backend,
        lab,
        backends.missing(lab.needs, cluster.capabilities, backends.EXTERNAL_LACKS),
        _ELSEWHERE,
    )
    count = len(cluster.brokers)
    if plan.replication <= count:
        return plan, ""
    in_sync = int(plan.settings.get(Scope.TOPIC, "min.insync.replicas", "1"))
    if in_sync > count:
        _refuse(cluster.backend, lab, [f"topic.min.insync.replicas={in_sync} (it has {_brokers(count)})"], _ELSEWHERE)
    note = f"This cluster has {_brokers(count)}, so each message has {count} replicas instead of {plan.replication}."
    return replace(plan, replication=count), note if count > 1 else note.replace("1 replicas", "1 replica")


def _brokers(count: int) -> str:
    return "1 broker" if count == 1 else f"{count} brokers"


def _refuse(backend: str, lab: Lab, reasons: list[str], way_out: str) -> None:
    if reasons:
        shown = "; ".join(sanitise(reason) for reason in reasons)
        raise CapabilityMissing(f"Lab {lab.id} cannot run on the {backend} cluster: {shown}.", f"{way_out}.")
