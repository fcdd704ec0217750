# Guest sequences whose host code is on record: a name, then instructions. Labels are local numbers.

add:                add a0, a1, a2
add_in_place:       add a0, a0, a1
add_cold_register:  add t3, t4, t5
sub:                sub a0, a1, a2
sub_reverse:        sub a0, a1, a0
addi:               addi a0, a1, 100
logic:              and a0, a1, a2; or a3, a4, a5; xor a1, a2, a3
not_neg:            not a0, a1; neg a2, a3
seqz_snez:          seqz a0, a1; snez a2, a3
slt:                slt a0, a1, a2; sltu a3, a4, a5; slti a4, a4, 10; sltiu a5, a5, 10
addw:               addw a0, a1, a2
addiw_chain:        addiw a5, a5, 1; addiw a5, a5, 2; addw a5, a5, a4
subw_negw:          subw a0, a1, a2; negw a3, a4
sextw:              sext.w a0, a1
shift_immediate:    slli a0, a1, 3; srli a2, a3, 5; srai a4, a5, 7
shift_variable:     sll a0, a1, a2; srl a3, a4, a5; sra a1, a1, a4
shift_word:         sllw a0, a1, a2; srlw a3, a4, a5; sraw a1, a1, a4
shift_word_imm:     slliw a0, a1, 3; srliw a2, a3, 5; sraiw a4, a5, 7
zext_by_shifts:     slli a0, a0, 32; srli a0, a0, 32
bitfield:           srli a0, a1, 8; andi a0, a0, 255
mul:                mul a0, a1, a2
mulw:               mulw a0, a1, a2
mulh:               mulh a0, a1, a2; mulhu a3, a1, a2; mulhsu a4, a1, a2
mul_wide:           mul a0, a2, a3; mulhu a1, a2, a3
div:                div a0, a1, a2
divu_remu:          divu a0, a1, a2; remu a3, a1, a2
divw_remw:          divw a0, a1, a2; remw a3, a1, a2
mul_constant:       li a5, 10; mul a0, a0, a5

lui_addi:           lui a0, 0x12345; addiw a0, a0, 0x678
auipc_addi:         auipc a0, 0x10; addi a0, a0, 16
auipc_ld:           auipc a5, 0x10; ld a0, 24(a5)
constant_64:        li a0, 0x123456789abcdef0

load_sizes:         lb a0, (a1); lbu a2, 1(a1); lh a3, 2(a1); lhu a4, 4(a1); lw a5, 8(a1); lwu s0, 12(a1); ld s1, 16(a1)
store_sizes:        sb a0, (a1); sh a2, 2(a1); sw a3, 4(a1); sd a4, 8(a1)
store_zero:         sd zero, 8(sp); sw zero, 4(a0); sb zero, (a1)
index_8:            slli a5, a1, 3; add a5, a0, a5; ld a0, (a5)
index_8_offset:     slli a5, a1, 3; add a5, a0, a5; ld a0, 16(a5)
index_4:            slli a5, a1, 2; add a5, a0, a5; lw a0, (a5)
index_word:         sext.w a1, a1; slli a5, a1, 3; add a5, a0, a5; ld a0, (a5)
index_unsigned:     slli a5, a1, 32; srli a5, a5, 30; add a5, a0, a5; lw a0, (a5)
index_byte:         add a5, a0, a1; lbu a0, (a5)
index_frame:        slli a5, a1, 2; addi a5, a5, 1024; add a5, a5, sp; lw a5, -1024(a5)
index_frame_kept:   slli a5, a1, 3; addi a4, a5, 48; add a5, a4, sp; sd a1, -16(a5)
load_add_store:     ld a5, (a0); addi a5, a5, 1; sd a5, (a0)
load_operate:       lw a5, 4(a0); addw a1, a1, a5
push:               addi sp, sp, -48; sd ra, 40(sp); sd s0, 32(sp); sd s1, 24(sp); sd s2, 16(sp); addi s0, sp, 48
pop:                ld ra, 40(sp); ld s0, 32(sp); ld s1, 24(sp); ld s2, 16(sp); addi sp, sp, 48; ret

