#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Processes that share sockets: actor.py ROLE [JSON].

Each role prints one JSON object a line, as talk does: "ready" first, and what it did, with the pid
of the process that did it. It pauses where it says "paused", until a line comes on stdin.
"""
import array
import ctypes
import json
import os
import select
import socket
import struct
import sys
import threading

ROLES = {}
SECONDS = 15


def role(function):
    ROLES[function.__name__] = function
    return function


def say(event, **fields):
    """One write() a line: several processes share the pipe."""
    os.write(1, (json.dumps({"event": event, "pid": os.getpid(), **fields}) + "\n").encode())


def ports(sock):
    return {"local": {"port": sock.getsockname()[1]}, "remote": {"port": sock.getpeername()[1]}}


def pause(**fields):
    say("paused", **fields)
    os.read(0, 1)


def child(function, *args):
    """Fork a process that calls function(*args) and ends. Returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        function(*args)
    except BaseException as e:  # pylint: disable=broad-except
        os.write(2, f"actor: {e!r}\n".encode())
        os._exit(1)
    os._exit(0)


def child_alone(sock, function):
    """A child that calls function() as soon as it has the only descriptor of @sock."""
    r, w = os.pipe()

    def alone():
        os.close(w)
        os.read(r, 1)
        function()
    pid = child(alone)
    sock.close()
    os.close(w)
    os.close(r)
    return pid


def join(*pids):
    for pid in pids:
        if os.waitpid(pid, 0)[1]:
            sys.exit("actor: a child failed")


def listener(ip, port=0, backlog=64, reuseport=False):
    s = socket.socket()
    s.settimeout(SECONDS)
    if reuseport:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((ip, port))
    s.listen(backlog)
    return s


def accept(s):
    conn = s.accept()[0]
    conn.settimeout(SECONDS)
    return conn


def connect(ip, port):
    s = socket.create_connection((ip, port), SECONDS)
    return s


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def serve(conn, **fields):
    """Echo until the peer ends; say so, and close."""
    there = ports(conn)
    while data := conn.recv(100):
        conn.sendall(data)
    say("served", **there, **fields)
    conn.close()


def send_socket(channel, sock):
    channel.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))])


def receive_socket(channel):
    _, fds, _, _ = socket.recv_fds(channel, 1, 1)
    sock = socket.socket(fileno=fds[0])
    sock.settimeout(SECONDS)
    return sock


# --- who serves what was accepted --------------------

@role
def prefork(ip, workers, count):
    """@workers processes accept from one listener, and serve @count connections each."""
    s = listener(ip)

    def work():
        for _ in range(count):
            serve(accept(s))
    pids = [child(work) for _ in range(workers)]
    say("ready", local={"port": s.getsockname()[1]})
    join(*pids)


@role
def handed(ip):
    """The parent accepts and reads one byte; a child, forked then, does the rest."""
    s = listener(ip)
    say("ready", local={"port": s.getsockname()[1]})
    conn = accept(s)
    conn.recv(1)
    join(child_alone(conn, lambda: serve(conn)))


@role
def group(ip, members, workers=False):
    """SO_REUSEPORT: each of @members processes has a listener of its own; with @workers a child of
    each accepts and serves. Until stdin ends."""
    first = listener(ip, reuseport=True)
    port = first.getsockname()[1]
    ready_r, ready_w = os.pipe()

    def accept_all(s, opener):
        while True:
            if select.select([s, 0], [], [], SECONDS)[0] != [s]:
                return
            conn = s.accept()[0]
            conn.settimeout(SECONDS)
            serve(conn, opener=opener)

    def member():
        s = listener(ip, port, reuseport=True)
        first.close()
        os.write(ready_w, b"x")
        if workers:
            join(child(accept_all, s, os.getpid()))
        else:
            accept_all(s, os.getpid())
    pids = [child(member) for _ in range(members)]
    got = b""
    while len(got) < members:
        got += os.read(ready_r, 100)
    first.close()
    say("ready", local={"port": port})
    join(*pids)


@role
def untouched(ip, how):
    """A worker accepts and never touches the socket; @how it ends: "peer" waits, "close", "exit"."""
    s = listener(ip)

    def work():
        conn = accept(s)
        there = ports(conn)
        if how == "peer":
            pause(**there)
        else:
            select.select([conn], [], [], SECONDS)
            say("done", **there)
        if how == "close":
            conn.close()
    pid = child(work)
    say("ready", local={"port": s.getsockname()[1]})
    join(pid)


# --- who uses what another connected --------------------

