"""The outside world that is no plugin: bar files, the prediction provider, mail and webhooks.

Nothing here knows the database, Flask, a plugin or a service: a gateway takes and gives values.
"""
