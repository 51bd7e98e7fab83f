"""What to try in the demo: lines for a shell that work as printed.

Headings are ``echo``: zsh, the shell of macOS, takes no comments at its prompt.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from engage.core import clock
from engage.demo.people import SECOND_FACTOR_SECRET

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
        first=today - timedelta(days=60), last=_end_of_month(today), secret=SECOND_FACTOR_SECRET,
    )  # fmt: skip


def _end_of_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


_TOUR: Final = """\
API={api}/v1 WX={wechat}/__fake__ NO_PROXY=127.0.0.1 no_proxy=127.0.0.1; export NO_PROXY no_proxy
pick() {{ python3 -c 'import functools, json, sys; print(functools.reduce(lambda d, k: d[int(k) if k.isdigit() else k], sys.argv[1:], json.load(sys.stdin)))' "$@"; }}
show() {{ python3 -m json.tool --no-ensure-ascii; }}
login() {{ curl -s $API/auth/wechat/login {json} -d '{{"code": "'$(curl -s -X POST $WX/users/$1/login-code | pick code)'"}}' | pick access_token; }}
totp() {{ python3 -c 'import base64, hmac, struct, sys, time; h = hmac.digest(base64.b32decode("{secret}"), struct.pack(">Q", int(time.time()) // 30 + int(sys.argv[1])), "sha1"); print("%06d" % ((int.from_bytes(h[h[19] & 15:][:4], "big") & 0x7FFFFFFF) % 1000000))' $1; }}
privilege() {{ for STEP in -1 0 1; do curl -sf $API/me/privileged-session {json} -d '{{"code": "'$(totp $STEP)'"}}' -H "Authorization: Bearer $1" && echo && return; done; }}

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

echo "5. 团市委：输入动态验证码后邀请一位站点负责人，本人登录后接受，再结束 · The city shows a code, invites a hub manager, who accepts after log-in; the role is ended"
CHIEF=$(login chief)
privilege $CHIEF
HUB=$(curl -s "$API/hubs?{near}&radius_m=2000&limit=1" | pick items 0 id)
LINK=$(curl -s $API/role-invitations {json} -d '{{"role": "hub_manager", "hub_id": "'$HUB'", "reason": "站点新负责人"}}' -H "Authorization: Bearer $CHIEF" | pick token)
GRANT=$(curl -s $API/role-invitations/acceptance {json} -d '{{"token": "'$LINK'"}}' -H "Authorization: Bearer $YOUTH" | pick id)
curl -s $API/me/roles -H "Authorization: Bearer $YOUTH" | show
curl -s $API/role-grants/$GRANT/end {json} -d '{{"reason": "导览结束"}}' -H "Authorization: Bearer $CHIEF" | show

echo "6. 统计人员：新建一个只读统计的密钥，脚本使用，再撤销 · Ops makes a key that reads figures, a script uses it, it is revoked"
privilege $OPS
MADE=$(curl -s $API/me/api-keys {json} -d '{{"name": "月报脚本", "scopes": ["read_figures"], "valid_days": 90}}' -H "Authorization: Bearer $OPS")
KEY=$(echo "$MADE" | pick key)
curl -s "$API/statistics/participation?from=$(date +%F)&to=$(date +%F)&by=county" -H "Authorization: Bearer $KEY" | show
curl -s -X DELETE $API/me/api-keys/$(echo "$MADE" | pick id) -H "Authorization: Bearer $OPS"
"""
