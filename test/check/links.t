#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the documents point at is there: links, and files and folders named in `code`."""
import os
import re

import rule

LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
NAMED = re.compile(r"`((?:src|test|doc|man|scripts|etc|kernel|LICENSES)/[\w./-]*)`")


def exists(tree, path):
    path = os.path.normpath(path)
    return path in tree.paths or any(p.startswith(path + "/") for p in tree.paths)


def check(tree):
    for path in tree.files("*.md"):
        for number, line in tree.lines(path):
            for target in LINK.findall(line):
                if not exists(tree, os.path.join(os.path.dirname(path), target)):
                    yield path, number, f"{target} isn't there"
            for target in NAMED.findall(line):
                if not re.search(r"\b[XY]\b|_X\b", target) and not exists(tree, target):
                    yield path, number, f"{target} isn't there"
    if "ARCHITECTURE.md" in tree.paths:
        text = tree.read("ARCHITECTURE.md")
        for folder in sorted({p.split("/")[1] for p in tree.files("src/*/*")}):
            if not re.search(rf"^\| \d \| `{folder}` \|", text, re.M):
                yield "ARCHITECTURE.md", 0, f"src/{folder} is not among the folders"
        for folder in re.findall(r"^\| \d \| `([\w/]+)` \|", text, re.M):
            if not exists(tree, "src/" + folder):
                yield "ARCHITECTURE.md", 0, f"there is no src/{folder}"


rule.main("documents point at what is there", check, {
    "README.md": "[a](doc/a.md#x), [b](https://spdx.org), `src/a/b.c`, `src/a/`, `test/unit/test_X.c`\n",
    "doc/a.md": "[up](../README.md)\n", "src/a/b.c": "", "ARCHITECTURE.md": "| 0 | `a` | x |\n",
}, {
    "a link into nowhere": {"README.md": "see [a](doc/a.md)\n"},
    "a link that isn't relative to its document": {"doc/a.md": "[b](doc/b.md)\n", "doc/b.md": ""},
    "a file that isn't there": {"README.md": "see `src/a/b.c`\n"},
    "a folder that isn't described": {"ARCHITECTURE.md": "| 0 | `a` | x |\n", "src/a/a.c": "",
                                      "src/b/b.c": ""},
    "a described folder that isn't there": {"ARCHITECTURE.md": "| 0 | `a` | x |\n"},
})
