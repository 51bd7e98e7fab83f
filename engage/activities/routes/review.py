"""Operations of decisions on applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.errors import (
    ActivityFull,
    ActivityOver,
    AlreadyAdmitted,
    NoReview,
    NoSuchActivity,
    WrongActivityState,
)
from engage.activities.schemas.review import DecisionsIn, DecisionsOut
from engage.activities.service import review as service
from engage.core.errors import NotAllowed
from engage.core.http import Api
from engage.orgs.caller import staff

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Work

api: Final = Api("审核 · Reviews")


@api.operation(
    "POST", "/activities/{activity_id}/decisions", access=staff, zh="审核报名", body=DecisionsIn, returns=DecisionsOut,
    refuses=[NoSuchActivity, NotAllowed, NoReview, WrongActivityState, ActivityOver, AlreadyAdmitted, ActivityFull],
)  # fmt: skip
def decide_applications(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Accept or refuse applications, up to 500 at once.

    全部生效或全部不生效；可安全重复。通过者有名额即确认，否则按名次、再按报名先后候补；信用分不足者、活动不允许重叠而同一时间另有名额者先候补。
    未通过者可看到原因，以后可改为通过。
    All or none; safe to repeat. Who is accepted gets a place while there is one, else a turn in the queue by rank, then arrival; so does who has
    too few points, or a place elsewhere at the same time that the activity does not allow. Who is refused reads the reason, and may be accepted later.
    """
    return service.decide(work, activity_id, body["items"])
