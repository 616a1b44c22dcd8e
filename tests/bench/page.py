"""page - a run of bench as one HTML page of bars, which needs nothing else: no script, no font, no file beside it"""

import html
import math

SMALLEST, MARKS = 0.5, (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #667085; --line: #d8dde6; --paper: #ffffff; --card: #f6f8fb; --ours: #0b6bcb; --ours2: #58a3e8; --peer: #aab4c3; --whisker: #1d2330; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf2; --soft: #98a2b3; --line: #333b49; --paper: #12161d; --card: #1a2029; --ours: #4da3ff; --ours2: #2b6cb0; --peer: #566072; --whisker: #e6eaf2; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.02rem; margin: 0 0 .1rem; } p { margin: .3rem 0; } .soft { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem .5rem; margin: 1rem 0; }
svg { display: block; width: 100%; height: auto; overflow: visible; } text { fill: var(--ink); font: 12.5px system-ui, sans-serif; }
.axis { stroke: var(--line); } .one { stroke: var(--soft); stroke-dasharray: 3 3; } text.soft, .mark { fill: var(--soft); font-size: 11px; }
.sealfs { fill: var(--ours); } .sealfs-off { fill: var(--ours2); } .peer { fill: var(--peer); } .whisker { stroke: var(--whisker); stroke-width: 1.2; opacity: .55; }
table { border-collapse: collapse; margin: .5rem 0; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
"""

LEFT, WIDTH, BAR, GAP = 130, 620, 17, 7


def place(ratio, largest):
    """Where a ratio is on the axis, which is logarithmic: twice as slow is as far from 1 as 1 is from twice as fast."""
    ratio = min(max(ratio, SMALLEST), largest)
    return LEFT + WIDTH * math.log(ratio / SMALLEST) / math.log(largest / SMALLEST)


def duration(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if abs(seconds) * factor >= 1 or unit == "µs":
            return "%.3g %s" % (seconds * factor, unit) if abs(seconds) * factor < 1000 else "%.0f %s" % (seconds * factor, unit)
    return ""


def bar(name, result, top, largest):
    ratio = result["ratio"]
    kind = name if name.startswith("sealfs") else "peer"
    begin, end, middle = place(SMALLEST, largest), place(ratio["median"], largest), top + BAR / 2
    yield '<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (LEFT - 8, middle + 4, html.escape(name))
    yield '<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"/>' % (kind, begin, top, max(end - begin, 1), BAR)
    low, high = place(ratio["min"], largest), place(ratio["max"], largest)
    yield '<path class="whisker" fill="none" d="M%.1f %.1fH%.1fM%.1f %.1fv8M%.1f %.1fv8"/>' % (low, middle, high, low, middle - 4, high, middle - 4)
    yield '<text x="%.1f" y="%.1f">%.2f× <tspan class="mark">%s</tspan></text>' % (
        max(end, high) + 8, middle + 4, ratio["median"], duration(result["seconds"]["median"]))


def chart(results):
    shown = {name: result for name, result in results.items() if name != "bare" and result["ratio"]}
    highest = max([result["ratio"]["max"] for result in shown.values()] + [2])
    largest = next((mark for mark in MARKS if mark >= highest), highest)
    bottom = len(shown) * (BAR + GAP)
    yield '<svg viewBox="0 0 %d %d" role="img" aria-label="times the bare directory\'s time">' % (LEFT + WIDTH + 120, bottom + 20)
    for mark in [mark for mark in MARKS if mark <= largest]:
        x = place(mark, largest)
        yield '<line class="%s" x1="%.1f" x2="%.1f" y1="0" y2="%d"/>' % ("one" if mark == 1 else "axis", x, x, bottom)
        yield '<text class="mark" x="%.1f" y="%d" text-anchor="middle">%s</text>' % (x, bottom + 14, "bare" if mark == 1 else "%d×" % mark)
    for number, (name, result) in enumerate(shown.items()):
        yield from bar(name, result, number * (BAR + GAP), largest)
    yield "</svg>"


def section(row):
    bare = row["results"].get("bare")
    yield "<section><h2>%s</h2>" % html.escape(row["title"])
    yield '<p class="soft">%s; the bare directory takes %s</p>' % (html.escape(row["name"]), duration(bare["seconds"]["median"]))
    yield from chart(row["results"])
    for name, result in row["results"].items():
        if not result["ratio"]:
            yield "<p>%s: %s</p>" % (html.escape(name), duration(result["seconds"]["median"]))
    yield "</section>"


def table(title, heads, lines):
    yield "<section><h2>%s</h2><table><tr>%s</tr>" % (html.escape(title), "".join("<th>%s</th>" % html.escape(head) for head in heads))
    for line in lines:
        yield "<tr>%s</tr>" % "".join("<td>%s</td>" % html.escape(str(cell)) for cell in line)
    yield "</table></section>"


def parked_table(report):
    def show(figure, unit=1.0):
        return "%.4g (%.4g–%.4g)" % tuple(figure[key] / unit for key in ("median", "min", "max"))
    lines = [(name, show(found["rss_per_reader"]), show(found["threads_before"]), show(found["threads_parked"]), show(found["ticks_daemon"]))
             for name, found in report["parked"].items()]
    return table("What %d waiting readers cost the daemon" % report["sizes"]["parked"],
                 ("", "bytes a reader", "threads before", "threads then", "processor ticks a second"), lines)


def names_table(report):
    mib = float(1 << 20)
    lines = [(name, *("%.1f MiB" % (found[when] / mib) for when in ("before", "known", "forgotten"))) for name, found in report["names"].items()]
    return table("The daemon's memory, and %d names" % report["sizes"]["names"], ("", "new", "all looked up", "all forgotten"), lines)


def body(report):
    yield "<h1>sealfs %s: how fast a mount is</h1>" % html.escape(str(report["sealfs"]))
    yield "<p>Times of the same work, divided by the bare directory's in the same round: the shorter the bar, the better; medians of %d rounds, whiskers from the smallest to the largest.</p>" % report["rounds"]
    yield '<p class="soft">%s, Linux %s, %d processors, the export on %s, as %s%s</p>' % (
        html.escape(report["when"]), html.escape(report["kernel"]), report["cpus"], html.escape(report["file_system"]["type"]),
        report["user"], ", small sizes" if report["quick"] else "")
    for row in report["rows"]:
        yield from section(row)
    if report["parked"]:
        yield from parked_table(report)
    if report["names"] and not isinstance(report["names"], str):
        yield from names_table(report)
    yield from table("What was measured", ("", "", "version", ""), [
        (target["name"], target["what"], target["version"] or "", "skipped: " + target["skipped"] if target["skipped"] else target["how"] or "")
        for target in report["targets"]])


def write(report, path):
    with open(path, "w", encoding="utf-8") as file:
        file.write('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>sealfs: bench</title>\n<style>%s</style></head><body>\n' % STYLE)
        file.write("\n".join(body(report)))
        file.write("\n</body></html>\n")
