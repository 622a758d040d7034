#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What this kernel, another than the machine's own, makes of the BPF programs. For a kernel that goes after the test:
machine.py runs it."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../lib"))
from nslens_test import *  # noqa: E402,F403

FIRST_SECONDS = 2       # from the start to the first conversation
HIDDEN = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"]

# Where the tracepoints that the newer kernels have are missing, functions are traced at their exit.
TRACED = os.uname().release.startswith("6.1.")
INSTEAD = {"io", "refused"} if TRACED else set()
RUN = {"tcp_state", "dgram_egress", "dgram_ingress", "dgram_bind4", "dgram_bind6", "dgram_connect4", "dgram_connect6",
       "dgram_release"} | (
    {"io_sent4", "io_sent6", "io_received4", "io_received6", "dgram_unqueued"} if TRACED
    else {"io_send", "io_recv"})


@once
def agent():
    """A running agent with all probes, also those that are off by default; the folder of its state."""
    folder = tempfile.mkdtemp(dir=state_folder())
    process = start([NSLENS, "run", "--with", "all", "--state-dir", folder], stdout=subprocess.PIPE)
    lines = Lines(process.stdout)
    wait_for(lambda: lines.lines or process.poll() is not None, 20, "the agent is ready")
    return folder


def status():
    p = nslens("status", "-o", "json", "--state-dir", agent())
    same(p.returncode, 0, "status of nslens status")
    return json.loads(p.stdout)


def talk_of(ns, ip, transport):
    """A conversation to its end on loopback."""
    server = ns.talk(f"{transport}-server", ip=ip, **({"count": 1, "reply": 3} if transport == "udp" else {"send": 3}))
    reply = {"reply": 3, "connect": True} if transport == "udp" else {"send": 2, "recv": 3}
    ns.talk(f"{transport}-client", ip=ip, port=server.port, **reply).wait()
    server.wait()


@test("every BPF program for this kernel is loaded and attached")
def _():
    probes = {probe["name"]: probe for probe in status()["probes"]}
    same({name: probe.get("reason") for name, probe in probes.items() if probe["state"] != "attached"}, {},
         "probes that are not attached")
    same({name for name, probe in probes.items() if "instead" in probe}, INSTEAD,
         "probes by functions instead of tracepoints")
    same(status()["namespaces"]["total"], 1, "namespaces, which programs list")


@test("every program runs, also where functions are traced")
def _():
    agent()
    run("sysctl", "-q", "-w", "kernel.bpf_stats_enabled=1")
    cleanup(lambda: run("sysctl", "-q", "-w", "kernel.bpf_stats_enabled=0"))
    ns = Namespace()
    for ip in ("127.0.0.1", "::1"):
        for transport in ("tcp", "udp"):
            talk_of(ns, ip, transport)
    programs = {p.get("name"): p for p in json.loads(run("bpftool", "-j", "prog", "list").stdout)}
    idle = {name for name in RUN if not programs.get(name, {}).get("run_cnt")}
    same(idle, set(), "programs that did not run")


@test("from the start to the first conversation")
def _():
    took = []
    for _ in range(2):
        began = time.time_ns()
        watch = Observe(near=[Namespace()])
        took.append((watch.first_ns() - began) / 1e9)
        watch.stop()
    print("# seconds to the first conversation: " + ", ".join(f"{s:.2f}" for s in took), flush=True)
    check(min(took) < FIRST_SECONDS * FACTOR, "seconds", took)


@test("no BTF: each command says so in one line, and how to get it")
def _():
    for command in ("observe", "run", "sockets", "namespaces"):
        p = run(*HIDDEN, NSLENS, command, check_status=False, env=environment())
        print(f"# {p.stderr.strip()}", flush=True)
        same((p.returncode, p.stdout, p.stderr.count("\n")), (1, "", 1), f"status, output, lines of {command}")
        for word in ("no BTF at /sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"):
            check(word in p.stderr, f"{command} says '{word}'", p.stderr)
    p = run(*HIDDEN, NSLENS, "doctor", check_status=False)
    same(p.returncode, 1, "status of doctor")
    for line in [line for line in p.stdout.splitlines() if line.startswith(("missing", "unknown"))]:
        print(f"# {line}", flush=True)
    check(re.search(r"(?m)^missing +BTF ", p.stdout), "doctor says that BTF is missing", p.stdout)
    check(re.search(r"(?m)^unknown +iterator task_file +can't be told without BTF$", p.stdout),
          "that it can't tell what BTF lists", p.stdout)
    check(re.search(r"(?m)^missing +nslens ", p.stdout), "and that nslens can't work", p.stdout)


main()
