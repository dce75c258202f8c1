"""The health check for machines; it needs no login and tells nothing about anyone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from lts_web.services.health import DOWN, health
from lts_web.store.queries import EVERYTHING, StoreError, findings
from lts_web.web.context import wiring

blueprint = Blueprint("status", __name__)
logger = logging.getLogger(__name__)


@blueprint.get("/health", endpoint="health")
def check() -> ResponseReturnValue:
    """Return {status, version, checks}; 503 only when nothing works."""
    house = wiring()
    found = _built_in() if house.health is None else house.health()
    body = {"status": found["status"], "version": house.version, "checks": found["checks"]}
    return jsonify(body), 503 if found["status"] == DOWN else 200


def _built_in() -> Mapping[str, Any]:
    house = wiring()
    now = house.clock()
    try:
        with house.database.read() as session:
            return health(findings.findings(session, EVERYTHING, now), now)
    except StoreError:
        logger.exception("the database could not be read for the health check")
        return health(None, now)
