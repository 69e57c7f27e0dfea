# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets ansible-test make its environments where the get-pip.py that it downloads can not be reached.

ansible-test looks for that file in its cache first. Here Python's own ensurepip takes its place there.
"""

import importlib.util
import pathlib
import re
import urllib.request

STAND_IN = """\
import subprocess
import sys

arguments = [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip"])
subprocess.check_call([sys.executable, "-m", "pip", "install", *arguments])
subprocess.check_call([sys.executable, "-m", "pip", "uninstall", "-qy", "setuptools"])
"""

package = pathlib.Path(importlib.util.find_spec("ansible_test").submodule_search_locations[0])
version = re.search(r"pip='([0-9.]+)'", (package / "_internal/python_requirements.py").read_text())[1]
address = re.search(r"'(https://[^']*get-pip-%s\.py)'", (package / "_util/target/setup/requirements.py").read_text())[1]
cached = pathlib.Path("~/.ansible/test/cache").expanduser() / f"get_pip_{version.replace('.', '_')}.py"
if not cached.exists():
    try:
        urllib.request.urlopen(address % version, timeout=10).close()
    except OSError:
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(STAND_IN)
