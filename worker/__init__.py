"""The worker: a Huey instance and its tasks, which build the wiring once and call one service each.

It decides nothing, renders nothing and never imports Flask.
"""
