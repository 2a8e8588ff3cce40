#!/bin/sh
# Tries the store of files in a bucket against a real S3 server: versitygw, which keeps
# objects in a folder. It is built once from the Go module proxy, and installs nothing.
set -eu
cd "$(dirname "$0")"

version=v1.8.0
server=${XDG_CACHE_HOME:-$HOME/.cache}/fixdesk/versitygw-$version
if [ ! -x "$server" ]; then
    echo "Building $(basename "$server"), once."
    GOBIN=$server.part GOWORK=off go install github.com/versity/versitygw/cmd/versitygw@$version
    mv "$server.part/versitygw" "$server"
    rmdir "$server.part"
fi
VERSITYGW=$server go run ../../pkg/dev/pgtest/withpg go test -count=1 -timeout 10m -tags servers -run TestRealServerS3 -v ./internal/attachment
