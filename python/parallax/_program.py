"""Where the program is that was installed with this package."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig


def program() -> str:
    """The path of `parallax`: beside this package's scripts, else on the PATH."""
    name = "parallax.exe" if sys.platform == "win32" else "parallax"
    user = sysconfig.get_preferred_scheme("user") if sys.version_info >= (3, 10) else f"{os.name}_user"
    folders = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", scheme=user)]
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    found = shutil.which("parallax")
    if found is None:
        raise FileNotFoundError(f"no program `parallax` in {' or '.join(folders)}, nor on the PATH")
    return found
