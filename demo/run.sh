#!/usr/bin/env bash
# From nothing to a Redis whose users' rights a sandboxed policy decides, and to another with what it held at an instant.
# Uses the cluster of KUBECONFIG if you set it, else the testbed on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

own="$PWD/.testbed/kubeconfig"
target="${CARGO_TARGET_DIR:-target}"
namespace=demo
began=$SECONDS
last=$SECONDS

step() {
  local now=$SECONDS
  [ "$now" = "$began" ] && [ -z "${titled:-}" ] || printf '      %ss\n' "$((now - last))"
  titled=yes
  last=$now
  printf '==> %s\n' "$*"
}
say() { printf '    %s\n' "$*"; }
show() { printf '    $ %s\n' "$*"; "$@" 2>&1 | sed 's/^/      /'; }

# Waits for a field of an object to have a value; tells what it has if it never gets it.
await() {
  local object=$1 path=$2 wanted=$3 seconds=$4 value=""
  for _ in $(seq 1 $((seconds * 5))); do
    value=$(kubectl -n "$namespace" get "$object" -o "jsonpath=$path" 2>/dev/null || true)
    [ "$value" = "$wanted" ] && return 0
    sleep 0.2
  done
  echo "error: $path of $object is '$value' after $seconds s, not '$wanted'" >&2
  kubectl -n "$namespace" describe "$object" >&2 || true
  return 1
}

# Runs one redis-cli command in a pod of its own and prints what it answered. `secret` names the login.
redis() {
  local name="client-$RANDOM" words
  words=$(printf '"%s", ' "$@")
  sed -e "s|NAME|$name|" -e "s|IMAGE|$image|" -e "s|COMMAND|${words%, }|" \
    -e "s|SECRET|${secret:-my-redis-app}|" demo/client.yaml \
    | kubectl -n "$namespace" apply -f - >/dev/null
  for _ in $(seq 1 150); do
    case $(kubectl -n "$namespace" get pod "$name" -o 'jsonpath={.status.phase}') in
      Succeeded | Failed) break ;;
    esac
    sleep 0.2
  done
  printf '    redis> %s\n' "$*"
  kubectl -n "$namespace" logs "$name" | sed 's/^/      /'
  kubectl -n "$namespace" delete pod "$name" --wait=false >/dev/null
}

if [ "${KUBECONFIG:-$own}" = "$own" ]; then
  step "A Kubernetes cluster of three nodes on this machine"
  make --no-print-directory testbed-up
  step "The operator's image, built from this clone and loaded into the nodes"
  make --no-print-directory image
  # kubectl finds its plugins on the PATH.
  cp "$target/debug/kubectl-hera" .testbed/bin/
  overlay=yes
else
  step "Your cluster: $(kubectl config current-context)"
  say "the operator's image comes from the registry named in deploy/manager"
fi

step "A policy of our own: WebAssembly, built by plain cargo"
make --no-print-directory policies
policy="$target/wasm32-unknown-unknown/policy/hera_policy_acl_no_delete.wasm"
say "$(stat -c %s "$policy") bytes, sha256:$(sha256sum "$policy" | cut -d' ' -f1)"

step "Custom resource definitions and operator"
show kubectl apply -f deploy/crd/
show kubectl apply -f deploy/manager/
if [ -n "${overlay:-}" ]; then
  kubectl apply -f tests/testbed/manifests/catalog.yaml >/dev/null
  kubectl -n hera-system rollout restart deployment hera-operator >/dev/null
fi
kubectl -n hera-system rollout status deployment hera-operator --timeout=180s >/dev/null

step "A Redis: the sample, as it is"
kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
kubectl -n "$namespace" delete redisinstance/my-redis redisinstance/my-redis-restored rediscluster/my-redis-cluster \
  redisbackup/before-flush --ignore-not-found >/dev/null
# What an earlier demo restored: a new instance begins with a backup only where there is no data.
kubectl -n "$namespace" delete pvc data-my-redis-restored-0 --ignore-not-found >/dev/null
kubectl -n "$namespace" delete configmap no-delete --ignore-not-found >/dev/null
show kubectl -n "$namespace" apply -f deploy/samples/cache_v1alpha1_redisinstance.yaml
await ri/my-redis '{.status.conditions[?(@.type=="Ready")].status}' True 180
show kubectl -n "$namespace" get redisinstance
image=$(kubectl -n "$namespace" get redisinstance my-redis -o 'jsonpath={.status.image}')

step "A key, written and read over the client Service as the application user"
redis SET greeting "hello from Hera"
redis GET greeting

step "Who may do what is decided by a policy: swap it, with nothing restarted"
pod=$(kubectl -n "$namespace" get pod my-redis-0 -o 'jsonpath={.metadata.uid} {.status.containerStatuses[0].restartCount}')
redis DEL nothing-there
kubectl -n "$namespace" create configmap no-delete --from-file=policy.wasm="$policy" >/dev/null
kubectl -n "$namespace" patch redisinstance my-redis --type=merge -p \
  '{"spec":{"policies":{"acl":{"configMapRef":{"name":"no-delete"},"settings":{"deny":["del"]}}}}}' >/dev/null
