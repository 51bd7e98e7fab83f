"""Reads of projects, activities, sign-ups and feedback."""
