#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What observe is asked for holds with an agent too, or it says that it can't."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403


@once
def agent():
    """One that reads arguments; where all `nslens observe` of this file look for it."""
    process = start([NSLENS, "run", "--state-dir", state_folder()], stdout=subprocess.PIPE)
    check(b"watching" in process.stdout.readline(), "the agent is ready")
    return process


@once
def bed():
    return Bed()


def args_of(*options):
    """The arguments of the processes at both ends of a conversation, and what was said of options."""
    agent()
    watch = Observe(near=[bed()], options=options)
    c, s = bed().tcp(client={"send": 12, "recv": 0})
    close = watch.conversation(c)
    watch.stop()
    same([get(close, side + ".process.pid") for side in ("source", "destination")],
         [c["pid"], s["pid"]], "pids")
    return [get(close, side + ".process.args") for side in ("source", "destination")], watch.stderr()


@test("--no-args: the agent has them, but this reader gets none")
def _():
    args, errors = args_of("--no-args")
    same((args, errors), ([None, None], ""), "arguments, and what it said")


@test("without it the reader gets them")
def _():
    args, errors = args_of()
    check(all(args), "arguments", args)
    same(errors, "", "what it said")


@test("--ring-size, --max-sockets, --udp-idle, --with, --without: one line says that the agent's count")
def _():
    for option in (("--ring-size", "8388608"), ("--max-sockets", "77"), ("--udp-idle", "3s"),
                   ("--with", "all"), ("--without", "io")):
        _args, errors = args_of(*option)
        check(len(errors.splitlines()) == 1 and option[0] in errors, "one line", errors)


@test("status counts its clients in words that fit")
def _():
    agent()
    text = nslens("status").stdout
    check(", 1 client\n" in text, "this command is the one client", text)


main()
