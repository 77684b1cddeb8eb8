#!/bin/sh
# Puts one server of another Debian release into a cache directory, for the tests that hold a store against the real one: the
# program from its package, which needs nothing else. Keeps what is there already, installs nothing, writes nothing outside the cache.
#
#   scripts/getserver.sh consul          # Consul 1.8.7, into .cache/consul/consul
#   scripts/getserver.sh etcd-3.3        # into .cache/etcd-3.3/etcd; also etcd-3.5
set -eu
umask 022 # another user may run the program

server=${1:-}
fail() { echo "${server:-getserver}: $*" >&2; exit 1; }
case $server in
  consul) release=bullseye package=consul program=consul ;;
  etcd-3.3) release=bullseye package=etcd-server program=etcd ;;
  etcd-3.5) release=trixie package=etcd-server program=etcd ;;
  *) fail "expected consul, etcd-3.3 or etcd-3.5" ;;
esac
cache=$(cd "$(dirname "$0")/.." && pwd)/.cache/$server
[ ! -x "$cache/$program" ] || exit 0

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
echo "deb [signed-by=$keys] $main $release main" >"$apt/sources.list"
echo "$server: fetching it"
own_apt update || fail "the package lists of $release cannot be read"
(cd "$apt" && own_apt download $package) || fail "the package cannot be downloaded"
dpkg-deb -x "$apt/$package"_*.deb "$part/tree" || fail "the package cannot be unpacked"
mkdir -p "$cache"
mv "$part/tree/usr/bin/$program" "$cache/$program"
rm -rf "$part"
echo "$server: $("$cache/$program" --version | head -n 1)"
