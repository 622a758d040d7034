#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""C is formatted as clang-format 14 does with .clang-format, and no line is over 100 columns."""
import os
import re
import shutil
import subprocess
import sys

import rule

STYLE = os.path.join(rule.repository().root, ".clang-format")
VERSION = "14"
MAX_COLUMNS = 100


def clang_format():
    """The program of the version that decides, or None: versions differ in details."""
    for name in (f"clang-format-{VERSION}", "clang-format"):
        if not shutil.which(name):
            continue
        text = subprocess.run([name, "--version"], stdout=subprocess.PIPE, check=True).stdout
        if re.search(rf"version {VERSION}\.", text.decode()):
            return name
    return None


def check(tree):
    paths = tree.files("src/*.[ch]", "test/*.[ch]")
    for path in paths:
        for number, line in tree.lines(path):
            if len(line.expandtabs(8)) > MAX_COLUMNS:
                yield path, number, f"over {MAX_COLUMNS} columns"
    if not paths:
        return
    out = subprocess.run([PROGRAM, "--dry-run", "-Werror", f"--style=file:{STYLE}", *paths],
                         cwd=tree.root, stderr=subprocess.PIPE, check=False).stderr.decode()
    found = re.findall(r"^(\S+?):(\d+):\d+: error: (.*)", out, re.M)
    for path, number in sorted({(p, int(n)) for p, n, _ in found}):
        yield path, number, "not as clang-format has it (make format)"
    if out and not found:
        yield paths[0], 0, out.strip()


PROGRAM = clang_format()
if not PROGRAM:
    print(f"1..0 # SKIP clang-format {VERSION} is not installed")
    sys.exit(0)
GOOD = "int f(int x)\n{\n\treturn x + 1;\n}\n"
rule.main("C sources are formatted", check, {"src/a.c": GOOD}, {
    "spaces for tabs": {"src/a.c": GOOD.replace("\t", "    ")},
    "a brace out of place": {"test/unit/a.c": GOOD.replace("\n{", " {")},
    "a long line": {"src/a.h": "/* " + "x" * 100 + " */\n"},
})