branch_eq:          beq a0, a1, 1f; addi a2, a2, 1; 1:
branch_zero:        beqz a0, 1f; bnez a1, 1f; bltz a2, 1f; bgez a3, 1f; blez a4, 1f; bgtz a5, 1f; 1:
branch_less:        blt a0, a1, 1f; bge a2, a3, 1f; bltu a4, a5, 1f; bgeu s0, s1, 1f; 1:
slt_bnez:           slt a5, a0, a1; bnez a5, 1f; sltu a5, a0, a1; beqz a5, 1f; 1:
andi_bnez:          andi a5, a0, 4; bnez a5, 1f; 1:
load_branch:        lbu a5, (a0); beqz a5, 1f; 1:
compare_constant:   li a5, 47; bgtu a0, a5, 1f; 1:
bit_test_by_shift:  slli a5, a0, 40; bltz a5, 1f; 1:
jump:               j 1f; nop; 1: addi a0, a0, 1
call:               jal ra, .+0x100
call_far:           auipc ra, 0x10; jalr ra, 16(ra)
call_indirect:      jalr ra, (a5)
jump_indirect:      jr a5
ret:                ret
switch:             slli a5, a0, 2; add a5, a5, a4; lw a5, (a5); add a5, a5, a4; jr a5
tail_call:          ld a5, 8(a0); jr a5

zba:                sh1add a0, a1, a2; sh2add a3, a4, a5; sh3add a1, a2, a3
zba_uw:             add.uw a0, a1, a2; sh3add.uw a3, a4, a5; zext.w a2, a1; slli.uw a5, a4, 3
zba_load:           sh3add a5, a1, a0; ld a0, 8(a5)
zbb_logic:          andn a0, a1, a2; orn a3, a4, a5; xnor a1, a2, a3
zbb_count:          clz a0, a1; ctz a2, a3; cpop a4, a5
zbb_count_word:     clzw a0, a1; ctzw a2, a3; cpopw a4, a5
zbb_minmax:         min a0, a1, a2; maxu a3, a4, a5
zbb_extend:         sext.b a0, a1; sext.h a2, a3; zext.h a4, a5
zbb_rotate:         rol a0, a1, a2; ror a3, a4, a5; rori a1, a1, 7; rorw a2, a2, a3
zbb_bytes:          rev8 a0, a1; orc.b a2, a3
zbs:                bset a0, a1, a2; bclr a3, a4, a5; binv a1, a1, a2; bext a2, a2, a4
zbs_immediate:      bseti a0, a1, 40; bclri a2, a3, 40; binvi a4, a5, 3; bexti a1, a1, 17
zicond:             czero.eqz a0, a1, a2; czero.nez a3, a4, a5

fp_double:          fadd.d fa0, fa1, fa2; fsub.d fa3, fa4, fa5; fmul.d fa1, fa1, fa2; fdiv.d fa2, fa2, fa3
fp_double_chain:    fmul.d fa5, fa0, fa1; fadd.d fa5, fa5, fa2; fsd fa5, (a0)
fp_single:          fadd.s fa0, fa1, fa2; fmul.s fa3, fa0, fa5; fsub.s fa1, fa3, fa0
fp_single_memory:   flw fa0, (a0); flw fa1, 4(a0); fmul.s fa0, fa0, fa1; fsw fa0, 8(a0)
fp_memory:          fld fa0, (a0); fld fa1, 8(a0); fsd fa0, 16(a0)
fp_moves:           fmv.d fa0, fa1; fneg.d fa2, fa3; fabs.d fa4, fa5; fsgnj.d fa1, fa2, fa3
fp_bits:            fmv.x.d a0, fa0; fmv.d.x fa1, a1; fmv.x.w a2, fa2; fmv.w.x fa3, a3
fp_compare:         flt.d a0, fa0, fa1; feq.d a1, fa2, fa3; fle.d a2, fa4, fa5
fp_branch:          flt.d a5, fa0, fa1; bnez a5, 1f; 1:
fp_branch_equal:    feq.d a5, fa0, fa1; beqz a5, 1f; 1:
fp_from_integer:    fcvt.d.w fa0, a0; fcvt.d.l fa1, a1; fcvt.d.wu fa2, a2; fcvt.s.w fa3, a3
fp_from_unsigned:   fcvt.d.lu fa0, a0
fp_to_integer:      fcvt.w.d a0, fa0, rtz; fcvt.l.d a1, fa1, rtz
fp_to_unsigned:     fcvt.wu.d a0, fa0, rtz; fcvt.lu.d a1, fa1, rtz
fp_widths:          fcvt.s.d fa0, fa1; fcvt.d.s fa2, fa3
fp_fmadd:           fmadd.d fa0, fa1, fa2, fa3; fnmsub.d fa4, fa1, fa2, fa5
fp_fmadd_single:    fmadd.s fa0, fa1, fa2, fa3
fp_sqrt:            fsqrt.d fa0, fa1; fsqrt.s fa2, fa3
fp_minmax:          fmin.d fa0, fa1, fa2; fmax.d fa3, fa4, fa5
fp_class:           fclass.d a0, fa0
fp_flags:           frflags a5; fadd.d fa0, fa0, fa1; fsflags a5
fp_rounding:        frrm a5; fsrm a4
fp_nearest:         fmul.d fa0, fa1, fa2, rne; fsqrt.d fa3, fa0, rne
fp_dot:             1: fld fa4, (a4); fld fa3, (a5); addi a4, a4, 8; addi a5, a5, 8; fmadd.d fa0, fa4, fa3, fa0; bne a4, a3, 1b

