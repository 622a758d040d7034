#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""shellcheck has nothing to say about any shell script."""
import re
import shutil
import subprocess
import sys

import rule

SHEBANG = re.compile(r"#!\s*/(usr/)?bin/(env )?(ba|da)?sh\b")


def is_script(tree, path):
    with open(tree.full(path), "rb") as f:
        return bool(SHEBANG.match(f.readline(100).decode(errors="replace")))


def check(tree):
    paths = [p for p in tree.paths if p.endswith(".sh") or is_script(tree, p)]
    if not paths:
        return
    out = subprocess.run(["shellcheck", "-x", "-f", "gcc", *paths], cwd=tree.root,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    for line in out.stdout.decode().splitlines():
        found = re.match(r"([^:]+):(\d+):\d+: (.*)", line)
        yield (found[1], int(found[2]), found[3]) if found else ("shellcheck", 0, line)


if not shutil.which("shellcheck"):
    print("1..0 # SKIP shellcheck is not installed")
    sys.exit(0)
rule.main("shellcheck is content", check, {"a.sh": '#!/bin/sh\nset -eu\necho "$1"\n'}, {
    "an unquoted variable": {"a.sh": "#!/bin/sh\nrm $1\n"},
    "a bashism in a script without a suffix": {"test/a": "#!/bin/sh\n[[ $1 ]]\n"},
})
