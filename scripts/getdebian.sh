#!/bin/sh
# Makes the root of a small Debian as a tar file in a cache directory, for container tests on a machine that reaches no image
# registry: from the archive that the machine's own apt uses, signatures checked. It names the archive as its source of packages,
# so that the Dockerfile's own apt-get finds what it asks for. Keeps what is there already, and leaves nothing mounted.
#
#   scripts/getdebian.sh         # into .cache/containers, or $STOLON_CONTAINER_CACHE: $cache/debian.tar; a minute, 200 MB
set -eu
umask 022

suite=bookworm # what scripts/image/Dockerfile is made for
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${STOLON_CONTAINER_CACHE:-$root/.cache/containers}
say() { echo "debian: $*"; }
fail() { echo "debian: $*" >&2; exit 1; }

[ ! -s "$cache/debian.tar" ] || { say "there"; exit 0; }
[ "$(id -u)" = 0 ] || fail "debootstrap needs root"
"$root/scripts/install.sh" debootstrap

# where the machine's own apt gets packages from, so that no host is named here: release, address
archives=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | awk '$3 == "main" { print $1, $2 }' | sort -u)
main=$(echo "$archives" | awk -v suite=$suite '$1 == suite { print $2; exit }')
[ -n "$main" ] || main=$(echo "$archives" | awk '$1 !~ /-/ { print $2; exit }')
[ -n "$main" ] || fail "apt of this machine names no archive; a Debian with package sources is needed"

part=$cache/part
mkdir -p "$cache"
rm -rf "$part"
trap 'rm -rf "$part"' EXIT
say "installing the packages of $suite into a directory"
# what it mounts meanwhile is gone with the namespace, however it ends
unshare --mount --propagation private debootstrap --variant=minbase $suite "$part/root" "$main" >"$cache/debian.log" 2>&1 ||
  { tail -n 20 "$cache/debian.log" >&2; fail "debootstrap failed; all of its output is in $cache/debian.log"; }
{
  echo "deb $main $suite main"
  # updates and security, where the machine is of the same release
  echo "$archives" | awk -v suite=$suite 'index($1, suite "-") == 1 { print "deb", $2, $1, "main" }'
} >"$part/root/etc/apt/sources.list"
rm -rf "$part/root/var/lib/apt/lists" "$part/root/var/cache/apt" "$part/root/usr/share/doc" "$part/root/usr/share/man" \
  "$part/root/usr/share/locale" "$part/root/etc/resolv.conf" "$part/root/etc/hostname"
mkdir -p "$part/root/var/lib/apt/lists/partial" "$part/root/var/cache/apt/archives/partial"
tar -C "$part/root" --one-file-system --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* -cf "$part/debian.tar" .
mv "$part/debian.tar" "$cache/debian.tar"
say "made"
