"""The embedded log: one SQLite file, for one machine."""

from monitor.log.embedded.log import EmbeddedLog

__all__ = ["EmbeddedLog"]
