"""The command palette: every action of the screen below, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator

from textual.command import DiscoveryHit, Hit, Hits, Provider

from kafkaprep.ui.screens.keys import actions_of


class ActionsProvider(Provider):
    """What has a key is found here too."""

    def _actions(self) -> list[tuple[str, str, str]]:
        return actions_of(self.screen)

    async def discover(self) -> AsyncIterator[DiscoveryHit]:
        for keys, text, action in self._actions():
            yield DiscoveryHit(text, lambda action=action: self._run(action), help=f"key {keys}")

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for keys, text, action in self._actions():
            score = matcher.match(text)
            if score > 0:
                yield Hit(score, matcher.highlight(text), lambda action=action: self._run(action), help=f"key {keys}")

    def _run(self, action: str) -> None:
        focused = self.screen.focused
        target = self.screen if focused is None else focused
        self.app.call_later(self.app.run_action, action, target)
