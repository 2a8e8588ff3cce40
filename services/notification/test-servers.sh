#!/bin/sh
# Tries the way in with servers that nobody here wrote: Debian's Postfix hands mail in
# by LMTP, Dovecot serves a mailbox by IMAP. Run it as root on a Debian that is there
# to be thrown away, such as a container.
set -eu
cd "$(dirname "$0")"

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "test-servers installs mail servers: run it as root on Debian, best in a container" >&2
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
apt-get update -qq
apt-get install -y -qq --no-install-recommends postfix dovecot-imapd >/dev/null
go test -count=1 -timeout 10m -tags smtpserver -run 'TestRealServer(PostfixHands|PostfixReturns|Dovecot)' -v ./internal/app
