#!/bin/sh
# Builds the launcher and both services into bin/, or the folder FIXDESK_BIN,
# with one go build. A build that takes longer than a few seconds reports its
# progress.
set -eu
cd "$(dirname "$0")/../.."
bin=${FIXDESK_BIN:-bin}

if ! command -v go >/dev/null; then
	echo "The go command is not in PATH. Fixdesk needs Go 1.26 or later: https://go.dev/dl" >&2
	exit 1
fi

targets="./deploy/local ./services/crm/cmd/crm ./services/notification/cmd/notification"
total=
if [ ! -x "$bin/local" ]; then
	echo "Building Fixdesk. The first build also compiles every library: that takes a"
	echo "minute or more, once. Later starts take seconds."
	total=" of about 370"
fi

# go build -v prints a line for each module that it downloads and for each
# package that it compiles. Both kinds of line go to the log.
log=$(mktemp)
report() {
	seconds=0
	while sleep 1 >/dev/null 2>&1; do
		seconds=$((seconds + 1))
		[ $((seconds % ${BUILD_REPORT_SECONDS:-5})) -eq 0 ] || continue
		modules=$(grep -c '^go: downloading ' "$log" || true)
		packages=$(grep -c '^[a-z0-9][^ :]*$' "$log" || true)
		echo "  ${seconds} s: ${packages}${total} packages compiled, ${modules} modules downloaded"
	done
}
report &
reporter=$!
trap 'kill $reporter 2>/dev/null || true; rm -f "$log"' EXIT
trap 'exit 130' INT TERM HUP

{ read -r version && read -r revision; } <<END
$(deploy/version.sh)
END
ldflags="-w -X fixdesk/pkg/version.release=$version -X fixdesk/pkg/version.revision=$revision"

# shellcheck disable=SC2086 # the targets are several words
if ! go build -v -buildvcs=false -ldflags="$ldflags" -o "$bin/" $targets 2>"$log"; then
	grep -v -e '^go: downloading ' -e '^[a-z0-9][^ :]*$' "$log" >&2 || true
	echo "Fixdesk can't be built; the reason is above." >&2
	exit 1
fi
