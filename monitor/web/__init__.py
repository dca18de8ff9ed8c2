"""The HTTP side: pages, JSON API, metrics and probes over a :class:`monitor.read.views.Views`."""
