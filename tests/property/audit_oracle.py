"""The classes of a ledger document, slowly, from their definitions: sets and dicts only."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

RANKS = {"failed": 1, "unknown": 2, "acked": 3}


def classes_of(doc: dict[str, Any]) -> dict[str, list[Any]]:
    sends = [dict(row) for row in doc["sends"]]
    for row in sends:
        if row.get("offset") is not None and (row["offset"] < 0 or row.get("partition") is None):
            row["offset"] = None
    log = {(r["partition"], r["offset"], r["id"], r["committed"]) for r in doc["log"]}
    processed = [(r["partition"], r["offset"], r["id"]) for r in doc["processed"]]
    sent_ids = {row["id"] for row in sends}
    planned = set(doc["planned"]) if "planned" in doc else set(sent_ids)
    known = planned | sent_ids
    start = {int(p): o for p, o in doc.get("log_start", {}).items()}
    reads = {int(p): (r["read_to"], r["end"]) for p, r in doc.get("final_read", {}).items()}
    commits = doc.get("committed_offsets")
    commits = None if commits is None else {int(p): o for p, o in commits.items()}
    compacted = doc.get("compacted", False)
    partitions = {r["partition"] for r in sends if r.get("partition") is not None}
    partitions |= {p for p, *_ in log} | {p for p, *_ in processed} | set(start) | set(reads) | set(commits or {})

    def complete(p: int) -> bool:
        return p not in reads or reads[p][0] >= reads[p][1]

    def inside(p: int, o: int) -> bool:
        return complete(p) or o < reads[p][0]

    def begin(p: int) -> int:
        return int(start.get(p, 0))

    rows: dict[Any, set[tuple[int, int]]] = defaultdict(set)  # (id, state) → positions
    for p, o, i, state in log:
        rows[i, state].add((p, o))

    def positions(i: int) -> set[tuple[int, int]]:
        return rows[i, True] | rows[i, False] | rows[i, None]

    attempts = defaultdict(list)
    for row in sends:
        attempts[row["id"]].append(row)
    best = {i: max(attempts[i], key=lambda r: RANKS[r["outcome"]])["outcome"] for i in sent_ids}
    first_call = {i: min(n for n, row in enumerate(sends) if row["id"] == i) for i in sent_ids}
    key: dict[int, Any] = {}
    for row in sends:
        if row.get("key") is not None:
            key.setdefault(row["id"], row["key"])
    times: dict[int, int] = defaultdict(int)
    for _, _, i in processed:
        times[i] += 1

    def acked(i: int) -> list[dict[str, Any]]:
        return [row for row in attempts[i] if row["outcome"] == "acked"]

    def candidates(row: dict[str, Any]) -> set[int]:
        return partitions if row.get("partition") is None else {row["partition"]}

    def whole(row: dict[str, Any]) -> bool:
        return all(complete(p) and begin(p) == 0 for p in candidates(row))

    def provable(i: int) -> bool:
        if best[i] == "acked":
            for row in acked(i):
                if row.get("offset") is None:
                    if not whole(row):
                        return False
                elif not inside(row["partition"], row["offset"]):
                    return False
            return all(complete(p) for row in attempts[i] if row["outcome"] == "unknown" for p in candidates(row))
        return all(whole(row) for row in attempts[i] if row["outcome"] == best[i])

    def absent(i: int) -> bool:
        return not rows[i, True] and not rows[i, None]

    def removable(i: int) -> bool:
        return (
            best.get(i) == "acked"
            and absent(i)
            and all(r.get("offset") is not None for r in acked(i))
            and not any((r["partition"], r["offset"]) in positions(i) for r in acked(i))
        )

    def cleaned(i: int) -> bool:
        return (
            compacted
            and removable(i)
            and i in key
            and all(
                any(
                    state is True and p == r["partition"] and o > r["offset"] and key.get(j) == key[i] and j in known
                    for p, o, j, state in log
                )
                for r in acked(i)
            )
        )

    def expired(i: int) -> bool:
        return removable(i) and all(r["offset"] < begin(r["partition"]) for r in acked(i))

    answer: dict[str, Any] = defaultdict(set)
    for i in known:
        c, a, u = rows[i, True], rows[i, False], rows[i, None]
        o = best.get(i)
        if o is None:
            answer["never_sent"].add(i)
        if o == "failed" and not (c or a or u):
            answer["lost_before_broker"].add(i)
        if o == "failed" and a and not c and not u:
            answer["aborted_clean"].add(i)
        if o == "failed" and c:
            answer["failed_but_present"].add(i)
        if o == "unknown" and c:
            answer["unknown_but_present"].add(i)
        if o == "unknown" and absent(i) and (a or provable(i)):
            answer["unknown_absent"].add(i)
        if cleaned(i):
            answer["compacted_away"].add(i)
        elif expired(i) and not times[i]:
            answer["expired_unprocessed"].add(i)
        no_absence = not cleaned(i) and expired(i) and times[i]
        if o == "acked" and absent(i) and (a or provable(i)) and not cleaned(i) and not expired(i):
            answer["lost"].add(i)
        if u and not c:
            answer["undecided"].add(i)
        if o in ("acked", "unknown") and not (c or a or u) and not provable(i) and not no_absence:
            answer["inconclusive"].add(i)
        if len(c) >= 2:
            answer["duplicated_in_log"].add(i)
        if times[i] >= 2:
            answer["processed_twice"].add(i)
        if c and not times[i]:
            answer["unprocessed"].add(i)
            if commits is not None:
                beyond = all(commits.get(p, 0) > offset for p, offset in c)
                answer["skipped" if beyond else "pending"].add(i)
        for row in acked(i):
            p, offset = row["partition"], row.get("offset")
            shown = offset is not None and offset >= begin(p) and inside(p, offset) and not compacted
            if c and shown and (p, offset) not in positions(i):
                answer["ack_mismatch"].add(i)
    for p, o, i in processed:
        if i in known:
            if processed.count((p, o, i)) >= 2:
                answer["redelivered"].add(i)
            if (p, o) in rows[i, False]:
                answer["aborted_seen"].add(i)
            if (p, o) in rows[i, None]:
                answer["undecided_seen"].add(i)
            if not positions(i) and o >= begin(p) and inside(p, o) and not cleaned(i):
                answer["phantom"].add(i)
    for p in partitions:
        firsts = sorted(
            (min(o for q, o in rows[i, True] if q == p), i) for i in known if any(q == p for q, _ in rows[i, True])
        )
        for offset, i in firsts:
            if i in first_call:
                producer = sends[first_call[i]].get("producer")
                lower = [
                    first_call[j]
                    for o, j in firsts
                    if o < offset and j in first_call and sends[first_call[j]].get("producer") == producer
                ]
                if first_call[i] < max(lower, default=-1):
                    answer["reordered"].add(i)
        furthest, done = -1, set()
        for q, o, i in processed:
            if q == p and i in known and (q, o, i) not in done and (q, o) in positions(i):
                done.add((q, o, i))
                if o < furthest:
                    answer["processed_out_of_order"].add(i)
                furthest = max(furthest, o)
    witnesses: dict[tuple[int, int], set[int]] = defaultdict(set)
    for row in sends:
        if row["outcome"] == "acked" and row.get("offset") is not None:
            witnesses[row["partition"], row["offset"]].add(row["id"])
    for p, o, i, _ in log:
        witnesses[p, o].add(i)
    for p, o, i in processed:
        witnesses[p, o].add(i)
    for (p, o), ids in witnesses.items():
        if len(ids) > 1 and o >= begin(p):
            answer["offset_conflict"].add((p, o))
    for txn in {row["txn"] for row in sends if row.get("txn") is not None}:
        members = {row["id"] for row in sends if row.get("txn") == txn}
        gone = any(absent(i) and not cleaned(i) and not expired(i) and (rows[i, False] or provable(i)) for i in members)
        if gone and any(rows[i, True] for i in members):
            answer["torn_txns"].add(txn)
    homes: dict[Any, set[int]] = defaultdict(set)
    for i, k in key.items():
        homes[k] |= {p for p, _ in rows[i, True]}
    answer["key_split"] = {k for k, ps in homes.items() if len(ps) > 1}
    answer["unexpected"] = ({i for _, _, i, _ in log} | {i for _, _, i in processed}) - known
    return {name: [list(m) if isinstance(m, tuple) else m for m in sorted(ms)] for name, ms in answer.items() if ms}
