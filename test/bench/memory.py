# SPDX-License-Identifier: Apache-2.0
"""How much memory a tool takes, by the number of TCP sockets on the host.

Three figures, each of which misses something: VmRSS of its processes; the kernel's own figure for each
of its BPF maps (memlock in fdinfo), which leaves out what is allocated beside a socket (sk_storage); and
all kernel memory charged to the control group that the tool was started in, which has that too.
"""
import contextlib
import math
import os
import re
import time

import rig as bench_rig

SOCKETS = os.path.join(bench_rig.BUILD, "test/bench/sockets")
SOCKETS_OF_A_PROCESS = 16800    # within the usual hard limits of descriptors
FIRST_PORT = 9100
SETTLE_SECONDS, SETTLE_AT_MOST = 2, 30


def text_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def rss_bytes(pids):
    found = (re.search(r"^VmRSS:\s+(\d+) kB", text_of(f"/proc/{p}/status"), re.M) for p in pids)
    return sum(int(m[1]) * 1024 for m in found if m)


def maps_bytes(pids):
    """The maps that the processes hold open, each once."""
    maps = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fdinfo"):
                info = dict(re.findall(r"^(\w+):\s+(\d+)$", text_of(f"/proc/{pid}/fdinfo/{fd}"), re.M))
                if "map_id" in info and "memlock" in info:
                    maps[info["map_id"]] = int(info["memlock"])
    return sum(maps.values())


class MemoryGroup:
    """A control group of the memory controller, of either version; not there: kernel_bytes() is None."""

    def __init__(self):
        self.path = None
        for line in text_of("/proc/self/mountinfo").splitlines():
            before, _, behind = line.partition(" - ")
            point, (kind, _, options) = before.split()[4], behind.split(" ", 2)
            if kind == "cgroup" and "memory" in options.split(","):
                self._make(point, "memory.kmem.usage_in_bytes")
            elif kind == "cgroup2" and "memory" in text_of(f"{point}/cgroup.subtree_control").split():
                self._make(point, "memory.stat")

    def _make(self, point, figure):
        path = os.path.join(point, f"nslens-bench-{os.getpid()}")
        with contextlib.suppress(OSError):
            os.mkdir(path)
            self.path, self.figure = path, os.path.join(path, figure)

    def prefix(self):
        """Before a command that shall run in it."""
        return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self.path] if self.path else []

    def kernel_bytes(self):
        found = re.search(r"^(?:kernel )?(\d+)$", text_of(self.figure), re.M) if self.path else None
        return int(found[1]) if found else None

    def close(self):
        end = time.monotonic() + 5
        while self.path and time.monotonic() < end:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
                self.path = None
                return
            time.sleep(0.05)


def figures(subject, group):
    pids = subject.pids()
    return {"rss_bytes": rss_bytes(pids), "maps_bytes": maps_bytes(pids), "kernel_bytes": group.kernel_bytes()}


def settled(subject, group):
    """The figures once they have not grown for a while, or as they are at the deadline."""
    end = time.monotonic() + SETTLE_AT_MOST
    now, since = figures(subject, group), time.monotonic()
    while time.monotonic() < min(end, since + SETTLE_SECONDS):
        time.sleep(0.1)
        after = figures(subject, group)
        if any((after[k] or 0) > (now[k] or 0) for k in now):
            since = time.monotonic()
        now = after
    return now


def open_sockets(rig, n_sockets):
    """Connections on the loopback of A, each two sockets, a byte sent each way. Returns the processes."""
    n_connections = n_sockets // 2
    n_processes = math.ceil(n_sockets / SOCKETS_OF_A_PROCESS)
    processes = []
    try:
        for i in range(n_processes):
            share = n_connections // n_processes + (i < n_connections % n_processes)
            argv = rig.ns_a.enter(SOCKETS, str(share), str(FIRST_PORT + i))
            processes.append(bench_rig.Process(argv, rig.cpus[0]))
        for p in processes:
            p.line()
    except BaseException:
        close_all(processes)
        raise
    return processes


def close_all(processes):
    for p in processes:
        p.close()


def measure_once(rig, subject, group, n_sockets):
    processes = []
    try:
        subject.start()
        before = settled(subject, group)
        processes = open_sockets(rig, n_sockets)
        after = settled(subject, group)
        subject.must_be_alive()
        return {"sockets": n_sockets, "before": before, "after": after}
    finally:
        close_all(processes)
        subject.stop()


def measure(rig, arguments):
    """For each subject, each number of sockets with a tool freshly started."""
    group = rig.keep(MemoryGroup())
    result = {"subjects": {}}
    for name in arguments.subject:
        subject = rig.subject(name)
        entry = result["subjects"][subject.name] = {"rows": []}
        try:
            entry.update(subject.describe())
            subject.prefix = group.prefix()
            entry["rows"] = [measure_once(rig, subject, group, n) for n in arguments.sockets]
        except bench_rig.SubjectError as e:
            entry["unavailable"] = str(e)
    return result


def mib(value):
    return "-" if value is None else f"{value / 2**20:.2f}"


def report(result, align):
    """@align makes lines of rows."""
    rows = [["subject", "sockets", "VmRSS MiB", "at 0", "BPF maps MiB", "at 0", "all kernel MiB", "at 0"]]
    for name, entry in result["subjects"].items():
        for row in entry["rows"]:
            values = [mib(row[when][k]) for k in ("rss_bytes", "maps_bytes", "kernel_bytes")
                      for when in ("after", "before")]
            rows.append([name, f"{row['sockets']:,}", *values])
    for line in align(rows):
        print(line)
    for name, entry in result["subjects"].items():
        print(f"{name}: unavailable: {entry['unavailable']}" if "unavailable" in entry else f"{name}: {entry['about']}")
