#!/bin/sh
# Installs from Debian what is asked for and missing: programs that the cluster or its tests run beside Node. Starts no service
# and touches nothing that is there already.
#
#   scripts/install.sh postgresql etcd openssl setpriv git make
set -eu

postgresql() { command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; }

packages=
for need in "$@"; do
  case $need in
    postgresql) postgresql || packages="$packages postgresql postgresql-client" ;;
    etcd) command -v etcd >/dev/null && command -v etcdctl >/dev/null || packages="$packages etcd-server etcd-client" ;;
    cc) command -v cc >/dev/null || packages="$packages gcc libc6-dev" ;;
    docker) command -v docker >/dev/null || packages="$packages docker.io" ;;
    dockerd) command -v dockerd >/dev/null || packages="$packages docker.io" ;;
    ip) command -v ip >/dev/null || packages="$packages iproute2" ;;
    setpriv) command -v setpriv >/dev/null || packages="$packages util-linux" ;;
    *) command -v "$need" >/dev/null || packages="$packages $need" ;;
  esac
done
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "missing on this machine:$packages" >&2
  echo "install them, for instance with: sudo apt-get install$packages" >&2
  exit 1
fi

# Debian starts a service as it installs it, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
  trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
echo "installing$packages"
apt-get update -qq >"$log" 2>&1 &&
  # shellcheck disable=SC2086 -- a list of words
  apt-get install -y -qq --no-install-recommends $packages >"$log" 2>&1 ||
  { cat "$log" >&2; rm -f "$log"; exit 1; }
rm -f "$log"
