"""The pages, a folder per area: they read `store.queries`, ask `services` and decide nothing."""
