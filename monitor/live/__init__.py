"""The live driver: the folds as Faust agents and tables over a log, with ticks and checkpoints."""
