"""`sidecar completion`: what makes a shell complete our commands and options."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_SIDECAR_COMPLETE"
"""By which the shell asks; click's own name for it."""


class Shell(click.Choice[str]):
    """One of some, which are told in one line where none was given."""

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:  # noqa: ARG002  # click's
        """What was expected."""
        return f"Expected one of {', '.join(map(repr, self.choices))}."


@click.command()
@click.argument("shell", type=Shell(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> None:
    """Write the script that makes SHELL complete commands, options and files, for it to read at its start.

    \b
      sidecar completion bash > ~/.local/share/bash-completion/completions/sidecar
      sidecar completion zsh > "${fpath[1]}/_sidecar"
      sidecar completion fish > ~/.config/fish/completions/sidecar.fish
    """  # noqa: D301  # click's mark of what is not to be wrapped
    found = get_completion_class(shell)
    assert found is not None
    root = ctx.find_root()
    made = found(root.command, {}, "sidecar", VARIABLE)
    click.echo(made.source_template % made.source_vars())
