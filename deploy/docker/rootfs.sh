#!/usr/bin/env bash
# Lays out the whole root of a container that holds one binary and what it is linked with: no shell, no package manager.
# Both Dockerfiles build their images from it: FOLDER/system belongs to root, FOLDER/writable to the user of the process.
#
#   deploy/docker/rootfs.sh BINARY FOLDER
set -euo pipefail

binary=$1 root=$2/system
mkdir -p "$root"/{usr/bin,etc,tmp} "$2"/writable/{runs,state}
chmod 1777 "$root/tmp"

strip -o "$root/usr/bin/vpt" "$binary"

# The loader and the libraries, where the loader looks for them. glibc has the resolver in itself since 2.34.
ldd "$binary" | grep -o '/[^ ]*' | sort -u | while read -r library; do
    install -D "$(realpath "$library")" "$root$library"
done

printf 'root:x:0:0:root:/:/\nvpt:x:65532:65532:vpt:/runs:/\n' >"$root/etc/passwd"
printf 'root:x:0:\nvpt:x:65532:\n' >"$root/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$root/etc/nsswitch.conf"
