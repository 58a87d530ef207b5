"""`reservd withdrawals quote`: asks the running daemon, which alone can answer."""

from typing import TYPE_CHECKING, Annotated

import typer

from reservd.cli.daemon import CaFileOption, TokenFileOption, UrlsOption
from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from decimal import Decimal

    from reservd.cli.daemon import Access
    from reservd.wire.withdrawals import SpeedView


def quote(
    mode: Annotated[str, typer.Argument(metavar="MODE", help="The mode that would pay.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="How much, in whole units of its share class.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    urls: UrlsOption = None,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Ask the daemon how fast a withdrawal would be paid now.

    Nothing is held for it: others may be accepted before.
    """
    from reservd.cli.daemon import find_access
    from reservd.cli.options import parse_positive

    wanted = parse_positive(amount)
    answer = _ask(find_access(config, urls, token_file, ca_file), mode, wanted)
    if as_json:
        typer.echo(answer.model_dump_json(indent=2))
    else:
        _print(answer)


def _ask(access: "Access", mode: str, amount: "Decimal") -> "SpeedView":
    from reservd.cli.daemon import open_client
    from reservd.cli.modes import require_known_mode
    from reservd.errors import ApiNotFoundError

    with open_client(access) as client:
        try:
            return client.get_withdrawal_speed(mode, amount)
        except ApiNotFoundError:
            require_known_mode(mode, [each.mode for each in client.walk(client.list_modes)])
            raise


def _print(answer: "SpeedView") -> None:
    from reservd.cli.amounts import show_exact
    from reservd.cli.event_view import show_time
    from reservd.cli.table import make_console, visible

    lines = {
        "speed": answer.speed,
        "amount": f"{show_exact(answer.amount)} {answer.currency}",
        "from reserve": f"{show_exact(answer.from_reserve)} {answer.currency}",
        "to unwind": f"{show_exact(answer.unwound)} {answer.currency}" if answer.unwound else None,
        "expected": show_time(answer.expected_at) if answer.expected_at is not None else "not known",
        "status": answer.status,
        "good until": show_time(answer.expires_at) if answer.expires_at is not None else None,
        "refused": f"it would not be accepted: {answer.refusal}" if answer.refusal is not None else None,
    }
    console = make_console()
    for name, value in lines.items():
        if value is not None:
            console.print(visible(f"{name + ':':<14}{value}"), soft_wrap=True)
