"""The connections to a Redis server, and the one script that runs there."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection

from reservd.plugin import CloudEvent
from reservd_redis.config import RedisConfig

_MAX_CONNECTIONS = 4
"""The most events that are sent at once."""

# One script, so that no crash between two commands can lose or repeat an event. The entry is added
# before it is marked: if the server refuses one of the two, an event comes twice rather than never.
_ADD_ONCE = """
local added = redis.call('GET', KEYS[2])
if added then return added end
added = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 3))
redis.call('SET', KEYS[2], added, 'EX', ARGV[2])
return added
"""


def connect(config: RedisConfig) -> Redis:
    """Return a client. It connects when it is used, and again after a connection broke."""
    tls = {} if config.ca_file is None else {"ssl_ca_certs": str(config.ca_file)}
    pool = BlockingConnectionPool.from_url(
        config.url.get_secret_value(),
        max_connections=_MAX_CONNECTIONS,
        timeout=config.timeout,
        socket_timeout=config.timeout,
        socket_connect_timeout=config.timeout,
        # After a server restart, the pool's connections are closed: that must not make a delivery fail.
        # The script may run twice.
        retry=Retry(NoBackoff(), 1, supported_errors=(NoConnection,)),
        protocol=2,
        **tls,
    )
    return Redis.from_pool(pool)


async def add_once(client: Redis, config: RedisConfig, event: CloudEvent) -> None:
    """Add an event to its stream unless it is already there.

    Raises:
        RedisError: If the server did not confirm it.
    """
    stream = config.stream_of(event.subject)
    fields: dict[str, str | bytes] = {
        "id": event.id,
        "type": event.type,
        "mode": event.subject,
        "sequence": event.sequence,
        "event": event.to_json(),
    }
    flat = [part for pair in fields.items() for part in pair]
    keys = [stream, f"{stream}:seen:{event.id}"]
    await client.eval(_ADD_ONCE, len(keys), *keys, config.max_length, config.deduplicate_for, *flat)
