"""Seeded worlds of parcels and complaints, with the truth about what was planted in them.

Independent of :mod:`monitor.core`: it shares no hazard, baseline or evidence code with what it is used to test.
"""

from monitor.replay.simulate.planting import SimulationError
from monitor.replay.simulate.scenarios import SCENARIOS, Scenario
from monitor.replay.simulate.world import World, simulate, truth_path, write_world

__all__ = ["SCENARIOS", "Scenario", "SimulationError", "World", "simulate", "truth_path", "write_world"]