await ri/my-redis '{.status.policies[0].digest}' "sha256:$(sha256sum "$policy" | cut -d' ' -f1)" 30
redis DEL greeting
redis GET greeting
now=$(kubectl -n "$namespace" get pod my-redis-0 -o 'jsonpath={.metadata.uid} {.status.containerStatuses[0].restartCount}')
[ "$pod" = "$now" ] || { echo "error: the pod is not the same any more" >&2; exit 1; }
say "DEL is refused now; pod and server are the same as before"

step "A Redis Cluster: three shards, each with a replica"
show kubectl -n "$namespace" apply -f deploy/samples/cache_v1alpha1_rediscluster.yaml
await rdc/my-redis-cluster '{.status.conditions[?(@.type=="Ready")].status}' True 180
show kubectl -n "$namespace" get rediscluster

step "The pod of a primary is deleted: a replica takes over first"
led=$(kubectl -n "$namespace" get rdc my-redis-cluster -o 'jsonpath={.status.shards[0].primary}')
show kubectl -n "$namespace" delete pod "$led" --wait=false
for _ in $(seq 1 300); do
  leads=$(kubectl -n "$namespace" get rdc my-redis-cluster -o 'jsonpath={.status.shards[0].primary}')
  [ -n "$leads" ] && [ "$leads" != "$led" ] && break
  sleep 0.2
done
[ "$leads" != "$led" ] || { echo "error: $led still leads" >&2; exit 1; }
say "$leads serves the slots of shard 0 now"
# It is whole once the pod is back: status ends with an error before.
await rdc/my-redis-cluster '{.status.conditions[?(@.type=="Ready")].status}' True 60

if [ -n "${overlay:-}" ]; then
  step "A backup and a log, somebody flushes everything, and another Redis begins with the instant before"
  # The first time that takes minutes, and says so.
  "$target/debug/hera-testbed" versitygw | sed '$d'
  "$target/debug/hera-testbed" store demo | tail -n 1 | kubectl -n "$namespace" apply -f - >/dev/null
  say "a store that speaks S3 runs on this machine until 'make testbed-down'"
  # The preset lets the application flush.
  kubectl -n "$namespace" patch redisinstance my-redis --type=merge -p \
    '{"spec":{"auth":{"preset":"Owner"},"backup":{"storeRef":{"name":"testbed"},"log":{"maxDelay":"2s"}}}}' >/dev/null
  await ri/my-redis '{.status.observedGeneration}' \
    "$(kubectl -n "$namespace" get redisinstance my-redis -o 'jsonpath={.metadata.generation}')" 30
  await ri/my-redis '{.status.conditions[?(@.type=="BackupHealthy")].reason}' FirstBackupPending 60
  show kubectl hera --namespace "$namespace" backup now my-redis --name before-flush --wait
  await ri/my-redis '{.status.conditions[?(@.type=="BackupHealthy")].reason}' Healthy 60
  redis SET greeting "hello from after the backup"
  instant=$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)
  redis FLUSHALL
  redis GET greeting
  # What is written is in the store two seconds later.
  sleep 3
  show kubectl hera --namespace "$namespace" backup status my-redis
  show kubectl hera --namespace "$namespace" recover my-redis --to "$instant" --as my-redis-restored --apply
  await ri/my-redis-restored '{.status.conditions[?(@.type=="Ready")].status}' True 180
  found=$(secret=my-redis-restored-app redis GET greeting)
  printf '%s\n' "$found"
  [[ $found == *"hello from after the backup"* ]] || { echo "error: the key is not in my-redis-restored" >&2; exit 1; }
  say "my-redis-restored has what was there at $instant; my-redis is as it was left"

  step "The whole at a glance"
  show kubectl hera --namespace "$namespace" status ri/my-redis
  show kubectl hera --namespace "$namespace" status rdc/my-redis-cluster
fi

step "Done: everything is left running"
cat <<END

    Look around:
      export KUBECONFIG=$KUBECONFIG PATH=$PWD/.testbed/bin:\$PATH
      kubectl -n $namespace get redisinstance,rediscluster,pods,services
      kubectl -n $namespace describe redisinstance my-redis
    Kill what you like and watch it come back:
      kubectl -n $namespace delete pod my-redis-0
    Change something:
      kubectl -n $namespace edit redisinstance my-redis
    See who decides, and what was decided:
      kubectl hera policy list -A
      kubectl hera -n $namespace policy log my-redis
    See backups (docs/backup.md):
      kubectl hera -n $namespace backup status my-redis
    Write a policy of your own: docs/policies.md, or at once:
      kubectl hera policy new acl team-acl
    Take it down: make testbed-down

    $((SECONDS - began)) s in all
END
