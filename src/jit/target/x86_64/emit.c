/* Integer operations. Each is emitted backwards: what comes last in the program is written first. */
#include "jit/target/x86_64/emit.h"

#include <sys/platform/x86.h>

/* ---- Moves ---- */

static void move(struct jit_assembler *as, unsigned to, unsigned from)
{
    if (to < JIT_FP)
        x86_rr(as, X86_MOV | X86_W, to, from);
    else
        x86_sse(as, X86(0, 1, 0x28), to, 0, from);
}

static void swap(struct jit_assembler *as, unsigned a, unsigned b)
{
    if (a < JIT_FP) {
        x86_rr(as, X86_XCHG | X86_W, a, b);
        return;
    }
    for (unsigned i = 0; i < 3; i++) /* the same in both directions */
        x86_rr(as, X86(0, 1, 0x57), i == 1 ? b : a, i == 1 ? a : b);
}

static void load(struct jit_assembler *as, unsigned reg, int32_t offset)
{
    if (reg < JIT_FP)
        x86_mov_state(as, X86_MOV, reg, offset);
    else
        x86_sse_m(as, X86(0xf3, 1, 0x7e), reg, 0, X86_STATE(offset));
}

static void store(struct jit_assembler *as, unsigned reg, int32_t offset)
{
    if (reg < JIT_FP)
        x86_mov_state(as, X86_MOV_STORE, reg, offset);
    else
        x86_sse_m(as, X86(0x66, 1, 0xd6), reg, 0, X86_STATE(offset));
}

static void store_constant(struct jit_assembler *as, int64_t value, int32_t offset)
{
    const uint32_t op = X86(0, 0, 0xc7);
    if (x86_fits32(value)) {
        x86_rmi(as, op | X86_W, 0, X86_STATE(offset), (int32_t)value, 4);
        return;
    }
    x86_rmi(as, op, 0, X86_STATE(offset), (int32_t)value, 4);
    x86_rmi(as, op, 0, X86_STATE(offset + 4), (int32_t)(value >> 32), 4);
}

static void constant(struct jit_assembler *as, unsigned reg, int64_t value)
{
    if (reg < JIT_FP)
        x86_mov_imm(as, reg, value);
    else /* not seen in code that matters: by way of the state */
        for (unsigned i = 0; i < 2; i++) {
            int32_t offset = as->machine->state + (int32_t)offsetof(struct jit_state, value);
            if ((i == 0) == as->in_cold)
                store_constant(as, value, offset);
            else
                load(as, reg, offset);
        }
}

void x86_alu_imm(struct jit_assembler *as, unsigned n, uint32_t width, unsigned reg, int32_t imm)
{
    if (imm == (int8_t)imm)
        x86_rri(as, X86(0, 0, 0x83) | width, n, reg, imm, 1);
    else
        x86_rri(as, X86(0, 0, 0x81) | width, n, reg, imm, 4);
}

void x86_alu_imm_m(struct jit_assembler *as, unsigned n, uint32_t width, struct x86_mem mem, int32_t imm)
{
    bool small = imm == (int8_t)imm;
    x86_rmi(as, X86(0, 0, small ? 0x83 : 0x81) | width, n, mem, imm, small ? 1 : 4);
}

uint8_t *x86_skip(struct jit_assembler *as, enum x86_condition condition)
{
    const char bytes[] = {(char)(0x70 | condition), 0};
    x86_bytes(as, bytes, sizeof(bytes));
    return as->cold;
}

void x86_skip_to(struct jit_assembler *as, uint8_t *skip)
{
    if (as->left)
        skip[-1] = (uint8_t)(as->cold - skip);
}

/* ---- Operands ---- */

ir_ref x86_narrow(struct jit_assembler *as, const struct ir_ins *ins, ir_ref ref)
{
    if (ins->type != IR_I32 || ir_is_constant(ref))
        return ref;
    const struct ir_ins *operand = ir_at(as->ir, ref);
    if ((operand->op == IR_SEXT32 || operand->op == IR_ZEXT32) && jit_is_idle(as, ref))
        return operand->a;
    return ref;
}

/* The constant that the reference is, if it fits an instruction's immediate. */
static bool immediate(const struct jit_assembler *as, ir_ref ref, uint32_t width, int32_t *imm)
{
    if (!ir_is_constant(ref))
        return false;
    int64_t value = ir_constant_value(as->ir, ref);
    *imm = (int32_t)value;
    return !width || x86_fits32(value);
}

