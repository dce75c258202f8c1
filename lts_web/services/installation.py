"""What an installation knows of itself: its id, made at its first start."""

from __future__ import annotations

import secrets
import string

from lts_web.store.engine import Database
from lts_web.store.models import ConfigurationRecord
from lts_web.trading.ports import Clock

INSTALL_KEY = "installation.id"
INSTALL_LENGTH = 8
_ALPHABET = string.ascii_lowercase + string.digits


def installation_id(database: Database, clock: Clock) -> str:
    """Return the id that this installation's client order ids carry, made when it has none."""
    with database.read() as session:
        record = session.get(ConfigurationRecord, INSTALL_KEY)
        if record is not None:
            return str(record.value)
    made = "".join(secrets.choice(_ALPHABET) for _ in range(INSTALL_LENGTH))
    with database.write() as session:
        record = session.get(ConfigurationRecord, INSTALL_KEY)
        if record is None:
            record = ConfigurationRecord(key=INSTALL_KEY, value=made, updated_at=clock())
            session.add(record)
        return str(record.value)
