#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Filters on live traffic: each field lets through what it names, and nothing else."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403


@once
def bed():
    return Bed(named=True)


@once
def other():
    """Where the traffic comes from that must not be shown."""
    return Bed()


def compare(words, yes, no, options=()):
    """With the filter @words: yes() is shown, no() isn't. Both return a client's 'done' line. no() is
    called before yes(), so that its events would be there when those of yes() are."""
    watch = Observe(words, near=[bed(), other()], options=options)
    unwanted = no()
    wanted = yes()
    watch.wait(by_ports(wanted, "close"), what=f"the close that '{words}' lets through")
    same(watch.all(by_ports(unwanted)), [], f"events that '{words}' must not let through")
    watch.stop()


def tcp(one=None, ip=None, server=None, **client):
    one = one or bed()
    return one.tcp(ip, server, client={"send": 1, "recv": 0, **client})[0]


def other_tcp():
    return tcp(other())


def udp():
    s = bed().b.ns.talk("udp-server", ip=bed().b.ip4)
    c = bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=s.port)
    s.wait()
    return c.wait()[0]


def copied_talk(argv_before=()):
    """A conversation by a copy of talk under another name."""
    path = os.path.join(public_folder(), "speaker")
    shutil.copy(TALK, path)
    s = bed().b.ns.talk("tcp-server", ip=bed().b.ip4)
    options = talk_args("tcp-client", {"ip": bed().b.ip4, "port": s.port, "send": 1, "recv": 0})
    c = Talk(bed().a.ns.enter(*argv_before, path, *options[1:]))
    s.wait()
    return c.wait()[0]


@test("process: by name, and by a glob of the path")
def _():
    compare("process = speaker", copied_talk, tcp)
    compare("source.process = */speaker and not destination.process = speaker", copied_talk, tcp)


@test("pid")
def _():
    server = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, count=2)
    client = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=server.port, send=1, recv=0, count=2,
                             pause="close")
    client.expect("paused")

    def second():
        client.go()
        client.expect("paused", 2)
        client.go()
        return client.wait()[1]
    compare(f"pid = {client.pid}", second, tcp)


@test("uid")
def _():
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    compare("uid = 65534", lambda: copied_talk(nobody), tcp)


@test("netns: by name, cookie and inode")
def _():
    compare(f"netns = {bed().a.ns.name}", tcp, other_tcp)
    compare(f"source.netns = {bed().a.ns.cookie}", tcp, other_tcp)
    compare(f"netns = {bed().b.ns.inode}", tcp, other_tcp)


@test("ip: an address, a prefix, IPv6")
def _():
    compare(f"ip = {bed().a.ip4}", tcp, other_tcp)
    compare(f"ip = {bed().net4}", tcp, other_tcp)
    compare(f"source.ip = {bed().net6}", lambda: tcp(ip=bed().b.ip6), other_tcp)


@test("port")
def _():
    compare("destination.port = 7", lambda: tcp(server={"port": 7}), tcp)
    compare("source.port = 4321", lambda: tcp(from_port=4321), tcp)


@test("transport")
def _():
    compare("transport = udp", udp, tcp)
    compare("transport = tcp", tcp, udp)


@test("action")
def _():
    watch = Observe("action = close", near=[bed()])
    line = tcp()
    watch.conversation(line)
    same({get(e, "event.action") for e in watch.all(by_ports(line))}, {"close"}, "actions shown")
    watch.stop()


@test("direction: local, and out where only the source is seen here")
def _():
    def refused():
        return bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=9).wait()[0]
    compare("direction = local", tcp, refused)
    watch = Observe("direction = out and action = fail", near=[bed()])
    tcp()
    watch.wait(by_ports(refused(), "fail"), what="the fail")
    watch.stop()


@test("device")
def _():
    def on_loopback():
        s = bed().a.ns.talk("tcp-server", ip="127.0.0.1")
        c = bed().a.ns.talk("tcp-client", ip="127.0.0.1", port=s.port, send=1, recv=0)
        s.wait()
        return c.wait()[0]
    compare("device = v? and not device = lo", tcp, on_loopback)


@test("!=, and, or, not, parentheses")
def _():
    a, b = bed().a.ip4, other().a.ip4
    compare(f"ip != {b} and (ip = {a} or ip = {b})", tcp, other_tcp)
    compare(f"not (ip = {b} or transport = udp) and netns = {bed().a.ns.cookie}", tcp, udp)


@test("filters in several words of the command line are one")
def _():
    watch = Observe("ip", "=", bed().a.ip4, "and", "transport=tcp", near=[bed(), other()])
    unwanted, wanted = other_tcp(), tcp()
    watch.conversation(wanted)
    same(watch.all(by_ports(unwanted)), [], "events of the other bed")
    watch.stop()


@test("a wrong filter: status 2, nothing on stdout, one line with column and what was expected")
def _():
    for words, column, expected in (
            ("port = ", 8, "port"), ("prot = 1", 1, "field"), ("port = 1 and", 13, ""),
            ("(port = 1", 10, ")"), ("port = x", 8, "port"), ("ip = 10.0.0.0/33", 6, "IP address"),
            ("port ~ 1", 6, "="), ("transport = tpc", 13, "tcp"), ("port = 1 pid = 2", 10, "and")):
        p = nslens("observe", words)
        same((p.returncode, p.stdout), (2, ""), f"status and output of '{words}'")
        lines = p.stderr.splitlines()
        check(len(lines) == 1 and lines[0].startswith("nslens observe: "), "one line", p.stderr)
        check(re.search(rf"\bcolumn {column}\b", p.stderr), f"column {column} of '{words}'", p.stderr)
        check(expected in p.stderr, f"'{words}': it names '{expected}'", p.stderr)


main()