/* Has the value a register that stays its own here, so that taking it as the destructive operand would cost a copy? */
static bool stays(struct jit_assembler *as, ir_ref ref, unsigned reg)
{
    if (ir_is_constant(ref))
        return true;
    const struct ir_ins *ins = ir_at(as->ir, ref);
    return ins->reg != JIT_NO_REG ? ins->reg != reg : !jit_dies(as, ref);
}

/* Pins that must not be the result's while `b` is still to be read. */
static uint32_t pins_of(struct jit_assembler *as, ir_ref b)
{
    return ir_is_constant(b) || ir_at(as->ir, b)->op != IR_GET || b >= IR_BASE + as->ir->machine->pin_count
               ? 0
               : JIT_REG(as->slot_pin[b - IR_BASE]);
}

/* ---- Two operands, the first overwritten ---- */

static void add_three(struct jit_assembler *as, ir_ref ref, ir_ref a, ir_ref b, uint32_t width)
{
    int32_t imm;
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    jit_share(as, r);
    struct x86_mem m = {.index = -1};
    if (immediate(as, b, width, &imm)) {
        unsigned ra = jit_use(as, a, JIT_INTEGERS);
        m.base = (int8_t)ra;
        m.disp = imm;
        if (ra == r)
            x86_alu_imm(as, ALU_ADD, width, r, imm);
        else
            x86_rm(as, X86_LEA | width, r, m);
    } else {
        unsigned ra = jit_use(as, a, JIT_INTEGERS), rb = jit_use(as, b, JIT_INTEGERS);
        if (ra == r) {
            x86_rr(as, X86_ALU(ALU_ADD) | width, r, rb);
        } else if (rb == r) {
            x86_rr(as, X86_ALU(ALU_ADD) | width, r, ra);
        } else {
            if ((rb & 7) == RBP && (ra & 7) != RBP) { /* as an index it needs no displacement */
                unsigned t = ra;
                ra = rb;
                rb = t;
            }
            m.base = (int8_t)((rb & 7) == RBP ? ra : rb);
            m.index = (int8_t)((rb & 7) == RBP ? rb : ra);
            x86_rm(as, X86_LEA | width, r, m);
        }
    }
    jit_done(as);
}

/* x + (y << 1, 2 or 3), where the shifted value is wanted here alone. */
static bool scaled(struct jit_assembler *as, ir_ref ref, unsigned *scale)
{
    if (ir_is_constant(ref) || !jit_is_idle(as, ref))
        return false;
    const struct ir_ins *ins = ir_at(as->ir, ref);
    if (ins->op != IR_SHL || ins->type != IR_I64 || !ir_is_constant(ins->b))
        return false;
    int64_t by = ir_constant_value(as->ir, ins->b);
    *scale = (unsigned)by;
    return by >= 1 && by <= 3 && !ir_is_constant(ins->a);
}

static bool add_scaled(struct jit_assembler *as, ir_ref ref, ir_ref a, ir_ref b)
{
    unsigned scale;
    if (!scaled(as, b, &scale)) {
        ir_ref t = a;
        a = b;
        b = t;
        if (!scaled(as, b, &scale))
            return false;
    }
    if (ir_is_constant(a))
        return false;
    ir_ref index = ir_at(as->ir, b)->a;
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    jit_share(as, r);
    struct x86_mem m = {.scale = (uint8_t)scale};
    m.base = (int8_t)jit_use(as, a, JIT_INTEGERS);
    m.index = (int8_t)jit_use(as, index, JIT_INTEGERS);
    x86_rm(as, X86_LEA | X86_W, r, m);
    jit_done(as);
    return true;
}

/* Should the operands of an operation that may have them in any order change places? */
static bool should_swap(struct jit_assembler *as, const struct ir_ins *ins, ir_ref a, ir_ref b, unsigned home)
{
    int32_t offset;
    if (!(ir_ops[ins->op].flags & IR_SWAP) || ir_is_constant(b) || stays(as, b, home))
        return false;
    return stays(as, a, home) || (jit_in_memory(as, a, &offset) && !jit_in_memory(as, b, &offset));
}

/* The result begins as its first operand; the second may be in memory. */
static void emit_two(struct jit_assembler *as, ir_ref ref, ir_ref a, ir_ref b, uint32_t op)
{
    int32_t offset;
    unsigned r = jit_def(as, ref, JIT_INTEGERS & ~pins_of(as, b));
    if (jit_in_memory(as, b, &offset))
        x86_rm(as, op, r, X86_STATE(offset));
    else
        x86_rr(as, op, r, jit_use(as, b, JIT_INTEGERS));
    jit_use_as(as, a, r);
    jit_done(as);
}

