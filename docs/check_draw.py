"""Check a draw: python check_draw.py draw.json, the answer of GET /v1/activities/{id}/draw. See draw.md."""

import fileinput
import json
import sys
import uuid
from hashlib import sha256

draw = json.loads("".join(fileinput.input(encoding="utf-8")))
seed, value = bytes.fromhex(draw["seed"] or sys.exit("not drawn yet")), draw["public_value"] or ""
entries = sorted(draw["entries"], key=lambda it: it["entry"])
text = "".join(f"{it['entry']} {it['weight']} {it['pools']}\n" for it in entries)
wrong = ["the seed is not the one committed to"] * (sha256(seed).hexdigest() != draw["commitment"])
wrong += ["the entries are not those closed"] * (sha256(text.encode()).hexdigest() != draw["entries_digest"])
wrong += ["the public number is not in plain digits"] * bool(draw["algorithm"] != "engage-draw-1" and value.strip("0123456789"))  # fmt: skip
start = b"\0".join((seed, value.encode(), b""))
own = {it["entry"]: start + uuid.UUID(it["entry"]).bytes for it in entries}
best = {it["entry"]: min(sha256(own[it["entry"]] + bytes([k + 1])).digest() for k in range(it["weight"])) for it in entries}  # fmt: skip
pools = sorted(draw["pools"], key=lambda pool: (pool["overflow_rank"] or 0, pool["position"]))
free = {pool["position"]: pool["capacity"] for pool in pools} or {0: draw["capacity"]}  # 0: places are one
for number, it in enumerate(sorted(entries, key=lambda it: (best[it["entry"]], it["entry"])), 1):
    first = (it["pools"] & -it["pools"]).bit_length()
    mine = [pool for pool in sorted(free, key=lambda pool: pool != first) if free[pool] and (not pool or it["pools"] >> pool - 1 & 1)]  # fmt: skip
    gone = it["outcome"] == "withdrawn"
    outcome = "withdrawn" if gone else "place" if mine else "waitlist"
    free.update({pool: free[pool] - 1 for pool in mine[:1] if not gone})
    if (it["position"], it["outcome"]) != (number, outcome):
        wrong.append(f"{it['entry']}: should be {(number, outcome)}")
sys.exit("\n".join(wrong) or print("OK"))
