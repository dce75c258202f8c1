"""Portfolio plugins: how capital is shared among the assets."""
