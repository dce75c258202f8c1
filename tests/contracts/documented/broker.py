"""The documented minimal broker: it answers success and an order id, and declares nothing."""

from lts_web.plugins import BrokerPluginBase


class NotebookBroker(BrokerPluginBase):
    plugin_params = {  # noqa: RUF012 - as documented
        "api_url": "https://broker.example/api",
        "api_key": "",
        "timeout": 30,
    }
    plugin_debug_vars = ["api_url", "timeout"]  # noqa: RUF012 - as documented

    def __init__(self, config=None):
        super().__init__(config)
        self.noted = {}

    def open_order(self, order_params):
        order_id = str(len(self.noted) + 1)
        self.noted[order_id] = order_params
        return {"success": True, "order_id": order_id}

    def close_order(self, order_id):
        return {"success": True}

    def modify_order(self, order_id, new_params):
        return {"success": True}

    def get_open_orders(self):
        return []
