"""Operations of projects, activities, sign-ups, check-in, feedback and credit."""

from __future__ import annotations

from typing import Final

from engage.activities.routes import (
    activities,
    attendance,
    certificates,
    credit,
    draw,
    hours,
    projects,
    review,
    sign_ups,
)

apis: Final = (
    projects.api,
    activities.api,
    sign_ups.api,
    review.api,
    draw.api,
    attendance.api,
    hours.api,
    certificates.api,
    credit.api,
)
