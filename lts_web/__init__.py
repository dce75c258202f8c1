"""LTS, a self-hosted system for automated trading: pages, plugins, store and the rules of trade.

This file imports nothing: whatever it imported, every room and every process would load.
"""
