#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Names of BPF programs and maps fit the kernel's 15 characters: a longer one is cut off in bpftool, in
statistics and in status, where two may then look the same.
"""
import re

import rule

MAX = 15
PROGRAM = re.compile(r'^SEC\("[^"]*"\)\n(?:[\w ]+\s)?\w+\s+(?:BPF_\w+\((\w+)|(\w+)\()', re.M)
MAP = re.compile(r'^\}\s*(\w+)\s+SEC\("\.maps"\);', re.M)


def check(tree):
    for path in tree.files("src/*.bpf.c"):
        text = tree.read(path)
        for found in [*PROGRAM.finditer(text), *MAP.finditer(text)]:
            name = next(g for g in found.groups() if g)
            if len(name) > MAX:
                yield path, text.count("\n", 0, found.start()) + 1, f"{name} is longer than {MAX}"


LONG = "a_name_too_long_"
rule.main("names of BPF programs and maps are whole", check, {
    "src/a/a.bpf.c": 'struct {\n} a_map_with_15ch SEC(".maps");\n\nSEC("tp_btf/x")\nint BPF_PROG(run, int x)\n{\n}\n'}, {
    "a program by BPF_PROG": {"src/a/a.bpf.c": f'SEC("tp_btf/x")\nint BPF_PROG({LONG}, int x)\n{{\n}}\n'},
    "a program": {"src/a/a.bpf.c": f'SEC("syscall")\nint {LONG}(void *ctx)\n{{\n}}\n'},
    "a map": {"src/a/a.bpf.c": f'struct {{\n}} {LONG} SEC(".maps");\n'},
})
