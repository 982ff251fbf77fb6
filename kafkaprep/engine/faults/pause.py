"""`pause: TARGET` and `resume: TARGET`: SIGSTOP and SIGCONT."""

from __future__ import annotations

from kafkaprep.engine.cluster.base import NodeState
from kafkaprep.engine.faults.base import LiveRun


class Pause:
    deadline_s = 10.0

    def __init__(self, target: str) -> None:
        self._target = target
        self._nodes: tuple[int, ...] = ()

    def arm(self, run: LiveRun) -> None:
        client = run.client(self._target)
        if client is not None:
            client.pause()
            return
        self._nodes = run.targets(self._target)
        for node in self._nodes:
            run.touched.add(node)
            run.cluster.pause(node)

    def observed(self, run: LiveRun) -> str | None:
        client = run.client(self._target)
        if client is not None:
            if not client.paused:
                return None
            run.took_hold("pause", self._target, None, "the process is stopped, its connections stay open")
            return f"paused: {client.name}"
        states = {node.id: node.state for node in run.cluster.status()}
        if not all(states[node] is NodeState.PAUSED for node in self._nodes):
            return None
        for node in self._nodes:
            run.took_hold("pause", self._target, node, "the process is stopped, its connections stay open")
        return f"paused: {_nodes(self._nodes)}"

    def undo(self, run: LiveRun) -> None:
        client = run.client(self._target)
        if client is not None:
            client.resume()
            return
        states = {node.id: node.state for node in run.cluster.status()}
        for node in self._nodes:
            if states[node] is NodeState.PAUSED:
                run.cluster.resume(node)

    def waiting_for(self, run: LiveRun) -> str:
        return f"the system does not report {_nodes(self._nodes)} as stopped"


class Resume:
    deadline_s = 10.0

    def __init__(self, target: str) -> None:
        self._target = target
        self._nodes: tuple[int, ...] = ()

    def arm(self, run: LiveRun) -> None:
        client = run.client(self._target)
        if client is not None:
            client.resume()
            return
        paused = {node.id for node in run.cluster.status() if node.state is NodeState.PAUSED}
        self._nodes = tuple(node for node in run.targets(self._target) if node in paused)
        for node in self._nodes:
            run.cluster.resume(node)

    def observed(self, run: LiveRun) -> str | None:
        client = run.client(self._target)
        if client is not None:
            if client.paused or not client.alive:
                return None
            run.took_hold("resume", self._target, None, "the process goes on")
            return f"resumed: {client.name}"
        states = {node.id: node.state for node in run.cluster.status()}
        if not self._nodes or not all(states[node] is NodeState.RUNNING for node in self._nodes):
            return None
        for node in self._nodes:
            run.took_hold("resume", self._target, node, "the process goes on")
        return f"resumed: {_nodes(self._nodes)}"

    def undo(self, run: LiveRun) -> None:
        """Going on is what healing wants."""

    def waiting_for(self, run: LiveRun) -> str:
        return f"{_nodes(self._nodes)} does not run again" if self._nodes else f"no paused process is {self._target}"


def _nodes(ids: tuple[int, ...]) -> str:
    return ", ".join(f"node {each}" for each in ids)
