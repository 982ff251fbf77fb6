"""What every screen has: a title line, a bar of buttons, and a word when small."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual.binding import BindingType
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, Static
from textual.worker import Worker

from kafkaprep.ui.glyphs import Glyphs

if TYPE_CHECKING:
    from kafkaprep.ui.app import KafkaprepApp

MIN_WIDTH, MIN_HEIGHT = 80, 24
WIDE = 110

ResultT = TypeVar("ResultT")


class TooSmall(Static):
    """Lies over the screen while the terminal is too small for it; nothing below is lost."""

    DEFAULT_CSS = """
    TooSmall { display: none; overlay: screen; position: absolute; width: 100%; height: 100%; background: $background; }
    """

    def measure(self, width: int, height: int) -> None:
        self.display = width < MIN_WIDTH or height < MIN_HEIGHT
        if self.display:
            self.update(
                Content(
                    f"This terminal is {width}×{height}; kafkaprep needs {MIN_WIDTH}×{MIN_HEIGHT}. "
                    "Enlarge it: nothing is lost. q quits."
                    if width >= 20 and height >= 3
                    else "too small"
                )
            )


class AppScreen(Screen[None]):
    """A full screen. `kp` is the app with its own type. Each screen says itself what gets the focus."""

    AUTO_FOCUS = None

    @property
    def kp(self) -> KafkaprepApp:
        return cast("KafkaprepApp", self.app)

    @property
    def glyphs(self) -> Glyphs:
        return self.kp.glyphs

    def on_mount(self) -> None:
        self.set_class(self.glyphs.is_ascii, "-ascii")
        self.mount(TooSmall(markup=False))

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width >= WIDE, "-wide")
        self.set_class(event.size.height >= 34, "-tall")
        self.set_class(event.size.width < MIN_WIDTH or event.size.height < MIN_HEIGHT, "-small")
        for notice in self.query(TooSmall):
            notice.measure(event.size.width, event.size.height)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        self.kp.worker_changed(event)

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """A button's name is the action that its key has."""
        if event.button.name:
            event.stop()
            await self.run_action(event.button.name)


class Dialog(ModalScreen[ResultT]):
    """A small screen over another one. Escape leaves it without a result."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Back")]

    def on_mount(self) -> None:
        self.set_class(cast("KafkaprepApp", self.app).glyphs.is_ascii, "-ascii")

    def action_leave(self) -> None:
        self.dismiss(None)


def button(label: str, key: str, action: str, *, primary: bool = False) -> Button:
    """A button of one line that does what `key` does."""
    return Button(
        Content(f"{key} {label}"), name=action, compact=True, variant="primary" if primary else "default", classes="act"
    )
