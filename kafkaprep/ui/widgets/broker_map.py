"""The cluster's processes: their state, who leads, and who is in sync."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from kafkaprep.engine.cluster.base import NodeStatus
from kafkaprep.engine.cluster.inspect import PartitionState
from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.ui.glyphs import NODE_STYLES, Glyphs

PLACES = 4  # the controller and three brokers
_WIDE = 96  # there is room for process ids


def role_line(node: NodeStatus, partitions: Sequence[PartitionState], glyphs: Glyphs) -> Content:
    """What Kafka says of this node: leader of what, in the ISR of what."""
    if node.role == "controller":
        return Content.styled("keeps metadata", "$text-muted")
    if not partitions:
        return Content.styled("no topic yet", "$text-muted")
    leads = [state.partition for state in partitions if state.leader == node.id]
    holds = [state for state in partitions if node.id in state.replicas]
    synced = sum(node.id in state.isr for state in holds)
    parts: list[tuple[str, str] | str] = []
    if leads:
        what = "LEADER" if len(partitions) == 1 else f"LEADS {','.join(map(str, leads))}"
        parts.append((f"{glyphs.leader} {what} ", "$text-accent bold"))
    if not holds:
        parts.append(("no replica", "$text-muted"))
    elif synced == len(holds):
        parts.append((f"{glyphs.in_sync} in ISR", "$text-success"))
    elif synced:
        parts.append((f"in ISR {synced}/{len(holds)}", "$text-warning"))
    else:
        parts.append((f"{glyphs.failed} not in ISR", "$text-error"))
    return Content.assemble(*parts)


class BrokerMap(Horizontal):
    """Four boxes side by side."""

    DEFAULT_CSS = """
    BrokerMap { height: 3; }
    BrokerMap > .node { width: 1fr; height: 3; margin-right: 1; padding: 0 0 0 1; background: $boost;
        text-wrap: nowrap; text-overflow: ellipsis; }
    BrokerMap > .node.-paused { background: $warning 20%; }
    BrokerMap > .node.-dead { background: $error 20%; }
    """

    def __init__(self, glyphs: Glyphs, *, at: str | None = None) -> None:
        super().__init__(id=at)
        self._glyphs = glyphs
        self._shown: tuple[Sequence[NodeStatus], Sequence[PartitionState], bool] | None = None

    def compose(self) -> ComposeResult:
        for number in range(PLACES):
            yield Static(Content.styled("not started", "$text-muted"), classes="node", id=f"node-{number}")

    def show(self, nodes: Sequence[NodeStatus], partitions: Sequence[PartitionState], answered: bool) -> None:
        """`answered` is false when no broker says now how the partitions stand; then their last state is shown."""
        if not nodes or (nodes, partitions, answered) == self._shown:
            return
        self._shown = (nodes, partitions, answered)
        ordered = sorted(nodes, key=lambda node: (node.role != "controller", node.id))
        for number, node in enumerate(ordered[:PLACES]):
            box = self.query_one(f"#node-{number}", Static)
            box.set_class(node.state == "paused", "-paused")
            box.set_class(node.state == "dead", "-dead")
            box.update(self._node(node, partitions, answered))

    def _node(self, node: NodeStatus, partitions: Sequence[PartitionState], answered: bool) -> Content:
        name = "controller" if node.role == "controller" else f"broker {node.id}"
        state = f"{self._glyphs.nodes[node.state]} {str(node.state).upper() if node.state != 'running' else 'running'}"
        shows_pid = node.pid is not None and node.state != "dead" and self.size.width >= _WIDE
        pid = f"  pid {node.pid}" if shows_pid else ""
        role = role_line(node, partitions, self._glyphs)
        if not answered and node.role != "controller":
            role = Content.styled("no broker answers", "$text-muted")
        if node.note:
            role = Content.styled(sanitise(node.note), "$text-error")
        return Content("\n").join(
            [
                Content.styled(name, "bold"),
                Content.assemble((state, NODE_STYLES[node.state]), (pid, "$text-muted")),
                role,
            ]
        )
