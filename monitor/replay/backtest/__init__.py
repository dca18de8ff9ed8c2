"""Backtest: what would have been alerted in a log, when, and how many days before its complaints.

The complaint alarm and the matching here share no code with the evidence that they are used to judge.
"""
