#!/bin/sh
# guise boot without a guest that runs: usage, errors, the device tree. What boots is tests/boot's.
. "$(dirname "$0")/tap.sh"

# An Image without instructions: a jump to itself, text_offset 2 MiB, image_size 4 MiB, the two magic numbers.
{
    printf '\157\0\0\0\0\0\0\0'
    printf '\0\0\40\0\0\0\0\0'
    printf '\0\0\100\0\0\0\0\0'
    printf '\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0RISCV\0\0\0RSC\5\0\0\0\0'
} >Image
boot() { try "$guise" boot "$@"; }

boot --help
is 'help: status' 0 "$status"
like 'help: examples' '*Examples:*guise boot debian:trixie*--kernel Image*' "$out"
boot
is 'nothing to boot: status' 2 "$status"
like 'nothing to boot: message' '*name an image (debian:trixie), or a kernel with --kernel*' "$err"
boot --memory 1
is 'too little memory: status' 2 "$status"
like 'too little memory: message' "*memory: '1' should be a size of 64M or more*" "$err"
boot --engine fast --kernel Image
like 'an engine that is not known' "*engine: 'fast' should be interp, jit or lockstep*" "$err"
boot --cpus 65 --kernel Image
like 'too many harts' "*cpus: '65' should be a number from 1 to 64*" "$err"
boot --net tap --kernel Image
like 'a network that is not known' "*net: 'tap' should be none or user*" "$err"
boot --net user,port=1 --kernel Image
like 'a network option that is not known' "*'port=1' should be hostfwd=tcp*" "$err"
boot --kernel nowhere
is 'no kernel: status' 127 "$status"
is 'no kernel: message' 'guise: kernel nowhere: No such file or directory' "$err"
gzip -c Image >Image.gz
boot --kernel Image.gz
is 'a compressed kernel: status' 125 "$status"
like 'a compressed kernel: message' '*Image.gz is compressed: unpack it first, with gzip -dc Image.gz >Image' "$err"
boot --kernel "$guise"
like 'a program of the host' '*is no riscv64 program*' "$err"
boot --kernel Image --disk nowhere
is 'no disk: status' 125 "$status"
like 'no disk: message' '*nowhere*No such file*' "$err"
boot --serial stdio --console stdio --kernel Image
like 'two consoles on one terminal' '*cannot both be stdio*' "$err"
boot --kernle Image
like 'a misspelt option' '*did you mean --kernel?*' "$err"
boot --kernel Image --interrupts msi
like 'an unknown interrupt controller' '*should be plic, aplic or imsic*' "$err"
boot nothing:here
is 'no image: status' 125 "$status"
like 'no image: message' '*must be debian:SUITE*' "$err"

boot --kernel Image --cpus 2 --memory 512M --append 'hello there' --dump-dtb tree
is 'device tree: status' 0 "$status"
if command -v dtc >/dev/null; then
    try dtc -q -I dtb -O dts tree
    is 'dtc reads it' 0 "$status"
    like 'its command line' '*bootargs = "hello there"*' "$out"
    like 'its memory' '*reg = <0x00 0x80000000 0x00 0x20000000>*' "$out"
    like 'its second hart' '*cpu@1 {*' "$out"
    try dtc -I dtb -O dtb -o /dev/null tree
    is 'dtc does not complain' '' "$err"
    for interrupts in aplic imsic; do
        boot --bios Image --interrupts $interrupts --dump-dtb tree
        try dtc -I dtb -O dtb -o /dev/null tree
        is "$interrupts: dtc does not complain" '' "$err"
    done
else
    skip 'dtc reads it' 'no dtc'
fi

# The kernel jumps to itself for ever.
boot --kernel Image --timeout 1
is 'time-out: status' 124 "$status"
is 'time-out: message' 'guise: the time is over' "$err"
finish
