#!/bin/sh
# Puts PostgreSQL of other major versions into a cache directory, for the tests that run on each supported version. One plain
# directory per version, $cache/NN/usr/lib/postgresql/NN/bin, whose programs bring their own C library: they run on any Debian.
# Writes nothing outside that directory, installs nothing (patchelf excepted, when it is missing and may be installed), and
# keeps what is there already. Needs no root.
#
#   scripts/getpg.sh 13 17 18          # into .cache/postgresql, or $STOLON_PG_CACHE
set -eu
umask 022 # another user runs the programs

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${STOLON_PG_CACHE:-$root/.cache/postgresql}
say() { echo "PostgreSQL $major: $*"; }
fail() { echo "PostgreSQL $major: $*" >&2; exit 1; }

# the Debian release that has a major version
suite() {
  case $1 in
    13) echo bullseye ;; 15) echo bookworm ;; 17) echo trixie ;; 18) echo sid ;;
    *) return 1 ;;
  esac
}

# where the machine's own apt gets this release's kind of archive from, so that no host is named here
archive() {
  # shellcheck disable=SC2016 -- apt's own placeholders
  apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | awk -v c="$1" '$1 == c { print $2; exit }'
}

# apt with lists and state of its own: nothing counts as installed, so the whole closure is told
own_apt() {
  apt-get -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$apt/lists" \
    -o Dir::State::status="$apt/status" -o Dir::State::extended_states="$apt/extended" -o Dir::Cache="$apt/cache" \
    -o APT::Sandbox::User= -o Debug::NoLocking=1 -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -qq "$@"
}

# server, client and the libraries they need; no Perl, no compiler for JIT
wanted() {
  own_apt install --no-install-recommends --print-uris "postgresql-$major" | awk '{ sub(/_.*/, "", $2); print $2 }' |
    grep -E "^(postgresql-(client-)?$major|lib.*|zlib1g)$" | grep -vE '^lib(llvm|z3|perl|python|systemd-shared|json|c-bin|pam-(modules|runtime))'
}

fetch() {
  part=$cache/$major.part
  apt=$part/.apt
  rm -rf "$part"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs"
  : >"$apt/status"
  # shellcheck disable=SC1091 -- the machine's
  here=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  main=$(archive "$here")
  [ -n "$main" ] || fail "apt of this machine names no archive for $here; a Debian with package sources is needed"
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -r $keys ] || fail "the package debian-archive-keyring is missing"
  release=$(suite "$major")
  {
    echo "deb [signed-by=$keys] $main $release main"
    security=$(archive "$here-security")
    [ "$release" = sid ] || [ -z "$security" ] || echo "deb [signed-by=$keys] $security $release-security main"
  } >"$apt/sources.list"
  say "reading the package lists of $release"
  own_apt update || fail "the package lists of $release cannot be read"
  names=$(wanted) || fail "$release has no package postgresql-$major"
  say "getting $(echo "$names" | wc -l) packages"
  # shellcheck disable=SC2086 -- a list of words
  (cd "$apt/debs" && own_apt download $names) || fail "a package cannot be downloaded"
  say "unpacking"
  for deb in "$apt"/debs/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$part" --keep-directory-symlink --exclude='./usr/share/doc' \
      --exclude='./usr/share/man' --exclude='./usr/share/locale' --exclude='*/bitcode' --exclude='llvmjit*.so' ||
      fail "$deb cannot be unpacked"
  done
  rm -rf "$apt"
  chmod 755 "$part"
  rm -rf "${cache:?}/$major"
  mv "$part" "$cache/$major"
}

# Every program gets the loader and the libraries it came with, by absolute path: done again when the directory is seen elsewhere.
# DT_RPATH and not RUNPATH, because it also counts for what PostgreSQL opens later (libpqwalreceiver needs libpq).
adapt() {
  dest=$cache/$major
  [ "$(cat "$dest/.adapted" 2>/dev/null)" != "$dest" ] || return 0
  rm -f "$dest/.adapted"
  bin=$dest/usr/lib/postgresql/$major/bin
  libraries=$(find "$dest/lib/" "$dest/usr/lib/" -maxdepth 1 -name "*-linux-gnu" 2>/dev/null | paste -sd:)
  machine=$(uname -m)
  loader=$(find "$dest/lib/" "$dest/lib64/" "$dest/usr/lib/" "$dest/usr/lib64/" -name "ld-linux-*$(echo "$machine" | tr _ -).so.*" 2>/dev/null | head -n 1)
  [ -n "$loader" ] || fail "no program loader for $machine among the packages"
  case $(readlink "$loader" || true) in /*) loader=$dest$(readlink "$loader") ;; esac
  for program in "$bin"/*; do
    patchelf --print-interpreter "$program" >/dev/null 2>&1 || continue # a script
    patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$program" || fail "$program cannot be adapted"
  done
  "$bin/postgres" --version >/dev/null || fail "$bin/postgres does not run"
  echo "$dest" >"$dest/.adapted"
}

[ $# -gt 0 ] || set -- 13 17 18
for major in "$@"; do
  suite "$major" >/dev/null || fail "no release known that has it; there are 13, 15, 17, 18"
done
command -v patchelf >/dev/null || "$root/scripts/install.sh" patchelf
mkdir -p "$cache"
for major in "$@"; do
  # the machine's own serves where it fits
  [ "$major" != 15 ] || [ ! -x /usr/lib/postgresql/15/bin/postgres ] || continue
  [ -x "$cache/$major/usr/lib/postgresql/$major/bin/postgres" ] || fetch
  adapt
  say "$("$cache/$major/usr/lib/postgresql/$major/bin/postgres" --version | sed 's/.*PostgreSQL) //')"
done
