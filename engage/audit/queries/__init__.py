"""Reads of the log and of its chain."""
