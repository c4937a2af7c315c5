#!/bin/sh
# Makes one cluster of n1, n2 and n3, once. Runs at every `up` and does only what is still missing.
#
# It sees the volumes of all nodes under /form. A node starts as soon as its identity lies in its data volume
# (start-node.sh), so n1 begins to run while this script waits for it. Identities are written last of all, so
# whatever is cut off here is done again at the next start.
set -eu
umask 077

NODES_JOINING="n2 n3"
ATTEMPTS_MAX=60
TOKEN_FILE=/tmp/join-token # a tmpfs of this container
trap 'rm -f "$TOKEN_FILE" "$TOKEN_FILE.json"' EXIT

say() { echo "form: $*"; }
is_made() { [ -e "/form/$1/data/node/identity.json" ]; }

# on_node COMMAND NAME [FLAG...]: an offline command with that node's folders and addresses
on_node() {
  command=$1 name=$2
  shift 2
  holdfast "$command" --name "$name" \
    --data-dir "/form/$name/data/node" \
    --control-key-path "/form/$name/keys/secret-control.json" \
    --jwt-secret-path "/form/$name/keys/secret-jwt.json" \
    --listen-api 0.0.0.0:7440 --listen-peer 0.0.0.0:7441 \
    --advertise-api "$name:7440" --advertise-peer "$name:7441" "$@"
}

# Each node has key files of its own, since a change of the control key writes them.
give_keys() {
  for file in secret-control.json secret-jwt.json; do
    if [ ! -e "/form/$1/keys/$file" ]; then
      cp "/form/n1/keys/$file" "/form/$1/keys/$file.new"
      chmod 0600 "/form/$1/keys/$file.new"
      mv "/form/$1/keys/$file.new" "/form/$1/keys/$file"
    fi
  done
}

write_token() {
  holdfast member add-token --role voter --output json > "$TOKEN_FILE.json" \
    && node -p 'JSON.parse(fs.readFileSync(0, "utf8")).token' < "$TOKEN_FILE.json" > "$TOKEN_FILE"
}

# Each attempt has a token of its own: the one before may have been used without an answer.
try_join() {
  write_token && on_node join "$1" --token-file "$TOKEN_FILE"
}

# n1 may still be starting, and a cluster that has just gained a member may be without a leader for a moment.
until_done() {
  attempt=1
  until "$@"; do
    [ "$attempt" -lt "$ATTEMPTS_MAX" ] || { say "gave up: $*"; return 1; }
    attempt=$((attempt + 1))
    sleep 1
  done
}

if ! is_made n1; then
  # What it prints holds the first password, which has no place in the log of a container; access reset-admin makes another.
  on_node init n1 --context-file "$HOLDFAST_CONFIG" > /dev/null
  say "n1: first node of a new cluster"
fi

for node in $NODES_JOINING; do
  give_keys "$node"
  is_made "$node" && continue
  until_done try_join "$node"
  rm -f "$TOKEN_FILE" "$TOKEN_FILE.json"
  say "$node: joined"
done
say "done"
