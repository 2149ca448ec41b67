"""Texts from a model: calls, requests, results, stopping, and text."""