static void emit_binary(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins, unsigned n)
{
    int32_t imm;
    uint32_t width = x86_width(ins);
    ir_ref a = x86_narrow(as, ins, ins->a), b = x86_narrow(as, ins, ins->b);
    if (immediate(as, b, width, &imm)) {
        unsigned r = jit_def(as, ref, JIT_INTEGERS);
        x86_alu_imm(as, n, width, r, imm);
        jit_use_as(as, a, r);
        jit_done(as);
        return;
    }
    bool swap = should_swap(as, ins, a, b, ir_at(as->ir, ref)->reg);
    emit_two(as, ref, swap ? b : a, swap ? a : b, X86_ALU(n) | width);
}

/* Two of three operands are one: the operation may read the third in memory. */
static bool adds_in_place(struct jit_assembler *as, ir_ref ref, ir_ref a, ir_ref b)
{
    int32_t offset;
    unsigned home = ir_at(as->ir, ref)->reg;
    return (jit_in_memory(as, a, &offset) && !stays(as, b, home)) ||
           (jit_in_memory(as, b, &offset) && !stays(as, a, home));
}

static void emit_add(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    ir_ref a = x86_narrow(as, ins, ins->a), b = x86_narrow(as, ins, ins->b);
    if (ins->type == IR_I64 && add_scaled(as, ref, a, b))
        return;
    if (adds_in_place(as, ref, a, b))
        emit_binary(as, ref, ins, ALU_ADD);
    else
        add_three(as, ref, a, b, x86_width(ins));
}

static void emit_mul(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    int32_t imm;
    uint32_t width = x86_width(ins);
    ir_ref a = x86_narrow(as, ins, ins->a), b = x86_narrow(as, ins, ins->b);
    if (immediate(as, b, width, &imm)) {
        unsigned r = jit_def(as, ref, JIT_INTEGERS);
        jit_share(as, r);
        x86_rri(as, X86(0, 0, 0x69) | width, r, jit_use(as, a, JIT_INTEGERS), imm, 4);
        jit_done(as);
        return;
    }
    bool swap = should_swap(as, ins, a, b, ir_at(as->ir, ref)->reg);
    emit_two(as, ref, swap ? b : a, swap ? a : b, X86(0, 1, 0xaf) | width);
}

/* ---- Shifts ---- */

enum { SHIFT_ROR = 1, SHIFT_SHL = 4, SHIFT_SHR = 5, SHIFT_SAR = 7 };

static void shift_constant(struct jit_assembler *as, ir_ref ref, ir_ref a, uint32_t width, unsigned n, int by)
{
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    by &= width ? 63 : 31;
    if (n == SHIFT_SHL && by == 1 && width && !ir_is_constant(a) && stays(as, a, r)) {
        jit_share(as, r);
        unsigned ra = jit_use(as, a, JIT_INTEGERS);
        x86_rm(as, X86_LEA | width, r, (struct x86_mem){.base = (int8_t)ra, .index = (int8_t)ra});
    } else {
        if (by)
            x86_rri(as, X86(0, 0, 0xc1) | width, n, r, by, 1);
        jit_use_as(as, a, r);
    }
    jit_done(as);
}

static void emit_shift(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins, unsigned n,
                       unsigned bmi2_prefix)
{
    uint32_t width = x86_width(ins);
    ir_ref a = x86_narrow(as, ins, ins->a), b = ins->b;
    if (ir_is_constant(b)) {
        shift_constant(as, ref, a, width, n, (int)ir_constant_value(as->ir, b));
        return;
    }
    if (bmi2_prefix && x86_has(as, X86_BMI2)) {
        unsigned r = jit_def(as, ref, JIT_INTEGERS);
        jit_share(as, r);
        unsigned ra = jit_use(as, a, JIT_INTEGERS), rb = jit_use(as, b, JIT_INTEGERS);
        x86_vex(as, X86(bmi2_prefix, 2, 0xf7) | width, r, rb, ra);
        jit_done(as);
        return;
    }
    unsigned r = jit_def(as, ref, JIT_INTEGERS & ~JIT_REG(RCX) & ~pins_of(as, b));
    jit_clobber(as, JIT_REG(RCX));
    x86_rri(as, X86(0, 0, 0xd3) | width, n, r, 0, 0);
    jit_use_as(as, b, RCX);
    jit_use_as(as, a, r);
    jit_done(as);
}

/* ---- Wide products, quotients ---- */

