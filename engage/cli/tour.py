"""What to try in the demo: lines for a shell that work as printed.

Headings are ``echo``: zsh, the shell of macOS, takes no comments at its prompt.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from engage.core import clock

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

_JSON: Final = "-H 'Content-Type: application/json'"
_NEAR: Final = "near=35.502,112.839"  # the centre of 城区


def tour(api: str, wechat: str, open_house: UUID, now: datetime) -> str:
    """Return the tour.

    Args:
        api: address of the API, without ``/v1``.
        wechat: address of the fake of WeChat.
        open_house: the activity that runs now at the manager's hub.
        now: today's figures end here.

    """
    today = clock.shanghai_day(now)
    return _TOUR.format(
        api=api, wechat=wechat, open_house=open_house, json=_JSON, near=_NEAR,
        first=today - timedelta(days=60), last=_end_of_month(today),
    )  # fmt: skip


def _end_of_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


_TOUR: Final = """\
API={api}/v1 WX={wechat}/__fake__ NO_PROXY=127.0.0.1 no_proxy=127.0.0.1; export NO_PROXY no_proxy
pick() {{ python3 -c 'import functools, json, sys; print(functools.reduce(lambda d, k: d[int(k) if k.isdigit() else k], sys.argv[1:], json.load(sys.stdin)))' "$@"; }}
show() {{ python3 -m json.tool --no-ensure-ascii; }}
login() {{ curl -s $API/auth/wechat/login {json} -d '{{"code": "'$(curl -s -X POST $WX/users/$1/login-code | pick code)'"}}' | pick access_token; }}

echo "1. 青年：登录，看附近的青年之家和活动，报名 · A youth logs in, looks around, signs up"
YOUTH=$(login youth)
curl -s $API/me -H "Authorization: Bearer $YOUTH" | show
curl -s "$API/hubs?{near}&radius_m=2000&limit=3" | show
curl -s "$API/activities?{near}&radius_m=5000&open=true&limit=3" -H "Authorization: Bearer $YOUTH" | show
DAY={open_house}
curl -s -X PUT $API/activities/$DAY/sign-up {json} -d '{{}}' -H "Authorization: Bearer $YOUTH" | show
curl -s "$API/home?{near}" -H "Authorization: Bearer $YOUTH" | show
curl -s "$API/me/sign-ups" -H "Authorization: Bearer $YOUTH" | show

echo "2. 青年之家负责人：出示签到码，青年签到并评价 · The hub's manager shows the code, the youth checks in and rates"
MANAGER=$(login manager)
CODE=$(curl -s $API/activities/$DAY/check-in-code -H "Authorization: Bearer $MANAGER" | pick code); echo $CODE
curl -s $API/activities/$DAY/check-in {json} -d '{{"code": "'$CODE'"}}' -H "Authorization: Bearer $YOUTH" | show
curl -s -X PUT $API/activities/$DAY/feedback {json} -d '{{"stars": 5, "text": "很好"}}' -H "Authorization: Bearer $YOUTH" | show
curl -s "$API/activities/$DAY/sign-ups?limit=2" -H "Authorization: Bearer $MANAGER" | show

echo "3. 团市委统计人员：各县参与情况，含刚才的签到 · Ops of the city: figures by county, with the check-in of just now"
OPS=$(login ops)
curl -s "$API/statistics/participation?from={first}&to={last}&by=county" -H "Authorization: Bearer $OPS" | show

echo "4. 在外青年：申请加入家乡陵川县驻太原的团组织，县里通过，再退出 · A migrant youth joins the branch of the home county, and leaves"
MIGRANT=$(login migrant)
BRANCH=$(curl -s "$API/enclave-branches?home_county=140524&host_city=140100" | pick items 0 id)
APPLICATION=$(curl -s $API/enclave-branches/$BRANCH/applications {json} -d '{{"note": "在太原工作，想找到组织"}}' -H "Authorization: Bearer $MIGRANT" | pick id)
OFFICER=$(login officer)
curl -s -X POST $API/enclave-applications/$APPLICATION/approval -H "Authorization: Bearer $OFFICER" | show
curl -s $API/me/enclave-branches -H "Authorization: Bearer $MIGRANT" | show
curl -s -X DELETE $API/enclave-branches/$BRANCH/participation -H "Authorization: Bearer $MIGRANT"
"""
