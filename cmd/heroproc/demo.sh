#!/usr/bin/env bash
# What `make run` shows: heroproc at work in a temporary home, with a kill -9 of
# its daemon in the middle, after which nothing is lost.
#
# usage: demo.sh path/to/heroproc
set -euo pipefail

binary=$(realpath "$1")
cd "$(dirname "$0")/examples"
HEROPROC_HOME=$(mktemp -d -t heroproc-demo.XXXXXX)
export HEROPROC_HOME
unset HEROPROC_SOCKET
daemon=

# say prints what comes next; show prints a command and then what it does.
say() { printf '\n# %s\n' "$*"; }
show() {
  local word line='$ heroproc'
  for word in "$@"; do
    case $word in *[!A-Za-z0-9_./=-]*) line+=" '$word'" ;; *) line+=" $word" ;; esac
  done
  echo "$line"
  "$binary" "$@"
}

# start returns when the daemon is ready: then it prints a line.
start() {
  exec {ready}< <(exec "$binary" daemon -f demo.yaml 2>>"$HEROPROC_HOME/daemon.log")
  daemon=$!
  read -r line <&"$ready" || {
    cat "$HEROPROC_HOME/daemon.log" >&2
    exit 1
  }
  exec {ready}<&-
  echo "$line"
}

# clean_up leaves nothing behind, wherever the demo has stopped. The executor
# holds its lock for as long as it lives.
clean_up() {
  "$binary" shutdown 2>/dev/null || true
  flock -w 30 "$HEROPROC_HOME/executor.lock" true || {
    echo "the executor (pid $(cat "$HEROPROC_HOME/executor.lock")) still runs on $HEROPROC_HOME" >&2
    return
  }
  rm -rf "$HEROPROC_HOME"
}
trap clean_up EXIT

say "A daemon, in a home of its own"
start

say "A run of one command, followed to its end"
show submit --follow --name count -- sh -c 'for n in 1 2 3; do echo "step $n"; done'

say "A graph of jobs from a file: each waits for what it needs, one fails and is tried again"
show submit -f pipeline.yaml --wait
show run show 2

say "A run that takes its time, and a kill -9 of the daemon in its middle"
show submit --name survivor -- sh -c 'echo before the crash; sleep 2; echo after the crash'
kill -9 "$daemon"
echo "killed the daemon (pid $daemon); its child lives on"
start
show run wait 3
show logs --run 3

say "Nothing was lost, and nothing ran twice"
show run list

say "The end"
show shutdown
