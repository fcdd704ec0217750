/* Rows of F, D, Zfa and Zfhmin.
 *
 * Registers are slots of 64 raw bits. Arithmetic gives any quiet NaN; what is set is the canonical form of that, which
 * the back end drops when it is overwritten unseen, because it lets arithmetic go on with the value before. Single
 * precision wants boxed operands: one that is not known to be so is checked, once for each value; the interpreter
 * takes those that are not. So it does for all that the host's FPU has no instruction or no rounding mode for. */
#include "cpu/riscv/fp.h"
#include "cpu/riscv/lift_row.h"

#define ROW_FUNCTION(name) \
    void lift_##name(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)

/* ---- Registers ---- */

static bool is_boxed(const struct lifter *l, unsigned number)
{
    return l->boxed >> number & 1;
}

static ir_ref get_f(struct lifter *l, unsigned number)
{
    return ir_get(l->ir, l->f_slot[number]);
}

static void require_boxed(struct lifter *l, unsigned number)
{
    if (is_boxed(l, number))
        return;
    lift_guard(l, lift_op(l, IR_UNBOXED, IR_F32, get_f(l, number), 0));
    l->boxed |= UINT32_C(1) << number;
    l->asked |= UINT32_C(1) << number;
}

static ir_ref operand(struct lifter *l, unsigned number, enum ir_type type)
{
    if (type == IR_F32)
        require_boxed(l, number);
    return get_f(l, number);
}

static ir_ref bits(struct lifter *l, unsigned number)
{
    return lift_op(l, IR_BITS, IR_I64, get_f(l, number), 0);
}

static void set_f(struct lifter *l, unsigned number, enum ir_type type, ir_ref value)
{
    uint32_t bit = UINT32_C(1) << number;
    ir_set(l->ir, l->f_slot[number], value);
    l->boxed = type == IR_F32 ? l->boxed | bit : l->boxed & ~bit;
}

/* What the row's operation gives exactly. */
static void set_exact(struct lifter *l, unsigned number, enum ir_type type, ir_ref value)
{
    set_f(l, number, type, type == IR_F32 ? lift_op(l, IR_BOX, IR_F32, value, 0) : value);
}

static void set_result(struct lifter *l, unsigned number, enum ir_type type, ir_ref raw)
{
    set_f(l, number, type, lift_op(l, IR_CANON, type, raw, 0));
}

/* ---- Rounding ---- */

/* Where the dynamic mode is none of the host's (or none at all), the engine does not run units: hart_rounds_as_host().
 * Only the interpreter's instructions change it. */
enum { DYNAMIC = 7, FLAGS = 0x1f, FRM = 7, FRM_SHIFT = 5 };

static ir_ref read_rounding(struct lifter *l)
{
    return lift_op_k(l, IR_AND, IR_I64, ir_get(l->ir, LIFT_ROUNDING), FRM);
}

/* The dynamic mode is to nearest even: once for a unit, because no instruction of a unit changes it. */
static void require_nearest(struct lifter *l)
{
    if (!l->nearest)
        lift_guard(l, read_rounding(l));
    l->nearest = true;
}

/* False: the instruction has a mode of its own that is not lifted. To nearest even is: guest JITs encode it
 * everywhere. */
static bool rounds_as_host(struct lifter *l, const struct rv_insn *insn)
{
    if (insn->rm == SOFTFP_RNE)
        require_nearest(l);
    else if (insn->rm != DYNAMIC)
        lift_leave_stop(l, LIFT_INTERPRET);
    return insn->rm == SOFTFP_RNE || insn->rm == DYNAMIC;
}

/* ---- CSRs ---- */

static ir_ref read_flags(struct lifter *l)
{
    return lift_op(l, IR_OR, IR_I64, lift_op(l, IR_GETFLAGS, IR_I64, 0, 0), ir_get(l->ir, LIFT_FLAGS));
}

/* The next two instructions, when with this one, which reads the flags, they are a comparison that raises none: the
 * flags are read, the comparison is made, what was read is written back. */
