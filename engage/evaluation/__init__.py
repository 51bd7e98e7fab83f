"""Evaluation: evidence about activities, findings of inspectors and superiors, and the answers to them."""
