#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Root in a namespace, with all capabilities but CAP_SYS_ADMIN, tries to be rid of the hooks at its
devices. Each trick is followed by a known number of frames each way. doc/tricks.md has the table."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from devices import *  # noqa: E402,F403

N = 50
TCX = ("tcx/ingress", "tcx/egress")
HEAD = ("who", "trick", "what happened", "received", "sent", "tcx/ingress", "tcx/egress", "finding")
STARVED, REMOVED = {"hook_starved"}, {"hook_removed"}
REPLACED = {"hook_replaced", "hook_removed", "hook_starved"}
FOREIGN = "tk"      # how the devices' names begin: hooks are wanted on them wherever they go
numbers = iter(range(1000))
harmless_ones = []  # (trick, namespace, device): those that are to be no finding


class UserNamespace(Namespace):
    """A network namespace that belongs to a user namespace, whose root it has inside."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self.name = None
        self.holder = Talk(["unshare", "-U", "-r", "-n", TALK, "hold"])
        self.path = f"/proc/{self.holder.pid}/ns/net"
        self.cookie, self.inode = (self.holder.ready["netns"][key] for key in ("cookie", "inode"))
        self.run("ip", "link", "set", "lo", "up")


class Cage:
    """A namespace, and how its root is run: argv in front of what it does."""

    def __init__(self, who, namespace, wrap, points=TCX):
        self.who, self.ns, self.wrap, self.points = who, namespace, wrap, points
        quiet(namespace)

    def root(self, *argv):
        return self.ns.enter(*self.wrap, *argv)

    def start(self, *argv, **keywords):
        return start(self.root(*argv), **keywords)

    def tries(self, *argv):
        """What came of it: "works", or the error."""
        p = run(*self.root(*argv), check_status=False)
        if p.returncode == 0:
            return "works"
        text = [line for line in p.stderr.splitlines() if not line.startswith("We have an error")]
        return re.sub(r"^(RTNETLINK answers|Error|ip|sh|umount): *", "", text[0] if text else "fails")

    def attacks(self, *words, stay=False):
        """(the attack, what came of it)"""
        one = Attack(self.root(ATTACK, *words), stay)
        return one, one.error or "works"


NO_ADMIN = ("setpriv", "--bounding-set", "-sys_admin")


class World:
    """Cages, one namespace with the devices' other ends, and an agent that has hooks in the cages."""

    def __init__(self):
        self.far = Namespace()
        quiet(self.far)
        names = Namespace(), Namespace(), UserNamespace(), Namespace(True)
        self.agent = Agent("--hook", " or ".join(f"netns={n.cookie}" for n in names) + f" or device={FOREIGN}*",
                           "--xdp", f"netns={names[1].cookie}", watch=names)
        blind = ("unshare", "--mount", "sh", "-c", 'umount "$0" && exec "$@"', self.agent.bpf, *NO_ADMIN)
        user = (*blind[:-len(NO_ADMIN)], "nsenter", f"--user=/proc/{names[2].holder.pid}/ns/user")
        self.plain = Cage("root", names[0], blind)
        self.xdp = Cage("root", names[1], blind, (*TCX, "xdp"))
        self.user = Cage("root of a user namespace", names[2], user)
        self.pins = Cage("root who sees the pins", names[0], NO_ADMIN)
        self.doomed = Cage("root", names[3], NO_ADMIN)


world = once(World)


class Trial:
    """A device of a cage with its hooks, before and after a trick."""

    def __init__(self, cage):
        self.cage, self.ns, self.name = cage, cage.ns, f"{FOREIGN}{next(numbers)}"
        self.far_name = self.name
        veth(cage.ns, self.name, world().far, self.name)
        self.line = world().agent.hooked(cage.ns, self.name, *cage.points)
        self.counted = Seen(world().agent, cage.ns, self.name)

    def talk(self, n=N):
        """So many frames each way."""
        send(world().far, self.far_name, n)
        send(self.ns, self.name, n)

    def after(self, trick, happened, finding=None, received=N, sent=N, ingress=N, egress=N, states=("attached",) * 2):
        """Frames pass; what nslens says of them, its hooks, and of the trick, is this."""
        self.talk()
        figures = self.counted.until({"rx.skbs": received, "tx.skbs": sent, TCX[0]: ingress, TCX[1]: egress},
                                     f"{trick} ({happened})")
        told = "-"
        if finding:
            event = world().agent.await_finding(self.ns, self.name, finding)
            told = get(event, "finding.type", "none") if event else "none"
        line = world().agent.one(self.ns, self.name)
        if states:
            same([hooks(line).get(point, {}).get("state") for point in TCX], list(states), f"hooks after {trick}")
        if not finding:
            harmless_ones.append((trick, self.ns, self.name))
        say_table(HEAD, [(self.cage.who, trick, happened,
                          f"{figures.get('rx.skbs', 0)} of {received}", f"{figures.get('tx.skbs', 0)} of {sent}",
                          figures.get(TCX[0], 0), figures.get(TCX[1], 0), told)])
        return figures

    def same_links(self, text):
        same(links(world().agent.one(self.ns, self.name)), links(self.line), f"links after {text}")


