#!/bin/sh
# Tries the service against mail servers that nobody here wrote: Debian's
# Postfix and OpenSMTPD. The two can't be installed together, so that one
# replaces the other: run it as root on a Debian that is there to be thrown
# away, such as a container.
set -eu
cd "$(dirname "$0")"

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "test-smtp installs mail servers: run it as root on Debian, best in a container" >&2
    exit 1
fi

# No package may start its daemon: the tests start their own, on free ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
try() { # the test's name, then the packages it needs
    name=$1
    shift
    # shellcheck disable=SC2016 # dpkg-query's own format
    if [ "$(dpkg-query -W -f '${db:Status-Status}\n' "$@" 2>/dev/null | grep -c '^installed$')" != $# ]; then
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    fi
    go test -count=1 -timeout 5m -tags smtpserver -run "TestRealServer$name" -v ./internal/app
}
go test -count=1 -tags python -run Python ./internal/email # another parser of mail
try Postfix postfix sasl2-bin libsasl2-modules
try OpenSMTPD opensmtpd
