"""Nothing secret or personal reaches the log."""

from __future__ import annotations

import re

CODE = "021ByuFs0fNXie1T5lJs0IwBFs0ByuF1"
OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
PHONE_CODE = "e31968a7f94cc5ee25fafc2aef2773f0"
# Random, so that any four digits may stand in one.
AN_ID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")


def test_a_whole_life_of_a_session_leaves_no_secret_in_the_log(client, gateway, frozen, lines):
    gateway.openids[CODE] = OPENID
    gateway.phones[PHONE_CODE, OPENID] = "+8613800138000"
    tokens = client.post("/v1/auth/wechat/login", json={"code": CODE}).json
    client.post("/v1/auth/wechat/login", json={"code": CODE})
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    profile = {"name": "李晓燕", "gender": "female", "birth_on": "2006-03-05"}
    places = {"hometown_code": "140524", "current_code": "140100", "phone_code": PHONE_CODE}
    assert client.put("/v1/me", json={**profile, **places}, headers=bearer).status_code == 200
    assert client.put("/v1/me", json={**profile, **places}, headers=bearer).status_code == 422
    successor = client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json
    frozen.move(minutes=1)
    reused = client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert reused.json["code"] == "refresh_token_reused"
    client.get("/v1/me", headers={"Authorization": "Bearer secret-looking.token.here"})
    client.post("/v1/auth/wechat/login", json={"code": "another-code"})

    written = "\n".join(lines)
    assert "refresh token reused" in written
    assert "/v1/auth/wechat/login" in written
    secrets = [
        CODE,
        "another-code",
        OPENID,
        PHONE_CODE,
        "13800138000",
        "李晓燕",
        "2006-03-05",
        "secret-looking",
    ]
    secrets += [
        tokens["access_token"],
        tokens["refresh_token"],
        successor["access_token"],
        successor["refresh_token"],
    ]
    assert [secret for secret in secrets if secret in written] == []
    assert "8000" not in AN_ID.sub("", written)


def test_the_way_to_wechat_leaves_no_secret_in_the_log_either(client, wechat, settings, lines):
    wechat.add_user("youth", phone="13800138000")
    code, phone_code = wechat.login_code("youth"), wechat.phone_code("youth")
    tokens = client.post("/v1/auth/wechat/login", json={"code": code}).json
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    profile = {"name": "李晓燕", "gender": "female", "birth_on": "2006-03-05", "hometown_code": "140524"}
    profile |= {"current_code": "140100", "phone_code": phone_code}
    assert client.put("/v1/me", json=profile, headers=bearer).status_code == 200
    assert client.put("/v1/me", json=profile, headers=bearer).status_code == 422
    wechat.fault("/sns/jscode2session", errcode=40163, errmsg=f"code been used {code}", times=1)
    client.post("/v1/auth/wechat/login", json={"code": wechat.login_code("youth")})

    written = "\n".join(lines)
    assert written
    secrets = [
        code,
        phone_code,
        wechat.openid("youth"),
        "13800138000",
        settings.wechat_secret,
        *tokens.values(),
    ]
    assert [each for each in secrets if isinstance(each, str) and len(each) > 10 and each in written] == []
