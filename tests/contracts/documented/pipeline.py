"""A pipeline as documented: run and start; it takes the assets in the opposite order."""

from lts_web.plugins import PipelinePluginBase


class BackwardsPipeline(PipelinePluginBase):
    plugin_params = {}  # noqa: RUF012 - as documented
    plugin_debug_vars = []  # noqa: RUF012 - as documented

    def start(self, plugins):
        self.steps = plugins["steps"]

    def run(self, portfolio_id, assets):
        self.steps.allocate(portfolio_id)
        records = []
        for asset in reversed(assets):
            asset_id = asset["id"]
            decision = self.steps.decide(portfolio_id, asset_id)
            if decision is not None:
                for verdict in self.steps.check(portfolio_id, asset_id, decision):
                    self.steps.place(portfolio_id, asset_id, verdict)
            records.append(self.steps.record(portfolio_id, asset_id))
        return {"success": True, "cycle_id": self.steps.cycle_id(portfolio_id), "assets": records}
