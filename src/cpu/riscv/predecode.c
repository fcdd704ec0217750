#include "cpu/riscv/predecode.h"

#include "base/util.h"
#include "cpu/riscv/unit_store.h"
#include "isa/riscv/tables.h"

#include <string.h>

#define EXT(name)      (UINT64_C(1) << RV_EXT_##name)
#define ALL_EXTENSIONS (UINT64_MAX >> (64 - RV_EXT_COUNT))

struct source {
    const uint8_t *code;
    unsigned size;
    uint64_t pc;
    uint64_t missing; /* extensions */
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

/* Does a link from the unit lead to what hart.bias is right for, and what can be in a unit? The last two bytes of a
 * page may begin an instruction that crosses its end. */
static bool is_near(const struct draft *d, uint64_t target)
{
    const uint64_t page = 4096;
    return d->place == DRAFT_FLAT ||
           (d->place == DRAFT_PAGED && target / page == d->pc / page && target % page != page - 2);
}

static void draft_add_link(struct draft *d, uint64_t target)
{
    union cell *c = draft_add(d);
    c->link = is_near(d, target) ? &d->interp->unresolved : &d->interp->far;
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

/* As above, relative to the place of the code. */
static void draft_load_address(struct draft *d, unsigned rd, uint64_t address)
{
    if (d->place == DRAFT_FLAT) {
        draft_load_constant(d, rd, address);
        return;
    }
    draft_add_op(d, CELL_PC)->rd = (uint8_t)(rd ? rd : HART_X_SINK);
    draft_add_constant(d, address);
}

/* lui/auipc followed by an addi or addiw on the same register make one constant. */
static bool fuse_constant(struct draft *d, const struct rv_insn *first, const struct rv_insn *second,
                          uint64_t pc)
{
    if ((second->op != RV_ADDI && second->op != RV_ADDIW) || second->rs1 != first->rd ||
        second->rd != first->rd || !first->rd)
        return false;
    bool is_address = first->op == RV_AUIPC;
    if (is_address && second->op == RV_ADDIW && d->place != DRAFT_FLAT)
        return false;
    uint64_t value = (is_address ? pc : 0) + (uint64_t)(int64_t)first->imm + (uint64_t)(int64_t)second->imm;
    if (second->op == RV_ADDIW)
        value = (uint64_t)(int64_t)(int32_t)value;
    (is_address ? draft_load_address : draft_load_constant)(d, first->rd, value);
    return true;
}

/* A fence that does not order stores before loads asks for nothing that the host does not do anyway, as fence.tso
 * does. */
static unsigned weaken(const struct rv_insn *fence)
{
    enum { WRITE = 1, READ = 2, OUTPUT = 4, INPUT = 8 };
    unsigned before = fence->aux >> 4, after = fence->aux & 15;
    bool strong = (before & (WRITE | OUTPUT)) && (after & (READ | INPUT));
    return strong ? RV_FENCE : RV_FENCE_TSO;
}

/* What the cells of an instruction have that leaves the straight way or counts: operand cells, `retired`. */
static void add_operands(struct draft *d, union cell *c, const struct rv_insn *insn, uint64_t pc)
{
    uint8_t retired = (uint8_t)(d->insns + 1);
    if (rv_rows[insn->op].flags & RV_BRANCH) {
        d->branches++;
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
    } else if (rv_rows[insn->op].ext == RV_EXT_ZICSR || rv_rows[insn->op].ext >= RV_EXT_PROGRAM_COUNT) {
        c->aux = (uint8_t)d->insns;
    }
}

static void add_insn(struct draft *d, const struct rv_insn *insn, uint64_t pc)
{
    unsigned flags = rv_rows[insn->op].flags;
    unsigned op = insn->op == RV_FENCE ? weaken(insn) : insn->op;
    bool to_x0 = !insn->rd && !(flags & RV_FRD);
    union cell *c = draft_add(d);
    *c = (union cell){
        .handler = d->interp->handlers[op],
        .rd = (uint8_t)(insn->rd | (to_x0 ? HART_X_SINK : 0)),
        .rs1 = insn->rs1,
        .rs2 = insn->rs2,
        .aux = insn->rm,
        .imm = insn->imm, /* or rs3 */
    };
    if (flags & (RV_BRANCH | RV_TRAP | RV_END))
        add_operands(d, c, insn, pc);
}

/* A hint is an ordinary instruction without effect where its extension is missing. */
#define HINTS (EXT(ZIHINTPAUSE) | EXT(ZIHINTNTL) | EXT(ZICBOP))

/* Does it need one of the extensions that the CPU has not? */
static bool is_missing(const struct rv_insn *insn, uint64_t missing)
{
    uint64_t needed = UINT64_C(1) << rv_rows[insn->op].ext | UINT64_C(1) << rv_rows[insn->row].ext;
    if (insn->length == 2)
        needed |= EXT(C);
    if (rv_rows[insn->op].ext == RV_EXT_ZICSR && insn->imm >= RV_CSR_FFLAGS && insn->imm <= RV_CSR_FCSR)
        needed |= EXT(F);
    return needed & missing;
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
    if (rv_decode((uint32_t)high << 16 | low, insn) && unlikely(s->missing) && is_missing(insn, s->missing))
        insn->op = RV_INVALID;
    return true;
}

/* lui or auipc, alone or together with what follows. */
static void add_upper(struct draft *d, const struct source *s, const struct rv_insn *insn)
{
    struct rv_insn after;
    uint64_t pc = s->pc + d->bytes;
    if (!d->single && d->insns + 1 < UNIT_INSNS && fetch(s, d->bytes + insn->length, &after) &&
        fuse_constant(d, insn, &after, pc)) {
        draft_count(d, insn);
        draft_count(d, &after);
        return;
    }
    if (insn->op == RV_AUIPC)
        draft_load_address(d, insn->rd, pc + (uint64_t)(int64_t)insn->imm);
    else
        draft_load_constant(d, insn->rd, (uint64_t)(int64_t)insn->imm);
    draft_count(d, insn);
}

static bool has_place(const struct draft *d)
{
    return d->single ? d->insns < 1 : d->insns + d->branches * (UNIT_BRANCH_PLACE - 1) < UNIT_INSNS;
}

bool predecode(struct draft *d, const uint8_t *code, unsigned size, uint64_t pc, uint64_t extensions)
{
    const struct source s = {code, size, pc, ALL_EXTENSIONS & ~(extensions | HINTS)};
    struct rv_insn insn;
    d->pc = pc;
    d->cell_count = d->insns = d->bytes = d->branches = 0;
    if (d->counted)
        draft_add_op(d, CELL_COUNT)->imm = d->threshold;
    while (has_place(d) && fetch(&s, d->bytes, &insn)) {
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

size_t draft_unit_bytes(const struct draft *d, bool changeable)
{
    return sizeof(struct unit) + d->cell_count * (sizeof(union cell) + sizeof(struct cell_info)) +
           (changeable ? d->bytes : 0);
}

void draft_fill_unit(const struct draft *d, struct unit *u, const uint8_t *source)
{
    u->pc = d->pc;
    u->bytes = (uint16_t)d->bytes;
    u->cell_count = (uint16_t)d->cell_count;
    u->counted = d->counted;
    u->changeable = source;
    u->entry = NULL;
    u->translation = NULL;
    u->apart = NULL;
    memcpy(u->cells, d->cells, d->cell_count * sizeof(union cell));
    memcpy(unit_infos(u), d->infos, d->cell_count * sizeof(struct cell_info));
    if (source)
        memcpy(unit_source(u), source, d->bytes);
}
