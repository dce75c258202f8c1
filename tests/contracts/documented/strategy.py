"""A strategy as the documented page asks for one: one method, plain dictionaries."""

from lts_web.plugins import StrategyPluginBase


class LastBarStrategy(StrategyPluginBase):
    plugin_params = {  # noqa: RUF012 - as documented
        "stop_pips": 50,
    }
    plugin_debug_vars = ["stop_pips"]  # noqa: RUF012 - as documented

    def __init__(self, config=None):
        super().__init__(config)

    def decide(self, asset_data, market_data):
        if asset_data["open_positions"]:
            return {"action": "close", "parameters": {}}
        if market_data["close"] == market_data["open"]:
            return {"action": "none", "parameters": {}}
        rising = market_data["close"] > market_data["open"]
        price = market_data["ask"] if rising else market_data["bid"]
        distance = self.params["stop_pips"] * asset_data["pip"] * (1 if rising else -1)
        return {
            "action": "open",
            "parameters": {
                "side": "buy" if rising else "sell",
                "quantity": 1000,
                "price": price,
                "sl": price - distance,
                "tp": price + distance,
            },
        }
