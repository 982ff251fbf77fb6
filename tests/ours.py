"""Finds what a kafkaprep left on the machine, by the folder it was given: every process of ours names a file there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from kafkaprep.engine.waiting import wait_until

T = TypeVar("T")

LONG_S = 60.0  # for what must happen and may take a busy machine long
_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def processes_naming(text: str | Path) -> list[psutil.Process]:
    """The living processes, other than this one, with `text` in their command line."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.pid == psutil.Process().pid or process.status() in _ENDED:
                continue
            if any(str(text) in argument for argument in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_alive(pid: int) -> bool:
    """Whether `pid` is a living process (a zombie is none)."""
    try:
        return bool(psutil.Process(pid).status() not in _ENDED)
    except psutil.NoSuchProcess:
        return False


def ports_of(processes: list[psutil.Process]) -> dict[int, str]:
    """The listening TCP ports of `processes`: port → address."""
    ports: dict[int, str] = {}
    for process in processes:
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue
        ports |= {each.laddr.port: each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
    return ports


def soon(condition: Callable[[], T], message: str, timeout_s: float = LONG_S) -> T:
    """Wait for `condition`, for as long as a busy machine may need."""
    return wait_until(condition, timeout_s, threading.Event(), message)


def seconds_until(condition: Callable[[], bool], message: str, timeout_s: float = LONG_S) -> float:
    """How long it took until `condition` held."""
    began = time.monotonic()
    soon(condition, message, timeout_s)
    return time.monotonic() - began
