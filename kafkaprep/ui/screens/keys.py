"""`?`: every key of the screen below, and what it does."""

from __future__ import annotations

from textual.screen import Screen

from kafkaprep.ui.screens.dialogs import Reading

# What every list and every scrolling part has: one line says it for all.
_MOVING = {
    *("cursor_up", "cursor_down", "first", "last", "page_up", "page_down", "page_left", "page_right", "down", "up"),
    *("scroll_up", "scroll_down", "scroll_left", "scroll_right", "scroll_home", "scroll_end"),
    *("app.focus_next", "app.focus_previous", "screen.copy_text", "command_palette"),
}
_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "minus": "-",
    "plus": "+",
    "escape": "esc",
    "ctrl+c": "^c",
    "ctrl+p": "^p",
    "ctrl+q": "^q",
}


def actions_of(screen: Screen[object]) -> list[tuple[str, str, str]]:
    """keys, description, action of everything that can be done on `screen` now: its own things first."""
    found: dict[str, tuple[list[str], str, int]] = {}
    for key, active in screen.active_bindings.items():
        binding = active.binding
        if binding.system or not binding.description or not active.enabled or binding.action in _MOVING:
            continue
        rank = 0 if active.node is screen else 2 if active.node is screen.app else 1
        keys, _, _ = found.setdefault(binding.action, ([], binding.description, rank))
        keys.append(_NAMES.get(key, key))
    return [
        (" ".join(keys), text, action) for action, (keys, text, _) in sorted(found.items(), key=lambda item: item[1][2])
    ]


def keys_of(screen: Screen[object]) -> Reading:
    """The page of keys for `screen`."""
    lines = [f"{keys:<16} {text}" for keys, text, _ in actions_of(screen)]
    lines += [
        f"{'arrows j k g G':<16} Move",
        f"{'tab shift+tab':<16} Next and previous part",
        f"{'^p':<16} Every action by name",
    ]
    return Reading("Keys on this screen", "\n".join(lines))
