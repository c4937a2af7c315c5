#!/bin/sh
# Makes one cluster of n1, n2 and n3, once. Runs at every `up` and does only what is still missing.
#
# It sees the volumes of all nodes under /form. A node starts when `formed` lies in its data volume (start-node.sh),
# so n1 begins to run while this script waits for it. Nothing is ever deleted: a node folder without `formed` is a
# half-made one that no server has used, and is put aside.
set -eu
umask 077

NODES_JOINING="n2 n3"
ATTEMPTS_MAX=60
TOKEN_FILE=/tmp/join-token # a tmpfs of this container
trap 'rm -f "$TOKEN_FILE" "$TOKEN_FILE.json"' EXIT

say() { echo "form: $*"; }
is_formed() { [ -e "/form/$1/data/formed" ]; }
mark_formed() { sync; : > "/form/$1/data/formed"; }

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

set_aside_half_made() {
  if [ -e "/form/$1/data/node" ]; then
    say "$1: putting aside a half-made node"
    mv "/form/$1/data/node" "/form/$1/data/half-made-$(date +%s)"
  fi
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

# n1 may still be starting, and a cluster that has just gained a member may be without a leader for a moment.
until_done() {
  attempt=1
  until "$@"; do
    [ "$attempt" -lt "$ATTEMPTS_MAX" ] || { say "gave up: $*"; return 1; }
    attempt=$((attempt + 1))
    sleep 1
  done
}

write_token() {
  holdfast member add-token --role voter --output json > "$TOKEN_FILE.json" \
    && node -p 'JSON.parse(fs.readFileSync(0, "utf8")).token' < "$TOKEN_FILE.json" > "$TOKEN_FILE"
}

# Each attempt has a token of its own: the one before may have been used without an answer.
try_join() {
  set_aside_half_made "$1" && write_token && on_node join "$1" --token-file "$TOKEN_FILE"
}

if ! is_formed n1; then
  set_aside_half_made n1
  on_node init n1 --context-file "$HOLDFAST_CONFIG"
  mark_formed n1
  say "n1: first node of a new cluster"
fi

for node in $NODES_JOINING; do
  give_keys "$node"
  is_formed "$node" && continue
  until_done try_join "$node"
  rm -f "$TOKEN_FILE" "$TOKEN_FILE.json"
  mark_formed "$node"
  say "$node: joined"
done
say "done"
