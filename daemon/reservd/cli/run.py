"""`reservd run`."""

from typing import Annotated, Optional

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, WebConfigFileOption, plural


def run(
    config: ConfigOption = DEFAULT_CONFIG,
    listen_address: Annotated[
        Optional[list[str]],  # noqa: UP045  # typer reads the annotation
        typer.Option(
            "--web.listen-address",
            metavar="HOST:PORT",
            help="Where to serve metrics and health, instead of the configured address; may be repeated. "
            "Port 0 takes a free one.",
        ),
    ] = None,
    web_config_file: WebConfigFileOption = None,
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C. SIGHUP reloads the configuration.

    Logs go to standard error. Metrics are at /metrics, health at /-/healthy and /-/ready.
    """
    import asyncio
    from contextlib import suppress
    from functools import partial

    from reservd.config.load import load_config

    loaded = load_config(config)  # before what only a daemon needs: an error in it is told at once

    import structlog

    from reservd.app import Daemon
    from reservd.cli.forced_exit import end_process
    from reservd.config.settings import WebSettings
    from reservd.errors import SchemaError
    from reservd.log import configure_logging, plain_traceback

    log = structlog.get_logger(__name__)
    configure_logging(loaded.settings.log.level, loaded.settings.log.format)
    for warning in loaded.warnings:
        structlog.get_logger("reservd.config").warning("config.warned", warning=warning)
    addresses = _checked(listen_address, WebSettings) if listen_address else ()

    async def serve() -> None:
        daemon = Daemon(loaded, addresses, web_config_file, partial(load_config, config))
        with suppress(OSError):  # a log that cannot be written must not keep alarms from being sent
            typer.echo(f"reservd watches {plural(len(loaded.modes), 'mode')}; stop it with Ctrl-C.", err=True)
            for url in daemon.urls:
                typer.echo(f"  {url}/\n  {url}/metrics", err=True)
        try:
            await daemon.run()
        except SchemaError:
            raise
        except Exception as error:  # noqa: BLE001  # logged
            log.error("daemon.failed", exception=plain_traceback(error))  # noqa: TRY400  # without locals
            end_process(1)
        end_process()

    asyncio.run(serve())


def _checked(addresses: list[str], model: type) -> tuple[str, ...]:
    from pydantic import ValidationError

    try:
        return tuple(model(listen_address=tuple(addresses)).listen_address)
    except ValidationError:
        raise typer.BadParameter(f"must be HOST:PORT, got {', '.join(addresses)}") from None
