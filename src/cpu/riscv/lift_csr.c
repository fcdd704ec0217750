/* CSRs of a computer that are lifted: those that a kernel reads and writes on its way in and out, and where it switches
 * interrupts off and on. Their effects beyond the register itself are the interpreter's: another data context, an interrupt
 * that may have to be taken. */
#include "cpu/riscv/lift_row.h"
#include "cpu/riscv/sys_bits.h"

enum access { WRITE, SET, CLEAR };

struct csr_access {
    enum access kind;
    bool writes;
    ir_ref operand;
    uint64_t touches; /* bits that may change, as far as that is known */
};

static ir_ref and_k(struct lifter *l, ir_ref a, uint64_t b)
{
    return lift_op_k(l, IR_AND, IR_I64, a, b);
}

static struct csr_access access_of(struct lifter *l, const struct rv_insn *insn)
{
    bool immediate = insn->op == RV_CSRRWI || insn->op == RV_CSRRSI || insn->op == RV_CSRRCI;
    struct csr_access a = {
        .kind = insn->op == RV_CSRRS || insn->op == RV_CSRRSI   ? SET
                : insn->op == RV_CSRRC || insn->op == RV_CSRRCI ? CLEAR
                                                                : WRITE,
        .operand = immediate ? lift_constant(l, insn->rs1) : lift_x(l, insn->rs1),
        .touches = UINT64_MAX,
    };
    a.writes = a.kind == WRITE || insn->rs1;
    if (a.kind != WRITE && ir_is_constant(a.operand))
        a.touches = (uint64_t)ir_constant_value(l->ir, a.operand);
    return a;
}

/* What becomes of `old`, of which the bits of `fields` can be written. */
static ir_ref written(struct lifter *l, const struct csr_access *a, ir_ref old, uint64_t fields)
{
    ir_ref operand = and_k(l, a->operand, fields);
    switch (a->kind) {
    case SET: return lift_op(l, IR_OR, IR_I64, old, operand);
    case CLEAR: return lift_op(l, IR_AND, IR_I64, old, lift_op_k(l, IR_XOR, IR_I64, operand, UINT64_MAX));
    default: return lift_op(l, IR_OR, IR_I64, and_k(l, old, ~fields), operand);
    }
}

/* No instruction of a unit changes the mode. */
static void require_supervisor(struct lifter *l)
{
    if (!l->supervisor)
        lift_guard(l, lift_op_k(l, IR_EQ, IR_I64, ir_get(l->ir, LIFT_MODE), PRIV_U));
    l->supervisor = true;
}

/* ---- Registers that hold what was written ---- */

static bool is_plain(unsigned number, enum lift_slot *slot, uint64_t *fields)
{
    *fields = number == RV_CSR_SEPC ? ~UINT64_C(1) : UINT64_MAX;
    switch (number) {
    case RV_CSR_SSCRATCH: *slot = LIFT_SSCRATCH; return true;
    case RV_CSR_SEPC: *slot = LIFT_SEPC; return true;
    case RV_CSR_SCAUSE: *slot = LIFT_SCAUSE; return true;
    case RV_CSR_STVAL: *slot = LIFT_STVAL; return true;
    default: return false;
    }
}

static void access_plain(struct lifter *l, const struct rv_insn *insn, enum lift_slot slot, uint64_t fields)
{
    require_supervisor(l);
    struct csr_access a = access_of(l, insn);
    ir_ref old = ir_get(l->ir, slot);
    if (a.writes)
        ir_set(l->ir, slot, written(l, &a, old, fields));
    lift_set_x(l, insn->rd, old);
}

/* ---- sstatus ---- */

#define OTHER_CONTEXT (MSTATUS_SUM | MSTATUS_MXR)
#define FIELDS \
    (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_VS | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR)

static ir_ref read_status(struct lifter *l, ir_ref status)
{
    enum { FS_LOW = 1 << 13, VS_LOW = 1 << 9, FS_CARRY = 1 << 15, VS_CARRY = 1 << 11, SD_SHIFT = 63 };
    ir_ref carries = lift_op_k(l, IR_ADD, IR_I64, and_k(l, status, MSTATUS_FS | MSTATUS_VS), FS_LOW | VS_LOW);
    ir_ref dirty = lift_op_k(l, IR_NE, IR_I64, and_k(l, carries, FS_CARRY | VS_CARRY), 0);
    ir_ref value = lift_op_k(l, IR_OR, IR_I64, and_k(l, status, FIELDS), MSTATUS_UXL_64);
    return lift_op(l, IR_OR, IR_I64, value, lift_op_k(l, IR_SHL, IR_I64, dirty, SD_SHIFT));
}

/* Not 0 when sys_interrupt() might tell one: where there are virtual interrupts, always. A cause that another
 * thread raises after this is followed by a kick. */
static ir_ref is_waiting(struct lifter *l)
{
    ir_ref pending = lift_op(l, IR_OR, IR_I64, ir_get(l->ir, LIFT_MIP), ir_get(l->ir, LIFT_LINES));
    ir_ref enabled = lift_op(l, IR_AND, IR_I64, pending, ir_get(l->ir, LIFT_MIE));
    ir_ref other = lift_op(l, IR_OR, IR_I64, ir_get(l->ir, LIFT_TIMER), ir_get(l->ir, LIFT_MVIEN));
    return lift_op(l, IR_OR, IR_I64, enabled, other);
}

/* The interpreter does what changes more than the register: it also knows whether VS, and FS without floating point,
 * can be written. */
static void require_simple(struct lifter *l, const struct csr_access *a, ir_ref old, ir_ref new)
{
    bool has_fp = l->limits->extensions >> RV_EXT_F & 1;
    uint64_t more = (OTHER_CONTEXT | MSTATUS_VS | (has_fp ? 0 : MSTATUS_FS)) & a->touches;
    if (more)
        lift_guard(l, and_k(l, lift_op(l, IR_XOR, IR_I64, old, new), more));
    if (a->kind == CLEAR || !(a->touches & MSTATUS_SIE))
        return;
    ir_ref none = lift_constant(l, 0), enables = and_k(l, new, MSTATUS_SIE);
    lift_guard(l, lift_op(l, IR_SELECT, IR_I64, enables, lift_pair(l, is_waiting(l), none)));
}

static void access_status(struct lifter *l, const struct rv_insn *insn)
{
    struct csr_access a = access_of(l, insn);
    bool leaves = a.kind == SET && a.touches != UINT64_MAX && a.touches & OTHER_CONTEXT;
    if (a.writes && (leaves || l->loop)) { /* a loop is not to look at each round what state it is in */
        lift_leave_stop(l, LIFT_INTERPRET);
        return;
    }
    require_supervisor(l);
    ir_ref old = ir_get(l->ir, LIFT_STATUS);
    if (a.writes) {
        ir_ref new = written(l, &a, old, FIELDS);
        require_simple(l, &a, old, new);
        ir_set(l->ir, LIFT_STATUS, new);
        if (a.touches & MSTATUS_FS)
            l->fp_on = l->fp_dirty = false;
    }
    if (insn->rd)
        lift_set_x(l, insn->rd, read_status(l, old));
}

bool lift_system_csr(struct lifter *l, const struct rv_insn *insn)
{
    enum lift_slot slot;
    uint64_t fields;
    if (!l->limits->paged)
        return false;
    if (is_plain((unsigned)insn->imm, &slot, &fields))
        access_plain(l, insn, slot, fields);
    else if (insn->imm == RV_CSR_SSTATUS)
        access_status(l, insn);
    else
        return false;
    return true;
}