static void emit_wide_product(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    const uint32_t rest = JIT_INTEGERS & ~JIT_REG(RAX) & ~JIT_REG(RDX);
    jit_def(as, ref, JIT_REG(RDX));
    jit_clobber(as, JIT_REG(RAX));
    unsigned rb = jit_use(as, ins->b, rest);
    if (ins->op == IR_MULHSU) { /* the unsigned product counts 2^64 * b too much where a is negative */
        unsigned ra = jit_use(as, ins->a, rest);
        x86_rr(as, X86_ALU(ALU_SUB) | X86_W, RDX, RAX);
        x86_rr(as, X86_ALU(ALU_AND) | X86_W, RAX, rb);
        x86_rri(as, X86(0, 0, 0xc1) | X86_W, SHIFT_SAR, RAX, 63, 1);
        move(as, RAX, ra);
        x86_rr(as, X86(0, 0, 0xf7) | X86_W, 4, rb);
        move(as, RAX, ra);
    } else {
        x86_rr(as, X86(0, 0, 0xf7) | X86_W, ins->op == IR_MULH ? 5 : 4, rb);
        jit_use_as(as, ins->a, RAX);
    }
    jit_done(as);
}

/* The cases that x86 traps at are in cold code: a divisor of 0, and of -1 (which the smallest number overflows with).
 */
static void divide_special(struct jit_assembler *as, bool is_signed, bool quotient, uint32_t width,
                           const void *back, const uint8_t **zero, const uint8_t **minus)
{
    *zero = x86_cold_begin(as);
    if (quotient)
        x86_mov_imm(as, RAX, -1);
    else
        move(as, RDX, RAX);
    x86_jmp(as, back);
    *minus = jit_here(as);
    if (is_signed) {
        if (quotient)
            x86_rr(as, X86(0, 0, 0xf7) | width, 3, RAX); /* neg */
        else
            x86_rr(as, X86_ALU(ALU_XOR), RDX, RDX);
        x86_jmp(as, back);
    }
    x86_cold_end(as);
}

static void emit_divide(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    bool is_signed = ins->op == IR_DIV || ins->op == IR_REM,
         quotient = ins->op == IR_DIV || ins->op == IR_DIVU;
    uint32_t width = x86_width(ins);
    ir_ref a = x86_narrow(as, ins, ins->a), b = x86_narrow(as, ins, ins->b);
    const uint8_t *zero, *minus;
    jit_def(as, ref, JIT_REG(quotient ? RAX : RDX));
    jit_clobber(as, JIT_REG(quotient ? RDX : RAX));
    unsigned rb = jit_use(as, b, JIT_INTEGERS & ~JIT_REG(RAX) & ~JIT_REG(RDX));
    divide_special(as, is_signed, quotient, width, jit_here(as), &zero, &minus);
    x86_rr(as, X86(0, 0, 0xf7) | width, is_signed ? 7 : 6, rb);
    if (is_signed) {
        x86_bytes(as, width ? "\x48\x99" : "\x99", width ? 2 : 1); /* cqo, cdq */
        x86_jcc(as, X86_E, minus);
        x86_alu_imm(as, ALU_CMP, width, rb, -1);
    } else {
        x86_rr(as, X86_ALU(ALU_XOR), RDX, RDX);
    }
    x86_jcc(as, X86_E, zero);
    x86_rr(as, X86_TEST | width, rb, rb);
    jit_use_as(as, a, RAX);
    jit_done(as);
}

/* ---- One operand ---- */

static void emit_unary(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins, uint32_t op)
{
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    jit_share(as, r);
    x86_rr(as, op, r, jit_use(as, x86_narrow(as, ins, ins->a), JIT_INTEGERS));
    jit_done(as);
}

/* Does the host's instruction for it clear the upper half? Divisions have cases of their own that do not. */
static bool clears_upper_half(const struct jit_assembler *as, const struct ir_ins *ins)
{
    if (ins->type != IR_I32)
        return false;
    if (ins->op >= IR_SHL && ins->op <= IR_ROR)
        return ir_is_constant(ins->b) && ir_constant_value(as->ir, ins->b) & 31;
    return ins->op >= IR_ADD && ins->op <= IR_XOR;
}

static void emit_zext32(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    if (!jit_dies(as, ins->a) || !clears_upper_half(as, ir_at(as->ir, ins->a))) {
        emit_unary(as, ref, ins, X86_MOV);
        return;
    }
    jit_use_as(as, ins->a, jit_def(as, ref, JIT_INTEGERS)); /* no instruction, if it can be made there */
    jit_done(as);
}