def links(line):
    """{point: id}"""
    return {point: hook.get("link_id") for point, hook in hooks(line).items()}


def harmless(cage, trick, *argv, want=None):
    """A command that changes nothing of ours, whatever comes of it."""
    trial = Trial(cage)
    happened = cage.tries(*[trial.name if word == "DEV" else word for word in argv])
    if want:
        check(want in happened, f"{trick} by {cage.who}", happened)
    trial.after(trick, happened)
    trial.same_links(trick)


def both(*others):
    """The cages of those who don't see the pins."""
    return (world().plain, world().user, *others)


# --- ip and tc ------------------------------------------------------------------------------------

@test("ip link set xdp off")
def _():
    for cage in both():
        harmless(cage, "ip link set xdp off, where there is none", "ip", "link", "set", "dev", "DEV", "xdp", "off")
    harmless(world().xdp, "ip link set xdp off", "ip", "link", "set", "dev", "DEV", "xdp", "off",
             want="Can't replace active BPF XDP link")


@test("tc qdisc del clsact, with and without one")
def _():
    for cage in both(world().pins):
        harmless(cage, "tc qdisc del clsact", "tc", "qdisc", "del", "dev", "DEV", "clsact")
        harmless(cage, "tc qdisc add and del clsact", "sh", "-c",
                 'tc qdisc add dev "$0" clsact && tc qdisc del dev "$0" clsact', "DEV", want="works")


@test("tc filter del")
def _():
    for cage in both():
        for way in ("ingress", "egress"):
            harmless(cage, f"tc filter del {way}", "tc", "filter", "del", "dev", "DEV", way)


@test("tc filter of clsact that drops: it comes behind")
def _():
    script = ('tc qdisc add dev "$0" clsact && '
              'tc filter add dev "$0" ingress bpf direct-action bytecode "1,6 0 0 2"')   # return TC_ACT_SHOT
    for cage in both():
        harmless(cage, "tc filter that drops what is received", "sh", "-c", script, "DEV", want="works")


# --- tcx -------------------------------------------------------------------------------------------

@test("user namespace: no bpf() at all")
def _():
    w = world()
    trial = Trial(w.user)
    for words in (("tcx", trial.name, "ingress", "pass", "first"), ("tcx-detach", trial.name, "ingress", "first"),
                  ("xdp", trial.name, "drop", "native"), ("link-detach", f"id:{link_of(trial, TCX[0])}"),
                  ("link-detach", pin_of(trial, TCX[0]))):
        _, happened = w.user.attacks(*words)
        check(happened in ("EPERM", "ENOENT"), f"{words[0]} in a user namespace is refused", happened)
    trial.after("own tcx or XDP program, detach", "EPERM")
    trial.same_links("refused attempts")


def link_of(trial, point):
    return hooks(trial.line)[point]["link_id"]


def program_of(trial, point):
    return hooks(trial.line)[point]["prog_id"]


def pin_of(trial, point):
    return hooks(trial.line)[point].get("pin", "/nowhere")


def own_program(point, verdict, kind, **expected):
    """A program of the cage's before ours, by a link or without; then it goes, and the hook is whole again."""
    trial = Trial(world().plain)
    other = Trial(world().plain) if verdict == "redirect:" else None
    words = (kind, trial.name, point, verdict + (other.name if other else ""), "first")
    one, happened = world().plain.attacks(*words, stay=kind == "tcx")
    same(happened, "works", f"own program, {verdict}")
    states = ("starved", "attached") if point == "ingress" else ("attached", "starved")
    trial.after(f"own tcx program first on {point}, {verdict.strip(':')}" + ("" if kind == "tcx" else ", no link"),
                happened, STARVED, states=states, **{point: 0}, **expected)
    event = world().agent.await_finding(trial.ns, trial.name, STARVED)
    same((get(event, "finding.point"), get(event, "finding.prog_id")), (f"tcx/{point}", one.prog_id),
         "the finding names the hook and the program")
    if kind == "tcx":
        one.end()
    else:
        world().plain.attacks("tcx-detach", trial.name, point, "first")
    world().agent.hooked(trial.ns, trial.name, *TCX)
    world().agent.await_finding(trial.ns, trial.name, STARVED, "end")
    counted = Seen(world().agent, trial.ns, trial.name)
    trial.talk()
    counted.until({"rx.skbs": N, "tx.skbs": N, TCX[0]: N, TCX[1]: N}, "after the program went")


