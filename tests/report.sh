#!/usr/bin/env bash
# Measures, and writes docs/measurements.md: the measured scenarios on the testbed, which must be up
# with the operator's image loaded (make report sees to it), a million simulated histories, stories told
# by the model and by real servers, and benches of the sandbox. What the page says below its line "kept" stays.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-3}
profile=${BENCH_PROFILE:-release}
policies="how_long_things_take a_flood_of_bad a_server_recovers idle_instances when_the_leader_dies an_author many_faults"
planned="three_pods a_switchover a_roll_of pods_come a_drained a_primary_whose a_version_of resources_of an_operator_that of_two_pods"
faults="a_killed a_primary_out a_failover a_stopped a_frozen a_pod_deleted a_partitioned a_primary_that a_cut a_primary_on a_primary_serves a_leader all_pods a_lost a_stale an_empty exchanged two_primaries where_fences"
scenarios="$policies $planned $faults"
out=docs/measurements.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# The first run shows in full what make test shows in part.
export HERA_E2E_FAULTS=${HERA_E2E_FAULTS:-10000} HERA_E2E_LIMIT=2400 HERA_E2E_BOTH=1
for run in $(seq "$runs"); do
  # What failed is told at the end, beside what was measured.
  cargo test --workspace --test scenarios -- $scenarios | tee "$work/e2e-$run" || failed=1
  unset HERA_E2E_FAULTS HERA_E2E_LIMIT HERA_E2E_BOTH
done
HERA_HISTORIES=${HERA_HISTORIES:-1000000} cargo test --workspace --profile "$profile" \
  --test histories ten_thousand -- --nocapture | tee "$work/histories" || failed=1
HERA_STORIES=${HERA_STORIES:-20} cargo test --workspace --test servers story:: -- --nocapture \
  | tee "$work/stories" || failed=1
HERA_CLUSTER_HISTORIES=${HERA_CLUSTER_HISTORIES:-500} cargo test -p hera-tests-loopback --test cluster \
  -- --nocapture | tee "$work/clusters" || failed=1
HERA_SCALING_KEYS=${HERA_SCALING_KEYS:-200000} cargo test -p hera-agent --test scaling -- \
  --include-ignored --nocapture --test-threads 1 | tee "$work/scaling" || failed=1
cargo bench --workspace --bench acl --bench backup --bench rebalance --profile "$profile" | tee "$work/bench" || failed=1
cargo bench -p hera-core --bench cluster --profile "$profile" | tee "$work/passes" || failed=1

{
  echo "# Measurements"
  echo
  echo "Written by \`make report\`; compare ratios, not machines. The targets stand below the figures."
  echo
  echo "| | |"
  echo "| --- | --- |"
  echo "| commit | $(git rev-parse --short HEAD) |"
  echo "| machine | $(nproc) cores, $(awk '/MemTotal/ {printf "%.0f GiB", $2/1048576}' /proc/meminfo), Linux $(uname -r) |"
  echo "| toolchain | $(rustc --version) |"
  echo "| Kubernetes | testbed, 3 nodes on this machine, images of the dev profile |"
  echo
  echo "## Policy decisions (\`make bench BENCH_PROFILE=$profile\`)"
  echo
  echo '```text'
  sed -n '/^| /p;/^[a-z].*target/p' "$work/bench"
  echo '```'
  echo
  echo "## A pass over a cluster, without the network (\`make bench BENCH_PROFILE=$profile\`)"
  echo
  echo '```text'
  cat "$work/passes"
  echo '```'
  echo
  echo "## Simulation ([what it is](simulation.md))"
  echo
  echo '```text'
  sed -n 's/^figures: //p' "$work/histories"
  sed -n 's/^FIGURE \(.*stories.*\)/\1/p' "$work/stories"
  sed -n 's/^FIGURE //p' "$work/clusters" "$work/scaling"
  grep -hE '^(MOVED|NOT SHOWN):' "$work/scaling" || true
  echo '```'
  echo
  echo "## Scenarios (\`cargo test --workspace --test scenarios -- $scenarios\`, $runs runs)"
  for run in $(seq "$runs"); do
    echo
    echo "Run $run:"
    echo
    echo '```text'
    sed -n '/^figures:/,/^test result/p' "$work/e2e-$run" | sed '1d;$d'
    grep -E '^test (.*FAILED|result)' "$work/e2e-$run" || true
    echo '```'
  done
  echo
  sed -n '/^<!-- kept -->/,$p' "$out"
} > "$work/new"
mv "$work/new" "$out"
echo "wrote $out"
exit "$failed"
