#!/bin/sh
# Unpacks unmodified Debian packages for riscv64, and the packages they need, to run their programs as guests.
#
#   debian.sh [DEST] [PACKAGE...]      by default: debian.sh guests busybox-static bash-static
#   npm run guests                     the same, from the top of the project
#
# DEST/root becomes a directory for `vkernel run --root DEST/root /usr/bin/busybox ...`; what was there before stays.
# Runs on Debian and what descends from it: needs apt-get, dpkg-deb and awk, and the archive that apt already uses.
# This machine's package database is left alone, and no program or script of a package is executed.
# SUITE names another release than the stable one this was made with.
set -eu

suite=${SUITE:-trixie}
dest=${1:-guests}
[ $# -eq 0 ] || shift
[ $# -ne 0 ] || set -- busybox-static bash-static

case $dest in -*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0"; exit 2 ;; esac
for tool in apt-get dpkg-deb awk; do
  command -v "$tool" >/dev/null || { echo "debian.sh: needs $tool; this works on Debian-like systems only" >&2; exit 1; }
done

# The archive: what this machine's own configuration names. Its lists are fetched if they have never been.
archive() {
  apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 2>/dev/null | awk '$1 == "Debian" && $2 !~ /security/ { print $2; exit }'
}
uri=$(archive)
if [ -z "$uri" ]; then
  apt-get -qq update >/dev/null 2>&1 || true
  uri=$(archive)
fi
[ -n "$uri" ] || { echo 'debian.sh: apt knows no Debian archive; try apt-get update' >&2; exit 1; }

# A package database of its own for the other architecture, thrown away afterwards.
mkdir -p "$dest/root"
dest=$(cd "$dest" && pwd)
scratch=$(mktemp -d "$dest/.apt.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
: >"$scratch/status"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keys" ] || { echo "debian.sh: no keys to check the packages with; install debian-archive-keyring" >&2; exit 1; }
echo "deb [arch=riscv64 signed-by=$keys] $uri $suite main" >"$scratch/sources"
cat >"$scratch/apt.conf" <<END
APT::Architecture "riscv64";
APT::Architectures { "riscv64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
pkgCacheGen::ForceEssential "none";
Dir::State "$scratch";
Dir::State::Lists "$scratch/lists";
Dir::State::status "$scratch/status";
Dir::Cache "$scratch/cache";
Dir::Etc::SourceList "$scratch/sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
END
export APT_CONFIG="$scratch/apt.conf"
apt-get -qq update
apt-get -qq install --yes --download-only "$@"

# base-files first: it holds the directories and links that the others expect.
for package in "$scratch"/cache/archives/base-files_*.deb "$scratch"/cache/archives/*.deb; do
  [ ! -e "$package" ] || dpkg-deb --extract "$package" "$dest/root"
done
echo "$dest/root: $(du -sh "$dest/root" | cut -f 1), $(find "$scratch/cache/archives" -name '*.deb' | wc -l) packages"
