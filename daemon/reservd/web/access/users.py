"""The users and passwords of a web config file."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping

import bcrypt

from reservd.web.access.principal import Principal, Role

_MAX_REMEMBERED = 100
_MAX_PASSWORD_BYTES = 72
"""bcrypt ignores anything beyond that."""
_NOBODY = bcrypt.hashpw(b"nobody", bcrypt.gensalt(4)).decode()


class UserBook:
    """Checks HTTP basic authentication against bcrypt hashes.

    bcrypt is slow on purpose. It runs on a thread, and correct passwords are remembered under a key of this process, so
    that a scrape every few seconds costs it once.

    Args:
        users: Hash by name.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = users
        self._secret = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        # An unknown user takes as long as a wrong password.
        self._stand_in = next(iter(users.values()), _NOBODY)

    async def find(self, credentials: str) -> Principal | None:
        """Return the user of the part after `Basic ` in a header; None when the name or password is wrong."""
        try:
            name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
        if not colon or not 0 < len(password.encode()) <= _MAX_PASSWORD_BYTES:
            return None
        hashed = self._users.get(name)
        sealed = hmac.digest(self._secret, f"{name}\0{password}\0{hashed}".encode(), hashlib.sha256)
        if sealed not in self._right:
            against = (hashed or self._stand_in).encode()
            fits = await asyncio.to_thread(bcrypt.checkpw, password.encode(), against)
            if not fits or hashed is None:
                return None
        self._right[sealed] = None
        self._right.move_to_end(sealed)
        if len(self._right) > _MAX_REMEMBERED:
            self._right.popitem(last=False)
        return Principal(name, Role.READ)