static bool is_quiet_comparison(struct lifter *l, const struct rv_insn *insn, struct rv_insn next[2])
{
    if (!insn->rd || lift_peek(l, next, 2) != 2)
        return false;
    bool compares =
        next[0].op == RV_FLT_S || next[0].op == RV_FLE_S || next[0].op == RV_FLT_D || next[0].op == RV_FLE_D;
    return compares && next[0].rd != insn->rd && next[1].op == RV_CSRRW && !next[1].rd &&
           next[1].imm == RV_CSR_FFLAGS && next[1].rs1 == insn->rd;
}

/* Leaves when the operand is a NaN (to double precision each boxed single is one); looks at its bits, for the host's
 * comparisons raise a flag for some. */
static void require_ordered(struct lifter *l, enum ir_type type, ir_ref value)
{
    bool single = type == IR_F32;
    const struct ir_ins *ins = ir_at(l->ir, value);
    bool finished = (ins->op == IR_CANON || ins->op == IR_BOX) && ins->type == type;
    ir_ref bits = lift_op(l, IR_BITS, IR_I64, finished ? ins->a : value, 0);
    ir_ref magnitude = lift_op_k(l, IR_SHL, single ? IR_I32 : IR_I64, bits, 1);
    uint64_t infinity = single ? UINT64_C(0xff) << 24 : UINT64_C(0x7ff) << 53;
    lift_guard(l, lift_op(l, IR_LTU, single ? IR_I32 : IR_I64, lift_constant(l, infinity), magnitude));
}

/* Of numbers, without what the flags would cost: reading them waits for all that the host's FPU has under way. */
static void quiet_comparison(struct lifter *l, const struct rv_insn *insn, const struct rv_insn next[2])
{
    const struct rv_insn *compare = &next[0];
    bool single = compare->op == RV_FLT_S || compare->op == RV_FLE_S;
    bool less = compare->op == RV_FLT_S || compare->op == RV_FLT_D;
    enum ir_type type = single ? IR_F32 : IR_F64;
    ir_ref a = operand(l, compare->rs1, type), b = operand(l, compare->rs2, type);
    require_ordered(l, type, a);
    require_ordered(l, type, b);
    lift_set_x(l, insn->rd, read_flags(l));
    lift_take(l, compare);
    lift_set_x(l, compare->rd, lift_op(l, less ? IR_FLT : IR_FLE, type, a, b));
    lift_take(l, &next[1]);
}

/* Reading: rs1 is a register or an immediate, and with 0 no bit is set or cleared. What writes frm changes the host's
 * mode, and is the interpreter's. */
ROW_FUNCTION(csr)
{
    (void)row;
    struct rv_insn next[2];
    if (lift_system_csr(l, insn))
        return;
    if (insn->rs1 == 0 && insn->imm == RV_CSR_FRM)
        lift_set_x(l, insn->rd, read_rounding(l));
    else if (insn->rs1 == 0 && insn->imm == RV_CSR_FFLAGS && is_quiet_comparison(l, insn, next))
        quiet_comparison(l, insn, next);
    else if (insn->rs1 == 0 && insn->imm == RV_CSR_FFLAGS)
        lift_set_x(l, insn->rd, read_flags(l));
    else if (insn->rs1 == 0 && insn->imm == RV_CSR_FCSR)
        lift_set_x(l, insn->rd,
                   lift_op(l, IR_OR, IR_I64, read_flags(l),
                           lift_op_k(l, IR_SHL, IR_I64, read_rounding(l), FRM_SHIFT)));
    else
        lift_leave_stop(l, LIFT_INTERPRET);
}

/* Comparisons that must not raise flags are compiled as: read the flags, compare, write them back. detail: rs1 is the
 * value. */
ROW_FUNCTION(csr_write)
{
    if (lift_system_csr(l, insn))
        return;
    if (insn->imm != RV_CSR_FFLAGS) {
        lift_leave_stop(l, LIFT_INTERPRET);
        return;
    }
    ir_ref value =
        row->detail ? lift_constant(l, insn->rs1) : lift_op_k(l, IR_AND, IR_I64, lift_x(l, insn->rs1), FLAGS);
    ir_ref old = insn->rd ? read_flags(l) : 0;
    lift_op(l, IR_SETFLAGS, IR_I64, value, 0);
    ir_set(l->ir, LIFT_FLAGS, lift_constant(l, 0));
    if (old)
        lift_set_x(l, insn->rd, old);
}

