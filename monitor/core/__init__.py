"""Pure folds and statistics: no I/O, clock, environment or randomness; time arrives inside events."""
