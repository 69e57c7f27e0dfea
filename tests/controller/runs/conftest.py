# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that really lets people in by SSH, and a controller that may run playbooks on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ssh_machine import NAP, SshMachine

sys.path.append(str(Path(__file__).parent.parent / "serve"))
from running_controller import free_port

from metalwright.config import Node, Runs, Settings

PLAYBOOKS = {
    "site": """
- hosts: all
  gather_facts: false
  tasks:
    - name: Say what was given
      ansible.builtin.raw: "echo {{ (greeting ~ ' to ' ~ metalwright_machine.name ~ ' from ' ~ password) | quote }}"
      register: said
      changed_when: true
    - name: Show it
      ansible.builtin.debug:
        var: said.stdout
""",
    "broken": """
- hosts: all
  gather_facts: false
  tasks:
    - name: Install nginx
      ansible.builtin.raw: echo {{ password | quote }}; exit 3
""",
    "long": """
- hosts: all
  gather_facts: false
  tasks:
    - name: Leave the session, the environment and the parent
      ansible.builtin.shell: |
        env -i setsid sh -c 'sleep @NAP@ & sleep @NAP@' &
        setsid sleep @NAP@
      delegate_to: localhost
      vars:
        ansible_connection: local
        ansible_python_interpreter: "{{ ansible_playbook_python }}"
""",
    "twice": """
- hosts: all
  gather_facts: false
  tasks:
    - name: Hold the first run up
      ansible.builtin.shell: test -e {{ mark | quote }} || { touch {{ mark | quote }}; sleep @NAP@; }
      delegate_to: localhost
      vars:
        ansible_connection: local
        ansible_python_interpreter: "{{ ansible_playbook_python }}"
""",
}


@pytest.fixture(scope="session")
def ssh_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshMachine]:
    with SshMachine(tmp_path_factory.mktemp("machine"), free_port()) as machine:
        yield machine


@pytest.fixture
def settings(tmp_path: Path, ssh_machine: SshMachine) -> Settings:
    directory = tmp_path / "playbooks"
    directory.mkdir()
    for name, text in PLAYBOOKS.items():
        (directory / f"{name}.yml").write_text("---" + text.replace("@NAP@", str(NAP)))
    runs = Runs(playbooks_dir=directory, ssh_key=ssh_machine.key, ssh_user="root", ssh_port=ssh_machine.port)
    (tmp_path / "run").mkdir()
    return Settings(data_dir=tmp_path, node=Node(url="http://10.77.0.1:5248"), runs=runs)


@pytest.fixture(autouse=True)
def nothing_is_left(settings: Settings) -> Iterator[None]:
    """However a run ends: no process of it, and no file."""
    yield
    left = subprocess.run(["pgrep", "-f", f"^sleep {NAP}"], capture_output=True, text=True).stdout
    assert left == ""
    assert not settings.runs_dir.exists() or list(settings.runs_dir.iterdir()) == []
