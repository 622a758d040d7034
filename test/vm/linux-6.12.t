#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the prog and netns rungs under Debian's kernel 6.12."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import machine  # noqa: E402

machine.main("6.12")
