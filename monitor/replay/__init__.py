"""The replay driver: files through the folds, in process and without a clock."""
