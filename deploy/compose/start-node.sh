#!/bin/sh
# Runs this container's node, as soon as form-cluster.sh has made it. Settings come from HOLDFAST_* variables.
set -eu
until [ -e "$HOLDFAST_DATA_DIR/identity.json" ]; do sleep 0.5; done
exec holdfast server