/* ---- Memory and moves ---- */

ROW_FUNCTION(fp_load)
{
    set_exact(l, insn->rd, row->type, lift_op(l, row->op, row->type, lift_place(l, insn, row), 0));
}

ROW_FUNCTION(fp_store)
{
    ir_ref value = get_f(l, insn->rs2);
    lift_op(l, row->op, row->type, lift_place(l, insn, row), value);
}

/* A boxed half is a boxed single too, a NaN. */
static void set_f_half(struct lifter *l, unsigned number, ir_ref half)
{
    ir_ref boxed = lift_op_k(l, IR_OR, IR_I64, half, FP_BOX_H);
    set_f(l, number, IR_F32, lift_op(l, IR_FROMBITS, IR_F64, boxed, 0));
}

ROW_FUNCTION(fp_load_half)
{
    set_f_half(l, insn->rd, lift_op(l, row->op, row->type, lift_place(l, insn, row), 0));
}

ROW_FUNCTION(fp_store_half)
{
    ir_ref value = bits(l, insn->rs2);
    lift_op(l, row->op, row->type, lift_place(l, insn, row), value);
}

/* op: extension of the low bits, or NOP */
ROW_FUNCTION(fp_to_bits)
{
    ir_ref value = bits(l, insn->rs1);
    lift_set_x(l, insn->rd, row->op == IR_NOP ? value : lift_op(l, row->op, row->type, value, 0));
}

ROW_FUNCTION(fp_from_bits)
{
    set_exact(l, insn->rd, row->type, lift_op(l, row->op, row->type, lift_x(l, insn->rs1), 0));
}

ROW_FUNCTION(fp_from_half)
{
    set_f_half(l, insn->rd, lift_op(l, row->op, row->type, lift_x(l, insn->rs1), 0));
}

ROW_FUNCTION(fp_constant)
{
    uint64_t value = row->type == IR_F32 ? fp_li_s(insn->rs1) : fp_li_d(insn->rs1);
    set_exact(l, insn->rd, row->type, lift_op(l, row->op, row->type, lift_constant(l, value), 0));
}

/* ---- Arithmetic ---- */

ROW_FUNCTION(fp_binary)
{
    if (!rounds_as_host(l, insn))
        return;
    ir_ref a = operand(l, insn->rs1, row->type), b = operand(l, insn->rs2, row->type);
    set_result(l, insn->rd, row->type, lift_op(l, row->op, row->type, a, b));
}

ROW_FUNCTION(fp_sqrt)
{
    if (!rounds_as_host(l, insn))
        return;
    ir_ref a = operand(l, insn->rs1, row->type);
    set_result(l, insn->rd, row->type, lift_op(l, row->op, row->type, a, 0));
}

static void require_number(struct lifter *l, enum ir_type type, ir_ref value)
{
    ir_ref is_number = lift_op(l, IR_FEQ, type, value, value);
    lift_guard(l, lift_op_k(l, IR_EQ, IR_I64, is_number, 0));
}

/* Infinity times zero is invalid even when a quiet NaN is added to it, which the host does not report. */
ROW_FUNCTION(fp_fused)
{
    if (!l->limits->has_fma) {
        lift_leave_stop(l, LIFT_INTERPRET);
        return;
    }
    if (!rounds_as_host(l, insn))
        return;
    ir_ref a = operand(l, insn->rs1, row->type), b = operand(l, insn->rs2, row->type);
    ir_ref c = operand(l, insn->rs3, row->type);
    require_number(l, row->type, c);
    set_result(l, insn->rd, row->type, lift_op(l, row->op, row->type, a, lift_pair(l, b, c)));
}

