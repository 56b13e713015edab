"""Adds up a column of a large CSV file, group by group, and can be killed at any time.

Input: {"source": "s3://bucket/rides.csv", "group": "city", "sum": "fare", "unitMiB": 8}

The file is divided into ranges of bytes. A unit is the lines that begin in its range: its totals
are committed on their own, and added up when all of them are there.
"""

import csv
import io
import json
from decimal import Decimal, InvalidOperation, localcontext

from torpor import checkpoint

LONGEST_LINE_BYTES = 1 << 20
csv.field_size_limit(LONGEST_LINE_BYTES)


def main(run):
    wanted = asked(run)
    folder, _, name = wanted["source"].rpartition("/")
    source = run.open(folder or ".")
    try:
        file = source.stat(name)
    except checkpoint.ObjectMissing as error:
        raise checkpoint.BadInput(str(error)) from None

    # What decides the result decides where it is kept: another file is other work.
    plan = {**wanted, "etag": file.etag, "size": file.size_bytes}
    work = run.checkpoint(f"csv-totals-{checkpoint.hash_of(plan)}")
    work.plan(plan)
    columns = columns_of(source.get_range(file, 0, LONGEST_LINE_BYTES), wanted)
    step = wanted["unitMiB"] << 20
    starts = {checkpoint.Unit(f"{at // step:06d}"): at for at in range(0, file.size_bytes, step)}
    units = list(starts)

    progress = run.progress(len(units), "units", done=len(work.committed(units)))
    while left := run.left(work, units):
        for unit in left:
            with work.claim(unit) as claim:
                totals = add_up(lines(source, file, starts[unit], step), columns, starts[unit] == 0)
                claim.commit(json.dumps(totals, sort_keys=True).encode(), ".json")
            progress.advance()

    records = run.gather(work, units)
    if records is None:
        return {"waitsFor": "the other indexes"}
    return finish(work, records.values(), wanted)


def asked(run):
    given = run.input()
    if not isinstance(given, dict) or not all(
        isinstance(given.get(name), str) for name in ("source", "group", "sum")
    ):
        raise checkpoint.BadInput('the input must be {"source": …, "group": …, "sum": …}')
    unit_mib = given.get("unitMiB", 8)
    if not isinstance(unit_mib, int) or not 1 <= unit_mib <= 1024:
        raise checkpoint.BadInput("unitMiB must be a whole number from 1 to 1024")
    return {name: given[name] for name in ("source", "group", "sum")} | {"unitMiB": unit_mib}


def columns_of(beginning, wanted):
    header = beginning.partition(b"\n")[0].decode("utf-8-sig", errors="replace").rstrip("\r")
    names = next(csv.reader([header]), [])
    for name in (wanted["group"], wanted["sum"]):
        if name not in names:
            raise checkpoint.BadInput(f"there is no column {name!r}; there are {', '.join(names)}")
    return names.index(wanted["group"]), names.index(wanted["sum"])


def lines(source, file, start, length):
    """The text of the lines that begin in this range, which may end behind it."""
    begin = max(0, start - 1)  # a line begins at `start` if the byte before ends one
    content = source.get_range(file, begin, start + length - begin)
    if start:
        content = content.partition(b"\n")[2]
    if not content.endswith(b"\n") and start + length < file.size_bytes:
        rest = source.get_range(file, start + length, LONGEST_LINE_BYTES)
        if b"\n" not in rest and len(rest) == LONGEST_LINE_BYTES:
            raise checkpoint.BadInput(f"near byte {start + length}: a line of more than 1 MiB")
        content = content + rest.partition(b"\n")[0] if content else b""
    try:
        return content.decode("utf-8-sig" if start == 0 else "utf-8")
    except UnicodeDecodeError as error:
        raise checkpoint.BadInput(f"near byte {start + error.start}: not UTF-8") from None


def add_up(text, columns, has_header):
    group, amount = columns
    rows = csv.reader(io.StringIO(text))
    if has_header:
        next(rows)
    totals = {}
    with localcontext() as exact:
        exact.prec = 60
        for row in filter(None, rows):
            try:
                name, number = row[group], Decimal(row[amount])
            except (IndexError, InvalidOperation):
                raise checkpoint.BadInput(f"no number in the line {','.join(row)[:80]!r}") from None
            count, total = totals.get(name, (0, Decimal(0)))
            totals[name] = (count + 1, total + number)
    return {name: [count, str(total)] for name, (count, total) in totals.items()}


def finish(work, records, wanted):
    whole = {}
    with localcontext() as exact:
        exact.prec = 60
        for record in records:
            for name, (count, total) in json.loads(work.read(record)).items():
                before = whole.get(name, (0, Decimal(0)))
                whole[name] = (before[0] + count, before[1] + Decimal(total))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([wanted["group"], "rows", wanted["sum"]])
    table.writerows([name, *whole[name]] for name in sorted(whole))
    work.store.put(work.key("totals.csv"), text.getvalue().encode())
    rows = sum(count for count, _ in whole.values())
    return work.done({"rows": rows, "totals": work.store.url_of(work.key("totals.csv"))})


checkpoint.run(main)
