/* Rows on integer registers alone: RV64I, M, B and kin. */
#include "cpu/riscv/lift_row.h"

#define ROW_FUNCTION(name) \
    void lift_##name(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)

static uint64_t immediate(const struct rv_insn *insn)
{
    return (uint64_t)(int64_t)insn->imm;
}

ROW_FUNCTION(nothing)
{
    (void)l, (void)insn, (void)row;
}

ROW_FUNCTION(mop)
{
    (void)row;
    lift_set_x(l, insn->rd, lift_constant(l, 0));
}

ROW_FUNCTION(unary)
{
    lift_set_x(l, insn->rd, lift_op(l, row->op, row->type, lift_x(l, insn->rs1), 0));
}

ROW_FUNCTION(binary)
{
    lift_set_x(l, insn->rd, lift_op(l, row->op, row->type, lift_x(l, insn->rs1), lift_x(l, insn->rs2)));
}

ROW_FUNCTION(immediate)
{
    lift_set_x(l, insn->rd, lift_op_k(l, row->op, row->type, lift_x(l, insn->rs1), immediate(insn)));
}

ROW_FUNCTION(sum)
{
    (void)row;
    lift_set_x(l, insn->rd, lift_address(l, insn));
}

static void set_x_w(struct lifter *l, unsigned number, ir_ref value)
{
    lift_set_x(l, number, lift_op(l, IR_SEXT32, IR_I64, value, 0));
}

ROW_FUNCTION(binary_w)
{
    set_x_w(l, insn->rd, lift_op(l, row->op, IR_I32, lift_x(l, insn->rs1), lift_x(l, insn->rs2)));
}

ROW_FUNCTION(immediate_w)
{
    set_x_w(l, insn->rd, lift_op_k(l, row->op, IR_I32, lift_x(l, insn->rs1), immediate(insn)));
}

/* The second operand is inverted. (A ^ ~B is ~(A ^ B).) */
ROW_FUNCTION(inverted)
{
    ir_ref b = lift_op_k(l, IR_XOR, IR_I64, lift_x(l, insn->rs2), ~UINT64_C(0));
    lift_set_x(l, insn->rd, lift_op(l, row->op, IR_I64, lift_x(l, insn->rs1), b));
}

static ir_ref select(struct lifter *l, ir_ref condition, ir_ref yes, ir_ref no)
{
    return lift_op(l, IR_SELECT, IR_I64, condition, lift_pair(l, yes, no));
}

ROW_FUNCTION(smaller)
{
    ir_ref a = lift_x(l, insn->rs1), b = lift_x(l, insn->rs2);
    lift_set_x(l, insn->rd, select(l, lift_op(l, row->op, IR_I64, a, b), a, b));
}

ROW_FUNCTION(larger)
{
    ir_ref a = lift_x(l, insn->rs1), b = lift_x(l, insn->rs2);
    lift_set_x(l, insn->rd, select(l, lift_op(l, row->op, IR_I64, a, b), b, a));
}

/* detail: zero if rs2 is zero? */
ROW_FUNCTION(zero_if)
{
    ir_ref a = lift_x(l, insn->rs1), b = lift_x(l, insn->rs2), zero = lift_constant(l, 0);
    lift_set_x(l, insn->rd, row->detail ? select(l, b, a, zero) : select(l, b, zero, a));
}

/* op: how rs1 is extended first, or NOP; detail: shift */
ROW_FUNCTION(shift_add)
{
    ir_ref a = lift_x(l, insn->rs1);
    if (row->op != IR_NOP)
        a = lift_op(l, row->op, IR_I64, a, 0);
    a = lift_op_k(l, IR_SHL, IR_I64, a, row->detail);
    lift_set_x(l, insn->rd, lift_op(l, IR_ADD, IR_I64, a, lift_x(l, insn->rs2)));
}

ROW_FUNCTION(slli_uw)
{
    ir_ref a = lift_op(l, IR_ZEXT32, IR_I64, lift_x(l, insn->rs1), 0);
    lift_set_x(l, insn->rd, lift_op_k(l, row->op, IR_I64, a, immediate(insn)));
}

ROW_FUNCTION(rotate_left)
{
    ir_ref right = lift_op(l, IR_SUB, row->type, lift_constant(l, 0), lift_x(l, insn->rs2));
    ir_ref value = lift_op(l, row->op, row->type, lift_x(l, insn->rs1), right);
    if (row->type == IR_I32)
        set_x_w(l, insn->rd, value);
    else
        lift_set_x(l, insn->rd, value);
}

/* A byte's lowest seven bits carry into its highest one when one of them is set; that bit then fills its byte. */
ROW_FUNCTION(orc_b)
{
    (void)row;
    const uint64_t low = 0x7f7f7f7f7f7f7f7f;
    ir_ref a = lift_x(l, insn->rs1);
    ir_ref any = lift_op_k(l, IR_ADD, IR_I64, lift_op_k(l, IR_AND, IR_I64, a, low), low);
    any = lift_op_k(l, IR_AND, IR_I64, lift_op(l, IR_OR, IR_I64, any, a), ~low);
    any = lift_op_k(l, IR_SHR, IR_I64, any, 7);
    ir_ref filled = lift_op(l, IR_SUB, IR_I64, lift_op_k(l, IR_SHL, IR_I64, any, 8), any);
    lift_set_x(l, insn->rd, filled);
}

/* Single bits. detail: is the bit's number an immediate? */
static ir_ref bit_number(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)
{
    return row->detail ? lift_constant(l, immediate(insn)) : lift_x(l, insn->rs2);
}

static ir_ref bit_mask(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)
{
    return lift_op(l, IR_SHL, IR_I64, lift_constant(l, 1), bit_number(l, insn, row));
}

ROW_FUNCTION(bit)
{
    lift_set_x(l, insn->rd, lift_op(l, row->op, IR_I64, lift_x(l, insn->rs1), bit_mask(l, insn, row)));
}

ROW_FUNCTION(bit_clear)
{
    ir_ref others = lift_op_k(l, IR_XOR, IR_I64, bit_mask(l, insn, row), ~UINT64_C(0));
    lift_set_x(l, insn->rd, lift_op(l, row->op, IR_I64, lift_x(l, insn->rs1), others));
}

ROW_FUNCTION(bit_extract)
{
    ir_ref shifted = lift_op(l, row->op, IR_I64, lift_x(l, insn->rs1), bit_number(l, insn, row));
    lift_set_x(l, insn->rd, lift_op_k(l, IR_AND, IR_I64, shifted, 1));
}

/* detail: enum lift_call */
ROW_FUNCTION(int_call)
{
    ir_ref a = lift_x(l, insn->rs1), b = lift_x(l, insn->rs2);
    lift_set_x(l, insn->rd, lift_call(l, row->detail, a, b));
}
