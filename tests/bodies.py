"""What staff send."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from engage.activities.models import Project


def activity_body(project: Project, now: datetime, **values: Any) -> dict[str, Any]:
    """Return the body of a new activity of two places, in three days, whose sign-up opens now and lasts for two days."""
    starts_at = values.pop("starts_at", now + timedelta(days=3))
    return {
        "title": "青年夜校",
        "project_id": str(project.id),
        "org_id": str(project.org_id),
        "place_name": "文化广场",
        "county_code": "140502",
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + timedelta(hours=2)).isoformat(),
        "sign_up_opens_at": now.isoformat(),
        "sign_up_closes_at": (now + timedelta(days=2)).isoformat(),
        "capacity": 2,
        **values,
    }
