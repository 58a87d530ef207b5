"""The SDK: clients of a daemon's HTTP API, with and without `await`."""

from reservd.client.asynchronous import AsyncClient
from reservd.client.backoff import Backoff
from reservd.client.feed import EventFeed, EventGap
from reservd.client.memory import StrategyMemory
from reservd.client.remote import RemoteReserveManager
from reservd.client.synchronous import Client

__all__ = ["AsyncClient", "Backoff", "Client", "EventFeed", "EventGap", "RemoteReserveManager", "StrategyMemory"]