/* Without LZCNT and TZCNT: BSR and BSF leave the result undefined for 0. */
static void emit_bit_scan(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    uint32_t width = x86_width(ins);
    int bits = width ? 64 : 32;
    bool leading = ins->op == IR_CLZ;
    unsigned r = jit_def(as, ref, JIT_INTEGERS & ~as->wanted);
    unsigned ra = jit_use(as, x86_narrow(as, ins, ins->a), JIT_INTEGERS);
    if (leading)
        x86_alu_imm(as, ALU_XOR, 0, r, bits - 1);
    const uint8_t *back = jit_here(as), *zero = x86_cold_begin(as);
    x86_mov_imm(as, r, leading ? 2 * bits - 1 : bits);
    x86_jmp(as, back);
    x86_cold_end(as);
    x86_jcc(as, X86_E, zero);
    x86_rr(as, (leading ? X86(0, 1, 0xbd) : X86(0, 1, 0xbc)) | width, r, ra);
    jit_done(as);
}

static void emit_count(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    if (ins->op == IR_CLZ ? x86_has(as, X86_LZCNT) : x86_has(as, X86_BMI1))
        emit_unary(as, ref, ins,
                   (ins->op == IR_CLZ ? X86(0xf3, 1, 0xbd) : X86(0xf3, 1, 0xbc)) | x86_width(ins));
    else
        emit_bit_scan(as, ref, ins);
}

/* Bits in parallel: pairs, nibbles, bytes, then a product adds the bytes up. */
static void emit_popcnt_plain(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    const uint32_t w = X86_W;
    unsigned r = jit_def(as, ref, JIT_INTEGERS & ~as->wanted);
    unsigned t = jit_temp(as, JIT_INTEGERS & ~as->wanted), k = jit_temp(as, JIT_INTEGERS & ~as->wanted);
    x86_rri(as, X86(0, 0, 0xc1) | w, SHIFT_SHR, r, 56, 1);
    x86_rr(as, X86(0, 1, 0xaf) | w, r, k);
    x86_mov_imm(as, k, 0x0101010101010101);
    x86_rr(as, X86_ALU(ALU_AND) | w, r, k);
    x86_rr(as, X86_ALU(ALU_ADD) | w, r, t);
    x86_rri(as, X86(0, 0, 0xc1) | w, SHIFT_SHR, t, 4, 1);
    move(as, t, r);
    x86_mov_imm(as, k, 0x0f0f0f0f0f0f0f0f);
    x86_rr(as, X86_ALU(ALU_ADD) | w, r, t);
    x86_rr(as, X86_ALU(ALU_AND) | w, r, k);
    x86_rr(as, X86_ALU(ALU_AND) | w, t, k);
    x86_rri(as, X86(0, 0, 0xc1) | w, SHIFT_SHR, t, 2, 1);
    move(as, t, r);
    x86_mov_imm(as, k, 0x3333333333333333);
    x86_rr(as, X86_ALU(ALU_SUB) | w, r, t);
    x86_rr(as, X86_ALU(ALU_AND) | w, t, k);
    x86_rri(as, X86(0, 0, 0xc1) | w, SHIFT_SHR, t, 1, 1);
    move(as, t, r);
    x86_mov_imm(as, k, 0x5555555555555555);
    if (ins->type == IR_I32)
        x86_rr(as, X86_MOV, r, r);
    jit_use_as(as, ins->a, r);
    jit_done(as);
}

static void emit_bswap(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    const char bytes[] = {(char)(0x40 | (x86_width(ins) ? 8 : 0) | r >> 3), 0x0f, (char)(0xc8 | (r & 7))};
    x86_bytes(as, bytes, sizeof(bytes));
    jit_use_as(as, x86_narrow(as, ins, ins->a), r);
    jit_done(as);
}

/* ---- Conditions ---- */

static enum x86_condition integer_condition(unsigned op)
{
    static const uint8_t conditions[] = {X86_E, X86_NE, X86_L, X86_GE, X86_C, X86_NC};
    return conditions[op - IR_EQ];
}

static bool is_integer_compare(unsigned op)
{
    return op >= IR_EQ && op <= IR_GEU;
}

static bool is_fp_compare(unsigned op)
{
    return op == IR_FEQ || op == IR_FLT || op == IR_FLE;
}

static void prepare_fp_test(struct jit_assembler *as, struct x86_test *t, const struct ir_ins *ins,
                            bool negate)
{
    t->a = jit_use(as, jit_operand(as, ins->a, ins->type), JIT_FPS);
    t->b = jit_use(as, jit_operand(as, ins->b, ins->type), JIT_FPS);
    t->equal_ordered = ins->op == IR_FEQ && !negate;
    t->unequal_or_unordered = ins->op == IR_FEQ && negate;
    if (ins->op != IR_FEQ) /* b compared with a: "above" is false when they are unordered */
        t->condition = ins->op == IR_FLT ? (negate ? X86_BE : X86_A) : (negate ? X86_C : X86_NC);
}

