/* Floating point, scalar, with the guest's rounding mode and flags in MXCSR. */
#include "jit/target/x86_64/emit.h"

#define PS X86(0, 1, 0) /* whole registers: bit operations */

static unsigned prefix_of(const struct ir_ins *ins)
{
    return ins->type == IR_F64 ? 0xf2 : 0xf3;
}

static void copy(struct jit_assembler *as, unsigned to, unsigned from)
{
    if (to != from)
        x86_sse(as, PS | 0x28, to, 0, from);
}

static void emit_arithmetic(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins, unsigned byte)
{
    uint32_t op = X86(prefix_of(ins), 1, byte);
    ir_ref a = jit_operand(as, ins->a, ins->type), b = jit_operand(as, ins->b, ins->type);
    if (x86_has(as, X86_AVX)) {
        unsigned r = jit_def(as, ref, JIT_FPS);
        jit_share(as, r);
        unsigned ra = jit_use(as, a, JIT_FPS), rb = jit_use(as, b, JIT_FPS);
        x86_vex(as, op, r, ra, rb);
    } else {
        unsigned r = jit_def(as, ref, JIT_FPS & ~as->wanted);
        x86_rr(as, op, r, jit_use(as, b, JIT_FPS));
        jit_use_as(as, a, r);
    }
    jit_done(as);
}

/* The register begins as a copy of the operand: its upper half, and no wait for an older result. */
static void emit_sqrt(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    uint32_t op = X86(prefix_of(ins), 1, 0x51);
    unsigned r = jit_def(as, ref, JIT_FPS);
    jit_share(as, r);
    unsigned ra = jit_use(as, jit_operand(as, ins->a, ins->type), JIT_FPS);
    if (x86_has(as, X86_AVX)) {
        x86_vex(as, op, r, ra, ra);
    } else {
        x86_rr(as, op, r, r);
        copy(as, r, ra);
    }
    jit_done(as);
}

/* r = +-(r * b) +- c, form 213. */
static void emit_fused(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    static const uint8_t opcodes[] = {0xa9, 0xab, 0xad, 0xaf};
    const struct ir_ins *pair = ir_at(as->ir, ins->b);
    unsigned r = jit_def(as, ref, JIT_FPS & ~as->wanted);
    unsigned rb = jit_use(as, jit_operand(as, pair->a, ins->type), JIT_FPS),
             rc = jit_use(as, jit_operand(as, pair->b, ins->type), JIT_FPS);
    x86_vex(as, X86(0x66, 2, opcodes[ins->op - IR_FMADD]) | (ins->type == IR_F64 ? X86_W : 0), r, rb, rc);
    jit_use_as(as, jit_operand(as, ins->a, ins->type), r);
    jit_done(as);
}

/* ---- NaN ---- */

static struct x86_mem nan_of(struct jit_assembler *as, const struct ir_ins *ins)
{
    return x86_constant_at(as, ins->type == IR_F64 ? X86_NAN64 : X86_NAN32);
}

static void compare(struct jit_assembler *as, const struct ir_ins *ins, unsigned a, unsigned b)
{
    x86_sse(as, X86(ins->type == IR_F64 ? 0x66 : 0, 1, 0x2e), a, 0, b);
}

static void load_nan(struct jit_assembler *as, const struct ir_ins *ins, unsigned r)
{
    x86_sse_m(as, X86(0xf3, 1, 0x7e), r, 0, nan_of(as, ins));
}

static void box(struct jit_assembler *as, unsigned r)
{
    x86_sse_m(as, PS | 0x56, r, r, x86_constant_at(as, X86_BOX));
}

static void emit_canon(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    unsigned r = jit_def(as, ref, JIT_FPS);
    const uint8_t *back = jit_here(as), *cold = x86_cold_begin(as);
    load_nan(as, ins, r);
    x86_jmp(as, back);
    x86_cold_end(as);
    x86_jcc(as, X86_P, cold);
    compare(as, ins, r, r);
    if (ins->type == IR_F32)
        box(as, r);
    jit_use_as(as, ins->a, r);
    jit_done(as);
}

static void emit_box(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    unsigned r = jit_def(as, ref, JIT_FPS);
    box(as, r);
    jit_use_as(as, ins->a, r);
    jit_done(as);
}

