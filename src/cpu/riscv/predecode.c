#include "cpu/riscv/predecode.h"

#include <string.h>

static union cell *draft_add(struct draft *d)
{
    d->infos[d->cell_count] = (struct cell_info){(uint16_t)d->bytes, (uint16_t)d->insns};
    return &d->cells[d->cell_count++];
}

static union cell *draft_add_op(struct draft *d, unsigned op)
{
    union cell *c = draft_add(d);
    *c = (union cell){.handler = interp_table()->handlers[op]};
    return c;
}

static void draft_add_link(struct draft *d, uint64_t target)
{
    union cell *c = draft_add(d);
    c->link = &interp_table()->unresolved;
    c->target = target;
}

static void draft_add_constant(struct draft *d, uint64_t value)
{
    *draft_add(d) = (union cell){.constant = value};
}

static void draft_load_constant(struct draft *d, unsigned rd, uint64_t value)
{
    int32_t imm = (int32_t)value;
    bool fits = (uint64_t)imm == value;
    union cell *c = draft_add_op(d, fits ? CELL_LI : CELL_LI64);
    c->rd = (uint8_t)(rd ? rd : HART_X_SINK);
    c->imm = imm;
    if (!fits)
        draft_add_constant(d, value);
}

/* lui/auipc followed by an addi or addiw on the same register make one constant. */
static bool fuse_constant(struct draft *d, const struct rv_insn *first, const struct rv_insn *second,
                          uint64_t pc)
{
    if ((second->op != RV_ADDI && second->op != RV_ADDIW) || second->rs1 != first->rd ||
        second->rd != first->rd || !first->rd)
        return false;
    uint64_t value =
        (first->op == RV_AUIPC ? pc : 0) + (uint64_t)(int64_t)first->imm + (uint64_t)(int64_t)second->imm;
    if (second->op == RV_ADDIW)
        value = (uint64_t)(int64_t)(int32_t)value;
    draft_load_constant(d, first->rd, value);
    return true;
}

/* A fence that does not order stores before loads asks for nothing that the host does not do anyway, as fence.tso does. */
static unsigned weaken(const struct rv_insn *insn)
{
    enum { WRITE = 1, READ = 2, OUTPUT = 4, INPUT = 8 };
    unsigned before = insn->aux >> 4, after = insn->aux & 15;
    bool strong = (before & (WRITE | OUTPUT)) && (after & (READ | INPUT));
    return insn->op == RV_FENCE && !strong ? RV_FENCE_TSO : insn->op;
}

static void add_insn(struct draft *d, const struct rv_insn *insn, uint64_t pc)
{
    unsigned flags = rv_op_flags(insn->op);
    uint8_t retired = (uint8_t)(d->insns + 1);
    union cell *c = draft_add_op(d, weaken(insn));
    c->rd = insn->rd || (flags & RV_FRD) ? insn->rd : HART_X_SINK;
    c->rs1 = insn->rs1;
    c->rs2 = insn->rs2;
    c->aux = insn->rm;
    c->imm = insn->imm | insn->rs3; /* no row has both */

    if (flags & RV_BRANCH) {
        c->aux = retired;
        draft_add_link(d, pc + (uint64_t)(int64_t)insn->imm);
    } else if (insn->op == RV_JAL) {
        c->aux = retired;
        c->imm = insn->length - insn->imm;
        draft_add_link(d, pc + (uint64_t)(int64_t)insn->imm);
    } else if (insn->op == RV_JALR) {
        c->aux = retired;
        draft_add_constant(d, pc + insn->length);
    } else if (insn->op == RV_ECALL) {
        c->aux = retired;
        draft_add_constant(d, pc);
    } else if (insn->op == RV_FENCE_I) {
        c->aux = retired;
        draft_add_link(d, pc + insn->length);
    }
}

/* How many instructions were added: 1, or 2 fused into one. */
static unsigned add_next(struct draft *d, const struct rv_insn *insn, const struct rv_insn *after,
                         uint64_t pc)
{
    if (insn->op != RV_LUI && insn->op != RV_AUIPC) {
        add_insn(d, insn, pc);
        return 1;
    }
    if (after && fuse_constant(d, insn, after, pc))
        return 2;
    draft_load_constant(d, insn->rd, (insn->op == RV_AUIPC ? pc : 0) + (uint64_t)(int64_t)insn->imm);
    return 1;
}

/* False when not all of the instruction is there. */
static bool fetch(const uint8_t *code, unsigned size, unsigned at, uint64_t extensions, struct rv_insn *insn)
{
    uint16_t low, high = 0;
    if (size - at < 2)
        return false;
    memcpy(&low, code + at, 2);
    if ((low & 3) == 3) {
        if (size - at < 4)
            return false;
        memcpy(&high, code + at + 2, 2);
    }
    rv_decode((uint32_t)high << 16 | low, insn);
    /* A hint is an ordinary instruction without effect where its extension is missing. */
    const uint64_t hints =
        UINT64_C(1) << RV_EXT_ZIHINTPAUSE | UINT64_C(1) << RV_EXT_ZIHINTNTL | UINT64_C(1) << RV_EXT_ZICBOP;
    uint64_t needed =
        insn->op == RV_INVALID ? 0 : UINT64_C(1) << rv_op_ext(insn->op) | UINT64_C(1) << rv_op_ext(insn->row);
    if (needed & ~(extensions | hints))
        insn->op = RV_INVALID;
    return true;
}

bool predecode(struct draft *d, const uint8_t *code, unsigned size, uint64_t pc, uint64_t extensions)
{
    struct rv_insn insn, after;
    d->cell_count = d->insns = d->bytes = 0;
    bool have = fetch(code, size, 0, extensions, &insn);
    while (have && d->insns < UNIT_INSNS) {
        unsigned next = d->bytes + insn.length;
        have = d->insns + 1 < UNIT_INSNS && fetch(code, size, next, extensions, &after);
        unsigned added = add_next(d, &insn, have ? &after : NULL, pc + d->bytes);
        bool ends = added == 1 && (insn.op == RV_INVALID || rv_op_flags(insn.op) & RV_END);
        d->insns += added;
        d->bytes = next;
        if (ends)
            return true;
        if (added == 2) {
            d->bytes += after.length;
            have = fetch(code, size, d->bytes, extensions, &insn);
        } else {
            insn = after;
        }
    }
    if (!d->insns)
        return false;
    draft_add_op(d, CELL_NEXT)->aux = (uint8_t)d->insns;
    draft_add_link(d, pc + d->bytes);
    return true;
}
