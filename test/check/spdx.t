#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every source file names its licence, that of its folder, in its first line; in the second one where
the first has another duty: #!, the head of a manual page.
"""
import re

import rule

USER, BPF, KERNEL = "Apache-2.0", "GPL-2.0-only OR BSD-2-Clause", "GPL-2.0-only"
SOURCES = ("*.c", "*.h", "*.py", "*.sh", "*.t", "*.scd", "*.js", "*.mjs", "*.css", "*.html", "*.yml",
           "*.service", "Makefile", "*.mk", ".clang-format", ".ci/*", "scripts/*", "test/bench/*",
           "etc/*", "kernel/*.config")
NONE = ("*.md", "*.json", "*.patch", "*.svg", "*.txt", "*.csv", "test/golden/*", "test/fuzz/seeds/*")


def licence(tree, path):
    """The licence that the file must have."""
    if path.startswith("kernel/") and path.endswith((".c", ".h", ".config")):
        return KERNEL
    if path.startswith("src/abi/") or re.search(r"\.bpf\.[ch]$", path):
        return BPF
    if path.startswith("src/") and path.endswith(".h"):
        beside = path[:-2] + ".bpf.c"
        include = f'#include "{path[len("src/"):]}"'
        if beside in tree.paths and include in tree.read(beside):
            return BPF
    return USER


def comment(path, text):
    """The line in the comment style of the file's language."""
    if path.endswith((".h", ".css")):
        return f"/* {text} */"
    if path.endswith((".c", ".js", ".mjs")):
        return f"// {text}"
    if path.endswith(".html"):
        return f"<!-- {text} -->"
    return f"; {text}" if path.endswith(".scd") else f"# {text}"


def check(tree):
    skip = set(tree.files(*NONE))
    for path in tree.files(*SOURCES):
        if path in skip:
            continue
        lines = tree.read(path).split("\n", 2)
        late = lines[0].startswith(("#!", "<!doctype")) or path.endswith(".scd")
        first = lines[1] if late and len(lines) > 1 else lines[0]
        want = comment(path, f"SPDX-License-Identifier: {licence(tree, path)}")
        if first != want:
            yield path, 1, f"want {want!r}"


def c(text):
    return f"// SPDX-License-Identifier: {text}\n"


def h(text):
    return f"/* SPDX-License-Identifier: {text} */\n"


rule.main("files name their licence", check, {
    "src/a/a.c": c(USER), "src/abi/a.h": h(BPF), "src/a/b.bpf.c": c(BPF) + '#include "a/b.h"\n',
    "src/a/b.h": h(BPF), "scripts/a": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n", "a.md": "",
}, {
    "a missing line": {"src/a/a.c": "int a;\n"},
    "a line that isn't the first": {"src/a/a.c": "\n" + c(USER)},
    "BPF code under the licence of user space": {"src/a/a.bpf.c": c(USER)},
    "user space under the licence of BPF code": {"src/a/a.c": c(BPF)},
    "the header of BPF code under the licence of user space": {
        "src/a/a.bpf.c": c(BPF) + '#include "a/a.h"\n', "src/a/a.h": h(USER)},
    "a script without one": {"scripts/a.sh": "#!/bin/sh\nexit 0\n"},
})
