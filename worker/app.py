"""The worker as Huey's own consumer starts it: `huey_consumer worker.app.huey -k thread -w 2`."""

from __future__ import annotations

from lts_web.wiring import build_worker, start_process

huey = build_worker(start_process("worker"))
