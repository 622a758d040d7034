#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which devices get hooks: by name, kind, namespace and cgroup, some left out; and as filters change while the
agent runs."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from devices import *  # noqa: E402,F403

TCX = {"tcx/ingress", "tcx/egress"}


@once
def pair():
    """Two namespaces joined by two pairs of veths, with a macvlan on one of them."""
    a, b = Namespace(), Namespace()
    quiet(a)
    quiet(b)
    veth(a, "v0", b, "v0")
    veth(a, "w0", b, "w0")
    a.run("ip", "link", "add", "m0", "link", "v0", "up", "type", "macvlan", "mode", "bridge")
    return a, b


def own():
    return " or ".join(f"netns={ns.cookie}" for ns in pair())


def where(agent):
    """{(a or b, device): points} where there are hooks, in our namespaces."""
    return {("ab"[[ns.cookie for ns in pair()].index(get(line, "netns.cookie"))], get(line, "device.name")):
            {p for p, h in hooks(line).items() if h["state"] == "attached"}
            for line in agent.devices(own()) if hooks(line)}


def await_where(agent, want, text, seconds=15):
    """Hooks are at these devices, and nowhere else; no more and no less."""
    last = [None]

    def there():
        last[0] = where(agent)
        return last[0] == want
    try:
        wait_for(there, seconds, text)
    except Failed as e:
        check(False, str(e), last[0])


def both_ways(*devices):
    return {device: TCX for device in devices}


@test("by namespace, by name, by kind, and some of those not")
def _():
    a, b = pair()
    for words, want in (
            (f"netns={b.cookie}", both_ways(("b", "lo"), ("b", "v0"), ("b", "w0"))),
            (f"({own()}) and device=v*", both_ways(("a", "v0"), ("b", "v0"))),
            (f"netns={a.cookie} and not (device=w0 or kind=loopback)", both_ways(("a", "v0"), ("a", "m0"))),
            (f"({own()}) and kind=macvlan", both_ways(("a", "m0"))),
            ("device=nothing", {})):
        agent = Agent("--hook", words)
        await_where(agent, want, words)
        agent.end()


@test("XDP at those that its own filter means; beside tcx at others")
def _():
    a, b = pair()
    agent = Agent("--hook", f"netns={a.cookie} and kind=veth", "--xdp", f"netns={b.cookie} and device=v0")
    await_where(agent, {**both_ways(("a", "v0"), ("a", "w0")), ("b", "v0"): {"xdp"}}, "both filters")


@test("by cgroup: a process that joins brings its namespace in, the last that leaves takes it out")
def _():
    a, b = pair()
    path = make_cgroup()
    agent = Agent("--hook", f"cgroup=/{os.path.basename(path)} and kind=veth")
    await_where(agent, {}, "nobody is in the cgroup")
    first = start(in_cgroup(path) + b.enter("cat"), stdin=subprocess.PIPE)
    await_where(agent, both_ways(("b", "v0"), ("b", "w0")), "a process of it lives in b")
    second = start(in_cgroup(path) + a.enter("cat"), stdin=subprocess.PIPE)
    third = start(in_cgroup(path) + a.enter("cat"), stdin=subprocess.PIPE)
    await_where(agent, both_ways(("a", "v0"), ("a", "w0"), ("b", "v0"), ("b", "w0")), "two more live in a")
    end_process(first)
    end_process(second)
    await_where(agent, both_ways(("a", "v0"), ("a", "w0")), "the one in b is gone, one in a is left")
    veth(a, "x0", b, "x0")
    await_where(agent, both_ways(("a", "v0"), ("a", "w0"), ("a", "x0")), "a new device of a")
    end_process(third)
    await_where(agent, {}, "all are gone")
    a.run("ip", "link", "delete", "x0")


@test("a filter in a file is read again at SIGHUP; one that is wrong is told of, and changes nothing")
def _():
    a, b = pair()
    path = os.path.join(state_folder(), "hooks")

    def write(text):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    write(f"# what we look at\nnetns={a.cookie}\n# of it\nand device=v0\n")
    agent = Agent("--hook", f"@{path}")
    await_where(agent, both_ways(("a", "v0")), "as the file says")
    counted = Seen(agent, a, "v0")
    write(f"netns={b.cookie} and device=v0")
    agent.process.send_signal(signal.SIGHUP)
    await_where(agent, both_ways(("b", "v0")), "as the file says now")
    write("device=(")
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "nothing has changed" in agent.errors(), 10, "what is wrong with the file")
    check(re.search(rf"^nslens run: reload: --hook @{path}: filter: column \d+: .+; nothing has changed$",
                    agent.errors(), re.M),
          "one clear line", agent.errors())
    same(where(agent), both_ways(("b", "v0")), "hooks after a wrong file")
    send(a, "v0", 20)
    counted.until({"tx.skbs": 20}, "counting is no matter of hooks")


@test("a filter that is wrong at the start, a file that isn't there: one line, status 2")
def _():
    for option in ("--hook", "--xdp", "--device-flows"):
        for words, said in (("device=(", "column"), ("port=80", "port"), ("@/nowhere/at/all", "No such file")):
            p = nslens("run", option, words)
            same((p.returncode, p.stdout, p.stderr.count("\n")), (2, "", 1), f"{option} {words}")
            check(option in p.stderr and said in p.stderr, "what it says", p.stderr)


@test("those that are wanted no more are gone for good: no link, no pin")
def _():
    a, _b = pair()
    agent = Agent("--hook", f"netns={a.cookie} and device=v0")
    agent.hooked(a, "v0", *TCX)
    links = [h["link_id"] for h in hooks(agent.one(a, "v0")).values()]
    agent.end()
    agent.options = ("--hook", "device=nothing")
    agent.start()
    await_where(agent, {}, "none is wanted")
    same(os.listdir(os.path.join(agent.pins, "links")), [], "pins of hooks")
    wait_for(lambda: not set(links) & {x["id"] for x in json.loads(run("bpftool", "-j", "link", "list").stdout)}, 10,
             "their links are gone")


main()
