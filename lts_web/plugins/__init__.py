"""The six plugin families, and what a plugin's author imports.

`from lts_web.plugins import BrokerPluginBase, load_plugin` loads neither Flask nor a database, nor
any single plugin.
"""

from __future__ import annotations

from lts_web.plugins.base import (
    AAAPluginBase,
    BrokerPluginBase,
    CorePluginBase,
    NotSentError,
    PipelinePluginBase,
    PluginBase,
    PortfolioPluginBase,
    StrategyPluginBase,
)
from lts_web.plugins.registry import PluginNotFound, PluginUnavailable, load_plugin

__all__ = [
    "AAAPluginBase",
    "BrokerPluginBase",
    "CorePluginBase",
    "NotSentError",
    "PipelinePluginBase",
    "PluginBase",
    "PluginNotFound",
    "PluginUnavailable",
    "PortfolioPluginBase",
    "StrategyPluginBase",
    "load_plugin",
]
