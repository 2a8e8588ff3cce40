#!/bin/sh
# Tries the scanning of files against Debian's clamd, with a signature of the test's
# own. It installs packages: run it as root on a Debian that is there to be thrown
# away, such as a container.
set -eu
cd "$(dirname "$0")"

if ! command -v clamd >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "test-clamd installs clamav-daemon: run it as root on Debian, best in a container" >&2
        exit 1
    fi
    # The package may not start its daemon: the test starts its own, on a free port.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends clamav-daemon >/dev/null
fi
go run ../../pkg/dev/pgtest/withpg go test -count=1 -timeout 5m -tags servers -run TestRealServerClamd -v ./internal/attachment
