"""A core plugin as documented: it serves by waiting."""

import threading

from lts_web.plugins import CorePluginBase


class WaitingCore(CorePluginBase):
    plugin_params = {}  # noqa: RUF012 - as documented
    plugin_debug_vars = []  # noqa: RUF012 - as documented

    def __init__(self, config=None):
        super().__init__(config)
        self.ended = threading.Event()
        self.plugins = {}

    def start(self):
        self.ended.wait()

    def stop(self):
        self.ended.set()

    def set_plugins(self, plugins):
        self.plugins = plugins