@role
def passed(ip, port, in_flight=False):
    """One process connects and sends two bytes, another gets the socket by SCM_RIGHTS and does the
    rest; @in_flight: the first has ended before the second receives it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ended_r, ended_w = os.pipe()

    def first():
        theirs.close()
        s = connect(ip, port)
        s.sendall(b"12")
        say("opened", **ports(s))
        send_socket(ours, s)
        s.close()

    def second():
        ours.close()
        os.close(ended_w)
        if in_flight:
            os.read(ended_r, 1)
        s = receive_socket(theirs)
        os.read(ended_r, 1)
        s.sendall(b"345")
        say("done", **ports(s))
        s.close()
    say("ready")
    pids = [child(second), child(first)]
    ours.close()
    theirs.close()
    os.waitpid(pids[1], 0)
    os.close(ended_w)
    join(pids[0])


@role
def collected(ip, port, udp_port):
    """A TCP and a UDP socket that are only in flight, to nobody, until the kernel collects them."""
    tcp = connect(ip, port)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect((ip, udp_port))
    say("ready")
    tcp.sendall(b"12345")
    udp.send(b"123")
    say("done", **ports(tcp), udp=ports(udp))
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for s in (tcp, udp, a, b):
        send_socket(a, s)
        send_socket(b, s)
    for s in (tcp, udp, a, b):
        s.close()
    pause()
    # A new pair in flight makes the kernel look for those that nobody can reach.
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    send_socket(a, a)
    for s in (a, b):
        s.close()
    pause()


def become_shell(sock, script):
    os.dup2(sock.fileno(), 3)
    os.set_inheritable(3, True)
    os.execv("/bin/sh", ["sh", "-c", script])


@role
def becomes(ip, port, script):
    """Connects, sends two bytes, and becomes a shell that has the socket as descriptor 3."""
    s = connect(ip, port)
    s.settimeout(None)
    say("ready")
    s.sendall(b"12")
    say("done", **ports(s))
    become_shell(s, script)


@role
def spawns(ip, script):
    """Accepts, and has a child become a shell that has the socket as descriptor 3."""
    s = listener(ip)
    say("ready", local={"port": s.getsockname()[1]})
    conn = accept(s)
    conn.settimeout(None)
    there = ports(conn)

    def become():
        say("served", **there)
        become_shell(conn, script)
    join(child_alone(conn, become))


@role
def threads(ip, port):
    """One thread listens and serves, others connect, send and receive."""
    s = []

    def in_thread(function):
        t = threading.Thread(target=function)
        t.start()
        t.join()
    say("ready")
    in_thread(lambda: s.append(connect(ip, port)))
    in_thread(lambda: s[0].sendall(b"12345"))
    in_thread(lambda: s[0].recv(5, socket.MSG_WAITALL))
    tids = []
    in_thread(lambda: tids.append(threading.get_native_id()))
    say("done", tid=tids[0], **ports(s[0]))
    in_thread(s[0].close)


@role
def fastopen_server(ip):
    """Takes data with the SYN; a child accepts and serves."""
    s = socket.socket()
    s.settimeout(SECONDS)
    s.bind((ip, 0))
    s.setsockopt(socket.IPPROTO_TCP, 23, 16)    # TCP_FASTOPEN
    s.listen(16)
    pid = child(lambda: serve(accept(s)))
    say("ready", local={"port": s.getsockname()[1]})
    join(pid)


@role
def fastopen_client(ip, port):
    s = socket.socket()
    say("ready")
    s.sendto(b"12345", socket.MSG_FASTOPEN, (ip, port))
    s.recv(5, socket.MSG_WAITALL)
    say("done", **ports(s))
    s.close()


# --- connect() that fails --------------------

@role
def fails(ip, port, good, how=""):
    """Connects to where there is no route; @how: "again" twice, then to a good port of @good;
    "nonblocking"; "exit" without a close."""
    s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
    s.setblocking(how != "nonblocking")
    say("ready")
    errors = [s.connect_ex((ip, port)) for _ in range(2 if how == "again" else 1)]
    if how == "again":
        s.connect(tuple(good))
    say("done", errors=errors, **(ports(s) if how == "again" else {}))
    if how == "exit":
        os._exit(0)
    s.close()
    pause()


# --- datagrams --------------------

@role
def turns(ip, port):
    """A UDP socket that three processes use in turn, each when told."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(SECONDS)
    s.connect((ip, port))
    say("ready")

    def send():
        pause(**ports(s))
        s.send(b"123")
        pause(**ports(s))

    def receive():
        pause(**ports(s))
        s.recv(100)
        pause(**ports(s))
    for use in (send, receive):
        join(child(use))
    send()
    s.close()


# --- sockets that are there before nslens --------------------

@role
def own_table(ip, port):
    """A thread with a descriptor table of its own has the only descriptor of a connection."""
    say("ready")
    go = threading.Event()

    def work():
        if ctypes.CDLL(None, use_errno=True).unshare(0x400):  # CLONE_FILES
            sys.exit("unshare(CLONE_FILES) failed")
        s = connect(ip, port)
        s.sendall(b"12345")
        say("done", **ports(s))
        go.wait()
        s.close()
    t = threading.Thread(target=work)
    t.start()
    pause()
    go.set()
    t.join()


@role
def backlog(ip):
    """Has connections wait in the backlog; when told, accepts and serves one, then ends."""
    s = listener(ip)
    say("ready", local={"port": s.getsockname()[1]})
    pause()
    serve(accept(s))
    pause()


@role
def floating(ip, port):
    """A connection in flight by SCM_RIGHTS; when told, another process takes and uses it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s = connect(ip, port)
    s.sendall(b"12")
    say("ready")
    say("done", **ports(s))
    send_socket(ours, s)
    s.close()
    pause()

    def second():
        mine = receive_socket(theirs)
        mine.sendall(b"345")
        say("used", **ports(mine))
        mine.close()
    join(child(second))


@role
def orphan(ip, port, n):
    """Writes more than the peer takes, and ends: the kernel sends the rest."""
    s = connect(ip, port)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * n)
    say("ready")
    s.sendall(b"x" * n)
    say("done", **ports(s))
    s.close()
    pause()


# --- noise --------------------

@role
def spin(cpu):
    """Burns one CPU, and has nothing to do with any socket."""
    os.sched_setaffinity(0, {cpu})
    say("ready")
    while not select.select([0], [], [], 0)[0]:
        for _ in range(20000):
            pass


def main():
    arguments = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    ROLES[sys.argv[1]](**arguments)


main()
