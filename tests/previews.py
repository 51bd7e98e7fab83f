"""Changing and calling off activities that people have signed up to: the change names the preview it accepts."""

from __future__ import annotations

from typing import Any

from contract import ContractClient
from werkzeug.test import TestResponse

_SAME = (
    "title", "summary", "county_code", "starts_at", "ends_at", "sign_up_opens_at", "sign_up_closes_at", "capacity", "waitlist_capacity",
    "min_age", "max_age", "members_only", "county_codes", "questions", "service_minutes", "waitlist", "attendance",
)  # fmt: skip
_OF_A_POOL = ("name", "audience", "county_codes", "capacity", "overflow_rank")


def as_sent(client: ContractClient, url: str, **changes: Any) -> dict[str, Any]:
    """Return the body that leaves an activity as it is but for some changes."""
    shown = client.get(url).json
    admission = shown["admission"]
    pools = [{name: pool[name] for name in _OF_A_POOL} for pool in admission["pools"]]
    return {
        **{name: shown[name] for name in _SAME},
        "project_id": shown["project"]["id"],
        "org_id": shown["org"]["id"],
        "hub_id": shown["hub"] and shown["hub"]["id"],
        "place_name": None if shown["hub"] else shown["place"]["name"],
        "admission": {
            "mode": admission["mode"],
            "overlap": admission["overlap"],
            "pools": pools,
            "pools_merge_at": admission["pools_merge_at"],
        },
        **changes,
    }


def look(client: ContractClient, url: str, change: dict[str, Any] | None = None) -> TestResponse:
    """Ask what a change, or without one a cancellation, would mean."""
    asked = {"cancel": True} if change is None else {"change": change}
    return client.post(f"{url}/change-preview", json=asked)


def seen(client: ContractClient, url: str, change: dict[str, Any] | None = None) -> dict[str, str]:
    """Return the headers of a change, or of a cancellation, whose consequences the caller has just looked at."""
    return {"If-Match": look(client, url, change).headers["ETag"]}


def edit(client: ContractClient, url: str, change: dict[str, Any]) -> TestResponse:
    """Look at what a change means and make it."""
    return client.put(url, json=change, headers=seen(client, url, change))


def cancel(client: ContractClient, url: str, reason: str = "场地停用") -> TestResponse:
    """Look at whom calling an activity off concerns and do it."""
    return client.post(f"{url}/cancellation", json={"reason": reason}, headers=seen(client, url))
