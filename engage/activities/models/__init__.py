"""Tables of activities and of what people do with them."""

from engage.activities.models.activity import (
    Activity,
    ActivityState,
    ActivityStatus,
    AdmissionMode,
    Project,
    ProjectStatus,
    QuestionKind,
)
from engage.activities.models.admission import MAX_APPLICATIONS, MAX_POOLS, Audience, LotteryDraw, Pool
from engage.activities.models.credit import (
    AppealState,
    CreditAppeal,
    CreditEntry,
    CreditRule,
    CreditSettlement,
)
from engage.activities.models.hours import (
    CertificateStatus,
    HoursAccount,
    HoursCertificate,
    HoursCertificateEntry,
    HoursEntry,
    HoursKind,
    HoursReason,
)
from engage.activities.models.scans import ScanConflict, ScanKind, ScanResult
from engage.activities.models.sign_up import (
    HOLDS_PLACE,
    UNRANKED,
    Attendance,
    CancelCause,
    CheckIn,
    CheckInMethod,
    Feedback,
    SignUp,
    SignUpState,
)

__all__ = [
    "HOLDS_PLACE",
    "MAX_APPLICATIONS",
    "MAX_POOLS",
    "UNRANKED",
    "Activity",
    "ActivityState",
    "ActivityStatus",
    "AdmissionMode",
    "AppealState",
    "Attendance",
    "Audience",
    "CancelCause",
    "CertificateStatus",
    "CheckIn",
    "CheckInMethod",
    "CreditAppeal",
    "CreditEntry",
    "CreditRule",
    "CreditSettlement",
    "Feedback",
    "HoursAccount",
    "HoursCertificate",
    "HoursCertificateEntry",
    "HoursEntry",
    "HoursKind",
    "HoursReason",
    "LotteryDraw",
    "Pool",
    "Project",
    "ProjectStatus",
    "QuestionKind",
    "ScanConflict",
    "ScanKind",
    "ScanResult",
    "SignUp",
    "SignUpState",
]
