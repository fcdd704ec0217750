#!/bin/sh
# guise binfmt, with a binfmt_misc of its own in a user namespace, where the kernel has that.
. "$(dirname "$0")/tap.sh"

try "$guise" binfmt
is 'an action is needed' 2 "$status"
try "$guise" binfmt --print
like 'print' ":guise-riscv64:M::*:*:$(dirname "$guise")/guise-binfmt:PF" "$out"
like 'the mask lets PIE programs through' '*\\xfe\\xff\\xff\\xff:*' "$out"

if ! have_compiler || ! unshare -Urm sh -c 'mount -t binfmt_misc none /proc/sys/fs/binfmt_misc' 2>/dev/null; then
    skip 'registration' 'no binfmt_misc of our own in this kernel, or no cross compiler'
    finish
fi
compile show <<'C'
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        printf("[%s]", argv[i]);
    puts("");
    fflush(stdout);
    if (argc > 1)
        execl("show", "again", NULL); /* a path, not to be looked for in PATH */
}
C
cp "$guise" guise # the link beside it must not be made in the build directory
cat >inside <<'SH'
mount -t tmpfs none /etc
./guise binfmt --install
echo "install: $?"
ls /etc/binfmt.d
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
./guise binfmt --install
echo "install: $?"
./guise binfmt --install >/dev/null
echo "twice: $?"
(exec -a name ./show arg)
./guise binfmt --remove
./show || echo "removed: $?"
./guise binfmt --remove
SH
try unshare -Urm --propagation private bash inside
like 'without binfmt_misc the message says what to do' '*mount -t binfmt_misc*' "$err"
is 'the whole' 'made PATH/guise-binfmt
wrote /etc/binfmt.d/guise-riscv64.conf
install: 125
guise-riscv64.conf
wrote /etc/binfmt.d/guise-riscv64.conf
registered guise-riscv64 with the kernel
install: 0
twice: 0
[name][arg]
[again]
removed guise-riscv64 from the kernel
removed /etc/binfmt.d/guise-riscv64.conf
removed: 126
nothing is registered' "$(echo "$out" | sed "s,$tmp,PATH,")"
finish
