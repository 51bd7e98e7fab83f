"""Reads of evidence and findings."""

from engage.evaluation.queries.evidence import read_evidence
from engage.evaluation.queries.findings import list_findings, read_finding

__all__ = ["list_findings", "read_evidence", "read_finding"]
