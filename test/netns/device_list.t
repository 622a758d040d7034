#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nslens devices without an agent: every device of every namespace, with what it belongs to and the
kernel's counters; options and filter choose; nothing is attached.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

PACKETS = volume(50)


def devices(*args):
    """The lines of `nslens devices -o json`, by (namespace's cookie, ifindex)."""
    p = nslens("devices", "-o", "json", *args)
    if p.returncode or p.stderr:
        raise Failed(f"nslens devices: status {p.returncode}: {p.stderr.strip()}")
    rows = [json.loads(line) for line in p.stdout.splitlines()]
    for row in rows:
        check(not schema_errors(row), "the line fits the schema", schema_errors(row))
    return {(row["netns"]["cookie"], row["device"]["ifindex"]): row for row in rows}


def of(rows, namespace, name):
    """The one row of that device."""
    found = [row for (cookie, _), row in rows.items()
             if cookie == namespace.cookie and row["device"]["name"] == name]
    if len(found) != 1:
        raise Failed(f"{len(found)} rows of {name} in {namespace.cookie}")
    return found[0]


@once
def bed():
    return Bed(named=True)


@test("both ends of a veth pair name each other across namespaces")
def peers():
    a, b = bed().a.ns, bed().b.ns
    rows = devices()
    for here, there in ((a, b), (b, a)):
        row = of(rows, here, "v0")
        expect(row, {"device.kind": "veth", "device.up": True, "device.peer.name": "v0",
                     "device.peer.netns.cookie": there.cookie, "netns.name": here.name,
                     "netns.inode": here.inode, "coverage.state": "none", "hooks": []},
               "the row")
        same(row["device"]["peer"]["ifindex"], of(rows, there, "v0")["device"]["ifindex"],
             "the peer's ifindex")
        check("packets" not in row["rx"], "nothing is counted by nslens", row["rx"])


@test("the kernel's counters are those of the moment, in the right namespace")
def counters():
    before = of(devices(), bed().a.ns, "v0")
    bed().a.ns.run("ping", "-q", "-f", "-c", str(PACKETS), bed().b.ip4)
    after = of(devices(), bed().a.ns, "v0")
    for direction in ("rx", "tx"):
        sent = after[direction]["kernel_packets"] - before[direction]["kernel_packets"]
        check(PACKETS <= sent <= PACKETS + 20, f"{direction} packets of {PACKETS} pings", sent)
    lo = of(devices(), bed().a.ns, "lo")
    same(lo["tx"]["kernel_packets"], 0, "packets of the loopback device")


@test("a namespace that has no name, and nobody but a process in it, is there too")
def anonymous():
    ns = Namespace()
    row = of(devices(), ns, "lo")
    check("name" not in row["netns"], "it has no name", row["netns"])
    same(row["device"]["kind"], "loopback", "its kind")


@test("--netns and a filter choose, together")
def chooses():
    a = bed().a.ns
    same({c for c, _ in devices("--netns", a.name)}, {a.cookie}, "--netns by name")
    same({c for c, _ in devices("--netns", str(a.cookie))}, {a.cookie}, "--netns by cookie")
    rows = devices("--netns", a.name, "kind=veth or kind=bridge")
    same([row["device"]["name"] for row in rows.values()], ["v0"], "--netns and kind")
    same(devices("--netns", a.name, "kind=bridge"), {}, "--netns and no such kind")


@test("--cgroup: the namespaces in which a process of it lives, while it lives there")
def by_cgroup():
    ns, path = Namespace(), make_cgroup()
    resident = start(in_cgroup(path) + ns.enter("cat"), stdin=subprocess.PIPE)
    text = os.path.join("/proc", str(resident.pid), "cgroup")

    def cgroup():
        with open(text, encoding="utf-8") as f:
            return next(line[3:].strip() for line in f if line.startswith("0::"))

    def lives_there():
        return (cgroup().endswith(os.path.basename(path))
                and os.stat(f"/proc/{resident.pid}/ns/net").st_ino == ns.inode)

    wait_for(lives_there, 5, "the process is in its cgroup and namespace")
    inside = cgroup()
    same({c for c, _ in devices("--cgroup", inside)}, {ns.cookie}, "its namespace")
    same({c for c, _ in devices(f"cgroup={inside} and kind=veth")}, set(), "and no veth")
    same(devices("--cgroup", inside + "x"), {}, "a cgroup that is not there")
    end_process(resident)
    same(devices("--cgroup", inside), {}, "after the process has ended")


@test("the table stands by namespace, and ends with the totals")
def table():
    p = nslens("devices", f"netns={bed().a.ns.name} or netns={bed().b.ns.name}")
    lines = p.stdout.splitlines()
    same(lines[0].split()[:2], ["DEVICE", "KIND"], "the headings")
    names = [line.split()[0] for line in lines[1:5]]
    order = sorted((bed().a.ns.name, bed().b.ns.name))
    same([name.split("@")[0] for name in names], ["lo", "v0", "lo", "v0"], "the devices")
    check(all(order[i // 2].startswith(name.split("@")[1].rstrip("~"))
              for i, name in enumerate(names)), "the namespaces", names)
    same(lines[-1], "4 devices in 2 namespaces, 0 fully covered", "the totals")


@test("what is asked wrongly is refused with status 2")
def wrong():
    for args in (["--cgroup", "user.slice"], ["--netns", ""], ["port=80"], ["--netns", "a'\"b"]):
        p = nslens("devices", *args)
        same((p.returncode, p.stdout, p.stderr.count("\n")), (2, "", 1), f"devices {args}")


main()