amo_add:            amoadd.w a0, a1, (a2); amoadd.d a3, a4, (a5)
amo_no_result:      amoadd.w zero, a1, (a2)
amo_bits:           amoor.d zero, a1, (a2); amoand.w zero, a3, (a4)
amo_swap:           amoswap.w.aq a0, a1, (a2); amoswap.w.rl zero, zero, (a2)
amo_logic:          amoor.w a0, a1, (a2); amoand.d a3, a4, (a5)
amo_max:            amomax.d a0, a1, (a2)
lr_sc_add:          1: lr.w a5, (a0); addw a4, a5, a1; sc.w a3, a4, (a0); bnez a3, 1b
lr_sc_cas:          1: lr.d.aq a5, (a0); bne a5, a1, 2f; sc.d.rl a4, a2, (a0); bnez a4, 1b; 2:
fences:             fence rw, rw; fence r, rw; fence rw, w; fence.tso

loop_copy:          1: ld a5, (a1); addi a1, a1, 8; sd a5, (a0); addi a0, a0, 8; bne a1, a2, 1b
loop_copy_byte:     1: lbu a5, (a1); addi a0, a0, 1; addi a1, a1, 1; sb a5, -1(a0); bne a0, a2, 1b
loop_strlen:        1: lbu a4, (a5); addi a5, a5, 1; bnez a4, 1b
loop_hash:          1: lbu a5, (a0); addi a0, a0, 1; xor a4, a4, a5; mul a4, a4, a3; bne a0, a2, 1b
loop_sum:           1: lw a5, (a0); addi a0, a0, 4; addw a1, a1, a5; bne a0, a2, 1b
loop_count:         1: addi a0, a0, -1; bnez a0, 1b
loop_sieve:         1: sb zero, (a5); add a5, a5, a4; bleu a5, a3, 1b
loop_list:          1: ld a0, (a0); addi a1, a1, 1; bnez a0, 1b
loop_collatz:       1: andi a5, a0, 1; beqz a5, 2f; slli a5, a0, 1; add a0, a0, a5; addi a0, a0, 1; j 1b; 2: srli a0, a0, 1; j 1b

paged_load:         lw a0, 4(a1)
paged_store:        sd a0, -8(a1)
paged_add:          lw a5, 4(a0); addiw a5, a5, 1; sw a5, 4(a0)
paged_prologue:     addi sp, sp, -48; sd ra, 40(sp); sd s0, 32(sp); sd s1, 24(sp); mv s0, a0; mv s1, a1; ld a0, 8(a2)
paged_epilogue:     ld ra, 40(sp); ld s0, 32(sp); ld s1, 24(sp); addi sp, sp, 48; ret
paged_fields:       ld a5, 0(a0); ld a4, 8(a0); beq a4, a5, 1f; sd a5, 8(a0); sd a4, 0(a0); 1: ld a0, 16(a0)
paged_list:         ld a5, 8(a0); sd a5, 8(a1); ld a0, 0(a0); ld a5, 8(a0)
paged_bump:         lbu a4, 0(a5); addi a5, a5, 1; lbu a3, 0(a5); addi a5, a5, 1; lbu a2, 0(a5)
