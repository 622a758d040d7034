#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Functions are short: none over 100 lines, main up to 40; in src/ the median up to 15 and the 90th
percentile up to 50. A function counts from the first line of its definition to its closing brace.
"""
import re
import statistics

import rule

MAX, MAX_MAIN, MAX_MEDIAN, MAX_P90 = 100, 40, 15, 50


def functions(tree, path):
    """(name, first line, length) of each: in our style only functions have a brace in column 0."""
    lines = tree.read(path).splitlines()
    begin = None
    for i, line in enumerate(lines):
        if line == "{":
            begin = i
            while begin and re.match(r"[A-Za-z_\t]", lines[begin - 1]):
                begin -= 1
        elif line == "}" and begin is not None:
            head = " ".join(lines[begin:i])
            name = re.search(r"BPF_\w+\((\w+)|(\w+)\(", re.sub(r"SEC\([^)]*\)|__attribute__\S*", "", head))
            yield (name[1] or name[2]) if name else "?", begin + 1, i + 1 - begin
            begin = None


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def check(tree):
    lengths = []
    for path in tree.files("src/*.[ch]", "test/*.[ch]"):
        for name, line, length in functions(tree, path):
            limit = MAX_MAIN if name == "main" else MAX
            if length > limit:
                yield path, line, f"{name}() has {length} lines, at most {limit}"
            if path.startswith("src/"):
                lengths.append(length)
    if not lengths:
        return
    median, p90 = statistics.median(lengths), percentile(lengths, 0.9)
    if len(lengths) > 50:
        print(f"# {len(lengths)} functions in src/: median {median:g} lines, 90th percentile {p90}, "
              f"longest {max(lengths)}")
    if median > MAX_MEDIAN:
        yield "src", 0, f"the median function has {median:g} lines, at most {MAX_MEDIAN}"
    if p90 > MAX_P90:
        yield "src", 0, f"the 90th percentile function has {p90} lines, at most {MAX_P90}"


def function(name, length):
    return f"static int {name}(int x)\n{{\n" + "\tx++;\n" * (length - 3) + "}\n\n"


SHORT = "".join(function(f"f{i}", 5) for i in range(20))
rule.main("functions are short", check, {"src/a.c": SHORT + function("main", 40) + function("g", 100)}, {
    "a function of 101 lines": {"src/a.c": SHORT + function("f", 101)},
    "a main of 41 lines": {"src/a.c": SHORT + function("main", 41)},
    "a long function in a test": {"test/unit/a.c": function("f", 101)},
    "a median of 16": {"src/a.c": function("f", 16) * 9},
    "a 90th percentile of 51": {"src/a.c": function("f", 5) * 8 + function("g", 51) * 2},
})
