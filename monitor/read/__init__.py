"""Views for people and programs, built from what the folds put out."""
