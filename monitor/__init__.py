"""channel-monitor: warns before a logistics channel degrades, from tracking and complaint events."""

__version__ = "0.1.0"