/* Does it matter whether flags are raised before or after it? */
static bool sees_flags(const struct ir_ins *ins)
{
    return ir_ops[ins->op].flags & (IR_FAULT | IR_LEAVE) || ins->op == IR_GETFLAGS || ins->op == IR_SETFLAGS;
}

/* May the comparison be made by its user? One of floating point raises flags, which must be seen where it stands. */
static bool may_fuse(struct jit_assembler *as, ir_ref compare, ir_ref user)
{
    const struct ir_ins *ins = ir_at(as->ir, compare);
    if (!jit_is_idle(as, compare) ||
        !(is_integer_compare(ins->op) || is_fp_compare(ins->op) || ins->op == IR_UNBOXED))
        return false;
    if (is_fp_compare(ins->op))
        for (ir_ref between = compare + 1; between < user; between++)
            if (sees_flags(ir_at(as->ir, between)))
                return false;
    return true;
}

/* Is it EQ or NE of a floating-point comparison, which nothing else wants, and 0? */
static ir_ref negated_fp_compare(struct jit_assembler *as, const struct ir_ins *ins, ir_ref user)
{
    if (ins->op != IR_EQ || !ir_is_constant(ins->b) || ir_constant_value(as->ir, ins->b) != 0 ||
        ir_is_constant(ins->a))
        return 0;
    return is_fp_compare(ir_at(as->ir, ins->a)->op) && may_fuse(as, ins->a, user) ? ins->a : 0;
}

static void prepare_value_test(struct jit_assembler *as, struct x86_test *t, ir_ref value)
{
    int32_t offset;
    t->width = X86_W;
    if (jit_in_memory(as, value, &offset)) {
        t->kind = X86_TEST_MEMORY_IMMEDIATE;
        t->memory = X86_STATE(offset);
    } else {
        t->kind = X86_TEST_REGISTER;
        t->a = jit_use(as, value, JIT_INTEGERS);
    }
}

static void prepare_integer_test(struct jit_assembler *as, struct x86_test *t, const struct ir_ins *ins)
{
    int32_t offset;
    t->width = x86_width(ins);
    t->condition = integer_condition(ins->op);
    ir_ref a = x86_narrow(as, ins, ins->a), b = x86_narrow(as, ins, ins->b);
    bool a_in_memory = jit_in_memory(as, a, &offset);
    if (a_in_memory)
        t->memory = X86_STATE(offset);
    if (immediate(as, b, t->width, &t->imm)) {
        t->kind = a_in_memory ? X86_TEST_MEMORY_IMMEDIATE : t->imm ? X86_TEST_IMMEDIATE : X86_TEST_REGISTER;
        t->a = a_in_memory ? JIT_NO_REG : jit_use(as, a, JIT_INTEGERS);
        return;
    }
    if (a_in_memory) {
        t->kind = X86_TEST_MEMORY_REGISTER;
        t->b = jit_use(as, b, JIT_INTEGERS);
        return;
    }
    t->a = jit_use(as, a, JIT_INTEGERS);
    t->kind = jit_in_memory(as, b, &offset) ? X86_TEST_MEMORY : X86_TEST_REGISTERS;
    if (t->kind == X86_TEST_MEMORY)
        t->memory = X86_STATE(offset);
    else
        t->b = jit_use(as, b, JIT_INTEGERS);
}

struct x86_test x86_test_prepare(struct jit_assembler *as, ir_ref condition, ir_ref user)
{
    struct x86_test t = {.condition = X86_NE};
    const struct ir_ins *ins = ir_is_constant(condition) ? NULL : ir_at(as->ir, condition);
    ir_ref negated = 0;
    if (!ins || !may_fuse(as, condition, user)) {
        prepare_value_test(as, &t, condition);
    } else if (ins->op == IR_UNBOXED) {
        t.kind = X86_TEST_BOX;
        t.a = jit_use(as, ins->a, JIT_FPS);
        t.b = jit_temp(as, JIT_INTEGERS);
    } else if (is_fp_compare(ins->op) || (negated = negated_fp_compare(as, ins, user))) {
        t.kind = X86_TEST_FP;
        t.compare = is_fp_compare(ins->op) ? condition : negated;
        ir_at(as->ir, t.compare)->hint = JIT_CONSUMED;
        prepare_fp_test(as, &t, ir_at(as->ir, t.compare), t.compare != condition);
    } else {
        prepare_integer_test(as, &t, ins);
    }
    return t;
}

