"""`sidecar redirect`: leads a pod's inbound port to the sidecar, from an init container that may do so."""

import click

from sidecar.injection.redirection import (
    INSTALLED,
    PROGRAMS,
    Family,
    Redirection,
    command,
    install,
    installing,
    remove,
    removing,
    run,
)

_PORT = click.IntRange(1, 65535)
MAX_UID = 2**32 - 2


@click.command()
@click.option("--port", "ports", type=_PORT, multiple=True, help="Where a model server listens; may be repeated.")
@click.option("--to", type=_PORT, default=15006, show_default=True, help="Where the sidecar listens.")
@click.option(
    "--uid", type=click.IntRange(0, MAX_UID), default=1337, show_default=True, help="As whom it runs: whom to let pass."
)
@click.option(
    "--family", type=click.Choice(["both", *PROGRAMS]), default="both", show_default=True, help="Of which addresses."
)
@click.option(
    "--print",
    "printed",
    is_flag=True,
    help="Only print what would be run: where nothing is there yet, or with --remove where one call has put it in.",
)
@click.option("--remove", "removed", is_flag=True, help="Undo it.")
def redirect(*, ports: tuple[int, ...], to: int, uid: int, family: str, printed: bool, removed: bool) -> int:
    """Lead a model server's port to the sidecar, within this network namespace.

    Whoever connects to the port reaches the sidecar, from outside and from within the pod; the sidecar, known by its
    user, reaches the model server. To do it again replaces what was done. It takes root with NET_ADMIN, and iptables;
    iptables-legacy, which it falls back to, takes NET_RAW as well, and a file to lock that XTABLES_LOCKFILE may name.

    \b
      sidecar redirect --port 8080 --to 15006 --uid 1337
    """  # noqa: D301  # click's mark of what is not to be wrapped
    families = [each for each in PROGRAMS if family in {"both", each}]
    if removed:
        return _print(families, removing(INSTALLED)) if printed else _taken_out(families)
    if not ports:
        raise click.UsageError("expected at least one --port")
    if to in ports:
        raise click.BadParameter(
            f"{to} is where the sidecar listens; expected the model server's.", param_hint="--port"
        )
    wanted = Redirection(tuple(dict.fromkeys(ports)), to, uid)
    if printed:
        return _print(families, installing(wanted, ""))
    return _put_in(families, wanted)


def _print(families: list[Family], text: str) -> int:
    for each in families:
        click.echo(f"{' '.join(command(PROGRAMS[each][0]))} <<'END'\n{text}END")
    return 0


def _put_in(families: list[Family], wanted: Redirection) -> int:
    """Not every kernel has IPv6: without it there is nobody to redirect."""
    told = f"{', '.join(map(str, wanted.ports))} redirected to {wanted.to}, but for user {wanted.uid}"
    failed = False
    for each in families:
        failure = install(wanted, each, run)
        needed = each == families[0]
        failed |= bool(failure) and needed
        level = "" if not failure else "not redirected: " if needed else "left out: "
        click.echo(f"{each}: {level}{failure or told}", err=True)
    return 1 if failed else 0


def _taken_out(families: list[Family]) -> int:
    failures = {each: remove(each, run) for each in families}
    for each, failure in failures.items():
        click.echo(f"{each}: {f'something may be left: {failure}' if failure else 'no longer redirected'}", err=True)
    return 1 if any(failures.values()) else 0
