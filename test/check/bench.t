#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The statistics of the benchmark, with inputs whose answers are known; and what its report says of a
control that doesn't hold.
"""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import random
import sys

sys.dont_write_bytecode = True
BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench")
sys.path.insert(0, BENCH)

import stats  # noqa: E402

loader = importlib.machinery.SourceFileLoader("bench", os.path.join(BENCH, "bench"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
loader.exec_module(bench)

CASES = []


def case(name):
    def register(function):
        CASES.append((name, function))
        return function
    return register


def same(got, want):
    assert got == want, f"got {got!r}, expected {want!r}"


def result_of(ratio, subject="null", n=40):
    """A cell as the run makes it: every pair has the given ratio, time 1 ms without the tool."""
    load = type("Load", (), {"name": "connect", "unit": "connection", "work": lambda self, times: 100.0})()
    cell = bench.Cell(load, type("Subject", (), {"name": subject})())
    cell.pairs = [{"order": "AB", "a": {"ns": 1000000}, "b": {"ns": round(1000000 * ratio)}}] * n
    cell.work, cell.cpu_ns = 200 * n, 200 * n * 1500
    return cell.result()


@case("ratios are with to without, pair by pair")
def _():
    same(stats.ratios([(100, 110), (200, 100)]), [1.1, 0.5])


@case("ranks of the bounds are those of the tables of the sign test")
def _():
    for n, want in {5: None, 6: (1, 6), 8: (1, 8), 9: (2, 8), 20: (6, 15), 40: (14, 27), 100: (40, 61)}.items():
        same(stats.bound_ranks(n), want)


@case("median and bounds of 40 known values, in any order")
def _():
    values = [1 + i / 64 for i in range(1, 41)]
    random.Random(1).shuffle(values)
    median, low, high = stats.median_bounds(values)
    same((median, low, high), (1 + 20.5 / 64, 1 + 14 / 64, 1 + 27 / 64))


@case("one wild pair moves neither median nor bounds far")
def _():
    same(stats.median_bounds([1.0] * 39 + [50.0]), (1.0, 1.0, 1.0))


@case("five pairs have a median but no bounds")
def _():
    same(stats.median_bounds([1, 2, 3, 4, 5]), (3, None, None))


@case("the bounds hold the true median at least 95 times in 100")
def _():
    r = random.Random(7)
    n_held = 0
    for _ in range(2000):
        _, low, high = stats.median_bounds([r.lognormvariate(0, 0.3) for _ in range(40)])
        n_held += low <= 1 <= high
    assert 0.945 <= n_held / 2000 <= 0.985, n_held


@case("the control holds at 0.98 and 1.02, and not beyond")
def _():
    for median in (0.98, 1.0, 1.02):
        same(stats.null_verdict(median, 0.9, 1.1), None)
    for median in (0.9799, 1.0201):
        assert "outside 0.98 to 1.02" in stats.null_verdict(median, 0.9, 1.1)


@case("a control with too few pairs for bounds doesn't hold")
def _():
    assert "too few pairs" in stats.null_verdict(1.0, None, None)


@case("a run whose control is off is invalid; a tool that is off is not")
def _():
    same(bench.verdicts([result_of(1.0), result_of(1.5, "tool")]), [])
    wrong = bench.verdicts([result_of(1.03), result_of(1.5, "tool")])
    same(len(wrong), 1)
    assert "null control of connect" in wrong[0] and "1.030" in wrong[0], wrong


@case("a cell has its ratio, bounds and own CPU by unit of work")
def _():
    c = result_of(1.25)
    same((c["ratio"], c["low"], c["high"], c["own_cpu_ns_per_unit"]), (1.25, 1.25, 1.25, 1500.0))


@case("the report names what is unavailable and what is invalid")
def _():
    cells = [result_of(1.04)]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        bench.report({"machine": bench.machine(), "seconds": 1, "publishable": False, "cells": cells,
                      "options": {"path": "veth", "cpus": [1, 1, 1]}, "invalid": bench.verdicts(cells),
                      "subjects": {"null": {"about": "nothing"}, "x": {"unavailable": "no x here"}}})
    text = out.getvalue()
    assert "x: unavailable: no x here" in text and "INVALID: the null control of connect" in text, text
    assert "Not for publication" in text and "1.040 to 1.040" in text, text


print(f"1..{len(CASES)}")
failed = False
for i, (name, function) in enumerate(CASES, 1):
    try:
        function()
        print(f"ok {i} - {name}")
    except AssertionError as e:
        failed = True
        print(f"not ok {i} - {name}\n#   {e}")
sys.exit(failed)
