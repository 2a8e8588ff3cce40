#!/bin/sh
# Generates the clients from the OpenAPI documents that the services print.
#
#   generate.sh go                    into go/
#   generate.sh typescript            into typescript/src/
#   generate.sh go|typescript check   fails when what is there differs
#
# OAPI_CODEGEN is the program oapi-codegen; the other generator is in node_modules.
set -eu
cd "$(dirname "$0")"
language=$1
target=gen
[ "$language" = go ] || target=gen-typescript
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

for service in crm notification; do
	go run "fixdesk/services/$service/cmd/$service" openapi >"$new/$service.json"
	case $language in
	go)
		file=go/$service/$service.gen.go
		mkdir -p "$new/go/$service"
		"$OAPI_CODEGEN" -config oapi-codegen.yaml -package "$service" -o "$new/$file" "$new/$service.json"
		;;
	typescript)
		file=typescript/src/$service.gen.ts
		mkdir -p "$new/typescript/src"
		typescript/node_modules/.bin/openapi-typescript "$new/$service.json" -o "$new/$file" \
			--root-types --root-types-no-schema-prefix >/dev/null
		;;
	esac
	if [ "${2-}" = check ]; then
		diff "$file" "$new/$file" || { echo "deploy/client/$file is out of date: make $target" >&2; exit 1; }
	else
		mv "$new/$file" "$file"
	fi
done
