#!/usr/bin/env bash
# Runs `cargo test` again and again beside busy loops, and ends at the first run that fails or hangs.
#
#   tests/repeat.sh 20 2                            # 20 runs beside 2 busy loops
#   tests/repeat.sh 20 2 --test race --test connect # of these targets alone
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${1:?how many runs}
busy=${2:?how many busy loops}
shift 2

# A run that takes longer hangs.
limit=1800
cargo test "$@" --no-run

loops=()
trap 'kill "${loops[@]}" 2>/dev/null || true' EXIT
for ((i = 0; i < busy; i++)); do
    (while :; do :; done) &
    loops+=($!)
done

log=$(mktemp)
for ((run = 1; run <= runs; run++)); do
    begin=$SECONDS
    if ! timeout "$limit" cargo test "$@" >"$log" 2>&1; then
        cat "$log"
        echo "run $run of $runs failed, or did not end in $limit s"
        exit 1
    fi
    slow=$(grep -c 'has been running for over 60 seconds' "$log" || true)
    echo "run $run of $runs: green in $((SECONDS - begin)) s, $slow tests took over 60 s"
done
