"""The documented base structure and nothing else: it inherits from PluginBase itself."""

from lts_web.plugins import PluginBase


class Thresholds(PluginBase):
    plugin_params = {  # noqa: RUF012 - as documented
        "level": "low",
        "count": 42,
    }
    plugin_debug_vars = ["level", "count"]  # noqa: RUF012 - as documented

    def __init__(self, config=None):
        super().__init__(config)
        self.calls = 0

    def set_params(self, **kwargs):
        super().set_params(**kwargs)

    def get_debug_info(self):
        return super().get_debug_info()

    def add_debug_info(self, debug_info):
        super().add_debug_info(debug_info)

    def decide(self, asset_data, market_data):
        self.calls += 1
        return {"action": "none", "parameters": {}}
