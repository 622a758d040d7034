# SPDX-License-Identifier: Apache-2.0
"""The vm rung: tests of the netns rung once more, under one of Debian's kernels, in QEMU.

    machine.main("6.12")                        one TAP line a test file; of each the cases in CHOSEN

    linux-6.12.t all                            all files of the prog and netns rungs, all their cases; VM_ALL=1 too
    linux-6.12.t NAME...                        of those the files whose names contain one of these
    linux-6.12.t -- COMMAND [ARGUMENT...]       no tests: run a command there and show what it prints

The guest has the host's files, read-only below a layer that is lost at its end (init), two CPUs and no network.
QEMU emulates them, some ten times slower than the host, hence NSLENS_FACTOR. Console and what the tests printed
stay in build/vm/SERIES/.
"""
import glob
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, os.environ.get("B", "build"))
FACTOR = os.environ.get("NSLENS_FACTOR", "6")
SECONDS, ALL_SECONDS = 540, 2700        # when the machine is hung
FILE_SECONDS = 300                      # when a test file is

# What `make test` runs, in this order: files, and of each the cases whose names contain one of the words, each of
# which belongs to one case. A start of nslens takes the guest a second or more, so files that share one come cheap.
CHOSEN = {
    "guest/kernel.t": ["is loaded and attached", "every program runs", "first conversation", "no BTF"],
    "guest/hooks.t": ["hooks are attached", "take off comes back", "detach leaves"],
    "netns/devices.t": ["veth: datagrams", "veth: TCP in bulk", "macvlan: what", "equal indexes"],
    "netns/doctor.t": ["as root it works here", "the text has a line a check"],
    "netns/agent.t": ["status: figures of the agent"],
    "netns/tcp.t": [
        "FIN by the client", "FIN by the server", "half close", "reset by the client", "leaves data unread", "refused",
        "firewall that prohibits", "never accepted", "IPv4 through an IPv6 socket", "on the loopback",
        "under loss", "an older connection is adopted", "all lines fit",
    ],
    "netns/udp.t": [
        "request and answer", "one server with many peers", "fragmented ones", "multicast", "on loopback",
        "nobody listens", "queue had no room", "all lines fit",
    ],
    "netns/icmp.t": ["by a ping socket", "by ping(8)", "nobody answers", "all lines fit"],
    "netns/owner.t": [
        "pre-forked workers", "handed to a child", "passed by SCM_RIGHTS", "threads: the process",
        "a UDP socket that several", "accepted and never touched", "also a thread's that has", "all lines fit",
    ],
    "netns/process.t": ["both ends: pid", "arguments that look like secrets", "the container id that stands"],
    "netns/nat.t": ["what was asked for"],
    "netns/namespaces.t": [
        "the initial namespace", "nothing but a name", "an anonymous namespace", "births and deaths",
    ],
    "netns/sockets.t": ["are what ss in the namespace says", "sockets that no process has"],
    "netns/loss.t": ["more datagram flows"],
    "netns/devflow.t": ["routed UDP", "GSO"],
}

# Not run here, and why.
LEFT_OUT = {
    "netns/bench.t": "it measures time, of which there is none to measure in an emulator",
    "netns/errors.t": "it is user space's words that it tests, and it starts nslens dozens of times",
    "netns/filter.t": "what it tests is user space's alone",
    "netns/kit.t": "it tests the tests",
}

# What the kernel says when it is broken.
COMPLAINTS = ("BUG:", "WARNING:", "Oops", "general protection", "RCU stall", "blocked for more than", "Kernel panic")


def test_files():
    """Name and path of every file of the two rungs, and of those that are only run here."""
    for path in sorted(glob.glob(os.path.join(ROOT, "test/vm/guest/*.t"))):
        yield f"guest/{os.path.basename(path)}", path
    for path in sorted(glob.glob(os.path.join(ROOT, "test/prog/test_*.c"))):
        name = os.path.basename(path)[:-len(".c")]
        yield f"prog/{name}", os.path.join(BUILD, "test/prog", name)
    for path in sorted(glob.glob(os.path.join(ROOT, "test/netns/*.t"))):
        yield f"netns/{os.path.basename(path)}", path


