#!/bin/sh
# Installs the programs that some tests need beside Node: a Redis server, a browser without a window, another Node.
#
#   npm run tools          from the top of the project
#
# The first two are packages of Debian (root, and apt-get). The Node comes from the npm registry into .tools/, which git
# ignores: release 24, or 20 where this one is newer. What is there already is left alone; a test that misses its
# tool says so.
set -u

cd "$(dirname "$0")/../.."
status=0

here() { command -v "$1" >/dev/null 2>&1; }

# RUNLEVEL: no server is started by its package.
install() { DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq install --yes --no-install-recommends "$@" >/dev/null; }

packages=''
here redis-server || here valkey-server || packages="$packages redis-server"
here chromium-headless-shell || here chromium || here google-chrome || packages="$packages chromium-headless-shell"
if [ -z "$packages" ]; then
  echo 'redis-server and chromium: here'
elif ! here apt-get || [ "$(id -u)" -ne 0 ]; then
  echo "tools: cannot install$packages: that needs apt-get and root; install them as your system does" >&2
  status=1
else
  # Lists of packages may never have been fetched, or be older than the archive.
  if install $packages || { apt-get -qq update && install $packages; }; then
    echo "installed$packages"
  else
    echo "tools: apt-get did not install$packages" >&2
    status=1
  fi
fi

release=$(node -p 'Number.parseInt(process.versions.node) >= 24 ? 20 : 24')
package="node-$(node -p 'process.platform === "win32" ? "win" : process.platform')-$(node -p 'process.arch')"
if [ -x ".tools/node_modules/$package/bin/node" ]; then
  echo "another node: here"
elif npm install --prefix .tools --no-save --no-audit --no-fund --ignore-scripts --loglevel=error "$package@$release" >/dev/null; then
  echo "another node: $(".tools/node_modules/$package/bin/node" --version)"
else
  echo "tools: no $package@$release in the npm registry that this machine uses" >&2
  status=1
fi
exit $status