@test("own tcx program first that returns OK, DROP or REDIRECT")
def _():
    for kind in ("tcx", "tcx-prog"):
        own_program("ingress", "pass", kind)
        own_program("egress", "pass", kind)
    own_program("ingress", "drop", "tcx")
    own_program("egress", "drop", "tcx", sent=0)
    own_program("ingress", "redirect:", "tcx")
    own_program("egress", "redirect:", "tcx", sent=0)


@test("own tcx program first that hands on: nothing is kept from ours, and it is told of, since it could")
def _():
    trial = Trial(world().plain)
    _one, happened = world().plain.attacks("tcx", trial.name, "ingress", "next", "first", stay=True)
    same(happened, "works", "own program")
    world().agent.await_one(trial.ns, trial.name, lambda line: hooks(line)[TCX[0]]["state"] == "starved", "starved")
    trial.after("own tcx program first on ingress, hands on", happened, STARVED, states=("starved", "attached"))


@test("own tcx program last: nothing is kept from ours")
def _():
    trial = Trial(world().plain)
    _one, happened = world().plain.attacks("tcx", trial.name, "ingress", "drop", "last", stay=True)
    same(happened, "works", "own program")
    trial.after("own tcx program last on ingress, drop", happened)


@test("bpf_prog_detach and replace, of ours")
def _():
    plain = world().plain
    for trick, want, words in (
            ("bpf_prog_detach of the first", "EBUSY", lambda t: ("tcx-detach", t.name, "ingress", "first")),
            ("bpf_prog_detach by id", "EPERM", lambda t: ("tcx-detach", t.name, "ingress",
                                                           str(program_of(t, TCX[0])))),
            ("replace by id", "EPERM", lambda t: ("tcx-replace", t.name, "ingress", "pass",
                                                  str(program_of(t, TCX[0])))),
            ("BPF_LINK_DETACH by id", "EPERM", lambda t: ("link-detach", f"id:{link_of(t, TCX[0])}")),
            ("BPF_LINK_UPDATE by id", "EPERM", lambda t: ("link-update", f"id:{link_of(t, TCX[0])}", "tcx", "pass")),
            ("BPF_LINK_DETACH by the pin's path", "ENOENT", lambda t: ("link-detach", pin_of(t, TCX[0])))):
        trial = Trial(plain)
        _, happened = plain.attacks(*words(trial))
        same(happened, want, trick)
        trial.after(trick, happened)
        trial.same_links(trick)


@test("own XDP program, where ours is and where it isn't")
def _():
    w = world()
    for words in (("xdp", "DEV", "drop", "native"), ("xdp-set", "DEV", "drop", "native"),
                  ("xdp-set", "DEV", "off", "native"), ("xdp-set", "DEV", "drop", "generic")):
        trial = Trial(w.xdp)
        _, happened = w.xdp.attacks(*[trial.name if word == "DEV" else word for word in words], stay=words[0] == "xdp")
        check(happened in ("EBUSY", "EEXIST", "EINVAL"), "it is refused", happened)
        trial.after(f"own XDP program beside ours ({' '.join(words[2:])}, {words[0]})", happened)
        trial.same_links("an own XDP program")
    trial = Trial(w.plain)
    _one, happened = w.plain.attacks("xdp", trial.name, "drop", "native", stay=True)
    same(happened, "works", "an XDP program where ours isn't")
    figures = trial.after("own XDP program that drops, where ours isn't", happened, STARVED,
                          received=0, ingress=0, states=None)
    same(figures.get("rx.unobserved_packets"), N, "unobserved packets")


def no_findings():
    """None of what changed nothing, since the last call."""
    trial = Trial(world().plain)
    world().plain.attacks("tcx", trial.name, "ingress", "pass", "first", stay=True)
    world().agent.await_finding(trial.ns, trial.name, STARVED)     # so all hooks were looked at since
    wrong = [(trick, found) for trick, namespace, name in harmless_ones
             if (found := world().agent.findings(namespace, name))]
    same(wrong, [], "findings of what changed nothing")
    harmless_ones.clear()


@test("no finding of what changed nothing")
def _():
    no_findings()


# --- who sees the pins -------------------------------------------------------------------------------

