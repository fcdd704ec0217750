#!/bin/sh
# make install: what it puts where, and a program that is linked with the library.
. "$(dirname "$0")/tap.sh"
build=$(dirname "$guise")
export DESTDIR="$tmp/dest"
try meson install -C "$build" --no-rebuild --quiet
is 'meson install' 0 "$status"
installed=$(find "$DESTDIR" -name guise -type f -perm -100)
bin=$(dirname "$installed")
prefix=$(dirname "$bin")
is 'the program' bin "$(basename "$bin")"
is 'its second name, for the kernel' guise "$(readlink "$bin/guise-binfmt")"
is 'the process of the user-mode network' guise-net "$(basename "$(find "$prefix/libexec/guise" -perm -100 -type f)")"
is 'the header' "$prefix/include/guise.h" "$(find "$prefix" -name guise.h)"
try "$bin/guise" --version
is 'it runs' 0 "$status"
if command -v scdoc >/dev/null; then
    like 'the manual page' '.TH "guise" "1"*' "$(grep TH "$prefix/share/man/man1/guise.1")"
else
    skip 'the manual page' 'no scdoc'
fi
if ! grep -q -e __asan_ -e __tsan_ -e __ubsan_ "$(find "$prefix" -name libguise.a)"; then
    PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name guise.pc)")
    PKG_CONFIG_SYSROOT_DIR=$DESTDIR
    export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
    cat >client.c <<'C'
#include <guise.h>
int main(void)
{
    struct guise_vm *vm = guise_vm_new(GUISE_PROCESS);
    struct guise_error err = {0};
    int bad = guise_vm_set(vm, "program", "./hello", &err);
    guise_vm_free(vm);
    return bad;
}
C
    try sh -c 'cc client.c $(pkg-config --cflags --libs guise) -o client && ./client'
    is 'a program is linked with what pkg-config says' '0 ' "$status $err"
else
    skip 'a program is linked with what pkg-config says' 'a build with sanitizers wants their libraries too'
fi
finish
