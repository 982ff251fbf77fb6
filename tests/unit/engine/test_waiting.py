"""A wait ends with the first true answer, at its deadline, or at once when stopped."""

from __future__ import annotations

import threading
import time

import pytest

from kafkaprep.engine import waiting
from kafkaprep.engine.waiting import WaitTimeout, wait_until
from kafkaprep.errors import RunStopped


class Clock:
    """Time that passes only while somebody waits on it: it stands for the stop event as well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        monkeypatch.setattr(waiting.time, "monotonic", lambda: self.now)

    def is_set(self) -> bool:
        return False

    def wait(self, pause: float) -> bool:
        self.pauses.append(pause)
        self.now += pause
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_first_true_answer_is_returned() -> None:
    answers = iter([None, 0, "", "yes", "later"])
    assert wait_until(lambda: next(answers), 60, threading.Event(), "never") == "yes"
    assert next(answers) == "later"


def test_what_is_true_already_needs_no_time() -> None:
    assert wait_until(lambda: "yes", 0, threading.Event(), "never") == "yes"


def test_the_deadline_raises_the_message_of_that_moment() -> None:
    asked: list[int] = []

    def condition() -> bool:
        asked.append(1)
        return False

    with pytest.raises(WaitTimeout, match="gave up after"):
        wait_until(condition, 0.05, threading.Event(), lambda: f"gave up after {len(asked)}")
    assert len(asked) > 1
    with pytest.raises(WaitTimeout, match="too late"):
        wait_until(lambda: False, 0, threading.Event(), "too late")


def test_pauses_double_up_to_a_tenth_of_a_second_and_end_at_the_deadline(clock: Clock) -> None:
    with pytest.raises(WaitTimeout):
        wait_until(lambda: False, 1.0, clock, "never")  # type: ignore[arg-type]
    assert clock.pauses[:6] == pytest.approx([0.005, 0.01, 0.02, 0.04, 0.08, 0.1])
    assert max(clock.pauses) == 0.1
    assert clock.now == pytest.approx(1.0)


def test_the_condition_is_asked_once_more_at_the_deadline(clock: Clock) -> None:
    assert wait_until(lambda: clock.now >= 1.0, 1.0, clock, "never") is True  # type: ignore[arg-type]


def test_stop_ends_a_wait_at_once() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(RunStopped):
        wait_until(lambda: pytest.fail("asked although stopped"), 60, stop, "never")


def test_stop_interrupts_a_running_wait() -> None:
    stop = threading.Event()
    asked = threading.Event()
    threading.Thread(target=lambda: (asked.wait(60), stop.set())).start()
    began = time.monotonic()
    with pytest.raises(RunStopped):
        wait_until(lambda: asked.set(), 600, stop, "never")
    assert time.monotonic() - began < 60


def test_an_error_of_the_condition_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 // 0, 60, threading.Event(), "never")
