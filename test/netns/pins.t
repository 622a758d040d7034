#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The pins of what counts at devices: they belong to one agent at a time, are whole or begin anew, and what becomes
of them is told."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from devices import *  # noqa: E402,F403


@once
def world():
    a, b = Namespace(), Namespace()
    quiet(a)
    quiet(b)
    veth(a, "v0", b, "v0")
    return a, b


def maps(agent):
    return glob.glob(os.path.join(agent.pins, "device", "layout-*", "device_*")) + \
        glob.glob(os.path.join(agent.pins, "device", "device_*"))


@test("any map that is missing: the next agent says so, begins anew, and counts each packet")
def _():
    a, _b = world()
    agent = Agent()
    names = sorted(os.path.basename(path) for path in maps(agent))
    same(len(names), 9, "maps")
    for name in names:
        agent.end()
        os.unlink(next(path for path in maps(agent) if os.path.basename(path) == name))
        agent.start()
        check("incomplete" in agent.errors() and "begins anew" in agent.errors(), f"without {name}", agent.errors())
        same(agent.errors().count("\n"), 0, "one line: " + agent.errors())
        counted = Seen(agent, a, "v0")
        send(a, "v0", 5)
        counted.until({"tx.skbs": 5}, f"counting after {name} was missing")
    agent.end()
    agent.start()
    same(agent.errors(), "", "with all of them there is nothing to say")


@test("a second agent with the same pins says so and ends; the first one's hooks stay, without a finding")
def _():
    a, _b = world()
    agent = Agent("--hook", f"netns={a.cookie} and device=v0", watch=[a])
    before = hooks(agent.hooked(a, "v0", "tcx/ingress", "tcx/egress"))
    p = nslens("run", "--state-dir", tempfile.mkdtemp(dir=state_folder()), "--pin-dir", agent.pins)
    same((p.returncode, p.stdout, p.stderr.count("\n")), (1, "", 1), "status, output and lines: " + p.stderr)
    for word in (agent.pins, "another agent", "--pin-dir"):
        check(word in p.stderr, f"it says {word}", p.stderr)
    p = nslens("detach", "--state-dir", tempfile.mkdtemp(dir=state_folder()), "--pin-dir", agent.pins)
    check(p.returncode == 1 and "--state-dir" in p.stderr, "detach of somebody else's pins", p.stderr)
    after = hooks(agent.one(a, "v0"))
    same({p: h["link_id"] for p, h in after.items()}, {p: h["link_id"] for p, h in before.items()}, "the links")
    same(agent.findings(a), [], "findings")


@test("killed, its pins are free for the next one, also with another state directory")
def _():
    agent = Agent()
    agent.kill()
    folder = tempfile.mkdtemp(dir=state_folder())
    other = start([NSLENS, "run", "--state-dir", folder, "--pin-dir", agent.pins, "--hook", "device=nothing"],
                  stdout=subprocess.PIPE)
    check(b"watching" in other.stdout.readline(), "the other one is ready")
    line = json.loads(nslens("status", "-o", "json", "--state-dir", folder).stdout)
    same(get(line, "devices.taken_over"), True, "its programs were there")
    end_process(other)


@test("pins that somebody removes: status no longer says that counting outlives the agent")
def _():
    agent = Agent()

    def pinned():
        return get(json.loads(agent.nslens("status", "-o", "json").stdout), "devices.pinned")
    same(pinned(), True, "at first")
    for path in glob.glob(os.path.join(agent.pins, "device", "witness_*")):
        os.unlink(path)
    same(pinned(), False, "then")
    check("ends with the agent" in agent.nslens("status").stdout, "the text says so")


@test("options that can do nothing are told of")
def _():
    for options, said in ((("--without", "device", "--hook", "device=nothing"), "--hook and --xdp do nothing"),
                          (("--without", "devflow", "--device-flows", "device=nothing"), "--device-flows does nothing")):
        p = nslens("run", "--for", "100ms", *options, "--state-dir", tempfile.mkdtemp(dir=state_folder()))
        check(p.returncode == 0 and said in p.stderr, f"with {options}", p.stderr)


main()
