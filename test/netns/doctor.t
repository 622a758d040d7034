#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nslens doctor: what it finds here, and without this or that privilege or mount."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403


def doctor(*wrap, status=0):
    """Its findings by check, run by @wrap."""
    p = run(*wrap, NSLENS, "doctor", "-o", "json", check_status=False, env=environment())
    same((p.returncode, p.stderr), (status, ""), f"status and errors of {' '.join(wrap)} doctor")
    lines = [json.loads(line) for line in p.stdout.splitlines()]
    errors = [e for line in lines for e in schema_errors(line)]
    check(not errors, "lines fit the schema", errors[:3])
    same(get(lines[-1], "doctor.check"), "nslens", "the last line is the verdict")
    return {get(line, "doctor.check"): line for line in lines}


def expect_state(findings, name, state, **more):
    expect(findings[name], {"doctor.state": state, **{
        "doctor." + key: value for key, value in more.items()}}, name)


def can_bpf():
    """Asked of the kernel by another tool, so that doctor can be wrong."""
    p = run("bpftool", "feature", "probe", "kernel", "-j", check_status=False)
    return json.loads(p.stdout) if p.returncode == 0 else {}


@test("as root it works here, and says the same as bpftool of programs and JIT")
def _():
    found = doctor()
    expect(found["nslens"], {"doctor.state": "ok", "doctor.found": lambda t: "works here" in t,
                             "event.dataset": "nslens.doctor", "event.kind": "state",
                             "event.outcome": "success"}, "the verdict")
    for name in ("kernel", "BTF", "CAP_BPF", "bpf()", "tracepoint inet_sock_set_state",
                 "iterator task_file", "ring buffer"):
        expect_state(found, name, "ok", required=True, remedy=None)
    same(get(found["kernel"], "doctor.found").split(",")[0], os.uname().release, "the release")
    probed = can_bpf()
    if probed:
        kinds = probed["program_types"]
        for name, kind in (("raw tracepoints", "have_raw_tracepoint_prog_type"),
                           ("cgroup hooks", "have_cgroup_skb_prog_type")):
            expect_state(found, name, "ok" if kinds[kind] else "fallback")
        jit = get(probed, "system_config.bpf_jit_enable", 1)
        expect_state(found, "JIT", "ok" if jit else "fallback")


@test("what isn't ok says what is done without it and how to get it")
def _():
    for line in doctor("unshare", "--mount", "sh", "-c", 'umount -a -t cgroup2; exec "$@"', "sh"
                       ).values():
        if get(line, "doctor.state") == "fallback":
            expect(line, {"doctor.without": known, "doctor.remedy": known,
                          "doctor.required": False, "event.outcome": "failure"}, "a fallback")


@test("without cgroup2, and in a pid namespace, it works with fallbacks")
def _():
    found = doctor("unshare", "--mount", "sh", "-c", 'umount -a -t cgroup2; exec "$@"', "sh")
    expect_state(found, "cgroup2", "fallback", found="not mounted")
    expect_state(doctor(), "cgroup2", "ok", found=lambda t: t.startswith("at /"))
    found = doctor("unshare", "--pid", "--fork", "--mount-proc")
    expect_state(found, "pid namespace", "fallback", found="one of its own")
    expect_state(doctor(), "pid namespace", "ok")


@test("without BTF it can't work, and says so")
def _():
    hidden = ("unshare", "--mount", "sh", "-c",
              'mount -t tmpfs none /sys/kernel/btf; exec "$@"', "sh")
    found = doctor(*hidden, status=1)
    expect_state(found, "BTF", "missing", remedy=lambda t: "CONFIG_DEBUG_INFO_BTF" in t)
    expect_state(found, "nslens", "missing")


@test("bpffs: mounted, not mounted and can be, can't be")
def _():
    mounted = ("unshare", "--mount", "sh", "-c",
               'mount -t bpf none /sys/fs/bpf; exec "$@"', "sh")
    expect_state(doctor(*mounted), "bpffs", "ok", found="at /sys/fs/bpf")
    gone = ("unshare", "--mount", "sh", "-c", 'umount -a -t bpf; exec "$@"', "sh")
    expect_state(doctor(*gone), "bpffs", "ok", found=lambda t: "can be" in t)
    found = doctor(*gone, *without("sys_admin"))
    expect_state(found, "bpffs", "fallback", found=lambda t: "can't be" in t)


def without(*capabilities):
    """argv that runs a program as root that lacks @capabilities."""
    text = ",".join("-" + c for c in capabilities)
    return ["setpriv", "--bounding-set", text, "--inh-caps", text]


@test("a missing capability is named; what can't be told without it isn't called missing")
def _():
    found = doctor(*without("net_admin"), status=1)
    expect_state(found, "CAP_NET_ADMIN", "missing", remedy=known, found="not held")
    expect(found["nslens"], {"doctor.state": "missing"}, "the verdict")
    found = doctor(*without("perfmon", "sys_admin"), status=1)
    expect_state(found, "CAP_PERFMON", "missing")
    expect_state(found, "CAP_BPF", "ok")
    expect_state(found, "iterator task_file", "unknown", remedy=None,
                 found=lambda t: "CAP_PERFMON" in t)
    found = doctor(*without("sys_ptrace", "dac_read_search"))
    for name in ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"):
        expect_state(found, name, "fallback", without=known)


@test("without CAP_SYS_ADMIN: a fallback, and what doctor promises holds")
def _():
    found = doctor(*without("sys_admin"))
    expect_state(found, "CAP_SYS_ADMIN", "fallback", without=known, remedy=known, found="not held")
    expect(found["nslens"], {"doctor.state": "ok"}, "the verdict")
    bed = Bed()
    watch = Observe(near=[bed], wrap=without("sys_admin"))
    c, _s = bed.tcp(client={"send": 12, "recv": 0})
    expect(watch.conversation(c), {"source.bytes": 12, "source.process.pid": c["pid"]}, "the close")
    watch.stop()


@test("not root, and root of a user namespace: can't work, and says why")
def _():
    found = doctor("setpriv", "--reuid", "65534", "--clear-groups", status=1)
    for name in ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"):
        expect_state(found, name, "missing")
    expect_state(found, "bpf()", "unknown", found=lambda t: "CAP_BPF" in t)
    found = doctor("unshare", "--user", "--map-root-user", status=1)
    expect_state(found, "user namespace", "missing", found="one of its own")


@test("the text has a line a check, remedies below, the verdict last")
def _():
    p = nslens("doctor")
    same((p.returncode, p.stderr), (0, ""), "status and errors")
    lines = p.stdout.splitlines()
    names = [line[10:].split("  ")[0] for line in lines if not line.startswith(" ")]
    same(names, list(doctor()), "the checks")
    check("works here" in lines[-1], "the verdict", lines[-1])
    p = run("setpriv", "--reuid", "65534", "--clear-groups", NSLENS, "doctor", check_status=False,
            env=environment())
    same(p.returncode, 1, "status without privileges")
    check("missing   CAP_BPF" in p.stdout and "how to get it: run as root" in p.stdout, "remedies",
          p.stdout)


@test("nothing stays: programs and links are as before, and wrong input is one line")
def _():
    def programs():
        p = run("bpftool", "prog", "list", "-j")
        return [x["id"] for x in json.loads(p.stdout) if x.get("name") == "nslens_doctor"]
    doctor()
    wait_for(lambda: not programs(), 5, "its programs are gone")
    p = nslens("doctor", "-o", "yaml")
    same((p.returncode, p.stdout, p.stderr.count("\n")), (2, "", 1), "status, output, lines")


main()
