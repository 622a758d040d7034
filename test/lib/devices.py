# SPDX-License-Identifier: Apache-2.0
"""An agent that looks after devices, in a world of namespaces of its own, and what it says of each
device: for the tests of hooks, of what goes past them, and of what is counted."""
import glob

from nslens_test import *  # noqa: F403

ATTACK, FRAMES, BIRTHS = (os.path.join(BUILD, "test/lib", name) for name in ("attack", "frames", "births"))
LENGTH = 60     # of a frame, if nobody says otherwise


def say(text):
    """A line for who reads the output."""
    print(f"# {text}", flush=True)


def say_table(head, rows):
    """As a table of a document; the same rows that doc/*.md show."""
    for row in (head, ["---"] * len(head), *rows):
        say("| " + " | ".join(map(str, row)) + " |")


# --- the agent --------------------------

class Agent:
    """A running `nslens run` that has its state, its pins and a BPF filesystem to itself.

    Without --hook among the options it attaches to no device: a test's agent must not touch the host's.
    @watch: namespaces whose findings are waited for.
    """

    def __init__(self, *options, watch=()):
        self.folder = tempfile.mkdtemp(dir=state_folder())
        self.bpf = mount_bpf(os.path.join(self.folder, "bpf"))
        cleanup(lambda: os.path.ismount(self.bpf) and unmount_bpf(self.bpf))
        self.pins = os.path.join(self.bpf, "nslens")
        self.here = ("--state-dir", self.folder)
        if "--hook" not in options:
            options = ("--hook", "device=nothing", *options)
        self.options = options
        self.start()
        words = " or ".join(f"netns={namespace.cookie}" for namespace in watch)
        self.watch = Observe(words, options=self.here) if watch else None

    def start(self):
        """Again, after kill()."""
        self.stderr = tempfile.TemporaryFile()
        self.process = start([NSLENS, "run", *self.here, "--pin-dir", self.pins, *self.options],
                             stdout=subprocess.PIPE, stderr=self.stderr)
        out = Lines(self.process.stdout)
        wait_for(lambda: out.lines or self.process.poll() is not None, 30, "the agent is ready")
        if self.process.poll() is not None:
            raise Failed(f"the agent ended with {self.process.returncode}: {self.errors()}")

    def errors(self):
        self.stderr.seek(0)
        return self.stderr.read().decode().strip()

    def nslens(self, command, *args, **keywords):
        return nslens(command, *self.here, *args, **keywords)

    def devices(self, *args):
        """The lines of `nslens devices`; each fits the schema."""
        p = self.nslens("devices", "-o", "json", *args)
        same((p.returncode, p.stderr), (0, ""), "status and errors of nslens devices")
        lines = [json.loads(line) for line in p.stdout.splitlines()]
        same([e for line in lines for e in schema_errors(line)][:1], [], "the schema's opinion of devices")
        return lines

    def one(self, namespace, name, *args):
        """The line of a device by its name in a namespace; None: there is none."""
        return next((line for line in self.devices(*args, f"netns={namespace.cookie}")
                     if get(line, "device.name") == name
                     and get(line, "netns.cookie") == namespace.cookie), None)

    def await_one(self, namespace, name, predicate=lambda line: True, what="the device's line"):
        """Its line, once the predicate holds."""
        last = []

        def there():
            last[:] = [self.one(namespace, name)]
            return last[0] if last[0] and predicate(last[0]) else None
        try:
            return wait_for(there, 20, f"{what} of {name}")
        except Failed as e:
            raise Failed(f"{e}; it is {json.dumps(last[0])}") from None

    def hooked(self, namespace, name, *points):
        """The device's line, once all of these hooks are attached."""
        return self.await_one(
            namespace, name, lambda line: {p for p, h in hooks(line).items() if h["state"] == "attached"}
            >= set(points), f"attached: {', '.join(points)}")

    def findings(self, namespace, name=None):
        """Those of a namespace, and of a device of it."""
        return self.watch.all(lambda e: get(e, "event.dataset") == "nslens.finding"
                              and get(e, "netns.cookie") == namespace.cookie
                              and name in (None, get(e, "device.name")))

    def await_finding(self, namespace, name, kinds, action="begin", seconds=10):
        """The first of one of these types; None, and a failed check, if none comes."""
        def found():
            return next((e for e in self.findings(namespace, name)
                         if get(e, "finding.type") in kinds and get(e, "event.action") == action), None)
        try:
            return wait_for(found, seconds, f"a finding ({' or '.join(sorted(kinds))}) on {name}")
        except Failed as e:
            check(False, str(e), self.findings(namespace, name))
            return None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        same(self.process.wait(20 * FACTOR), 0, "status of the agent; it said " + self.errors())