def comes_back(trick, finding, act):
    """What is done with the pin of a hook is noticed, the hook is whole again, and nothing was missed."""
    w = world()
    trial = Trial(w.pins)
    was = hooks(trial.line)[TCX[0]]
    happened = act(trial, was["pin"])
    same(happened, "works", trick)
    event = w.agent.await_finding(trial.ns, trial.name, finding)
    same(get(event, "finding.point"), TCX[0], "the finding's hook")
    if not w.agent.await_finding(trial.ns, trial.name, finding, "end"):
        return
    w.agent.await_one(trial.ns, trial.name, lambda line: hooks(line)[TCX[0]]["state"] == "attached", "its hook")
    trial.counted = Seen(w.agent, trial.ns, trial.name)
    trial.after(trick, happened, finding)
    check(os.path.exists(pin_of(Again(trial), TCX[0])), "it is pinned again")


class Again:
    """A trial's device as it is now."""

    def __init__(self, trial):
        self.line = world().agent.one(trial.ns, trial.name)


@test("with the host's BPF filesystem in view: a link that is detached comes back")
def _():
    comes_back("BPF_LINK_DETACH by the pin's path", REMOVED,
               lambda trial, pin: world().pins.attacks("link-detach", pin)[1])


@test("with the host's BPF filesystem in view: a link that gets another program is noticed and comes back")
def _():
    comes_back("BPF_LINK_UPDATE by the pin's path", REPLACED,
               lambda trial, pin: world().pins.attacks("link-update", pin, "tcx", "pass")[1])


@test("with the host's BPF filesystem in view: a hook whose pin is removed comes back")
def _():
    comes_back("rm of the pin", REMOVED, lambda trial, pin: world().pins.tries("rm", pin))


@test("with the host's BPF filesystem in view: all pins removed, counting goes on, hooks come back")
def _():
    w = world()
    trial = Trial(w.pins)
    happened = w.pins.tries("sh", "-c", 'rm -r "$0"/*', w.agent.pins)
    same(happened, "works", "rm of all")
    trial.talk()
    trial.counted.until({"rx.skbs": N, "tx.skbs": N}, "right after rm of all pins")
    w.agent.await_finding(trial.ns, trial.name, REMOVED)
    w.agent.await_finding(trial.ns, trial.name, REMOVED, "end")
    w.agent.hooked(trial.ns, trial.name, *TCX)
    trial.counted = Seen(w.agent, trial.ns, trial.name)
    trial.after("rm of all pins", happened, REMOVED)


# --- what a device can become ------------------------------------------------------------------------

@test("device down and up")
def _():
    for cage in both(world().xdp):
        harmless(cage, "down and up", "sh", "-c", 'ip link set "$0" down && ip link set "$0" up', "DEV",
                 want="works")


@test("rename")
def _():
    for cage in both():
        trial = Trial(cage)
        new = f"zz{trial.name}"
        happened = cage.tries("sh", "-c", 'ip link set "$0" down; ip link set "$0" name "$1" && ip link set "$1" up',
                              trial.name, new)
        same(happened, "works", "rename")
        trial.name = new
        world().agent.hooked(cage.ns, new, *TCX)
        trial.counted.moved(cage.ns, new)
        trial.after("rename", happened)
        trial.same_links("rename")


class Nested(UserNamespace):
    """A network namespace that a cage's root made for itself."""

    def __init__(self, cage):  # pylint: disable=super-init-not-called
        self.name = None
        self.holder = Talk(cage.root("unshare", "-U", "-r", "-n", TALK, "hold"))
        self.path = f"/proc/{self.holder.pid}/ns/net"
        self.cookie, self.inode = (self.holder.ready["netns"][key] for key in ("cookie", "inode"))
        quiet(self)


@test("move to a nested namespace")
def _():
    for cage in both():
        trial, nested = Trial(cage), Nested(cage)
        happened = cage.tries("ip", "link", "set", trial.name, "netns", str(nested.holder.pid))
        same(happened, "works", "the move")
        nested.run("ip", "link", "set", trial.name, "up")
        world().agent.hooked(nested, trial.name, *TCX)
        trial.ns, trial.counted = nested, Seen(world().agent, nested, trial.name)
        trial.after("move to a nested namespace", happened)
        trial.same_links("the move")


