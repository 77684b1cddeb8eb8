#!/bin/sh
# Puts Consul 1.8.7 into a cache directory, for the tests that hold the Consul store against the real one: the program from the
# package of Debian 11, which needs nothing else. Keeps what is there already, installs nothing, writes nothing outside the cache.
#
#   scripts/getconsul.sh         # into .cache/consul, or $STOLON_CONSUL_CACHE: $cache/consul
set -eu
umask 022 # another user may run the program

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${STOLON_CONSUL_CACHE:-$root/.cache/consul}
fail() { echo "consul: $*" >&2; exit 1; }
[ ! -x "$cache/consul" ] || exit 0

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

command -v apt-get >/dev/null || fail "a Debian is needed to fetch it"
part=$cache.part
apt=$part/apt
rm -rf "$part"
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"
# shellcheck disable=SC1091 -- the machine's
here=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
main=$(archive "$here")
[ -n "$main" ] || fail "apt of this machine names no archive for $here; a Debian with package sources is needed"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r $keys ] || fail "the package debian-archive-keyring is missing"
echo "deb [signed-by=$keys] $main bullseye main" >"$apt/sources.list"
echo "consul: fetching it"
own_apt update || fail "the package lists of bullseye cannot be read"
(cd "$apt" && own_apt download consul) || fail "the package cannot be downloaded"
dpkg-deb -x "$apt"/consul_*.deb "$part/tree" || fail "the package cannot be unpacked"
mkdir -p "$cache"
mv "$part/tree/usr/bin/consul" "$cache/consul"
rm -rf "$part"
echo "consul: $("$cache/consul" version | head -n 1)"
