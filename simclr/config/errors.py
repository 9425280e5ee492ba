"""The error for bad input."""

from __future__ import annotations


class ConfigError(ValueError):
    """Bad input from a user: the message is one complete sentence per problem, ready to be shown."""
