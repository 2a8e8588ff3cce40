#!/bin/sh
# Prints what a build links in: the version, the revision and the commit's time in
# seconds, on a line each. FIXDESK_VERSION and FIXDESK_REVISION override Git.
set -eu
cd "$(dirname "$0")/.."
time=$(git log -1 --format=%ct 2>/dev/null || echo 0)
version=${FIXDESK_VERSION:-$(git describe --tags --dirty 2>/dev/null ||
	TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M%S --format=0.0.0-%cd-%h --abbrev=12 2>/dev/null || echo dev)}
revision=${FIXDESK_REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
printf '%s\n%s\n%s\n' "${version#v}" "$revision" "$time"
