#!/bin/sh
# Holds the API's description to a public linter's strict rules, where Node is there.
#
# In: orchestrator/api/openapi.json; node and npm 10 or newer, if the machine has them; HARDNODE_OUT (default out).
# Out: what the linter finds; status 1 when it finds anything. A machine without Node, or without the linter's package, is told why it is left out.
# Never: changes the description, or asks any server but npm's.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
dir="$top/${HARDNODE_OUT:-out}/openapi"
if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
  echo "openapi: not linted: this machine has no node and npm (Debian: apt-get install nodejs npm)"
  exit 0
fi
mkdir -p "$dir"
if ! cmp -s "$top/tools/openapi/package-lock.json" "$dir/package-lock.json" || [ ! -e "$dir/node_modules/.bin/redocly" ]; then
  cp "$top/tools/openapi/package.json" "$dir/package.json"
  if ! (cp "$top/tools/openapi/package-lock.json" "$dir/package-lock.json" && cd "$dir" && timeout 120 npm ci --ignore-scripts --no-audit --no-fund) >"$dir/npm.log" 2>&1; then
    rm -f "$dir/package-lock.json"
    echo "openapi: not linted: npm did not bring the linter: $(grep -m1 -i error "$dir/npm.log" || echo "see $dir/npm.log")"
    exit 0
  fi
fi
if ! REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true "$dir/node_modules/.bin/redocly" lint --config "$top/tools/openapi/redocly.yaml" \
  "$top/orchestrator/api/openapi.json" >"$dir/lint.log" 2>&1; then
  cat "$dir/lint.log"
  exit 1
fi
echo "openapi: the description keeps to the linter's strict rules"
