"""The proof of early warning: simulated worlds with known faults, what was told of them, and when."""
