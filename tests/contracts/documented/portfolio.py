"""A portfolio plugin as documented: half of the capital to the first asset, nothing to others."""

from lts_web.plugins import PortfolioPluginBase


class FirstTakesHalf(PortfolioPluginBase):
    plugin_params = {}  # noqa: RUF012 - as documented
    plugin_debug_vars = []  # noqa: RUF012 - as documented

    def allocate(self, portfolio_id, assets):
        if not assets:
            return {}
        half = assets[0]["capital"] / 2
        return {"allocations": {assets[0]["id"]: half}, "cash": half}

    def update(self, portfolio_id, operation_result):
        self.last = operation_result
