#!/bin/sh
# Builds stolon:VERSION and stolon-etcd:VERSION with docker or podman, or says why it cannot and ends well: a machine without an
# engine is no failure. ENGINE= names the engine, PG_MAJOR= PostgreSQL's version (of Debian), IMAGE= another name, DEBIAN= another
# image to build upon, OPTIONS= more words for the engine's build, such as --network=host.
#
# Never pushes anything.
set -eu
cd "$(dirname "$0")/../.."

engine=${ENGINE:-}
if [ -z "$engine" ]; then
  for name in docker podman; do
    if command -v "$name" >/dev/null; then engine=$name; break; fi
  done
fi
if [ -z "$engine" ]; then
  echo "image: skipped: neither docker nor podman is installed"
  exit 0
fi
if ! why=$("$engine" info 2>&1 >/dev/null); then
  echo "image: skipped: the engine of $engine does not answer: $(echo "$why" | tail -n 1)"
  exit 0
fi

version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)
image=${IMAGE:-stolon}
base=${DEBIAN:+--build-arg=DEBIAN=$DEBIAN}
for target in stolon etcd; do
  name=$image
  [ $target = stolon ] || name=$image-etcd
  # shellcheck disable=SC2086 -- lists of words
  "$engine" build $base ${OPTIONS:-} --file scripts/image/Dockerfile --target $target --build-arg "PG_MAJOR=${PG_MAJOR:-15}" \
    --tag "$name:$version" --tag "$name:latest" dist
  echo "image: $name:$version"
done
