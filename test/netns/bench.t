#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark at its smallest: it measures, says what it can't, and leaves nothing behind."""
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import (BUILD, ROOT, check, main, once, run, same, start, state_folder, test,  # noqa: E402
                         token, wait_for)

BENCH = os.path.join(ROOT, "test/bench/bench")
ROW = re.compile(r"(\w+) +(\w+) +(\d+\.\d{3}) +(\d+\.\d{3} to \d+\.\d{3}|too few pairs) +(\d+\.\d{3}) +(\w+) +(\d+)$")
ABSENT = """#!/bin/sh
# A tool that can't run here.
echo "the moon is in the wrong phase" >&2
exit 3
"""
BRIEF = """#!/bin/sh
# A tool that ends as soon as it runs.
. %s/test/bench/subject.sh
subject_about() { echo brief; }
subject_start() { spawn true; }
subject_ready() { while running "$(pids)"; do sleep 0.01; done; }
subject "$@"
"""


def script(name, text):
    path = os.path.join(state_folder(), name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


TOKEN = f"NSLENS_BENCH_TEST={token()}"


def environment():
    return {**os.environ, "B": BUILD, **dict([TOKEN.split("=")])}


def descendants():
    """Command lines of all that a benchmark of this test started, found by its environment."""
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                ours = TOKEN.encode() in f.read().split(b"\0")
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                command = f.read().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if ours and command:
            out.append(command)
    return out


def bench(*args):
    output = os.path.join(state_folder(), "result.json")
    p = run(sys.executable, BENCH, "-o", output, *args, check_status=False, seconds=60,
            env=environment())
    result = None
    if os.path.exists(output):
        with open(output, encoding="utf-8") as f:
            result = json.load(f)
        os.unlink(output)
    return p, result


@once
def smallest():
    return bench("--quick", "--pairs", "6", "--load", "connect", "--load", "rr", "--subject", "null",
                 "--subject", "tcpdump", "--subject", script("absent", ABSENT),
                 "--subject", script("brief", BRIEF % ROOT))


def rows():
    p, _ = smallest()
    found = [ROW.match(line) for line in p.stdout.splitlines()]
    return {(m[1], m[2]): m for m in found if m}


@test("the table has a row for each load and tool: ratio, bounds, own CPU, unit, pairs")
def _():
    p, _ = smallest()
    check("load" in p.stdout and "95 % bounds" in p.stdout and "own CPU us" in p.stdout, "head", p.stdout + p.stderr)
    same(sorted(rows()), [("connect", "null"), ("connect", "tcpdump"), ("rr", "null"), ("rr", "tcpdump")], "rows")
    for m in rows().values():
        same(m[7], "12" if m[2] == "null" else "6", "pairs")
        low, high = map(float, m[4].split(" to "))
        check(0.05 < low <= float(m[3]) <= high < 20, "the ratio stands within its bounds", m[0])
    check(float(rows()[("connect", "tcpdump")][5]) > 0, "tcpdump used CPU")
    check(re.search(r"^rr +tcpdump( +\d+\.\d \s*\d+\.\d +\d+\.\d{3}){2}$", p.stdout, re.M), "latencies", p.stdout)


@test("it fails exactly if its control is out of bounds, and says so")
def _():
    p, result = smallest()
    off = [m[0] for (_, subject), m in rows().items() if subject == "null" and not 0.98 <= float(m[3]) <= 1.02]
    same(p.returncode, 1 if result["invalid"] else 0, "status")
    same(p.stdout.count("INVALID"), len(result["invalid"]), "what is said")
    check(len(off) <= len(result["invalid"]) or not off, "controls that are off", off)
    check("Not for publication" in p.stdout, "so few pairs are not for publication")


@test("a tool that can't run, or that ends, is named with the reason and has no row")
def _():
    p, _ = smallest()
    same(descendants(), [], "processes left at the end")
    check("absent: unavailable: the moon is in the wrong phase" in p.stdout, "absent", p.stdout)
    check(re.search(r"^brief: unavailable: .*ended", p.stdout, re.M), "brief", p.stdout)


@test("the result as JSON has each pair, and pairs alternate")
def _():
    _, result = smallest()
    same(len(result["cells"]), 4, "cells")
    for cell in result["cells"]:
        same([pair["order"] for pair in cell["pairs"]], ["AB", "BA"] * (6 if cell["subject"] == "null" else 3), "order")
        check(all(pair[side]["ns"] > 0 for pair in cell["pairs"] for side in "ab"), "times")
    check(result["machine"]["kernel"] == os.uname().release, "kernel", result["machine"])


@test("wrong arguments: one that doesn't exist, one that isn't there")
def _():
    p, result = bench("--subject", "/nowhere/tool")
    same((p.returncode, result), (1, None), "a subject that isn't there")
    check("no subject '/nowhere/tool'" in p.stderr, "why", p.stderr)
    p, _ = bench("--load", "nothing")
    same(p.returncode, 2, "a load that isn't there")


@test("memory by sockets: more sockets, the three figures")
def _():
    p, result = bench("--memory", "--subject", "tcpdump", "--sockets", "10")
    same(p.returncode, 0, f"status ({p.stderr})")
    row = result["subjects"]["tcpdump"]["rows"][0]
    check(row["sockets"] == 10 and row["after"]["rss_bytes"] > 100000, "resident memory", row)
    check(re.search(r"^tcpdump +10 +\d+\.\d\d", p.stdout, re.M), "table", p.stdout)


@test("interrupted, it ends its tools and its load; so it does at its end")
def _():
    process = start([sys.executable, BENCH, "--load", "udp", "--subject", "tcpdump", "-o", "/dev/null"],
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    wait_for(lambda: any("-w /dev/null" in line for line in descendants()), 15, "tcpdump at work")
    process.send_signal(signal.SIGTERM)
    same(process.wait(20), 128 + signal.SIGTERM, "status")
    wait_for(lambda: not descendants(), 5, "an empty machine")


main()
