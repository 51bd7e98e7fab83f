"""Check a draw: python check_draw.py draw.json, the answer of GET /v1/activities/{id}/draw. See draw.md."""

import fileinput
import hashlib
import json
import sys
import uuid

draw = json.loads("".join(fileinput.input(encoding="utf-8")))
seed = bytes.fromhex(draw["seed"] or sys.exit("not drawn yet"))
by_id = sorted(draw["entries"], key=lambda entry: entry["entry"])
text = "".join(f"{entry['entry']} {entry['weight']} {entry['pools']}\n" for entry in by_id)
start = seed + b"\0" + (draw["public_value"] or "").encode() + b"\0"
order = {pool["position"]: (pool["overflow_rank"] or 0, pool["position"]) for pool in draw["pools"]}
free = {pool["position"]: pool["capacity"] for pool in draw["pools"]} or {0: draw["capacity"]}


def value(entry: dict) -> bytes:
    own = start + uuid.UUID(entry["entry"]).bytes
    return min(hashlib.sha256(own + bytes([k])).digest() for k in range(1, entry["weight"] + 1))


def outcome(entry: dict) -> str:
    mask = entry["pools"]
    mine = [p for p in sorted(free, key=order.get) if free[p] and (p == 0 or mask >> (p - 1) & 1)]
    first = (mask & -mask).bit_length()
    if mine and entry["outcome"] != "withdrawn":
        free[first if first in mine else mine[0]] -= 1
    return entry["outcome"] if entry["outcome"] == "withdrawn" else "place" if mine else "waitlist"


drawn = sorted(by_id, key=lambda entry: (value(entry), entry["entry"]))
checks = {
    "the seed is not the one committed to": hashlib.sha256(seed).hexdigest() == draw["commitment"],
    "the entries are not those closed": hashlib.sha256(text.encode()).hexdigest() == draw["entries_digest"],
}
wrong = [fault for fault, is_fine in checks.items() if not is_fine]
for number, entry in enumerate(drawn, 1):
    expected = (number, outcome(entry))
    if (entry["position"], entry["outcome"]) != expected:
        wrong.append(f"{entry['entry']}: should be {expected}")
print("\n".join(wrong) or "OK")
sys.exit(bool(wrong))
