#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sources include only what stands below them (the table in ARCHITECTURE.md)."""
import os
import re

import rule

LAYERS = [
    {"base", "abi"},
    {"sys", "model"},
    {"l7", "wire"},
    {"probe", "discover", "identity", "flow"},
    {"detect", "query"},
    {"sink", "view"},
    {"agent"},
    {"cmd"},
]
LEVEL = {folder: level for level, folders in enumerate(LAYERS) for folder in folders}
PURE = {"abi", "model", "l7", "wire"}
IO = re.compile(r"unistd\.h|fcntl\.h|sys/(socket|un|epoll|mman|ioctl|mount)\.h|bpf/|systemd/")
HOST = {"linux/types.h", "stdbool.h"} # for a .bpf.h that is compiled on the host, too
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def includes(tree, path):
    for number, line in tree.lines(path):
        found = INCLUDE.match(line)
        if found:
            yield number, found[1] == '"', found[2]


def wrong_bpf(path, quoted, name):
    """What the kernel side may include: abi/, probe/lib/, its own header, vmlinux.h, <bpf/...>."""
    if not quoted:
        fits = name.startswith("bpf/") or (path.endswith(".bpf.h") and name in HOST)
        return None if fits else f"<{name}> in BPF code: only <bpf/...>"
    own = re.sub(r"\.bpf\.[ch]$", "", path[len("src/"):])
    if name == "vmlinux.h" or name.startswith(("abi/", "probe/lib/")):
        return None
    if name in (own + ".h", own + ".bpf.h"):
        return None
    return f"{name} in BPF code: only abi/, probe/lib/, its own header, vmlinux.h"


def wrong_probe(path, name):
    """probe/x knows probe/*.h and itself; probe/lib is for BPF code."""
    there = os.path.dirname(name)
    if there == "probe/lib":
        return "probe/lib is for BPF code"
    here = os.path.dirname(path)[len("src/"):]
    if here != "probe" and there not in ("probe", here):
        return f"{here} includes {there}"
    return None


def wrong_generated(folder, name):
    """A skeleton belongs to the folder that loads it; vmlinux.h to BPF code and abi/."""
    owner = {"probes.skel.h": "probe", "devices.skel.h": "probe", "discover.skel.h": "discover", "vmlinux.h": "abi"}.get(name)
    if not owner:
        return f'"{name}": write it relative to src/'
    return None if owner == folder else f"{name} is {owner}'s"


def wrong(path, quoted, name):
    folder = path.split("/")[1]
    if folder not in LEVEL:
        return f"src/{folder} is not in the table of layers"
    if ".bpf." in path:
        return wrong_bpf(path, quoted, name)
    if not quoted:
        return f"<{name}> in {folder}, which does no IO" if folder in PURE and IO.match(name) else None
    if "/" not in name:
        return wrong_generated(folder, name)
    target = name.split("/")[0]
    if target not in LEVEL:
        return f"{name}: no such layer"
    if target != folder and LEVEL[target] >= LEVEL[folder]:
        return f"{folder} includes {target}"
    return wrong_probe(path, name) if target == folder == "probe" else None


def check(tree):
    for path in tree.files("src/*/*.[ch]"):
        for number, quoted, name in includes(tree, path):
            text = wrong(path, quoted, name)
            if text:
                yield path, number, text


def one(path, include):
    return {path: f"#include {include}\n"}


rule.main("includes follow the layers", check, {
    "src/flow/table.c": '#include <unistd.h>\n#include "model/event.h"\n#include "flow/table.h"\n',
    "src/probe/probe.c": '#include "probes.skel.h"\n#include "probe/socket/socket.h"\n',
    "src/probe/socket/socket.c": '#include "probe/probe.h"\n#include "probe/socket/socket.h"\n',
    "src/probe/socket/socket.bpf.c": '#include "vmlinux.h"\n#include <bpf/bpf_helpers.h>\n'
                                     '#include "probe/lib/emit.bpf.h"\n'
                                     '#include "probe/socket/socket.h"\n',
    "src/wire/json.c": '#include <stdio.h>\n#include "base/buf.h"\n',
}, {
    "an include from above": one("src/model/event.h", '"flow/table.h"'),
    "an include from beside": one("src/flow/table.c", '"identity/table.h"'),
    "one probe in another": one("src/probe/socket/socket.c", '"probe/device/device.h"'),
    "BPF building blocks in user space": one("src/probe/socket/socket.c", '"probe/lib/emit.bpf.h"'),
    "user space in BPF code": one("src/probe/socket/socket.bpf.c", '"model/event.h"'),
    "a system header in BPF code": one("src/probe/socket/socket.bpf.c", "<stdio.h>"),
    "another's header in BPF code": one("src/probe/socket/socket.bpf.c", '"probe/device/device.h"'),
    "IO in a pure folder": one("src/wire/json.c", "<sys/socket.h>"),
    "another's skeleton": one("src/agent/agent.c", '"probes.skel.h"'),
    "a path that isn't relative to src/": one("src/flow/table.c", '"table.h"'),
    "a folder without a layer": one("src/extra/a.c", "<stdio.h>"),
})
