"""The command line."""

from reservd.cli.main import main

__all__ = ["main"]
