#include "cpu/riscv/predecode.h"

#include "isa/riscv/tables.h"

#include <string.h>

#define EXT(name) (UINT64_C(1) << RV_EXT_##name)

struct source {
    const uint8_t *code;
    unsigned size;
    uint64_t pc, extensions;
};

static union cell *draft_add(struct draft *d)
{
    d->infos[d->cell_count] = (struct cell_info){(uint16_t)d->bytes, (uint16_t)d->insns};
    return &d->cells[d->cell_count++];
}

static union cell *draft_add_op(struct draft *d, unsigned op)
{
    union cell *c = draft_add(d);
    *c = (union cell){.handler = d->interp->handlers[op]};
    return c;
}

static void draft_add_link(struct draft *d, uint64_t target)
{
    union cell *c = draft_add(d);
    c->link = &d->interp->unresolved;
    c->target = target;
}

static void draft_add_constant(struct draft *d, uint64_t value)
{
    *draft_add(d) = (union cell){.constant = value};
}

/* The instruction's cells are complete. */
static void draft_count(struct draft *d, const struct rv_insn *insn)
{
    d->insns++;
    d->bytes += insn->length;
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
    unsigned flags = rv_rows[insn->op].flags;
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
    } else if (rv_rows[insn->op].ext == RV_EXT_ZICSR) {
        c->aux = (uint8_t)d->insns;
    }
}

/* Can the CPU with these extensions execute it? */
static bool is_known(const struct rv_insn *insn, uint64_t extensions)
{
    /* A hint is an ordinary instruction without effect where its extension is missing. */
    const uint64_t hints = EXT(ZIHINTPAUSE) | EXT(ZIHINTNTL) | EXT(ZICBOP);
    uint64_t needed = UINT64_C(1) << rv_rows[insn->op].ext | UINT64_C(1) << rv_rows[insn->row].ext;
    if (insn->length == 2)
        needed |= EXT(C);
    if (rv_rows[insn->op].ext == RV_EXT_ZICSR && insn->imm >= RV_CSR_FFLAGS && insn->imm <= RV_CSR_FCSR)
        needed |= EXT(F);
    return !(needed & ~(extensions | hints));
}

/* False when not all of the instruction is there. */
static bool fetch(const struct source *s, unsigned at, struct rv_insn *insn)
{
    uint16_t low, high = 0;
    if (s->size - at < 2)
        return false;
    memcpy(&low, s->code + at, 2);
    if ((low & 3) == 3) {
        if (s->size - at < 4)
            return false;
        memcpy(&high, s->code + at + 2, 2);
    }
    if (rv_decode((uint32_t)high << 16 | low, insn) && !is_known(insn, s->extensions))
        insn->op = RV_INVALID;
    return true;
}

/* lui or auipc, alone or together with what follows. */
static void add_upper(struct draft *d, const struct source *s, const struct rv_insn *insn)
{
    struct rv_insn after;
    uint64_t pc = s->pc + d->bytes;
    if (d->insns + 1 < UNIT_INSNS && fetch(s, d->bytes + insn->length, &after) &&
        fuse_constant(d, insn, &after, pc)) {
        draft_count(d, insn);
        draft_count(d, &after);
        return;
    }
    draft_load_constant(d, insn->rd, (insn->op == RV_AUIPC ? pc : 0) + (uint64_t)(int64_t)insn->imm);
    draft_count(d, insn);
}

bool predecode(struct draft *d, const uint8_t *code, unsigned size, uint64_t pc, uint64_t extensions)
{
    const struct source s = {code, size, pc, extensions};
    struct rv_insn insn;
    d->interp = interp_table();
    d->cell_count = d->insns = d->bytes = 0;
    while (d->insns < UNIT_INSNS && fetch(&s, d->bytes, &insn)) {
        if (insn.op == RV_LUI || insn.op == RV_AUIPC) {
            add_upper(d, &s, &insn);
            continue;
        }
        add_insn(d, &insn, pc + d->bytes);
        draft_count(d, &insn);
        if (insn.op == RV_INVALID || rv_rows[insn.op].flags & RV_END)
            return true;
    }
    if (!d->insns)
        return false;
    draft_add_op(d, CELL_NEXT)->aux = (uint8_t)d->insns;
    draft_add_link(d, pc + d->bytes);
    return true;
}
