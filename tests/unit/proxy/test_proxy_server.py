"""Every fault does what it says between real sockets, and nothing is left when the proxy stops."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest
from ours import soon
from peers import LONG_S, Broker, Client, produce, request, response

from kafkaprep.engine.proxy import connection as connections
from kafkaprep.engine.proxy.rules import Action, Direction, Rule
from kafkaprep.engine.proxy.server import ProxyServer
from kafkaprep.errors import ClusterError

PRODUCE = 0
MIB = 1024 * 1024


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.close()


@pytest.fixture
def proxy(broker: Broker) -> Iterator[ProxyServer]:
    proxy = ProxyServer({1: (0, broker.port)})
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def connect(proxy: ProxyServer) -> Iterator[Callable[[], Client]]:
    opened: list[Client] = []

    def connect() -> Client:
        opened.append(Client(proxy.ports[1]))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()


@pytest.fixture
def client(connect: Callable[[], Client]) -> Client:
    return connect()


def drop(nth: int, *, close: bool = False, action: Action = Action.DROP_REQUEST) -> Rule:
    return Rule(action, api=PRODUCE, from_nth=nth, to_nth=nth, close=close)


def begun(proxy: ProxyServer) -> str:
    """The fate of the request that the only connection is within, empty if it is between two."""
    (connection,) = proxy._hub.connections or [None]
    pipe = connection.requests if connection else None
    return pipe._fate.value if pipe and pipe._splitter.within and isinstance(pipe._fate, connections.Fate) else ""


def fate_of_a_new(connect: Callable[[], Client]) -> str:
    """How a new connection ends; a reset may come before it is made."""
    try:
        client = connect()
    except ConnectionError:
        return "reset"
    try:
        return client.end()
    finally:
        client.close()


# Passing through


def test_frames_pass_both_ways_in_order(broker: Broker, client: Client) -> None:
    for number in range(50):
        client.send(request(number, b"x" * number))
    assert client.answers(50) == list(range(50))
    assert broker.log == list(range(50))


def test_bytes_arrive_unchanged(broker: Broker, client: Client) -> None:
    body = os.urandom(3 * MIB)
    frame = produce(1, body)
    client.send(frame)
    assert client.answer() == 1
    assert broker.payloads == [frame[4:]]


def test_frames_that_arrive_byte_by_byte(broker: Broker, client: Client) -> None:
    for byte in produce(1, b"a") + produce(2, b"b", acks=0) + request(3):
        client.send(bytes([byte]))
    assert client.answers(2) == [1, 3]
    broker.await_log(1, 2, 3)


def test_the_client_ends_and_the_broker_hears_of_it(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    client.send(request(1))
    client.socket.shutdown(socket.SHUT_WR)  # the answer still comes
    assert client.answer() == 1
    assert client.end() == "closed"
    broker.await_ended(1)
    soon(lambda: proxy.connected() == 0, "a connection is left")


def test_the_broker_resets_and_the_client_hears_of_it(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    client.send(request(1))
    assert client.answer() == 1
    broker.reset()
    assert client.end() == "reset"
    soon(lambda: proxy.connected() == 0, "a connection is left")


def test_a_broker_that_is_not_there(free_port: int) -> None:
    proxy = ProxyServer({1: (0, free_port)})
    proxy.start()
    try:
        assert fate_of_a_new(lambda: Client(proxy.ports[1])) == "reset"
        soon(lambda: proxy.totals().unreachable == 1, "not counted")
        assert proxy.connected() == 0
    finally:
        proxy.stop()


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02ab"])
def test_garbage_ends_the_connection_after_what_was_sound(
    broker: Broker, client: Client, proxy: ProxyServer, garbage: bytes
) -> None:
    client.send(request(1) + garbage)
    assert client.end() == "closed"
    broker.await_log(1)
    assert proxy.totals().malformed == 1


def test_garbage_from_the_broker(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    client.send(request(1))
    assert client.answer() == 1
    broker.say(response(2) + b"\x80\x00\x00\x00")
    assert client.answer() == 2
    assert client.end() == "closed"
    assert proxy.totals().malformed == 1


# Losing


def test_drop_the_second_request(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    rule_id = proxy.add_rule(drop(2))
    client.send(produce(1), request(2), produce(3, b"x" * 2 * MIB), produce(4))
    assert client.answers(3) == [1, 2, 4]
    broker.await_log(1, 2, 4)
    counts = proxy.counters()[rule_id]
    assert (counts.matched, counts.acted, counts.dropped, counts.closed) == (3, 1, 1, 0)


def test_drop_the_second_response_after_the_append(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    rule_id = proxy.add_rule(drop(2, action=Action.DROP_RESPONSE))
    client.send(produce(1), request(2), produce(3), produce(4))
    assert client.answers(3) == [1, 2, 4]
    broker.await_log(1, 2, 3, 4)
    assert proxy.counters()[rule_id].dropped == 1


def test_drop_a_response_and_close(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    rule_id = proxy.add_rule(drop(2, action=Action.DROP_RESPONSE, close=True))
    client.send(produce(1), produce(2), produce(3))
    assert client.answer() == 1
    assert client.end() == "closed"
    broker.await_log(1, 2, 3)  # what was let through before is delivered
    counts = proxy.counters()[rule_id]
    assert (counts.acted, counts.dropped, counts.closed) == (1, 1, 1)
    client.close()
    soon(lambda: proxy.connected() == 0, "a connection is left")


def test_a_request_without_an_answer_does_not_confuse_the_count(
    broker: Broker, client: Client, proxy: ProxyServer
) -> None:
    rule_id = proxy.add_rule(drop(1, action=Action.DROP_RESPONSE))
    client.send(produce(1, acks=0), request(2), produce(3))
    assert client.answer() == 2
    assert proxy.await_count(rule_id, 1, LONG_S)
    assert client.is_silent()
    assert broker.log == [1, 2, 3]


def test_a_rule_that_comes_while_a_request_is_in_flight(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    broker.answering = False
    client.send(request(1), produce(2))
    broker.await_log(1, 2)
    rule_id = proxy.add_rule(drop(1, action=Action.DROP_RESPONSE))
    broker.say(response(1) + response(2))
    assert client.answer() == 1
    assert proxy.await_count(rule_id, 1, LONG_S)
    assert client.is_silent()


def test_a_rule_that_comes_within_a_frame(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    large = produce(1, b"x" * 100_000)
    client.send(large[:50_000])
    soon(lambda: begun(proxy) == "forward", "nothing was forwarded")
    rule_id = proxy.add_rule(Rule(Action.DROP_REQUEST, api=PRODUCE))
    client.send(large[50_000:], produce(2), request(3))
    assert client.answers(2) == [1, 3]
    broker.await_log(1, 3)
    assert proxy.counters()[rule_id].matched == 1


def test_a_rule_that_goes_within_a_frame(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    rule_id = proxy.add_rule(Rule(Action.DROP_REQUEST, api=PRODUCE))
    large = produce(1, b"x" * 100_000)
    client.send(large[:50_000])
    assert proxy.await_count(rule_id, 1, LONG_S)
    proxy.remove(rule_id)
    client.send(large[50_000:], produce(2))
    assert client.answer() == 2
    broker.await_log(2)


@pytest.mark.parametrize("direction", ["request", "response", "both"])
def test_a_black_hole(broker: Broker, client: Client, proxy: ProxyServer, direction: str) -> None:
    client.send(request(1))
    assert client.answer() == 1
    rule_id = proxy.add_rule(Rule(Action.BLACK_HOLE, direction=Direction(direction)))
    client.send(request(2), produce(3))
    assert proxy.await_count(rule_id, 2, LONG_S)
    assert client.is_silent()
    assert broker.log == ([1, 2, 3] if direction == "response" else [1])
    proxy.remove(rule_id)
    client.send(request(4))
    assert client.answer() == 4


# Ending


@pytest.mark.parametrize("action", [Action.CLOSE, Action.RESET])
def test_end_the_connection_before_a_request(
    broker: Broker, client: Client, proxy: ProxyServer, action: Action
) -> None:
    rule_id = proxy.add_rule(Rule(action, api=PRODUCE))
    client.send(request(1))
    assert client.answer() == 1
    client.send(produce(2), request(3))
    assert client.end() == ("closed" if action is Action.CLOSE else "reset")
    broker.await_ended(1)
    assert broker.log == [1]
    counts = proxy.counters()[rule_id]
    assert (counts.acted, counts.dropped, counts.closed) == (1, 1, 1)


@pytest.mark.parametrize("action", [Action.CLOSE, Action.RESET])
def test_end_the_connection_before_an_answer(
    broker: Broker, client: Client, proxy: ProxyServer, action: Action
) -> None:
    proxy.add_rule(Rule(action, api=PRODUCE, direction=Direction.RESPONSE))
    client.send(produce(1))
    assert client.end() == ("closed" if action is Action.CLOSE else "reset")
    broker.await_log(1)
    broker.await_ended(1)


def test_a_client_that_stays_after_the_close_is_left(
    broker: Broker, client: Client, proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LINGER_S", 0.05)
    proxy.add_rule(Rule(Action.CLOSE))
    client.send(request(1))
    soon(lambda: proxy.connected() == 0, "the connection stays")


def test_refuse_new_connections(
    broker: Broker, client: Client, connect: Callable[[], Client], proxy: ProxyServer
) -> None:
    client.send(request(1))
    assert client.answer() == 1
    rule_id = proxy.add_rule(Rule(Action.REFUSE, broker=1))
    assert fate_of_a_new(connect) == "reset"
    client.send(request(2))
    assert client.answer() == 2
    counts = proxy.remove(rule_id)
    assert (counts.acted, counts.closed) == (1, 1)
    again = connect()
    again.send(request(3))
    assert again.answer() == 3


def test_refuse_and_cut_what_is_open(client: Client, proxy: ProxyServer) -> None:
    client.send(request(1))
    assert client.answer() == 1
    rule_id = proxy.add_rule(Rule(Action.REFUSE, close=True))
    assert client.end() == "reset"
    assert proxy.counters()[rule_id].closed == 1


def test_refuse_a_client(broker: Broker, connect: Callable[[], Client], proxy: ProxyServer) -> None:
    older = connect()
    soon(lambda: proxy.connected() == 1, "no connection")
    rule_id = proxy.add_rule(Rule(Action.REFUSE, client="producer"))
    older.send(request(1, client="producer-0"))
    assert older.answer() == 1
    newer = connect()
    newer.send(request(2, client="producer-1"))
    assert newer.end() == "reset"
    other = connect()
    other.send(request(3, client="consumer"))
    assert other.answer() == 3
    broker.await_log(1, 3)
    assert proxy.counters()[rule_id].closed == 1


# Waiting


def test_a_rule_by_client_id(broker: Broker, connect: Callable[[], Client], proxy: ProxyServer) -> None:
    proxy.add_rule(Rule(Action.DROP_REQUEST, client="producer-1"))
    one, two = connect(), connect()
    one.send(request(1, client="producer-1"))
    two.send(request(2, client="producer-2"))
    assert two.answer() == 2
    assert one.is_silent()
    broker.await_log(2)


def test_delay_keeps_the_order(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    rule_id = proxy.add_rule(Rule(Action.DELAY, api=PRODUCE, delay_ms=60))
    began = time.monotonic()
    client.send(produce(1), produce(2), request(3))
    assert client.answers(3) == [1, 2, 3]
    assert 0.06 <= time.monotonic() - began < 1  # the delays run side by side
    counts = proxy.counters()[rule_id]
    assert (counts.delayed, counts.delayed_ms, counts.held) == (2, 120, 0)


def test_delayed_answers_and_overtaking(client: Client, proxy: ProxyServer) -> None:
    proxy.add_rule(Rule(Action.DELAY, api=PRODUCE, direction=Direction.RESPONSE, delay_ms=40, overtake=True))
    client.send(produce(1), request(2))
    assert client.answers(2) == [2, 1]


def test_hold_in_line_until_the_release(
    broker: Broker, client: Client, connect: Callable[[], Client], proxy: ProxyServer
) -> None:
    rule_id = proxy.add_rule(Rule(Action.HOLD, api=PRODUCE, to_nth=1))
    client.send(request(1), produce(2), request(3))
    assert client.answer() == 1
    assert client.is_silent()
    other = connect()
    other.send(produce(4))
    assert other.answer() == 4  # other connections go on
    assert proxy.release(rule_id) == 1
    assert client.answers(2) == [2, 3]
    broker.await_log(1, 4, 2, 3)
    counts = proxy.counters()[rule_id]
    assert (counts.held, counts.released, counts.dropped) == (1, 1, 0)


def test_later_frames_overtake_where_the_rule_says_so(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    rule_id = proxy.add_rule(Rule(Action.HOLD, api=PRODUCE, to_nth=2, overtake=True))
    client.send(produce(1, b"x" * MIB), produce(2), request(3), produce(4))
    assert client.answers(2) == [3, 4]
    assert proxy.release(rule_id) == 2
    assert client.answers(2) == [1, 2]
    broker.await_log(3, 4, 1, 2)


def test_a_released_frame_never_lands_within_another(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    rule_id = proxy.add_rule(Rule(Action.HOLD, api=PRODUCE, to_nth=1, overtake=True))
    large = request(2, b"y" * 100_000)
    client.send(produce(1), large[:60_000])
    soon(lambda: begun(proxy) == "forward", "nothing was forwarded")
    assert proxy.release(rule_id) == 1
    client.send(large[60_000:] + request(3))
    assert client.answers(3) == [2, 1, 3]
    assert large[4:] in broker.payloads


def test_a_held_request_outlives_its_client(
    broker: Broker, client: Client, connect: Callable[[], Client], proxy: ProxyServer
) -> None:
    rule_id = proxy.add_rule(Rule(Action.HOLD, api=PRODUCE, to_nth=1, close=True))
    client.send(request(1))
    assert client.answer() == 1
    client.send(produce(2, b"x" * MIB))
    assert client.end() == "closed"
    client.close()
    retry = connect()
    retry.send(produce(3))
    assert retry.answer() == 3
    assert proxy.release(rule_id) == 1
    broker.await_log(1, 3, 2)
    broker.await_ended(1)
    counts = proxy.counters()[rule_id]
    assert (counts.held, counts.released, counts.closed, counts.dropped) == (1, 1, 1, 0)


def test_a_client_that_gives_up_does_not_take_its_held_request_along(
    broker: Broker, client: Client, proxy: ProxyServer
) -> None:
    rule_id = proxy.add_rule(Rule(Action.HOLD, api=PRODUCE))
    client.send(produce(1), request(2))
    assert proxy.await_count(rule_id, 1, LONG_S)
    client.close()
    proxy.remove(rule_id)
    broker.await_log(1, 2)
    broker.await_ended(1)


def test_a_held_answer(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    rule_id = proxy.add_rule(Rule(Action.HOLD, api=8, direction=Direction.RESPONSE))
    client.send(request(1, api="OffsetCommit"), request(2))
    assert proxy.await_count(rule_id, 1, LONG_S)
    broker.await_log(1, 2)
    assert client.is_silent()
    proxy.release(rule_id)
    assert client.answers(2) == [1, 2]


def test_clear_drops_what_is_held_if_asked(broker: Broker, client: Client, proxy: ProxyServer) -> None:
    in_line = proxy.add_rule(Rule(Action.HOLD, api=PRODUCE, to_nth=1))
    aside = proxy.add_rule(Rule(Action.HOLD, api=1, overtake=True))
    client.send(request(1, api="Fetch"), produce(2, b"x" * MIB), request(3))
    assert proxy.await_count(aside, 1, LONG_S) and proxy.await_count(in_line, 1, LONG_S)
    counts = proxy.clear(drop_held=True)
    assert [(counts[one].held, counts[one].dropped, counts[one].released) for one in (in_line, aside)] == [
        (1, 1, 0)
    ] * 2
    assert client.answer() == 3
    broker.await_log(3)
    assert proxy.counters() == {}


def test_a_held_request_whose_broker_dies_is_counted_as_dropped(
    broker: Broker, client: Client, proxy: ProxyServer
) -> None:
    rule_id = proxy.add_rule(Rule(Action.HOLD, api=PRODUCE))
    client.send(request(1), produce(2))
    assert client.answer() == 1
    assert proxy.await_count(rule_id, 1, LONG_S)
    broker.reset()
    assert client.end() == "reset"
    soon(lambda: proxy.counters()[rule_id].dropped == 1, "not counted")
    assert proxy.release(rule_id) == 0


def test_too_much_to_hold_aside_is_held_in_line(
    client: Client, proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ASIDE_BYTES", 10_000)
    rule_id = proxy.add_rule(Rule(Action.HOLD, api=PRODUCE, overtake=True))
    client.send(produce(1, b"x" * 8000), request(2), produce(3, b"x" * 8000), request(4))
    assert client.answer() == 2
    assert client.is_silent()
    assert proxy.release(rule_id) == 2
    assert sorted(client.answers(3)) == [1, 3, 4]


def test_await_count_gives_up(client: Client, proxy: ProxyServer) -> None:
    rule_id = proxy.add_rule(Rule(Action.HOLD))
    assert not proxy.await_count(rule_id, 1, 0.01)
    with pytest.raises(ClusterError, match="no rule 99"):
        proxy.await_count(99, 1, 0.01)


# Bounds


def test_a_broker_that_does_not_read_is_not_read_for(broker: Broker, connect: Callable[[], Client]) -> None:
    broker.reading.clear()
    client = connect()
    frame = produce(1, b"x" * MIB, acks=0)
    before = psutil.Process().memory_info().rss
    client.socket.setblocking(False)
    sent, idle_since = 0, time.monotonic()
    data = memoryview(frame * 16)
    while time.monotonic() - idle_since < 0.3 and sent < 512 * MIB:
        try:
            sent += client.socket.send(data[sent % len(data) :])
            idle_since = time.monotonic()
        except BlockingIOError:
            threading.Event().wait(0.01)
    assert sent < 64 * MIB  # what the sockets of the system hold, and half a MiB of ours
    assert psutil.Process().memory_info().rss - before < 32 * MIB
    client.socket.settimeout(LONG_S)
    broker.reading.set()
    client.send(bytes(data[sent % len(data) :]))
    soon(lambda: len(broker.log) == -(-sent // len(data)) * 16, "not all arrived")


def test_many_connections(broker: Broker, connect: Callable[[], Client], proxy: ProxyServer) -> None:
    clients = [connect() for _ in range(60)]
    for number, client in enumerate(clients):
        client.send(request(number))
    assert [client.answer() for client in clients] == list(range(60))
    assert proxy.totals().connections == proxy.connected() == 60


def descriptors() -> int:
    return psutil.Process().num_fds()


def test_stop_leaves_nothing(broker: Broker) -> None:
    threads, open_before = threading.active_count(), descriptors()
    proxy = ProxyServer({1: (0, broker.port), 2: (0, broker.port)})
    port = proxy.ports[1]
    proxy.start()
    proxy.add_rule(Rule(Action.HOLD, api=PRODUCE))
    client = Client(port)
    client.send(request(1), produce(2))
    assert client.answer() == 1
    answers: list[object] = []

    def wait() -> None:
        try:
            answers.append(proxy.await_count(1, 5, LONG_S))
        except ClusterError as error:
            answers.append(error.message)

    waiting = threading.Thread(target=wait)
    waiting.start()
    proxy.stop()
    proxy.stop()
    waiting.join(LONG_S)
    assert answers == ["The proxy is not running."]
    assert client.end() in ("closed", "reset")
    client.close()
    broker.await_ended(1)
    soon(lambda: threading.active_count() <= threads + 1, "a thread is left")  # the fake broker's own for the client
    soon(lambda: descriptors() <= open_before, "a file is left")
    socket.create_server(("127.0.0.1", port)).close()
    with pytest.raises(ClusterError, match="not running"):
        proxy.counters()


def test_ports_are_known_and_kept_before_the_start(free_port: int) -> None:
    proxy = ProxyServer({1: (free_port, 9), 2: (0, 9)})
    assert proxy.ports[1] == free_port
    with pytest.raises(ClusterError, match=str(free_port)):
        ProxyServer({1: (free_port, 9)})
    proxy.stop()


def test_only_loopback_is_listened_on(proxy: ProxyServer) -> None:
    listening = [one for one in psutil.Process().net_connections("tcp") if one.laddr.port == proxy.ports[1]]
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_no_frame_is_torn_and_nothing_is_kept(broker: Broker, proxy: ProxyServer, seed: int) -> None:
    """Random rules, chunks and endings; then a clean slate passes everything again."""
    chance = random.Random(seed)
    rules: list[int] = []
    sent: set[bytes] = set()
    clients: list[Client] = []
    for number in range(120):
        act = chance.random()
        if act < 0.15:
            rules.append(proxy.add_rule(any_rule(chance)))
        elif act < 0.25 and rules:
            rule_id = rules.pop(chance.randrange(len(rules)))
            proxy.release(rule_id, drop=chance.random() < 0.5)
            if chance.random() < 0.7:
                proxy.remove(rule_id, drop_held=chance.random() < 0.5)
        elif act < 0.32 and clients:
            clients.pop(chance.randrange(len(clients))).close()
        elif act < 0.5 or not clients:
            with suppress(ConnectionError):
                clients.append(Client(proxy.ports[1]))
        else:
            body = bytes([number]) * chance.choice([0, 10, 1000, 300_000])
            name = chance.choice(["one", "two"])
            frame = produce(number, body, client=name) if chance.random() < 0.5 else request(number, body, client=name)
            sent.add(frame[4:])
            cut = chance.randrange(len(frame))
            with suppress(OSError):
                client = chance.choice(clients)
                client.send(frame[:cut])
                client.send(frame[cut:])
    for client in clients:
        client.close()
    proxy.clear(drop_held=chance.random() < 0.5)
    soon(lambda: proxy.connected() == 0, "a connection is left")
    assert proxy._hub.aside_bytes == 0
    assert set(broker.payloads) <= sent
    assert len(broker.payloads) == len(set(broker.payloads))
    last = Client(proxy.ports[1])
    last.send(produce(1000), request(1001))
    assert last.answers(2) == [1000, 1001]
    last.close()


def any_rule(chance: random.Random) -> Rule:
    action = chance.choice([*Action])
    waits = action in (Action.DELAY, Action.HOLD)
    both = action in (Action.CLOSE, Action.RESET, Action.BLACK_HOLE) or waits
    direction = chance.choice([*Direction]) if both else None
    first = chance.randrange(1, 4)
    return Rule(
        action,
        api=None if action is Action.REFUSE else chance.choice([None, PRODUCE]),
        client=chance.choice(["", "one"]),
        direction=direction,
        from_nth=first,
        to_nth=first + chance.randrange(3),
        delay_ms=chance.randrange(1, 30) if action is Action.DELAY else 0,
        close=action is Action.HOLD and direction is Direction.REQUEST and chance.random() < 0.5,
        overtake=waits and chance.random() < 0.5,
    )


def test_cut_while_the_broker_does_not_even_accept() -> None:
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = full.getsockname()[1]
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
    blocked = ProxyServer({1: (0, port)})
    blocked.start()
    client = Client(blocked.ports[1])
    client.send(request(1))
    soon(lambda: blocked.connected() == 1, "no connection")
    blocked.add_rule(Rule(Action.REFUSE, close=True))
    assert client.end() == "reset"
    assert blocked.connected() == 0
    client.close()
    blocked.stop()
    for one in (*waiting, full):
        one.close()
