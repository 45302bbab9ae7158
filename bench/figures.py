# SPDX-License-Identifier: GPL-2.0-or-later
"""Which figures are there, what must each of them be, and how are they shown? docs/bench.md tells
what they mean."""

import json

# name -> (field, relation, limit); what is not here is printed and judged by nobody.
LIMITS = {
    "steer.decision": ("value", "<=", 100),
    "steer.scale": ("ratio", "<=", 1.2),
    "forward.vs_nft_map": ("ratio", ">=", 2),
    "forward.vs_redirect": ("ratio", ">=", 0.85),
    "guard.vs_stack": ("ratio", ">=", 1.8),
    "learn.p99": ("value", "<=", 1000),
    "plugin.refuse": ("value", "<=", 5),
    "connect.stall": ("value", "<=", 5),
    "learn.mysql.p99": ("value", "<=", 2000),
    "ondemand.paused": ("ratio", "<=", 0.1),
    "ondemand.saved": ("ratio", "<=", 0.4),
    "ondemand.cold": ("ratio", "<=", 1.1),
    "ondemand.three_paused": ("ratio", "<=", 1.5),
    "ondemand.overhead": ("value", "<=", 20),
    # Linear or better; a start's time is given half as much again, for caches and noise.
    "daemon.memory.10000": ("ratio", "<=", 1000),
    "daemon.memory.100000": ("ratio", "<=", 10),
    "daemon.start.10000": ("ratio", "<=", 1500),
    "daemon.start.100000": ("ratio", "<=", 15),
}

FIELDS = ("name", "value", "unit", "peer", "peer_value", "ratio")


def finish(row):
    """The row as it is written: every field there, with what it must be and whether it is."""
    out = {k: row.get(k) for k in FIELDS}
    out["must"], out["pass"] = None, None
    if row["name"] in LIMITS:
        field, relation, limit = LIMITS[row["name"]]
        out["must"] = f"{field} {relation} {limit}"
        got = out[field]
        if got is None:
            out["pass"] = False
        else:
            out["pass"] = got <= limit if relation == "<=" else got >= limit
    if row.get("error"):
        out["error"] = row["error"]
    return out


def _number(x):
    if x is None:
        return "-"
    return f"{x:.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def _verdict(row):
    return {None: "", True: "pass", False: "FAIL"}[row["pass"]]


def show(rows):
    head = ("name", "value", "unit", "peer", "peer value", "ratio", "must be", "")
    table = [head] + [(r["name"], _number(r["value"]), r["unit"] or "", r["peer"] or "-",
                       _number(r["peer_value"]), _number(r["ratio"]), r["must"] or "", _verdict(r))
                      for r in rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    right = {1, 4, 5}
    for line in table:
        print("  ".join(c.rjust(w) if i in right else c.ljust(w)
                        for i, (c, w) in enumerate(zip(line, widths))).rstrip())
    for r in rows:
        if r.get("error"):
            print(f"{r['name']}: {r['error']}")


def write(path, rows):
    with open(path, "w") as f:
        json.dump(rows, f, indent=1)
        f.write("\n")
