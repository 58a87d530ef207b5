"""`reservd token`."""

from typing import Annotated, Optional

import typer


def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The holder's name, as the audit log shows it.")],
    role: Annotated[
        str,
        typer.Option(
            metavar="ROLE",
            help="`read`; `strategy`: withdrawals and refills of its modes; `treasury`: of every mode; `admin`.",
        ),
    ],
    mode: Annotated[
        Optional[list[str]],  # noqa: UP045  # typer reads the annotation
        typer.Option(metavar="MODE", help="A mode that the strategy acts for; may be repeated."),
    ] = None,
    days: Annotated[
        Optional[int],  # noqa: UP045  # the same
        typer.Option(metavar="DAYS", min=1, max=3650, help="How many days it is valid; by default, for ever."),
    ] = None,
) -> None:
    """Create an API token, and its line for the tokens file.

    The line goes to standard output, to be added under `tokens:` in the file that `web.tokens_file` names. The token
    itself goes to standard error and is stored nowhere.
    """
    from datetime import UTC, datetime, timedelta

    from pydantic import ValidationError

    from reservd.config.problems import describe
    from reservd.web.access.principal import Role
    from reservd.web.access.tokens import TokenEntry, describe_token, make_token

    if role not in set(Role):
        raise typer.BadParameter(f"must be one of {', '.join(Role)}", param_hint="--role")
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) if days is not None else None
    made = make_token()
    try:
        line = describe_token(made, name, Role(role), tuple(mode or ()), expires)
    except ValidationError as error:
        raise typer.BadParameter("; ".join(describe(error, TokenEntry)), param_hint="token") from None
    typer.echo(line)
    typer.echo(f"The token, shown this once: {made}", err=True)
