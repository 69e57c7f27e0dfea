#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The gates of the collection, in a copy of the checkout that lies where Ansible wants a collection to lie.
# Arguments name the gates to pass (artefact lint docs changelog units sanity newest integration, or site); without, all but site,
# with integration beside the others: it mostly waits for processes to start, they compute.
set -euo pipefail
cd "$(dirname "$0")/.."
checkout=$PWD
export PATH="$checkout/.venv/bin:$PATH" LC_ALL=C.UTF-8
python=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# Of its tests only pylint leaves the controller alone: Ansible's rules for it forbid the name "_". There ruff is stricter. The built-in
# scripts run on a machine in memory, which has one Python; the rules for shebangs are about those that run in Ansible's.
gate_sanity() {
    python tests/get_pip.py
    (
        cd "$copy"
        ansible-test sanity --python "$python" --skip-test pylint --skip-test shebang
        ansible-test sanity --python "$python" --test shebang --exclude controller/metalwright/scripts/
        ansible-test sanity --python "$python" --test pylint \
            --exclude controller/ --exclude tests/bench/ --exclude tests/controller/ --exclude tests/e2e/ --exclude tests/faults/
    )
}

gate_units() {
    (cd "$copy" && ansible-test units --python "$python" --num-workers 2)
}

# The newest core on the newest Python of this host: units, and sanity of what Ansible runs. How files are written is the same there.
gate_newest() {
    local found version place
    found=$(newest_python)
    if [ -z "$found" ]; then
        echo "There is no Python newer than $python here, so no newer core can be tried."
        return
    fi
    version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    place=$checkout/build/newest-$version
    if [ ! -x "$place/bin/ansible-test" ]; then
        "$found" -m venv "$place"
        "$place/bin/python" -m pip install --quiet --disable-pip-version-check ansible-core pytest pytest-mock pytest-xdist
    fi
    (
        export PATH="$place/bin:$PATH"
        python -c 'from ansible.release import __version__ as core; print("ansible-core", core)'
        python tests/get_pip.py
        cd "$copy"
        ansible-test units --python "$version" --num-workers 2
        ansible-test sanity --python "$version" --skip-test changelog --skip-test pep8 --skip-test yamllint \
            --exclude controller/ --exclude docs/ --exclude packaging/ \
            --exclude tests/bench/ --exclude tests/controller/ --exclude tests/e2e/ --exclude tests/faults/
    )
}

newest_python() {
    local version candidate
    for version in 3.15 3.14 3.13 3.12; do
        [ "$version" != "$python" ] || return 0
        for candidate in "$(command -v "python$version" || true)" "$(of_pyenv "$version")"; do
            if [ -n "$candidate" ] && "$candidate" -c "" 2> /dev/null; then
                echo "$candidate"
                return
            fi
        done
    done
}

of_pyenv() {
    local release
    if release=$(pyenv latest "$1" 2> /dev/null); then
        echo "$(pyenv prefix "$release")/bin/python$1"
    fi
}

gate_integration() {
    (
        cd "$copy"
        python "$checkout/tests/controller/collection/rack.py" tests/integration/integration_config.yml \
            ansible-test integration --python "$python"
    )
}

gate_lint() {
    (cd "$copy" && ansible-lint --offline --strict galaxy.yml meta playbooks plugins roles extensions changelogs tests/integration)
}

gate_docs() {
    (cd "$copy" && antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .)
}

# Not a gate of its own: `make docs-site`. Warnings are none of ours: cross references lead to pages that have to be reached.
gate_site() {
    local site=$checkout/build/site
    rm -rf "$site"
    mkdir -p "$site"
    chmod 755 "$site"
    antsibull-docs sphinx-init --use-current --dest-dir "$site" metalwright.fleet
    sed -i 's/ -W --keep-going//; s/ -W//' "$site/build.sh"
    (cd "$site" && ./build.sh)
    ls "$site/build/html/index.html"
}

gate_changelog() {
    (cd "$copy" && antsibull-changelog lint)
}

# What is published works alone: installed into an empty place, with everything else out of reach.
gate_artefact() {
    local alone=$checkout/build/alone
    local -x ANSIBLE_COLLECTIONS_PATH=$alone
    rm -rf "$alone"
    mkdir -p "$alone"
    ansible-galaxy collection build "$copy" --output-path "$alone" --force
    ls -l "$alone"/*.tar.gz
    tar tzf "$alone"/*.tar.gz
    (
        cd "$alone"
        ansible-galaxy collection install ./*.tar.gz -p "$alone" --offline
        ansible-doc --list --type module metalwright.fleet | cut -d ' ' -f 1 | xargs ansible-doc --json --type module > modules.json
        ansible-doc --json --type inventory metalwright.fleet.machines > inventory.json
        ansible-doc --json --type role --list metalwright.fleet > roles.json
        grep -q '"metalwright.fleet.controller"' roles.json
        for playbook in "$copy"/playbooks/*.yml; do
            ansible-playbook --syntax-check -i localhost, -e target=localhost -e metalwright_image=x \
                "metalwright.fleet.$(basename "$playbook" .yml)"
        done
    )
}

# Copies what git knows to build/NAME; ANSIBLE_COLLECTIONS_PATH and $copy lead there.
copy_to() {
    export ANSIBLE_COLLECTIONS_PATH="$checkout/build/$1"
    copy=$ANSIBLE_COLLECTIONS_PATH/ansible_collections/metalwright/fleet
    rm -rf "$copy"
    git init -q "$copy" # a repository of its own: in ours, ansible-test would see nothing but an ignored directory
    git ls-files -co --exclude-standard -z | while IFS= read -r -d '' file; do
        if [ -e "$file" ]; then printf '%s\0' "$file"; fi
    done | tar c --null -T - | tar x -C "$copy"
}

pass() {
    local gate began
    for gate in "$@"; do
        echo "== $gate"
        began=$SECONDS
        "gate_$gate"
        echo "== $gate passed in $((SECONDS - began)) s"
    done
}

if [ $# -gt 0 ]; then
    copy_to collection
    pass "$@"
    exit
fi
beside=$checkout/build/integration.log
mkdir -p build
(
    copy_to integration
    pass integration
) > "$beside" 2>&1 &
trap 'kill $! 2> /dev/null || true' EXIT
copy_to collection
pass artefact lint docs changelog units sanity newest
echo "== integration, until it has ended"
if wait $!; then
    tail -n 1 "$beside"
else
    cat "$beside"
    exit 1
fi