def hooks(line):
    """{point: hook} of a device's line."""
    return {hook["point"]: hook for hook in line.get("hooks", [])} if line else {}


# --- figures ---------------------------

def kernel(namespace, name):
    """{"rx": {...}, "tx": {...}} of a device, as the kernel counts; None: it isn't there."""
    p = namespace.run("ip", "-s", "-j", "link", "show", "dev", name, check_status=False)
    return json.loads(p.stdout)[0]["stats64"] if p.returncode == 0 else None


class Seen:
    """What was counted at a device since this was made: by nslens, its hooks, and the kernel."""

    def __init__(self, agent, namespace, name):
        self.agent, self.namespace, self.name = agent, namespace, name
        self.before, self.kernel_before = self._now()

    def _now(self):
        return self.agent.one(self.namespace, self.name) or {}, kernel(self.namespace, self.name)

    def moved(self, namespace, name):
        """The device is there now."""
        self.namespace, self.name = namespace, name

    def since(self, *args):
        """{"rx.skbs": 1, "rx.bytes": .., "tcx/ingress": 1, "xdp": .., "kernel.rx.packets": 1, ...}"""
        line, there = self._now()
        line = line or self.agent.one(self.namespace, self.name, *args) or {}
        new = {}
        for way in ("rx", "tx"):
            for figure, value in line.get(way, {}).items():
                new[f"{way}.{figure}"] = value - get(self.before, f"{way}.{figure}", 0)
            for figure, value in (there or {}).get(way, {}).items():
                new[f"kernel.{way}.{figure}"] = value - get(self.kernel_before or {}, f"{way}.{figure}", 0)
        for point, hook in hooks(line).items():
            before = hooks(self.before).get(point, {})
            same_link = before.get("link_id") == hook.get("link_id")
            new[point] = hook.get("skbs", 0) - (before.get("skbs", 0) if same_link else 0)
        return new

    def until(self, expected, text, seconds=10):
        """What there is once it is as expected, {figure: number}; failed checks if that doesn't come."""
        last = [{}]

        def fits():
            last[0] = self.since()
            return not wrong_figures(last[0], expected)
        try:
            wait_for(fits, seconds, text)
        except Failed:
            check(False, f"{text}, {self.name}", wrong_figures(last[0], expected))
        return last[0]


def wrong_figures(figures, expected):
    """{figure: (what it is, what it should be)}"""
    return {name: (figures.get(name), want) for name, want in expected.items()
            if figures.get(name, 0) != want}


# --- who sends ---------------------------

def quiet(namespace):
    """From now on the kernel says nothing there by itself: no router solicitations, no ND."""
    for which in ("all", "default"):
        if os.path.exists(f"/proc/sys/net/ipv6/conf/{which}"):
            namespace.sysctl(f"net.ipv6.conf.{which}.disable_ipv6", 1)


def send(namespace, device, n, way="send", length=LENGTH, to=None, wrap=()):
    """n frames out of a device; they have left, or were refused, when this returns."""
    words = [FRAMES, way, device, str(n), str(length), *([to] if to else [])]
    said = json.loads(namespace.run(*wrap, *words).stdout)
    same(said["frames"], n, f"frames that were sent by {way}")


def address(namespace, device):
    return json.loads(namespace.run("ip", "-j", "link", "show", "dev", device).stdout)[0]["address"]


class Attack:
    """build/test/lib/attack with these words; error is what the kernel said, None if it agreed."""

    def __init__(self, argv, stay=False):
        self.process = start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        if not stay:
            self.process.stdin.close()
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{' '.join(argv)}: {self.process.stderr.read().decode()}")
        self.said = json.loads(line)
        self.error = self.said.get("error")
        self.prog_id, self.link_id = self.said.get("prog_id"), self.said.get("link_id")

    def end(self):
        """Its link goes."""
        end_process(self.process)


def attack(namespace, *words, wrap=(), stay=False):
    return Attack(namespace.enter(*wrap, ATTACK, *words), stay)


def veth(one, name, other, other_name, *settings):
    """A pair between two namespaces, both ends up."""
    one.run("ip", "link", "add", name, *settings, "type", "veth", "peer", "name", "peer0", *settings)
    move(one, "peer0", other, other_name)
    for namespace, device in ((one, name), (other, other_name)):
        namespace.run("ip", "link", "set", device, "up")


def move(namespace, device, to, name):
    """Of a device to another namespace, with a new name there."""
    there = f"/proc/{to.holder.pid}/ns/net" if to.holder else to.path
    namespace.run("sh", "-c", 'ip link set "$0" netns "$1" name "$2"', device, there, name)
