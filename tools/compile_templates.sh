#!/bin/sh
# Where the Bicep compiler is installed: build and lint every template and every parameter file. Its warnings are errors.
set -eu
cd "$(dirname "$0")/.."
command -v bicep >/dev/null || { echo "No bicep on the PATH: the templates were not compiled."; exit 0; }
failed=0
check() {
    if ! said=$("$@" 2>&1 >/dev/null) || [ -n "$said" ]; then
        printf '%s\n%s\n' "$*" "$said"
        failed=1
    fi
}
for file in infra/*.bicep infra/modules/*.bicep; do
    check bicep build --stdout "$file"
    check bicep lint "$file"
done
for file in infra/*.bicepparam infra/environments/*.bicepparam; do
    check bicep build-params --stdout "$file"
done
exit $failed
