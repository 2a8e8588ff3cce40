#!/bin/sh
# Writes crm.sql.gz, notification.sql.gz and revision: the databases of both services
# as the programs of a commit fill them, which the test of an upgrade restores. Run it
# for the commit of each release, not in the first two hours of a day (UTC), when
# reports have no hours yet.
#
#   deploy/upgrade/dump.sh REVISION
set -eu
[ $# -eq 1 ] || { echo "usage: deploy/upgrade/dump.sh REVISION" >&2; exit 2; }
cd "$(dirname "$0")/../.."
revision=$(git rev-parse --verify "$1^{commit}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
git archive "$revision" | tar -x -C "$work/source"
(cd "$work/source" && go build -buildvcs=false -o "$work/bin/" fixdesk/services/crm/cmd/crm fixdesk/services/notification/cmd/notification)
FIXDESK_TEST_DUMP=$work/bin go test -count=1 -timeout=15m -run '^TestDumpOfARelease$' ./deploy/local/internal/faulttest
echo "$revision" >deploy/upgrade/revision
