"""Invented people and activities for ``engage demo``, on real places."""
