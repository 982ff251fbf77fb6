"""The `kafkaprep` command: joins the commands, turns errors into exit codes.

Exit codes: 0 done and conclusive; 1 `--expect` not met, or a check found a fault; 2 usage; 3 inconclusive; 4 no
cluster could be had; 130 interrupted. A command's module is imported only when the command is used.
"""

from __future__ import annotations

import codecs
import importlib
import io
import os
import sys
import traceback
from typing import NoReturn

import click

from kafkaprep import __version__

# command -> (module, one line of help)
COMMANDS = {
    "lab": ("kafkaprep.cli.lab", "List the labs, or run one on a real Kafka cluster."),
    "replay": ("kafkaprep.cli.replay", "Watch a recorded run again, without a cluster."),
    "audit": ("kafkaprep.cli.audit", "Judge a saved run or a ledger document."),
    "cluster": ("kafkaprep.cli.cluster", "Install, start, stop and inspect the local Kafka cluster."),
    "doctor": ("kafkaprep.cli.doctor", "Check what kafkaprep needs on this machine."),
    "verify": ("kafkaprep.cli.verify", "Check lab and content files without a broker."),
    "prove": ("kafkaprep.cli.prove", "Run labs both ways and check that each outcome is as declared."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from kafkaprep.catalog.schema import did_you_mean

            hint = did_you_mean(args[0], list(COMMANDS))
            raise click.UsageError(f"There is no command {args[0]!r}. {hint}".strip(), ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  kafkaprep lab                                      the labs
  kafkaprep lab acks-zero                            watch messages vanish
  kafkaprep lab acks-zero --set producer.acks=all    and not vanish
  kafkaprep doctor                                   is everything there?""",
)
@click.version_option(__version__, prog_name="kafkaprep")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> int | None:
    """How Kafka messages get lost or duplicated, taught and proven on a real local cluster."""
    return _open_app(ctx) if ctx.invoked_subcommand is None else None


def _open_app(ctx: click.Context) -> int:
    """Without a command: the app, where there is a terminal that can show it; elsewhere the help, and exit code 2."""
    dumb = os.environ.get("TERM") in ("dumb", "unknown")
    if dumb or not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        click.echo(ctx.get_help())
        if dumb:
            click.echo("\nThis terminal shows no screens. `kafkaprep lab ID --plain` prints lines.", err=True)
        return 2
    from kafkaprep.ui.start import open_app

    return open_app()


# For terminals that cannot show a character: one that looks like it, of the same width.
_SIMILAR = {
    "✓": "+",
    "✗": "x",
    "×": "x",
    "→": ">",
    "▸": ">",
    "–": "-",
    "—": "-",
    "·": "-",
    "…": "~",
    "“": '"',
    "”": '"',
    "’": "'",
}


def _similar(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SIMILAR.get(character, "?") for character in error.object[error.start : error.end]), error.end


def _show_what_can_be_shown() -> None:
    """What the encoding of stdout or stderr lacks is replaced, where Python would end with an error."""
    codecs.register_error("kafkaprep-similar", _similar)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="kafkaprep-similar")


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    _show_what_can_be_shown()
    try:
        code = cli(standalone_mode=False)
        sys.stdout.flush()
        _leave(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as exit_:
        _leave(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        _leave(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        _leave(130)
    except BrokenPipeError:
        # Whoever read us has gone; nothing that is still buffered may raise at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(0)
    except Exception as error:
        _leave(_explain(error))


def _explain(error: Exception) -> int:
    from kafkaprep.engine.terminal_text import sanitise
    from kafkaprep.errors import BrokerDidNotStart, KafkaprepError

    if "--debug" in sys.argv:
        traceback.print_exc()
    if isinstance(error, KafkaprepError):
        click.echo(sanitise(str(error)), err=True)
        if isinstance(error, BrokerDidNotStart) and error.log_tail:
            click.echo("Its last lines:", err=True)
            for line in error.log_tail:
                click.echo(f"  {line}", err=True)
        return error.exit_code
    reason = sanitise(f"{type(error).__name__}: {error}")
    click.echo(
        f"kafkaprep met an error that it does not know ({reason}). `kafkaprep --debug …` shows where.",
        err=True,
    )
    return 1


def _leave(code: int) -> NoReturn:
    sys.exit(code)