void x86_finish_cold(struct jit_assembler *as, unsigned reg, enum ir_op op, enum ir_type type)
{
    const struct ir_ins ins = {.type = type & 7u};
    if (type == IR_F32)
        box(as, reg);
    if (op == IR_BOX)
        return;
    compare(as, &ins, reg, reg);
    uint8_t *number = x86_skip(as, X86_NP);
    load_nan(as, &ins, reg);
    x86_skip_to(as, number);
}

/* minsd and maxsd give the second operand for zeros of either sign and for NaNs: those cases are cold. */
static void emit_min_max(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    bool min = ins->op == IR_FMIN;
    unsigned r = jit_def(as, ref, JIT_FPS & ~as->wanted);
    unsigned ra = jit_use(as, jit_operand(as, ins->a, ins->type), JIT_FPS),
             rb = jit_use(as, jit_operand(as, ins->b, ins->type), JIT_FPS);
    const uint8_t *back = jit_here(as), *equal = x86_cold_begin(as);
    copy(as, r, ra);
    x86_sse(as, PS | (min ? 0x56 : 0x54), r, r, rb); /* or, and: -0 wins, +0 wins */
    x86_jmp(as, back);
    const uint8_t *unordered = jit_here(as);
    copy(as, r, rb);
    compare(as, ins, ra, ra);
    uint8_t *a_is_nan = x86_skip(as, X86_P);
    copy(as, r, ra);
    x86_jmp(as, back);
    x86_skip_to(as, a_is_nan);
    compare(as, ins, rb, rb);
    x86_jcc(as, X86_NP, back);
    load_nan(as, ins, r);
    x86_jmp(as, back);
    x86_cold_end(as);
    x86_sse(as, X86(prefix_of(ins), 1, min ? 0x5d : 0x5f), r, r, rb);
    copy(as, r, ra);
    x86_jcc(as, X86_E, equal);
    x86_jcc(as, X86_P, unordered);
    compare(as, ins, ra, rb);
    jit_done(as);
}

/* ---- Signs ---- */

static void emit_sign(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    struct x86_mem sign = x86_constant_at(as, ins->type == IR_F64 ? X86_SIGN64 : X86_SIGN32);
    struct x86_mem rest = x86_constant_at(as, ins->type == IR_F64 ? X86_REST64 : X86_REST32);
    ir_ref a = jit_unboxed(as, ins->a, ins->type), b = jit_unboxed(as, ins->b, ins->type);
    unsigned r = jit_def(as, ref, JIT_FPS & ~as->wanted);
    if (ins->a == ins->b && ins->op != IR_FSGNJ) { /* negated, without a sign */
        if (ins->op == IR_FSGNJN)
            x86_sse_m(as, PS | 0x57, r, r, sign);
        else
            x86_sse_m(as, PS | 0x54, r, r, rest);
        jit_use_as(as, a, r);
        jit_done(as);
        return;
    }
    unsigned rb = jit_use(as, b, JIT_FPS), t = jit_temp(as, JIT_FPS);
    x86_sse(as, PS | (ins->op == IR_FSGNJX ? 0x57 : 0x56), r, r, t);
    if (ins->op != IR_FSGNJX)
        x86_sse_m(as, PS | 0x54, r, r, rest);
    if (ins->op == IR_FSGNJN) /* the sign that b has not: andn */
        x86_sse_m(as, PS | 0x55, t, t, sign);
    else
        x86_sse_m(as, PS | 0x54, t, t, sign);
    copy(as, t, rb);
    jit_use_as(as, a, r);
    jit_done(as);
}

/* ---- Between integers and floating point ---- */

static void emit_bits(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    x86_sse(as, X86(0x66, 1, 0x7e) | X86_W, jit_use(as, ins->a, JIT_FPS), 0, r);
    jit_done(as);
}

static void emit_from_bits(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    bool wide = ins->type == IR_F64;
    unsigned r = jit_def(as, ref, JIT_FPS);
    x86_sse(as, X86(0x66, 1, 0x6e) | (wide ? X86_W : 0), r, 0, jit_use(as, ins->a, JIT_INTEGERS));
    jit_done(as);
}

static void emit_unboxed(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    x86_rr(as, X86(0, 1, 0xb6) | X86_B, r, r);
    x86_rr(as, X86(0, 1, 0x95) | X86_B, 0, r); /* setne: not all ones */
    x86_alu_imm(as, ALU_CMP, 0, r, -1);
    x86_rri(as, X86(0, 0, 0xc1) | X86_W, 5, r, 32, 1); /* shr */
    x86_sse(as, X86(0x66, 1, 0x7e) | X86_W, jit_use(as, ins->a, JIT_FPS), 0, r);
    jit_done(as);
}