/* With equal operands, fsgnj is how registers are copied. */
static bool is_copy(const struct rv_insn *insn, const struct lift_row *row)
{
    return row->op == IR_FSGNJ && insn->rs1 == insn->rs2;
}

ROW_FUNCTION(fp_sign)
{
    ir_ref a = operand(l, insn->rs1, row->type), b = operand(l, insn->rs2, row->type);
    if (!is_copy(insn, row)) {
        set_exact(l, insn->rd, row->type, lift_op(l, row->op, row->type, a, b));
        return;
    }
    enum ir_type type = is_boxed(l, insn->rs1) ? IR_F32 : IR_F64;
    set_f(l, insn->rd, type, a);
}

/* detail: is the result a NaN when one operand is? */
ROW_FUNCTION(fp_extreme)
{
    ir_ref a = operand(l, insn->rs1, row->type), b = operand(l, insn->rs2, row->type);
    if (row->detail) {
        require_number(l, row->type, a);
        require_number(l, row->type, b);
    }
    set_exact(l, insn->rd, row->type, lift_op(l, row->op, row->type, a, b));
}

ROW_FUNCTION(fp_compare)
{
    ir_ref a = operand(l, insn->rs1, row->type), b = operand(l, insn->rs2, row->type);
    lift_set_x(l, insn->rd, lift_op(l, row->op, row->type, a, b));
}

/* detail: enum lift_call, of registers' bits */
ROW_FUNCTION(fp_call)
{
    ir_ref a = bits(l, insn->rs1), b = bits(l, insn->rs2);
    lift_set_x(l, insn->rd, lift_call(l, row->detail, a, b));
}

/* ---- Conversions ---- */

/* The mode to round in, as a value. */
static ir_ref rounding_mode(struct lifter *l, const struct rv_insn *insn)
{
    if (insn->rm != DYNAMIC)
        return lift_constant(l, insn->rm);
    return lift_op_k(l, IR_AND, IR_I64, ir_get(l->ir, LIFT_ROUNDING), DYNAMIC);
}

/* In the host's mode, what `toward_zero` is toward zero; NOP: the host has none. */
static enum ir_op in_host_mode(enum ir_op toward_zero)
{
    switch (toward_zero) {
    case IR_TRUNCW: return IR_ROUNDW;
    case IR_TRUNCL: return IR_ROUNDL;
    default: return IR_NOP;
    }
}

/* op: for the mode toward zero; detail: enum lift_call, for what the host does not do at once */
ROW_FUNCTION(fp_to_int)
{
    enum ir_op op = IR_NOP;
    if (insn->rm == SOFTFP_RTZ)
        op = row->op;
    else if (insn->rm == DYNAMIC)
        op = in_host_mode(row->op);
    if (op == IR_NOP) {
        ir_ref mode = rounding_mode(l, insn);
        lift_set_x(l, insn->rd, lift_call(l, row->detail, bits(l, insn->rs1), mode));
        return;
    }
    lift_set_x(l, insn->rd, lift_op(l, op, row->type, operand(l, insn->rs1, row->type), 0));
}

/* To a whole number of the same format. detail: enum lift_call */
ROW_FUNCTION(fp_round)
{
    ir_ref mode = rounding_mode(l, insn);
    ir_ref whole = lift_call(l, row->detail, bits(l, insn->rs1), mode);
    set_exact(l, insn->rd, row->type, lift_op(l, IR_FROMBITS, row->type, whole, 0));
}

/* detail: is every result exact? */
ROW_FUNCTION(fp_from_int)
{
    if (!row->detail && !rounds_as_host(l, insn))
        return;
    set_exact(l, insn->rd, row->type, lift_op(l, row->op, row->type, lift_x(l, insn->rs1), 0));
}

ROW_FUNCTION(fp_narrow)
{
    if (!rounds_as_host(l, insn))
        return;
    set_result(l, insn->rd, row->type, lift_op(l, row->op, row->type, operand(l, insn->rs1, IR_F64), 0));
}

ROW_FUNCTION(fp_widen)
{
    set_result(l, insn->rd, row->type, lift_op(l, row->op, row->type, operand(l, insn->rs1, IR_F32), 0));
}
