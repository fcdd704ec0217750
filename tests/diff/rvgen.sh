#!/bin/sh
# rvgen.sh RVGEN: a program is made executable; what is no file, /dev/null say, keeps its mode.
set -eu
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
"$1" --length 10 -o "$directory/program"
test -x "$directory/program"
if ! mknod -m 666 "$directory/null" c 1 3 2>/dev/null || ! : 2>/dev/null >"$directory/null"; then
    echo 'only root makes devices'
    exit 77
fi
"$1" --length 10 -o "$directory/null"
test "$(stat -c %a "$directory/null")" = 666
