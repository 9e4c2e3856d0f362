"""`python -m parallax`: the program."""

from __future__ import annotations

import os
import subprocess
import sys

from ._program import program

if __name__ == "__main__":
    if sys.platform == "win32":
        sys.exit(subprocess.call([program(), *sys.argv[1:]]))
    os.execv(program(), [program(), *sys.argv[1:]])
