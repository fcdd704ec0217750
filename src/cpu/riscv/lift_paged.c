/* What is different in a computer's code: where it is, is known when it runs; and there are modes. */
#include "cpu/riscv/lift_row.h"
#include "cpu/riscv/sys_bits.h"
#include "cpu/riscv/window.h"
#include "isa/riscv/tables.h"

enum { PAGE_SHIFT = 12 };

ir_ref lift_code_address(struct lifter *l, uint64_t pc)
{
    ir_ref place = lift_constant(l, pc);
    return l->limits->paged ? lift_op(l, IR_ADD, IR_I64, ir_get(l->ir, LIFT_CODE_BIAS), place) : place;
}

bool lift_is_code_address(struct lifter *l, ir_ref value, uint64_t *pc)
{
    ir_ref bias = l->limits->paged ? ir_get(l->ir, LIFT_CODE_BIAS) : 0;
    *pc = 0;
    while (!ir_is_constant(value) &&
           value != bias) { /* sums that are too large for the host are not folded */
        const struct ir_ins *ins = ir_at(l->ir, value);
        if (ins->op != IR_ADD || ins->type != IR_I64 || !ir_is_constant(ins->b))
            return false;
        *pc += (uint64_t)ir_constant_value(l->ir, ins->b);
        value = ins->a;
    }
    if (!ir_is_constant(value))
        return value == bias;
    *pc += (uint64_t)ir_constant_value(l->ir, value);
    return !l->limits->paged;
}

bool lift_is_far(const struct lifter *l, uint64_t pc)
{
    return l->limits->paged && (pc ^ l->start) >> PAGE_SHIFT;
}

bool lift_polls(const struct lifter *l, uint64_t target)
{
    return l->limits->paged && !lift_is_far(l, target) && target <= l->start;
}

/* menvcfg.CBZE must be set, and in U-mode senvcfg.CBZE. M-mode needs neither, but the interpreter knows that, too. What
 * changes any of them ends the unit. */
void lift_require_zero_blocks(struct lifter *l)
{
    enum { CBZE_SHIFT = 7 };
    _Static_assert(ENVCFG_CBZE == BIT(CBZE_SHIFT) && PRIV_U == 0 && PRIV_S == 1 && PRIV_M == 3,
                   "a mode but U has bit 0");
    if (l->zeroes)
        return;
    ir_ref above_user = lift_op_k(l, IR_SHL, IR_I64, ir_get(l->ir, LIFT_MODE), CBZE_SHIFT);
    ir_ref allowed = lift_op(l, IR_OR, IR_I64, above_user, ir_get(l->ir, LIFT_SENVCFG));
    allowed = lift_op(l, IR_AND, IR_I64, allowed, ir_get(l->ir, LIFT_MENVCFG));
    lift_guard(l, lift_op_k(l, IR_EQ, IR_I64, lift_op_k(l, IR_AND, IR_I64, allowed, ENVCFG_CBZE), 0));
    l->zeroes = true;
}

static bool uses_fp(const struct rv_insn *insn)
{
    switch (rv_rows[insn->op].ext) {
    case RV_EXT_F:
    case RV_EXT_D:
    case RV_EXT_ZFA:
    case RV_EXT_ZFHMIN: return true;
    case RV_EXT_ZICSR: return insn->imm >= RV_CSR_FFLAGS && insn->imm <= RV_CSR_FCSR;
    default: return false;
    }
}

static bool only_reads_fp(const struct rv_insn *insn)
{
    switch (insn->op) {
    case RV_FSW:
    case RV_FSD:
    case RV_FSH:
    case RV_FMV_X_W:
    case RV_FMV_X_D:
    case RV_FMV_X_H: return true;
    default: return false;
    }
}

/* The interpreter raises the exception, or makes the state dirty. */
void lift_require_fp_state(struct lifter *l, bool dirty)
{
    if (l->fp_dirty || (l->fp_on && !dirty))
        return;
    ir_ref state = lift_op_k(l, IR_AND, IR_I64, ir_get(l->ir, LIFT_STATUS), MSTATUS_FS);
    lift_guard(l, lift_op_k(l, dirty ? IR_NE : IR_EQ, IR_I64, state, dirty ? MSTATUS_FS : 0));
    l->fp_dirty = dirty;
    l->fp_on = true;
}

void lift_require_fp(struct lifter *l, const struct rv_insn *insn)
{
    if (uses_fp(insn))
        lift_require_fp_state(l, !only_reads_fp(insn));
}

/* A span that is refused is no way back, which would have to look whether the hart is to stop. */
ir_ref lift_reach(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)
{
    if (l->pc < l->start)
        return lift_address(l, insn);
    unsigned size = ir_access_size(row->op, row->type);
    bool writes = row->op >= IR_ST8 && row->op <= IR_STF;
    return ir_reach(l->ir, lift_x(l, insn->rs1), insn->imm, size, writes, l->pc | LIFT_APART);
}

/* The value that the address is a little more or less than. */
static ir_ref base_of(struct lifter *l, ir_ref address)
{
    const int64_t reach = LIFT_INSIDE_REACH;
    int64_t distance = 0;
    while (!ir_is_constant(address)) {
        const struct ir_ins *ins = ir_at(l->ir, address);
        if (ins->op != IR_ADD || ins->type != IR_I64 || !ir_is_constant(ins->b))
            break;
        int64_t more = ir_constant_value(l->ir, ins->b);
        if (more < -reach || more > reach || distance + more < -reach || distance + more > reach)
            break;
        distance += more;
        address = ins->a;
    }
    return address;
}

/* Bases are looked at once in a unit. Beyond the window on either side is nothing, as far as instructions reach from there. */
void lift_require_inside(struct lifter *l, ir_ref address)
{
    ir_ref base = base_of(l, address);
    if (l->loop)
        l->accessed |= lift_loop_inside(l, base);
    for (unsigned i = 0; i < l->inside_count && i < LIFT_MAX_INSIDE; i++)
        if (l->inside[i] == base)
            return;
    l->inside[l->inside_count++ % LIFT_MAX_INSIDE] = base;
    ir_branch(l->ir, lift_op(l, IR_GEU, IR_I64, base, ir_get(l->ir, LIFT_WINDOW_LIMIT)),
              (struct ir_exit){.kind = IR_EXIT_STOP, .pc = l->pc, .reason = LIFT_OUTSIDE});
}
