/* Rows that access memory, integer ones, and those that order accesses.
 *
 * An access that faults has changed nothing: registers are set after it. Host atomics are sequentially consistent, stronger
 * than any aq and rl ask for; plain loads and stores of the host keep every order but that of a store before a load. */
#include "cpu/riscv/hart.h"
#include "cpu/riscv/lift_row.h"

#define ROW_FUNCTION(name) \
    void lift_##name(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)

ROW_FUNCTION(load)
{
    lift_set_x(l, insn->rd, lift_op(l, row->op, row->type, lift_place(l, insn, row), 0));
}

ROW_FUNCTION(store)
{
    ir_ref value = lift_x(l, insn->rs2);
    lift_op(l, row->op, row->type, lift_place(l, insn, row), value);
}

ROW_FUNCTION(fence)
{
    enum { WRITE = 1, READ = 2, OUTPUT = 4, INPUT = 8 };
    unsigned before = insn->aux >> 4, after = insn->aux & 15;
    if ((before & (WRITE | OUTPUT)) && (after & (READ | INPUT)))
        lift_op(l, row->op, row->type, 0, 0);
}

/* The address of an atomic; the interpreter raises the trap where it is not aligned. */
static ir_ref aligned_address(struct lifter *l, const struct rv_insn *insn, unsigned size)
{
    ir_ref address = lift_x(l, insn->rs1);
    lift_guard(l, lift_op_k(l, IR_AND, IR_I64, address, size - 1));
    if (l->limits->direct)
        lift_require_inside(l, address);
    return address;
}

static void set_x_atomic(struct lifter *l, unsigned number, enum ir_type type, ir_ref value)
{
    lift_set_x(l, number, type == IR_I32 ? lift_op(l, IR_SEXT32, IR_I64, value, 0) : value);
}

/* detail: size. With rl, no earlier store may be later. */
ROW_FUNCTION(load_reserved)
{
    enum { RELEASE = 1 };
    ir_ref address = aligned_address(l, insn, row->detail);
    if (insn->rm & RELEASE)
        lift_op(l, IR_FENCE, IR_I64, 0, 0);
    ir_ref value = lift_op(l, row->op, IR_I64, address, 0);
    ir_set(l->ir, LIFT_RESERVE_ADDRESS, address);
    ir_set(l->ir, LIFT_RESERVE_VALUE, value);
    set_x_atomic(l, insn->rd, row->type, value);
}

/* Succeeds when memory still, or again, holds what LR saw. Of a program, another address than LR's is the interpreter's. A kernel
 * drops its reservation on every way out with an SC that fails, which is still to find out whether it might write: it writes
 * what is there. */
ROW_FUNCTION(store_conditional)
{
    ir_ref address = aligned_address(l, insn, row->detail);
    ir_ref other = lift_op(l, IR_NE, IR_I64, address, ir_get(l->ir, LIFT_RESERVE_ADDRESS));
    ir_ref expected = ir_get(l->ir, LIFT_RESERVE_VALUE), desired = lift_x(l, insn->rs2);
    if (l->limits->paged)
        desired = lift_op(l, IR_SELECT, IR_I64, other, lift_pair(l, expected, desired));
    else
        lift_guard(l, other);
    ir_ref old = lift_op(l, row->op, row->type, address, lift_pair(l, expected, desired));
    ir_set(l->ir, LIFT_RESERVE_ADDRESS, lift_constant(l, HART_NO_RESERVE));
    ir_ref failed = lift_op(l, IR_NE, row->type, old, expected);
    lift_set_x(l, insn->rd, l->limits->paged ? lift_op(l, IR_OR, IR_I64, failed, other) : failed);
}

ROW_FUNCTION(amo)
{
    ir_ref address = aligned_address(l, insn, row->detail);
    ir_ref old = lift_op(l, row->op, row->type, address, lift_x(l, insn->rs2));
    set_x_atomic(l, insn->rd, row->type, old);
}

ROW_FUNCTION(amocas)
{
    ir_ref address = aligned_address(l, insn, row->detail);
    ir_ref pair = lift_pair(l, lift_x(l, insn->rd), lift_x(l, insn->rs2));
    set_x_atomic(l, insn->rd, row->type, lift_op(l, row->op, row->type, address, pair));
}

/* A wait may end for any reason: the guest looks again. */
ROW_FUNCTION(pause)
{
    (void)insn, (void)row;
    lift_call(l, LIFT_CALL_PAUSE, lift_constant(l, 0), lift_constant(l, 0));
}

/* Host caches are coherent: what is left is the check of the address. */
ROW_FUNCTION(cache_block)
{
    if (l->limits->paged) { /* not in every mode */
        lift_leave_stop(l, LIFT_INTERPRET);
        return;
    }
    lift_op(l, row->op, row->type, lift_x(l, insn->rs1), 0);
}

ROW_FUNCTION(zero_block)
{
    enum { OFFSET = IR_ZERO_BYTES - 1 };
    ir_ref address = lift_x(l, insn->rs1);
    if (l->limits->paged) {
        lift_require_zero_blocks(l);
        lift_guard(l, lift_op_k(l, IR_AND, IR_I64, address, OFFSET)); /* which a trap's value would have */
    }
    if (l->limits->direct)
        lift_require_inside(l, address);
    lift_op(l, row->op, row->type, lift_op_k(l, IR_AND, IR_I64, address, ~(uint64_t)OFFSET), 0);
}
