"""`kill: TARGET`: SIGKILL; the log survives it, unread socket bytes do not."""

from __future__ import annotations

from kafkaprep.engine.cluster.base import NodeState
from kafkaprep.engine.faults.base import LiveRun


class Kill:
    deadline_s = 10.0

    def __init__(self, target: str) -> None:
        self._target = target
        self._nodes: tuple[int, ...] = ()

    def arm(self, run: LiveRun) -> None:
        client = run.client(self._target)
        if client is not None:
            client.kill()
            return
        self._nodes = run.targets(self._target)
        for node in self._nodes:
            run.touched.add(node)
            run.cluster.kill(node)

    def observed(self, run: LiveRun) -> str | None:
        client = run.client(self._target)
        if client is not None:
            if client.alive:
                return None
            run.took_hold("kill", self._target, None, "the process is gone, without flush or commit")
            return f"killed: {client.name}"
        nodes = {node.id: node for node in run.cluster.status()}
        if not all(nodes[node].state is NodeState.DEAD for node in self._nodes):
            return None
        for node in self._nodes:
            run.took_hold("kill", self._target, node, nodes[node].death)
        return f"killed: {', '.join(f'node {node}' for node in self._nodes)}"

    def undo(self, run: LiveRun) -> None:
        for node in self._nodes:
            run.cluster.restart(node)

    def waiting_for(self, run: LiveRun) -> str:
        return "the process did not die"
