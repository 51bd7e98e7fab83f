"""Tables of activities and of what people do with them."""

from engage.activities.models.activity import (
    Activity,
    ActivityState,
    ActivityStatus,
    Project,
    ProjectStatus,
    QuestionKind,
)
from engage.activities.models.sign_up import Attendance, CheckIn, CheckInMethod, Feedback, SignUp, SignUpState

__all__ = [
    "Activity",
    "ActivityState",
    "ActivityStatus",
    "Attendance",
    "CheckIn",
    "CheckInMethod",
    "Feedback",
    "Project",
    "ProjectStatus",
    "QuestionKind",
    "SignUp",
    "SignUpState",
]
