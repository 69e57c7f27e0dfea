#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The gates of the collection, in a copy of the checkout that lies where Ansible wants a collection to lie.
# Arguments name the gates to pass (artefact lint docs changelog units integration sanity, or site); without, all but site.
set -euo pipefail
cd "$(dirname "$0")/.."
checkout=$PWD
tree=$checkout/build/collection
copy=$tree/ansible_collections/metalwright/fleet
export PATH="$checkout/.venv/bin:$PATH" ANSIBLE_COLLECTIONS_PATH="$tree" LC_ALL=C.UTF-8
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
            --exclude controller/ --exclude tests/bench/ --exclude tests/controller/ --exclude tests/e2e/
    )
}

gate_units() {
    python -m pytest -q -p no:cacheprovider -c /dev/null --rootdir tests/unit tests/unit
    (cd "$copy" && ansible-test units --python "$python" --num-workers 2)
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
    mkdir -p -m 755 "$site"
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
    rm -rf "$alone"
    mkdir -p "$alone"
    ansible-galaxy collection build "$copy" --output-path "$alone" --force
    ls -l "$alone"/*.tar.gz
    tar tzf "$alone"/*.tar.gz
    (
        cd "$alone"
        export ANSIBLE_COLLECTIONS_PATH="$alone"
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

rm -rf "$copy"
git init -q "$copy" # a repository of its own: in ours, ansible-test would see nothing but an ignored directory
git ls-files -co --exclude-standard -z | while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done | tar c --null -T - | tar x -C "$copy"

[ $# -gt 0 ] || set -- artefact lint docs changelog units integration sanity
for gate in "$@"; do
    echo "== $gate"
    "gate_$gate"
done