/* Conversions leave part of their destination as it was, and wait for it. */
static void clear(struct jit_assembler *as, unsigned r)
{
    x86_sse(as, PS | 0x57, r, r, r);
}

static void emit_convert(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    bool to_single = ins->type == IR_F32;
    unsigned r = jit_def(as, ref, JIT_FPS & ~as->wanted);
    unsigned ra = jit_use(as, jit_operand(as, ins->a, to_single ? IR_F64 : IR_F32), JIT_FPS);
    x86_sse(as, X86(to_single ? 0xf2 : 0xf3, 1, 0x5a), r, r, ra);
    clear(as, r);
    jit_done(as);
}

static void emit_from_integer(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    uint32_t op = X86(prefix_of(ins), 1, 0x2a);
    unsigned r = jit_def(as, ref, JIT_FPS);
    if (ins->op == IR_FROMWU) {
        unsigned ra = jit_use(as, ins->a, JIT_INTEGERS), t = jit_temp(as, JIT_INTEGERS);
        x86_sse(as, op | X86_W, r, r, t);
        clear(as, r);
        x86_rr(as, X86_MOV, t, ra);
    } else {
        x86_sse(as, op | (ins->op == IR_FROMW ? 0 : X86_W), r, r, jit_use(as, ins->a, JIT_INTEGERS));
        clear(as, r);
    }
    jit_done(as);
}

/* A number with the highest bit set is halved, with its lowest bit kept for the rounding, and the result doubled: the
 * doubling is exact. */
static void emit_from_unsigned(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    uint32_t op = X86(prefix_of(ins), 1, 0x2a) | X86_W;
    unsigned r = jit_def(as, ref, JIT_FPS);
    unsigned ra = jit_use(as, ins->a, JIT_INTEGERS), t = jit_temp(as, JIT_INTEGERS),
             odd = jit_temp(as, JIT_INTEGERS);
    const uint8_t *back = jit_here(as), *large = x86_cold_begin(as);
    x86_rr(as, X86_MOV | X86_W, t, ra);
    x86_rr(as, X86_MOV, odd, ra);
    x86_rri(as, X86(0, 0, 0xd1) | X86_W, 5, t, 0, 0); /* shr */
    x86_alu_imm(as, ALU_AND, 0, odd, 1);
    x86_rr(as, X86_ALU(ALU_OR) | X86_W, t, odd);
    x86_sse(as, op, r, r, t);
    x86_sse(as, X86(prefix_of(ins), 1, 0x58), r, r, r);
    x86_jmp(as, back);
    x86_cold_end(as);
    x86_sse(as, op, r, r, ra);
    x86_jcc(as, X86_S, large);
    x86_rr(as, X86_TEST | X86_W, ra, ra);
    clear(as, r);
    jit_done(as);
}

/* The host gives the smallest integer for whatever does not fit: that is looked at in cold code. */
static void emit_to_integer(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    bool wide = ins->op == IR_TRUNCL || ins->op == IR_ROUNDL,
         trunc = ins->op == IR_TRUNCL || ins->op == IR_TRUNCW;
    uint32_t width = wide ? X86_W : 0;
    int64_t largest = wide ? INT64_MAX : INT32_MAX;
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    unsigned ra = jit_use(as, jit_operand(as, ins->a, ins->type), JIT_FPS);
    const uint8_t *back = jit_here(as), *cold;
    if (!wide)
        x86_rr(as, X86(0, 0, 0x63) | X86_W, r, r);
    cold = x86_cold_begin(as);
    compare(as, ins, ra, ra);
    uint8_t *nan = x86_skip(as, X86_P);
    x86_sse(as, X86(ins->type == IR_F64 ? 0x66 : 0, 1, 0x50), r, 0,
            ra); /* movmsk: the sign is the lowest bit */
    x86_rri(as, X86(0, 0, 0xf6) | X86_B, 0, r, 1, 1);
    uint8_t *positive = x86_skip(as, X86_E);
    x86_mov_imm(as, r, -largest - 1);
    x86_jmp(as, back);
    x86_skip_to(as, nan);
    x86_skip_to(as, positive);
    x86_mov_imm(as, r, largest);
    x86_jmp(as, back);
    x86_cold_end(as);
    x86_jcc(as, X86_O, cold);
    x86_alu_imm(as, ALU_CMP, width, r, 1);
    x86_sse(as, X86(prefix_of(ins), 1, trunc ? 0x2c : 0x2d) | width, r, 0, ra);
    jit_done(as);
}

