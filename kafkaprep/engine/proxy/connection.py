"""One client connection and its broker: two pipes that obey the rules.

A frame is judged when its head is complete and before its first byte is forwarded. What passes is forwarded at once,
in the order of arrival; what has been let through is delivered even if its client has gone. Memory is bounded: a side
that does not drain is not read for.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kafkaprep.engine.proxy.frames import RequestHead, ResponseHead, Splitter, request_head, response_head
from kafkaprep.engine.proxy.reactor import READ, WRITE, Endpoint, Reactor
from kafkaprep.engine.proxy.rules import UNKNOWN_API, Action, Direction, FrameInfo, Rule, RuleBook, Verdict

QUEUE_BYTES = 512 * 1024  # a pipe that holds more stops reading
ASIDE_FRAME_BYTES = 16 * 1024 * 1024  # a larger frame is held in line: nothing overtakes it
ASIDE_BYTES = 64 * 1024 * 1024  # of all connections; beyond it frames are held in line
MAX_PENDING = 65_536
LINGER_S = 1.0
_MOST_BUFFERS = 16


@dataclass(slots=True)
class Totals:
    """What the proxy did besides following rules."""

    connections: int = 0
    malformed: int = 0  # connections closed because their bytes were no Kafka frames
    unreachable: int = 0  # connections closed because the broker refused


@dataclass(slots=True)
class Hub:
    """What all connections of a proxy share."""

    reactor: Reactor
    book: RuleBook
    acted: Callable[[int], None]  # told of every rule that has acted
    connections: set[Connection] = field(default_factory=set)
    totals: Totals = field(default_factory=Totals)
    aside_bytes: int = 0


class Fate(Enum):
    """What becomes of a frame that no rule holds."""

    FORWARD = "forward"
    DROP = "drop"


class Held:
    """A frame that a rule keeps back: in line, so that later bytes wait behind it, or aside."""

    __slots__ = (
        "aside",
        "complete",
        "correlation_id",
        "data",
        "expected",
        "opened",
        "rule_id",
        "timed",
        "when_complete",
    )

    def __init__(self, verdict: Verdict, head: RequestHead | ResponseHead, *, aside: bool) -> None:
        self.rule_id = verdict.rule_id
        self.timed = verdict.rule.action is Action.DELAY
        self.aside = aside
        self.correlation_id = head.correlation_id
        self.expected = head.size
        self.data: list[bytes] = []
        self.complete = False
        self.opened = False
        self.when_complete: Callable[[], None] | None = None


class Pipe:
    """One direction. `muted`: nothing more is forwarded, what comes is read and thrown away."""

    def __init__(
        self, connection: Connection, direction: Direction, source: Endpoint, sink: Endpoint, splitter: Splitter[Any]
    ) -> None:
        self.ended = False  # the source will send no more
        self.muted = False
        self.finished = False  # the sink was told that no more comes
        self.holding: list[Held] = []  # not opened yet
        self._connection = connection
        self._hub = connection.hub
        self._view = self._hub.reactor.view
        self._direction = direction
        self._is_request = direction is Direction.REQUEST
        self._source = source
        self._sink = sink
        self._splitter = splitter
        self._head_begun = b""
        self._fate: Fate | Held = Fate.FORWARD  # of the frame that the splitter is within
        self._queue: deque[bytes | memoryview | Held] = deque()
        self._queued = 0
        self._stuck = False  # the sink takes no more for now
        self._asides: list[Held] = []
        source.readable = self.read
        sink.writable = self.flush

    def read(self) -> None:
        """Take one buffer full from the source and deal with it."""
        view = self._view
        begun = len(self._head_begun)
        if begun:
            view[:begun] = self._head_begun
        try:
            got = self._source.socket.recv_into(view[begun:] if begun else view)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._connection.source_failed(self)
            return
        if not got:
            self._connection.source_ended(self)
        elif not self.muted:
            self._take(view, begun + got)
            if self._queue or self.muted:  # otherwise nothing to wait for has changed
                self._settle()

    def _take(self, view: memoryview, end: int) -> None:
        splitter = self._splitter
        connection = self._connection
        pieces = splitter.split(self._hub.reactor.buffer, end)
        whole = end - splitter.kept
        self._head_begun = bytes(view[whole:end]) if splitter.kept else b""
        if self._is_request:
            for head, _, _ in pieces:
                if head is not None and head.client != connection.client:
                    connection.identify(head.client)
            if self.muted:
                return
        if not connection.watched and self._fate is Fate.FORWARD and not self._asides:
            for head, _, _ in pieces:
                if head is not None:
                    self._note(head)
            if splitter.malformed:
                whole = pieces[-1][2] if pieces else 0
            self._put(view[:whole])
        else:
            self._judge(view, pieces)
        if splitter.malformed and not self.muted:
            self._hub.totals.malformed += 1
            connection.hang_up()

    def _note(self, head: Any) -> int:
        """Keep the table of requests in flight; the api that the frame belongs to."""
        pending = self._connection.pending
        if not self._is_request:
            return pending.pop(head.correlation_id, UNKNOWN_API)
        if head.answered:
            if len(pending) >= MAX_PENDING:
                del pending[next(iter(pending))]
            pending[head.correlation_id] = head.api_key
        api: int = head.api_key
        return api

    def _judge(self, view: memoryview, pieces: list[tuple[Any, int, int]]) -> None:
        """The careful way: every frame of the chunk has its own fate."""
        begin = stop = 0  # view[begin:start] passed and is not forwarded yet
        for number, (head, start, stop) in enumerate(pieces, 1):
            if head is not None:
                self._fate = Fate.FORWARD
                if self._asides:
                    self._put(view[begin:start])
                    begin = start
                    self._let_in()
                verdict = self._decide(head)
                if verdict is not None:
                    self._put(view[begin:start])
                    self._fate = Fate.DROP  # none of it is on its way, should the connection end now
                    self._fate = self._sentence(verdict, head)
            if self._fate is not Fate.FORWARD:
                begin = stop
                if isinstance(self._fate, Held):
                    complete = number < len(pieces) or not self._splitter.within
                    self._keep(self._fate, bytes(view[start:stop]), complete)
            if self.muted:
                return
        self._put(view[begin:stop])
        if not self._splitter.within:
            self._fate = Fate.FORWARD
            self._let_in()

    def _decide(self, head: Any) -> Verdict | None:
        api = self._note(head)
        connection = self._connection
        if self._is_request and head.client != connection.client:
            connection.identify(head.client)
        return self._hub.book.decide(FrameInfo(connection.broker, self._direction, api, connection.client_id))

    def _sentence(self, verdict: Verdict, head: Any) -> Fate | Held:
        """Carry out what a rule says about the frame that begins now; everything before it is on its way."""
        rule_id, rule = verdict
        connection = self._connection
        fate: Fate | Held = Fate.DROP
        if rule.action in (Action.DELAY, Action.HOLD):
            fate = self._hold(verdict, head)
        elif self._is_request:
            connection.pending.pop(head.correlation_id, None)
        if rule.action is Action.RESET:
            self._hub.book.counts(rule_id).closed += 1
            connection.reset()
        elif rule.action is Action.CLOSE or (rule.close and rule.action is not Action.HOLD):
            self._hub.book.counts(rule_id).closed += 1
            connection.hang_up()
        self._hub.acted(rule_id)
        return fate

    def _hold(self, verdict: Verdict, head: Any) -> Held:
        rule = verdict.rule
        aside = rule.overtake or rule.close
        if head.size > ASIDE_FRAME_BYTES or self._hub.aside_bytes + head.size > ASIDE_BYTES:
            aside = False
        held = Held(verdict, head, aside=aside)
        self.holding.append(held)
        if aside:
            self._hub.aside_bytes += head.size
            self._asides.append(held)
        else:
            self._queue.append(held)
        if held.timed:
            self._hub.reactor.after(rule.delay_ms / 1000, lambda: self.open(held))
        elif rule.close:
            counts = self._hub.book.counts(verdict.rule_id)

            def close() -> None:
                counts.closed += 1
                self._connection.hang_up()

            held.when_complete = close
        return held

    def _keep(self, held: Held, data: bytes, complete: bool) -> None:
        held.data.append(data)
        held.complete = complete
        if not held.aside:
            self._queued += len(data)
            if held.opened:
                self.flush()
        if complete and held.when_complete is not None:
            held.when_complete()

    def open(self, held: Held) -> None:
        """Let a held frame go. Nothing happens if it was let go or dropped before."""
        if held in self.holding:
            self.holding.remove(held)
            held.opened = True
            if held.aside and not (self._splitter.within and self._fate is Fate.FORWARD):
                self._let_in()
            self.flush()

    def drop(self, held: Held) -> None:
        """Lose a held frame, and what is still to come of it."""
        if held in self.holding:
            self.holding.remove(held)
        if held.aside:
            self._forget_aside(held)
        elif held in self._queue:
            self._queue.remove(held)
            self._queued -= sum(len(data) for data in held.data)
        held.data.clear()
        if self._fate is held:
            self._fate = Fate.DROP
        if self._is_request:
            self._connection.pending.pop(held.correlation_id, None)
        self._hub.book.lost(held.rule_id)

    def drop_held(self) -> None:
        """Lose whatever waits for a release."""
        for held in [*self.holding]:
            if not held.timed:
                self.drop(held)

    def abandon(self) -> None:
        """Nobody is left to deliver to: lose everything that waits."""
        for held in dict.fromkeys([*self.holding, *self._asides]):
            self.drop(held)
        self._queue.clear()
        self._queued = 0
        self._stuck = False
        self.muted = True
        self.finished = True

    def mute(self) -> None:
        """Forward nothing more. A frame of which a part is missing cannot be delivered later, nor after one."""
        if self.muted:
            return
        self.muted = True
        broken = self._splitter.within and self._fate is Fate.FORWARD
        for held in [*self._asides]:
            if broken or not held.complete:
                self.drop(held)
        if isinstance(self._fate, Held) and not self._fate.complete:
            self.drop(self._fate)

    def _forget_aside(self, held: Held) -> None:
        if held in self._asides:
            self._asides.remove(held)
            self._hub.aside_bytes -= held.expected

    def _let_in(self) -> None:
        """Between two frames: opened frames that were held aside join the queue."""
        for held in [*self._asides]:
            if held.opened and held.complete:
                self._forget_aside(held)
                self._queue.extend(held.data)
                self._queued += sum(len(data) for data in held.data)
        if self._queue and not self._stuck:
            self._send_queue()

    def _put(self, data: memoryview) -> None:
        """Send what passes; what the sink does not take now is copied and waits."""
        size = len(data)
        if not size or self.finished:
            return
        sent = 0
        if not self._queue:
            try:
                sent = self._sink.socket.send(data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                self._connection.sink_failed(self)
                return
            if sent == size:
                return
            self._stuck = True
        self._queue.append(bytes(data[sent:]))
        self._queued += size - sent

    def flush(self) -> None:
        """Send what waits and may go."""
        self._send_queue()
        self._settle()

    def _send_queue(self) -> None:
        queue = self._queue
        self._stuck = False
        while queue:
            first = queue[0]
            if isinstance(first, Held):
                if not first.opened or not (first.data or first.complete):
                    return
                queue.popleft()
                if not first.complete:
                    queue.appendleft(first)
                queue.extendleft(reversed(first.data))
                first.data = []
                continue
            batch: list[bytes | memoryview] = []
            for entry in queue:
                if isinstance(entry, Held) or len(batch) == _MOST_BUFFERS:
                    break
                batch.append(entry)
            try:
                sent = self._sink.socket.sendmsg(batch)
            except (BlockingIOError, InterruptedError):
                self._stuck = True
                return
            except OSError:
                self._connection.sink_failed(self)
                return
            self._queued -= sent
            for entry in batch:
                queue.popleft()
                if len(entry) > sent:
                    queue.appendleft(memoryview(entry)[sent:])
                    self._stuck = True
                    return
                sent -= len(entry)

    def _settle(self) -> None:
        """Wait for the right things; tell the sink when all is delivered."""
        if self.muted and not self._queue and not self._asides and not self.finished:
            self.finished = True
            self._connection.delivered(self)
        self._sink.want(WRITE, self._stuck)
        self._source.want(READ, not self.ended and (self.muted or self._queued < QUEUE_BYTES))

    def settle(self) -> None:
        self._settle()


class Connection:
    """A client, its broker, and the pipes between them. `since` is the id of the newest rule as it opened."""

    def __init__(self, hub: Hub, broker: int, client: socket.socket, upstream_port: int) -> None:
        self.hub = hub
        self.broker = broker
        self.client: bytes | None = None
        self.client_id = ""
        self.pending: dict[int, int] = {}  # correlation id → api key of the requests that await a response
        self._reached = False  # the broker
        self._identified = False
        self._since = hub.book.last_id
        self._watched = True
        self._watched_version = -1
        self._resets_client = False
        self._client = Endpoint(hub.reactor, client)
        self._upstream = Endpoint(hub.reactor, socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        self.requests = Pipe(self, Direction.REQUEST, self._client, self._upstream, Splitter(request_head))
        self.responses = Pipe(self, Direction.RESPONSE, self._upstream, self._client, Splitter(response_head))
        self._flush_requests = self._upstream.writable
        self._upstream.writable = self._connected
        hub.connections.add(self)
        hub.totals.connections += 1
        self._upstream.socket.connect_ex(("127.0.0.1", upstream_port))  # how it went is told when it is writable
        self._upstream.want(WRITE, True)

    def _connected(self) -> None:
        upstream = self._upstream
        # A port that nobody listens on may be picked as the source port, and the socket meets itself.
        if upstream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or _meets_itself(upstream.socket):
            self.hub.totals.unreachable += 1
            self._client.close(reset=True)
            self.close()
            return
        self._reached = True
        upstream.writable = self._flush_requests
        upstream.want(WRITE, False)
        upstream.want(READ, True)
        self._client.want(READ, True)

    @property
    def watched(self) -> bool:
        """Whether any rule can match a frame of this connection."""
        book = self.hub.book
        if self._watched_version != book.version:
            self._watched_version = book.version
            self._watched = book.concerns(self.broker, self.client_id)
        return self._watched

    def identify(self, client: bytes | None) -> None:
        """A request says who the client is."""
        self.client = client
        self.client_id = "" if client is None else client.decode("utf-8", "replace")
        self._watched_version = -1
        if self._identified:
            return
        self._identified = True
        rule_id = self.hub.book.refuses(self.broker, self.client_id, since=self._since)
        if rule_id is not None:
            self.cut(rule_id)
            self.hub.acted(rule_id)

    def is_hit_by(self, rule: Rule) -> bool:
        """Whether a rule about connections means this one."""
        return rule.fits(self.broker, self.client_id)

    def cut(self, rule_id: int) -> None:
        """Reset the client because of a rule."""
        self.hub.book.counts(rule_id).closed += 1
        self.reset()

    def reset(self) -> None:
        """RST to the client, now. What was let through still reaches the broker."""
        self._client.close(reset=True)
        if self._reached:
            self._client_gone()
        else:
            self.close()

    def hang_up(self) -> None:
        """FIN to the client once it has what was let through; so for the broker."""
        self.responses.drop_held()
        self.requests.mute()
        self.responses.mute()
        self.requests.settle()
        self.responses.settle()

    def _client_gone(self) -> None:
        self.responses.abandon()
        self.requests.mute()
        self.requests.ended = True
        self.requests.settle()
        self.responses.settle()
        self._close_what_is_done()

    def source_ended(self, pipe: Pipe) -> None:
        pipe.mute()
        pipe.ended = True
        if pipe is self.responses:
            self.requests.abandon()
            self.requests.settle()
        pipe.settle()
        self._close_what_is_done()

    def source_failed(self, pipe: Pipe) -> None:
        """The source reset its connection."""
        if pipe is self.responses:
            self._resets_client = True
            self.source_ended(pipe)
        else:
            self._client.close()
            self._client_gone()

    def sink_failed(self, pipe: Pipe) -> None:
        """The sink takes nothing any more."""
        pipe.abandon()
        if pipe is self.responses:
            self._client.close()
            self._client_gone()
        else:
            pipe.settle()  # the broker's last words are still read, up to its end

    def delivered(self, pipe: Pipe) -> None:
        """The sink has everything that it will ever get."""
        if pipe is self.requests:
            self._upstream.end_writing()
        elif self._resets_client:
            self._client.close(reset=True)
        elif not self.requests.ended:
            self._client.end_writing()
            self.hub.reactor.after(LINGER_S, self._leave_client)
        self._close_what_is_done()

    def _leave_client(self) -> None:
        self._client.close()
        self._close_what_is_done()

    def _close_what_is_done(self) -> None:
        """The client stays until it has read to the end, the broker until it has answered to the end."""
        if self.responses.finished and self.requests.ended:
            self._client.close()
        if self.responses.ended:
            self._upstream.close()
        if not self._client.open and not self._upstream.open:
            self.close()

    def release(self, rule_id: int, *, drop: bool) -> int:
        """Let go, or lose, the frames that this rule holds; how many."""
        count = 0
        for pipe in (self.requests, self.responses):
            for held in [held for held in pipe.holding if held.rule_id == rule_id]:
                count += 1
                if drop:
                    pipe.drop(held)
                    pipe.flush()
                else:
                    pipe.open(held)
        return count

    def close(self) -> None:
        """Drop everything at once."""
        self._client.close()
        self._upstream.close()
        for pipe in (self.requests, self.responses):
            pipe.abandon()
        self.hub.connections.discard(self)


def _meets_itself(connected: socket.socket) -> bool:
    try:
        return bool(connected.getsockname() == connected.getpeername())
    except OSError:
        return True
