#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hooks at devices under a kernel that is older than the machine's own: tcx, or clsact where there is none."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../lib"))
from devices import *  # noqa: E402,F403

CLSACT = os.uname().release.startswith("6.1.")     # tcx is of 6.6
TCX = ("tcx/ingress", "tcx/egress")


def cable():
    """An agent with hooks at a's device, which is joined to b's."""
    a, b = Namespace(), Namespace()
    quiet(a)
    quiet(b)
    agent = Agent("--hook", f"netns={a.cookie}", "--xdp", f"netns={b.cookie}", watch=[a, b])
    veth(a, "v0", b, "v0")
    agent.hooked(a, "v0", *TCX)
    agent.hooked(b, "v0", "xdp")
    return agent, a, b


def filters(namespace, device):
    return namespace.run("tc", "filter", "show", "dev", device, "ingress").stdout.strip()


@test("hooks are attached, see each packet, and coverage says whether they can be removed")
def _():
    agent, a, b = cable()
    counted, far = Seen(agent, a, "v0"), Seen(agent, b, "v0")
    send(a, "v0", 20)
    send(b, "v0", 20)
    counted.until({"rx.skbs": 20, "tx.skbs": 20, TCX[0]: 20, TCX[1]: 20}, "at a's device")
    far.until({"rx.skbs": 20, "tx.skbs": 20, "xdp": 20}, "at b's device")
    line = agent.one(a, "v0")
    same({(h["point"], h.get("mode"), h["removable"]) for h in line["hooks"]},
         {(point, "clsact" if CLSACT else None, CLSACT) for point in TCX}, "the hooks")
    same(get(line, "coverage.state"), "partial" if CLSACT else "full", "coverage")
    check(("removable" in get(line, "coverage.reason", "")) == CLSACT, "what it says of that", line["coverage"])
    same(bool(filters(a, "v0")), CLSACT, "is there a filter of tc?")


@test("a hook that the namespace's root can take off comes back, with a finding")
def _():
    agent, a, _b = cable()
    p = a.run("tc", "qdisc", "delete", "dev", "v0", "clsact", check_status=False)
    same(p.returncode == 0, CLSACT, "can it be taken off?")
    if CLSACT:
        agent.await_finding(a, "v0", {"hook_removed"}, seconds=20)
        wait_for(lambda: filters(a, "v0"), 30, "the filter is back")
    agent.hooked(a, "v0", *TCX)


@test("detach leaves no hook, no filter, no qdisc and no pin")
def _():
    agent, a, b = cable()
    p = nslens("detach", "--state-dir", agent.folder, "--pin-dir", agent.pins)
    same(p.returncode, 0, "status of detach: " + p.stderr)
    same(filters(a, "v0"), "", "filters")
    check("clsact" not in a.run("tc", "qdisc", "show").stdout, "no qdisc")
    check("xdp" not in b.run("ip", "link", "show", "v0").stdout, "no XDP")
    check(not os.path.exists(agent.pins), "no pin")
    names = {p.get("name", "") for p in json.loads(run("bpftool", "-j", "prog", "list").stdout)}
    wait_for(lambda: not {n for n in names if n.startswith("device_")} & {
        p.get("name", "") for p in json.loads(run("bpftool", "-j", "prog", "list").stdout)}, 10, "no program")


main()