/* What is 0 or more and below the limit can be converted as a signed number; as bits, negative ones and NaNs are
 * above it too. The host would raise inexact for numbers that fit its wider signed result alone: so the number is
 * looked at first. */
static void emit_to_unsigned(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    bool wide = ins->op == IR_TRUNCLU, is_double = ins->type == IR_F64;
    int mantissa = is_double ? 52 : 23, bias = is_double ? 1023 : 127;
    uint32_t width = is_double ? X86_W : 0;
    uint32_t convert = X86(prefix_of(ins), 1, 0x2c) | X86_W;
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    unsigned ra = jit_use(as, jit_operand(as, ins->a, ins->type), JIT_FPS), t = jit_temp(as, JIT_INTEGERS);
    const uint8_t *back = jit_here(as), *cold;
    uint8_t *other = NULL;
    if (!wide)
        x86_rr(as, X86(0, 0, 0x63) | X86_W, r, r);
    cold = x86_cold_begin(as);
    if (wide) { /* from 2^63 to 2^64: the mantissa below the highest bit */
        x86_rr(as, X86_ALU(ALU_SUB) | X86_W, t, r);
        x86_rr(as, X86_MOV | X86_W, r, t);
        x86_rri(as, X86(0, 0, 0xc1) | X86_W, 5, r, mantissa, 1); /* shr */
        other = x86_skip(as, X86_NE);
        x86_mov_imm(as, r, INT64_MIN);
        x86_rri(as, X86(0, 0, 0xc1) | X86_W, 4, t, 63 - mantissa, 1); /* shl */
        x86_rr(as, X86_ALU(ALU_OR) | X86_W, r, t);
        x86_jmp(as, back);
        x86_skip_to(as, other);
    }
    x86_sse_m(as, X86(is_double ? 0x66 : 0, 1, 0x2e), ra, 0,
              x86_constant_at(as, is_double ? X86_MINUS64 : X86_MINUS32));
    x86_mov_imm(as, t, -1);
    uint8_t *nan = x86_skip(as, X86_P);
    x86_mov_imm(as, t, 0);
    uint8_t *negative = x86_skip(as, X86_BE);
    x86_mov_imm(as, t, -1);
    x86_sse(as, X86(is_double ? 0x66 : 0, 1, 0x50), r, 0, ra); /* movmsk */
    x86_rri(as, X86(0, 0, 0xf6) | X86_B, 0, r, 1, 1);
    uint8_t *positive = x86_skip(as, X86_E);
    x86_sse(as, convert, r, 0, ra); /* above -1: 0 */
    x86_jmp(as, back);
    x86_skip_to(as, nan);
    x86_skip_to(as, negative);
    x86_skip_to(as, positive);
    x86_sse_m(as, convert, r, 0, nan_of(as, ins)); /* raises invalid */
    x86_rr(as, X86_MOV | X86_W, r, t);
    x86_jmp(as, back);
    x86_cold_end(as);
    x86_sse(as, convert, r, 0, ra);
    x86_jcc(as, X86_NC, cold);
    x86_rr(as, X86_ALU(ALU_CMP) | X86_W, t, r);
    x86_mov_imm(as, r, (int64_t)(bias + (wide ? 63 : 32)) << mantissa);
    x86_sse(as, X86(0x66, 1, 0x7e) | width, ra, 0, t);
    jit_done(as);
}

/* ---- Flags ---- */

enum { GUEST_FLAGS = 0x1f, MXCSR_FLAGS = 0x3f, MXCSR_GUEST_FLAGS = 0x3d };

static struct x86_mem mxcsr_word(const struct jit_assembler *as)
{
    return X86_STATE(as->machine->state + (int32_t)offsetof(struct jit_state, value));
}

enum { LDMXCSR = 2, STMXCSR = 3 };

static void emit_mxcsr(struct jit_assembler *as, unsigned extension)
{
    x86_rm(as, X86(0, 1, 0xae), extension, mxcsr_word(as));
}