static void emit_fp_compare(struct jit_assembler *as, const struct ir_ins *ins, unsigned a, unsigned b)
{
    uint32_t op = X86(ins->type == IR_F64 ? 0x66 : 0, 1, ins->op == IR_FEQ ? 0x2e : 0x2f);
    unsigned first = ins->op == IR_FEQ ? a : b, second = ins->op == IR_FEQ ? b : a;
    x86_sse(as, op, first, 0, second);
}

static void emit_box_test(struct jit_assembler *as, unsigned fp, unsigned temp)
{
    x86_alu_imm(as, ALU_CMP, 0, temp, -1);
    x86_rri(as, X86(0, 0, 0xc1) | X86_W, SHIFT_SHR, temp, 32, 1);
    x86_sse(as, X86(0x66, 1, 0x7e) | X86_W, fp, 0, temp); /* movq */
}

void x86_test_emit(struct jit_assembler *as, const struct x86_test *t)
{
    switch (t->kind) {
    case X86_TEST_REGISTER: x86_rr(as, X86_TEST | t->width, t->a, t->a); break;
    case X86_TEST_REGISTERS: x86_rr(as, X86_ALU(ALU_CMP) | t->width, t->a, t->b); break;
    case X86_TEST_IMMEDIATE: x86_alu_imm(as, ALU_CMP, t->width, t->a, t->imm); break;
    case X86_TEST_MEMORY: x86_rm(as, X86_ALU(ALU_CMP) | t->width, t->a, t->memory); break;
    case X86_TEST_MEMORY_REGISTER: x86_rm(as, X86_ALU_STORE(ALU_CMP) | t->width, t->b, t->memory); break;
    case X86_TEST_MEMORY_IMMEDIATE: x86_alu_imm_m(as, ALU_CMP, t->width, t->memory, t->imm); break;
    case X86_TEST_FP: emit_fp_compare(as, ir_at(as->ir, t->compare), t->a, t->b); break;
    case X86_TEST_BOX: emit_box_test(as, t->a, t->b); break;
    }
}

static void set_byte(struct jit_assembler *as, enum x86_condition condition, unsigned reg)
{
    x86_rr(as, X86(0, 1, 0x90 | condition) | X86_B, 0, reg);
}

/* 0 or 1 of a comparison. */
static void emit_set(struct jit_assembler *as, ir_ref ref)
{
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    jit_share(as, r);
    ir_at(as->ir, ref)->reg = JIT_NO_REG; /* idle, so that the test takes the comparison itself */
    struct x86_test t = x86_test_prepare(as, ref, ref);
    x86_rr(as, X86(0, 1, 0xb6) | X86_B, r, r);       /* movzx */
    if (t.equal_ordered || t.unequal_or_unordered) { /* two conditions, each in a register of its own */
        as->busy |= JIT_REG(r);
        unsigned other = jit_temp(as, JIT_INTEGERS);
        x86_rr(as, X86(0, 0, t.equal_ordered ? 0x22 : 0x0a) | X86_B, r, other);
        set_byte(as, t.equal_ordered ? X86_NP : X86_P, other);
        set_byte(as, t.equal_ordered ? X86_E : X86_NE, r);
    } else {
        set_byte(as, t.condition, r);
    }
    x86_test_emit(as, &t);
    jit_done(as);
}

/* The register begins as one arm and becomes the other on the condition; FEQ takes two conditions. */
static void emit_select(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    const uint32_t cmov = X86(0, 1, 0x40) | X86_W;
    const struct ir_ins *arms = ir_at(as->ir, ins->b);
    unsigned r = jit_def(as, ref, JIT_INTEGERS & ~as->wanted);
    struct x86_test t = x86_test_prepare(as, ins->a, ref);
    ir_ref first = t.equal_ordered ? arms->a : arms->b, second = t.equal_ordered ? arms->b : arms->a;
    enum x86_condition condition = t.equal_ordered ? X86_NE : t.condition;
    unsigned other = jit_use(as, second, JIT_INTEGERS);
    if (t.equal_ordered || t.unequal_or_unordered)
        x86_rr(as, cmov | X86_P, r, other);
    x86_rr(as, cmov | condition, r, other);
    x86_test_emit(as, &t);
    jit_use_as(as, first, r);
    jit_done(as);
}

/* ---- Dispatch ---- */

