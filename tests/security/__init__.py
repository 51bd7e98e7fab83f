"""Attempts against the running service: what somebody with bad intentions would try, and what they are told."""
