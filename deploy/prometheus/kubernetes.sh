#!/bin/sh
# Prints the rules as a PrometheusRule of the Prometheus operator.
set -eu
cd "$(dirname "$0")"
cat <<'END'
# Generated from deploy/prometheus/fixdesk.rules.yml by make gen.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: fixdesk
spec:
END
sed -n '/^groups:/,$p' fixdesk.rules.yml | sed 's/^\(.\)/  \1/'