/* reg = the table's byte at reg. */
static void emit_translate(struct jit_assembler *as, unsigned reg, unsigned base, unsigned table)
{
    x86_rm(as, X86(0, 1, 0xb6), reg, (struct x86_mem){.base = (int8_t)base, .index = (int8_t)reg});
    x86_mov_imm(as, base, (int64_t)(intptr_t)as->thunks->constants + table);
}

static void emit_get_flags(struct jit_assembler *as, ir_ref ref)
{
    if (jit_is_idle(as, ref))
        return;
    unsigned r = jit_def(as, ref, JIT_INTEGERS), base = jit_temp(as, JIT_INTEGERS);
    emit_translate(as, r, base, X86_FLAGS_TABLE);
    x86_alu_imm(as, ALU_AND, 0, r, MXCSR_FLAGS);
    x86_rm(as, X86_MOV, r, mxcsr_word(as));
    emit_mxcsr(as, STMXCSR);
    jit_done(as);
}

/* Loading MXCSR takes long, and mostly the flags are what they were: then it is not done. */
static void emit_set_flags(struct jit_assembler *as, const struct ir_ins *ins)
{
    unsigned now = jit_temp(as, JIT_INTEGERS), wanted = jit_temp(as, JIT_INTEGERS),
             base = jit_temp(as, JIT_INTEGERS);
    const uint8_t *back = jit_here(as), *cold = x86_cold_begin(as);
    x86_alu_imm(as, ALU_AND, 0, wanted, MXCSR_FLAGS);
    x86_rr(as, X86_ALU(ALU_XOR), now, wanted);
    x86_rm(as, X86_MOV_STORE, now, mxcsr_word(as));
    emit_mxcsr(as, LDMXCSR);
    x86_jmp(as, back);
    x86_cold_end(as);
    x86_jcc(as, X86_NE, cold);
    x86_rri(as, X86(0, 0, 0xf6) | X86_B, 0, wanted, MXCSR_GUEST_FLAGS, 1); /* test */
    x86_rr(as, X86_ALU(ALU_XOR), wanted, now);
    x86_rm(as, X86_MOV, now, mxcsr_word(as));
    emit_mxcsr(as, STMXCSR);
    emit_translate(as, wanted, base, X86_MXCSR_TABLE);
    x86_alu_imm(as, ALU_AND, 0, wanted, GUEST_FLAGS);
    jit_use_as(as, ins->a, wanted);
    jit_done(as);
}

void x86_emit_fp(struct jit_assembler *as, ir_ref ref)
{
    const struct ir_ins *ins = ir_at(as->ir, ref);
    switch (ins->op) {
    case IR_FADD: emit_arithmetic(as, ref, ins, 0x58); break;
    case IR_FSUB: emit_arithmetic(as, ref, ins, 0x5c); break;
    case IR_FMUL: emit_arithmetic(as, ref, ins, 0x59); break;
    case IR_FDIV: emit_arithmetic(as, ref, ins, 0x5e); break;
    case IR_FSQRT: emit_sqrt(as, ref, ins); break;
    case IR_FMADD:
    case IR_FMSUB:
    case IR_FNMSUB:
    case IR_FNMADD: emit_fused(as, ref, ins); break;
    case IR_FMIN:
    case IR_FMAX: emit_min_max(as, ref, ins); break;
    case IR_CANON: emit_canon(as, ref, ins); break;
    case IR_BOX: emit_box(as, ref, ins); break;
    case IR_FSGNJ:
    case IR_FSGNJN:
    case IR_FSGNJX: emit_sign(as, ref, ins); break;
    case IR_GETFLAGS: emit_get_flags(as, ref); break;
    case IR_SETFLAGS: emit_set_flags(as, ins); break;
    case IR_UNBOXED: emit_unboxed(as, ref, ins); break;
    case IR_BITS: emit_bits(as, ref, ins); break;
    case IR_FROMBITS: emit_from_bits(as, ref, ins); break;
    case IR_FCVT: emit_convert(as, ref, ins); break;
    case IR_FROMW:
    case IR_FROMWU:
    case IR_FROML: emit_from_integer(as, ref, ins); break;
    case IR_FROMLU: emit_from_unsigned(as, ref, ins); break;
    case IR_TRUNCWU:
    case IR_TRUNCLU: emit_to_unsigned(as, ref, ins); break;
    default: emit_to_integer(as, ref, ins); break;
    }
}
