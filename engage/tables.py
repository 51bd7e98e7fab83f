"""Every table of the service: importing this fills ``Base.metadata``."""

from engage.activities import models as activities
from engage.audit import models as audit
from engage.core import idempotency, lockout
from engage.enclaves import models as enclaves
from engage.evaluation import models as evaluation
from engage.hubs import models as hubs
from engage.identity import models as identity
from engage.messages import models as messages
from engage.orgs import models as orgs
from engage.regions import models as regions
from engage.wechat import models as wechat

__all__ = [
    "activities",
    "audit",
    "enclaves",
    "evaluation",
    "hubs",
    "idempotency",
    "identity",
    "lockout",
    "messages",
    "orgs",
    "regions",
    "wechat",
]