static void emit(struct jit_assembler *as, ir_ref ref)
{
    const struct ir_ins *ins = ir_at(as->ir, ref);
    switch (ins->op) {
    case IR_ADD: emit_add(as, ref, ins); break;
    case IR_SUB: emit_binary(as, ref, ins, ALU_SUB); break;
    case IR_AND: emit_binary(as, ref, ins, ALU_AND); break;
    case IR_OR: emit_binary(as, ref, ins, ALU_OR); break;
    case IR_XOR: emit_binary(as, ref, ins, ALU_XOR); break;
    case IR_MUL: emit_mul(as, ref, ins); break;
    case IR_SHL: emit_shift(as, ref, ins, SHIFT_SHL, 0x66); break;
    case IR_SHR: emit_shift(as, ref, ins, SHIFT_SHR, 0xf2); break;
    case IR_SAR: emit_shift(as, ref, ins, SHIFT_SAR, 0xf3); break;
    case IR_ROR: emit_shift(as, ref, ins, SHIFT_ROR, 0); break;
    case IR_MULH:
    case IR_MULHU:
    case IR_MULHSU: emit_wide_product(as, ref, ins); break;
    case IR_DIV:
    case IR_DIVU:
    case IR_REM:
    case IR_REMU: emit_divide(as, ref, ins); break;
    case IR_CLZ:
    case IR_CTZ: emit_count(as, ref, ins); break;
    case IR_POPCNT:
        if (x86_has(as, X86_POPCNT))
            emit_unary(as, ref, ins, X86(0xf3, 1, 0xb8) | x86_width(ins));
        else
            emit_popcnt_plain(as, ref, ins);
        break;
    case IR_BSWAP: emit_bswap(as, ref, ins); break;
    case IR_SEXT8: emit_unary(as, ref, ins, X86(0, 1, 0xbe) | X86_W | X86_B); break;
    case IR_SEXT16: emit_unary(as, ref, ins, X86(0, 1, 0xbf) | X86_W); break;
    case IR_SEXT32: emit_unary(as, ref, ins, X86(0, 0, 0x63) | X86_W); break;
    case IR_ZEXT8: emit_unary(as, ref, ins, X86(0, 1, 0xb6) | X86_B); break;
    case IR_ZEXT16: emit_unary(as, ref, ins, X86(0, 1, 0xb7)); break;
    case IR_ZEXT32: emit_zext32(as, ref, ins); break;
    case IR_EQ:
    case IR_NE:
    case IR_LT:
    case IR_GE:
    case IR_LTU:
    case IR_GEU:
    case IR_FEQ:
    case IR_FLT:
    case IR_FLE: emit_set(as, ref); break;
    case IR_SELECT: emit_select(as, ref, ins); break;
    case IR_CALL:
    case IR_CALLF: x86_emit_call(as, ref); break;
    default:
        if (ins->op >= IR_LDS8 && ins->op <= IR_ACAS)
            x86_emit_memory(as, ref);
        else
            x86_emit_fp(as, ref);
    }
}

/* What libc found out when it started: where the monitor is itself a guest, each CPUID would be an exit. */
static unsigned features(struct jit_modes modes)
{
    if (modes.baseline)
        return 0;
    return (CPU_FEATURE_ACTIVE(BMI1) ? X86_BMI1 : 0u) | (CPU_FEATURE_ACTIVE(BMI2) ? X86_BMI2 : 0u) |
           (CPU_FEATURE_ACTIVE(LZCNT) ? X86_LZCNT : 0u) | (CPU_FEATURE_ACTIVE(POPCNT) ? X86_POPCNT : 0u) |
           (CPU_FEATURE_ACTIVE(AVX) ? X86_AVX : 0u) | (CPU_FEATURE_ACTIVE(FMA) ? X86_FMA : 0u);
}

/* The pins' order is the guest registers' by use: those that are encoded best first. */
const struct jit_target jit_target_host = {
    .scratch = X86_SCRATCH | JIT_REG(XMM0) | JIT_REG(XMM0 + 1) | JIT_REG(XMM0 + 2),
    .registers = (JIT_INTEGERS & ~(JIT_REG(RSP) | JIT_REG(RBP))) | JIT_FPS,
    .pins = {{0, RSI, RDI, RBX, R8, R9, R10, R11, R14, R15, R12},
             {0, XMM0 + 3, XMM0 + 4, XMM0 + 5, XMM0 + 6, XMM0 + 7, XMM0 + 8, XMM0 + 9, XMM0 + 10, XMM0 + 11,
              XMM0 + 12, XMM0 + 13, XMM0 + 14, XMM0 + 15}},
    .features = features,
    .emit = emit,
    .move = move,
    .swap = swap,
    .constant = constant,
    .load = load,
    .store = store,
    .store_constant = store_constant,
    .finish = x86_finish_cold,
    .exit = x86_emit_exit,
    .loop = x86_emit_loop,
    .count = x86_emit_count,
    .thunks = x86_make_thunks,
    .quick_begin = x86_quick_begin,
    .quick_ins = x86_quick_ins,
    .quick_end = x86_quick_end,
};