class Machine:
    """One boot. What the guest writes to its second port comes out of lines()."""

    def __init__(self, series, seconds=ALL_SECONDS):
        self.folder = os.path.join(BUILD, "vm", series)
        self.seconds = seconds
        self.console = os.path.join(self.folder, "console.log")
        self.process = None

    def prepare(self):
        """Have the kernel. Returns None, or why there is none."""
        p = subprocess.run([os.path.join(HERE, "kernel.sh"), os.path.basename(self.folder), self.folder],
                           stderr=subprocess.PIPE, text=True, check=False)
        if p.returncode == 3:
            return p.stderr.strip()
        if p.returncode:
            raise SystemExit(p.stderr)
        return None

    def _write_job(self, script):
        job = os.path.join(self.folder, "job")
        settings = {"folder": self.folder, "repo": ROOT, "B": os.environ.get("B", "build"), "NSLENS_FACTOR": FACTOR,
                    "FILE_SECONDS": FILE_SECONDS, "now": int(time.time())}
        with open(job, "w", encoding="utf-8") as f:
            f.writelines(f"{key}={shlex.quote(str(value))}\n" for key, value in settings.items())
            f.write(f". {shlex.quote(os.path.join(HERE, 'guest.sh'))}\n{script}\nhalt\n")
        return job

    def boot(self, script):
        """@script is run by guest.sh's shell."""
        job = self._write_job(script)
        kernel = "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable random.trust_cpu=on"
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048",
             "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
             "-serial", f"file:{self.console}", "-serial", "stdio",
             "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
             "-kernel", os.path.join(self.folder, "vmlinuz"), "-initrd", os.path.join(self.folder, "initrd"),
             "-append", f"{kernel} nslens.job={job}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        signal.signal(signal.SIGALRM, self._hung)
        signal.alarm(self.seconds)

    def _hung(self, *_):
        print(f"# the machine was still at work after {self.seconds} s", flush=True)
        self.end()

    def lines(self):
        for line in self.process.stdout:
            yield line.decode("utf-8", "replace").rstrip("\r\n")

    def end(self):
        signal.alarm(0)
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Results:
    """What came of the files, as TAP."""

    def __init__(self):
        self.n, self.n_failed = 0, 0

    def line(self, fine, text, diagnosis=()):
        self.n += 1
        self.n_failed += not fine
        print(f"{'ok' if fine else 'not ok'} {self.n} - {text}", flush=True)
        for detail in diagnosis:
            print("#   " + detail, flush=True)

    def left_out(self, name, why):
        self.n += 1
        print(f"ok {self.n} - {name} # SKIP {why}", flush=True)


def judge(results, name, words, status, seconds, tap):
    """One TAP line of a test file: it ended well, said how many tests it has and had all of them pass; of those that
    were chosen by @words, none is missing or skipped."""
    oks = [line for line in tap if line.startswith("ok ")]
    skipped = [line for line in oks if "# SKIP" in line]
    plan = next((line for line in tap if line.startswith("1..")), "no plan")
    fine = status == 0 and plan == f"1..{len(oks)}" and not any(line.startswith("not ok") for line in tap)
    if words:
        fine = fine and not skipped and len(oks) == len(words)
    text = f"{name}: {len(oks) - len(skipped)} of {plan[3:]} in {seconds} s"
    detail = skipped if fine else tap + [f"status {status}"]
    results.line(fine, text, detail)


def run_files(machine, series, chosen, results):
    """Boot, run the files, and report each as it ends."""
    script = "".join(f"run_file {shlex.join([name, path, *words])}\n" for name, path, words in chosen)
    words_of = {name: words for name, _, words in chosen}
    machine.boot(script)
    tap, open_name, n_done, version = [], None, 0, ""
    log = open(os.path.join(machine.folder, "tests.log"), "w", encoding="utf-8")
    for line in machine.lines():
        print(line, file=log, flush=True)
        if line.startswith("<<< "):
            _, name, status, seconds = line.split()
            judge(results, name, words_of[name], int(status), seconds, tap)
            tap, open_name, n_done = [], None, n_done + 1
        elif line.startswith(">>> "):
            tap, open_name = [], line[4:]
        elif line.startswith("kernel "):
            version = line[7:]
        else:
            tap.append(line)
    machine.end()
    log.close()
    if open_name:
        results.line(False, f"{open_name}: the machine ended in its midst", tap)
    results.line(version.startswith(series + ".") and n_done == len(chosen),
                 f"all of them were run under {version or 'no kernel'}", tail(machine.console) if not n_done else ())
    wrong = [line for line in tail(machine.console, 10000) if any(c in line for c in COMPLAINTS)]
    results.line(not wrong, "the kernel complains of nothing", wrong[:40])


def tail(path, n=30):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read().splitlines()[-n:]


def run_command(machine, argv):
    machine.boot(f"show {' '.join(shlex.quote(a) for a in argv)}")
    for line in machine.lines():
        print(line, flush=True)
    machine.end()


def missing():
    """Why there can be no machine, or None."""
    if os.uname().machine != "x86_64":
        return "the kernels are x86-64's"
    absent = [tool for tool in ("qemu-system-x86_64", "busybox", "depmod", "xz") if not shutil.which(tool)]
    return f"{', '.join(absent)} not installed: scripts/deps.sh vm" if absent else None


def files_to_run(arguments):
    """Name and path of each file, and the words that choose its cases; none: all of them."""
    paths = dict(test_files())
    if not arguments and not os.environ.get("VM_ALL"):
        return [(name, paths[name], words) for name, words in CHOSEN.items()]
    names = [a for a in arguments if a != "all"]
    return [(n, p, []) for n, p in paths.items() if not names or any(a in n for a in names)]


def main(series):
    machine = Machine(series, ALL_SECONDS if sys.argv[1:] or os.environ.get("VM_ALL") else SECONDS)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: (machine.end(), sys.exit(128 + n)))
    why = missing() or machine.prepare()
    if why:
        print(f"1..0 # SKIP {why}")
        return
    if sys.argv[1:2] == ["--"]:
        run_command(machine, sys.argv[2:])
        return
    files = files_to_run(sys.argv[1:])
    results = Results()
    print(f"1..{len(files) + 2}", flush=True)
    for name, _, _ in files:
        if name in LEFT_OUT:
            results.left_out(name, LEFT_OUT[name])
    run_files(machine, series, [file for file in files if file[0] not in LEFT_OUT], results)
    sys.exit(1 if results.n_failed else 0)
