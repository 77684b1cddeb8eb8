#!/bin/sh
# Builds the Kubernetes API server 1.20.2 into a cache directory, for the tests that hold the Kubernetes store against the real one.
# No distribution packages it; Debian's source package has the complete tree with everything vendored, so nothing else is fetched.
# It wants Go 1.15: built with 1.18 or later it dies of a library that walks the insides of maps. Keeps what is there already,
# writes nothing outside the cache, installs nothing but missing tools (make, rsync, a C compiler).
#
#   scripts/getkube.sh           # into .cache/kubernetes, or $STOLON_KUBE_CACHE: $cache/kube-apiserver; minutes, and 4 GB meanwhile
set -eu
umask 022 # another user may run the program

version=1.20.2
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${STOLON_KUBE_CACHE:-$root/.cache/kubernetes}
say() { echo "kube-apiserver: $*"; }
fail() { echo "kube-apiserver: $*" >&2; exit 1; }

# where the machine's own apt gets this release's kind of archive from, so that no host is named here
archive() {
  # shellcheck disable=SC2016 -- apt's own placeholders
  apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | awk -v c="$1" '$1 == c { print $2; exit }'
}

# apt with lists and state of its own
own_apt() {
  apt-get -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$apt/lists" \
    -o Dir::State::status="$apt/status" -o Dir::State::extended_states="$apt/extended" -o Dir::Cache="$apt/cache" \
    -o APT::Sandbox::User= -o Debug::NoLocking=1 -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -qq "$@"
}

# whatever the machine says of another Go is not for this one
go_env() { env GOENV=off GOFLAGS= GOROOT="$goroot" "$goroot/bin/go" "$@"; }

fetch() {
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -r $keys ] || fail "the package debian-archive-keyring is missing"
  # shellcheck disable=SC1091 -- the machine's
  here=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  main=$(archive "$here")
  [ -n "$main" ] || fail "apt of this machine names no archive for $here; a Debian with package sources is needed"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  : >"$apt/status"
  {
    echo "deb [signed-by=$keys] $main bullseye main"
    echo "deb-src [signed-by=$keys] $main bookworm main"
  } >"$apt/sources.list"
  say "reading the package lists"
  own_apt update || fail "the package lists cannot be read"
  say "getting the sources and Go 1.15"
  (cd "$part" && own_apt source --download-only kubernetes) || fail "the source package cannot be downloaded"
  (cd "$part" && own_apt download golang-1.15-go golang-1.15-src) || fail "Go 1.15 cannot be downloaded"
}

unpack() {
  say "unpacking"
  mkdir -p "$part/go" "$part/tree"
  for deb in "$part"/golang-1.15-*.deb; do dpkg-deb -x "$deb" "$part/go" || fail "$deb cannot be unpacked"; done
  for link in "$goroot"/*; do # they point into /usr/share of the machine
    [ ! -L "$link" ] || ln -sfn "$part/go/usr/share/go-1.15/$(basename "$link")" "$link"
  done
  go_env version >/dev/null || fail "Go 1.15 does not run"
  tar -xzf "$(ls "$part"/kubernetes_*.orig.tar.gz)" -C "$part/tree" --strip-components=1 || fail "the sources cannot be unpacked"
}

# The version is told, or its build would ask git, and find ours
build() {
  say "building, which takes minutes"
  (
    cd "$part/tree"
    env GOROOT="$goroot" PATH="$goroot/bin:$PATH" GOCACHE="$part/gocache" GOENV=off GOFLAGS= GOPROXY=off CGO_ENABLED=0 \
      KUBE_GIT_VERSION=v$version KUBE_GIT_COMMIT=0000000000000000000000000000000000000000 KUBE_GIT_TREE_STATE=archive \
      make WHAT=cmd/kube-apiserver GOLDFLAGS="-s -w"
  ) >"$log" 2>&1 || { tail -n 30 "$log" >&2; fail "the build failed; all of its output is in $log"; }
}

[ ! -x "$cache/kube-apiserver" ] || { say "there"; exit 0; }
"$root/scripts/install.sh" make rsync cc
part=$cache/part
apt=$part/apt
goroot=$part/go/usr/lib/go-1.15
log=$cache/build.log
rm -rf "$part"
mkdir -p "$part"
fetch
unpack
build
built=$(find "$part/tree/_output" -name kube-apiserver -type f -perm -u+x | head -n 1)
[ -n "$built" ] || fail "the build left no program"
"$built" --version | grep -q "v$version" || fail "what was built is not $version"
mv "$built" "$cache/kube-apiserver"
chmod -R u+w "$part" # Go writes its own files read-only
rm -rf "$part"
say "$("$cache/kube-apiserver" --version)"
