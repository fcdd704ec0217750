#!/bin/sh
# isagen.sh ISAGEN RISCV.ISA: a bad description is refused with file, line and reason; the real one is accepted.
isagen=$1
description=$2
directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT
failures=0

prologue='extension i
field rd x rd 11:7
field imm int imm 31:20 signed
field c_d x rd 11:7
format i rd, imm
format none
format c c_d
addi ............ 00000 000 ..... 0010011 i i'

# expect "LINE: message" LINES... appended to a prologue of 8 good lines
expect()
{
    message=$1
    shift
    printf '%s\n' "$prologue" "$@" >"$directory/bad.isa"
    output=$("$isagen" "$directory/bad.isa" "$directory/rows.h" "$directory/tables.inc" 2>&1)
    status=$?
    if [ $status -ne 1 ] || [ "$output" != "$directory/bad.isa:$message" ]; then
        echo "not refused as expected: $*"
        echo "  wanted: $message"
        echo "  found ($status): $output"
        failures=$((failures + 1))
    fi
}

expect "9: the pattern of nop has 31 bits" 'nop 0000000000000000000000000010011 none i'
expect "9: a pattern of 32 bits, and no other, ends in 11" 'nop 00000000000000000000000000010010 none i'
expect "9: there is no format 'x'" 'nop 0000000000000000 x i'
expect "9: there is no extension 'x'" 'nop 00000000000000000000000001010011 none x'
expect "9: 'x' is not a flag" 'nop 00000000000000000000000001010011 none i x'
expect "9: the extension is missing" 'nop 00000000000000000000000001010011 none'
expect "9: addi is described twice" 'addi ............ 00000 000 ..... 0110011 i i'
expect "9: li overlaps addi (line 8)" 'li ............ 00000 000 ..... 0010011 i i'
expect "9: there is no other instruction 'x'" 'nop 00000000000000000000000000010011 none i within x'
expect "9: nop does not lie within addi" 'nop 00000000000000000000000001010011 none i within addi'
expect "9: no field of format none covers bits 0x80000000" 'nop .0000000000000000000000001010011 none i'
expect "9: compressed instructions, and no others, have an expansion" 'c.nop 0000000000000001 none i'
expect "9: there is no instruction 'x' to expand to" 'c.nop 0000000000000001 none i => x'
expect "9: the operands of addi are written as in format i" 'c.nop 0000000000000001 none i => addi zero'
expect "9: 'q' is neither a field nor a register nor a number" 'c.li 0000.....0000001 c i => addi q, 1'
expect "9: field rd is not in format c" 'c.li 0000.....0000001 c i => addi rd, 1'
expect "9: the word 0 is no instruction" 'c.zero 0000000000000000 none i => addi zero, 0'
expect "11: only the low 16 bits may be nonzero" 'field high x rd 24:20 nonzero' 'format high high' \
    'high 0000000.....00000000000000110011 high i'
expect "14: what c.in reserves is not reserved by c.out" 'field c_i int imm 6:2' 'field c_dnz x rd 11:7 nonzero' \
    'format out c_d, c_i' 'format in c_dnz' 'c.out 0000..........01 out i => addi c_d, c_i' \
    'c.in 0000.....0000001 in i within c.out => addi c_dnz, 1'
expect "11: there is no way to gather the operands of mix" 'field mix int imm 17 19 21 23 25 27 29 31' \
    'format mix mix' 'mix .0.0.0.0.0.0.0.00000000000110011 mix i'
expect "9: 'x' is neither a field nor a register" 'format x rd, x'
expect "9: a bracket is not closed" 'format x rd {rd'
expect "9: field rd may be left out but has no default" 'format x [rd]'
expect "9: 'rd' is declared twice" 'field rd x rd 11:7'
expect "9: 'y' is not a class" 'field x y rd 11:7'
expect "9: 'y' is not a slot" 'field x x y 11:7'
expect "9: '32' is not a number below 32" 'field x x rd 32:30'
expect "9: a slice is written high:low" 'field x x rd 7:11'
expect "9: field x does not fit rd" 'field x x rd 12:7'
expect "9: the slices of field x overlap" 'field x x rd 11:9 9:8'
expect "9: 'y' says nothing about a field" 'field x x rd 11:7 y'
expect "10: register x (0x001) is declared twice" 'csr y 1' 'csr x 1'
expect "9: '4096' is not a number below 4096" 'csr y 4096'

if ! "$isagen" "$description" "$directory/rows.h" "$directory/tables.inc"; then
    failures=$((failures + 1))
fi
[ $failures -eq 0 ]