@test("delete and recreate with the same index")
def _():
    w = world()
    for cage in both():
        trial = Trial(cage)
        trial.talk()
        trial.counted.until({"rx.skbs": N, "tx.skbs": N}, "before it is deleted")
        index = str(get(trial.line, "device.ifindex"))
        happened = cage.tries("sh", "-c", 'ip link del "$0" && ip link add "$0" index "$1" type veth peer name "far$0"'
                              ' && ip link set "$0" up && ip link set "far$0" up', trial.name, index)
        same(happened, "works", "delete and recreate")
        new = w.agent.hooked(cage.ns, trial.name, *TCX)
        same(get(new, "device.ifindex"), int(index), "the new one's index")
        check(not {h["link_id"] for h in hooks(new).values()} & {h["link_id"] for h in hooks(trial.line).values()},
              "its links are new")
        same({get(new, f"{way}.skbs", 0) for way in ("rx", "tx")}, {0}, "the new one's figures begin at 0")
        old = next((line for line in w.agent.devices("--gone", f"netns={cage.ns.cookie}")
                    if get(line, "device.name") == trial.name and get(line, "rx.skbs")), None)
        same([get(old, f"{way}.skbs") for way in ("rx", "tx")], [N, N], "the old one's last figures")
        trial.line, trial.counted = new, Seen(w.agent, cage.ns, trial.name)
        send(cage.ns, f"far{trial.name}", N)
        send(cage.ns, trial.name, N)
        figures = trial.counted.until({"rx.skbs": N, "tx.skbs": N, TCX[0]: N, TCX[1]: N}, "after it was recreated")
        say_table(HEAD, [(cage.who, "delete and recreate, same index", happened, f"{figures['rx.skbs']} of {N}",
                          f"{figures['tx.skbs']} of {N}", figures[TCX[0]], figures[TCX[1]], "-")])


@test("ip netns del")
def _():
    w = world()
    trial = Trial(w.doomed)
    happened = w.doomed.tries("ip", "netns", "del", w.doomed.ns.name)
    check("works" != happened, "root in the namespace can't", happened)
    trial.after("ip netns del", happened)
    w.doomed.ns.delete()

    def last():
        return next((line for line in w.agent.devices("--gone", f"netns={w.doomed.ns.cookie}")
                     if get(line, "device.name") == trial.name), None)
    line = wait_for(last, 20, "the device is among those that are gone")
    got = [get(line, f"{way}.skbs") for way in ("rx", "tx")]
    same(got, [N, N], "its last figures")
    say_table(HEAD, [("the host", "ip netns del", "works", f"{got[0]} of {N}", f"{got[1]} of {N}", N, N, "-")])


# --- the agent and its filesystem -----------------------------------------------------------------

@test("umount of the BPF filesystem")
def _():
    w = world()
    harmless(w.pins, "umount of the BPF filesystem", "umount", w.agent.bpf, want="superuser")


@test("no finding of what changed nothing of a device itself")
def _():
    no_findings()


@test("umount of the BPF filesystem by the host: counting goes on")
def _():
    own, far = Namespace(), Namespace()
    quiet(own)
    quiet(far)
    agent = Agent("--hook", f"netns={own.cookie}")
    veth(own, "v0", far, "v0")
    agent.hooked(own, "v0", *TCX)
    counted = Seen(agent, own, "v0")
    run("umount", "--lazy", agent.bpf)
    send(own, "v0", N)
    send(far, "v0", N)
    figures = counted.until({"rx.skbs": N, "tx.skbs": N}, "without its BPF filesystem")
    line = agent.one(own, "v0")
    states = [hooks(line).get(point, {}).get("state") for point in TCX]
    say_table(HEAD, [("the host", "umount of the BPF filesystem", "works", f"{figures.get('rx.skbs')} of {N}",
                      f"{figures.get('tx.skbs')} of {N}", *states, "-")])


@test("kill of the agent: the hooks go on, and what they saw is there afterwards")
def _():
    own, far = Namespace(), Namespace()
    quiet(own)
    quiet(far)
    agent = Agent("--hook", f"netns={own.cookie}")
    veth(own, "v0", far, "v0")
    line = agent.hooked(own, "v0", *TCX)
    counted = Seen(agent, own, "v0")
    agent.kill()
    send(own, "v0", N)
    send(far, "v0", N)
    agent.start()
    same(links(agent.hooked(own, "v0", *TCX)), links(line), "links before and after")
    figures = counted.until({"rx.skbs": N, "tx.skbs": N, TCX[0]: N, TCX[1]: N}, "while it was dead")
    say_table(HEAD, [("root with CAP_KILL", "SIGKILL to the agent", "works", f"{figures.get('rx.skbs')} of {N}",
                      f"{figures.get('tx.skbs')} of {N}", figures.get(TCX[0]), figures.get(TCX[1]), "-")])


main()
