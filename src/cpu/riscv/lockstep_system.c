/* Lockstep for a computer's harts: the interpreter executes, the translation has to come to the same.
 *
 *   1. interpreter   one instruction after the other along what was lifted, for real: memory, devices, traps. What it
 *                    read and wrote is recorded, and the hart's state before each
 *   2. translation   from the state before, on copies of the memory (shadow.h) and the record of the devices' answers
 *   3. compare       with the state noted where the interpreter was at the same pc, memory and device accesses as of then
 *   4. the hart goes on as the interpreter left it
 *
 * So nothing is done twice or undone, and what devices, clocks and other harts do meanwhile makes no difference. A unit in
 * which the interpreter found a byte changed by others between two of its accesses is not compared. Where the translation
 * leaves an instruction to the interpreter, the next one goes on along the record, and makes it longer. Instructions that no
 * unit has are the interpreter's alone. Interrupts are taken in between. */
#include "base/buf.h"
#include "base/util.h"
#include "cpu/riscv/jit.h"
#include "cpu/riscv/lockstep.h"
#include "cpu/riscv/predecode.h"
#include "cpu/riscv/report.h"
#include "cpu/riscv/shadow.h"
#include "cpu/riscv/system_internal.h"
#include "cpu/riscv/translate.h"
#include "cpu/riscv/unit_store.h"
#include "host/atomic.h"
#include "host/sanitize.h"
#include "isa/riscv/tables.h"

#include <stdlib.h>
#include <string.h>

enum {
    SINGLE_BITS = 16, /* instructions whose cells are kept */
    SINGLE_CHUNKS = 256,
};

/* No trap has this cause. */
#define NO_TRAP UINT64_MAX

/* An instruction, and its cells for the interpreter. */
struct single {
    uint64_t gpa;
    const union cell *cells; /* NULL: none */
    bool is_step;            /* of units */
    uint8_t access;          /* bytes, or 0 */
    struct rv_insn insn;
};

struct device_access {
    uint64_t gva, value;
    unsigned step;
    uint8_t size;
    bool is_write;
};

struct system_lockstep {
    /* The interpreter's turn. */
    struct lockstep_path path;
    struct system_trap trap; /* of the instruction behind the last step; NO_TRAP: it was not executed */
    unsigned device_count;
    struct device_access devices[LIFT_MAX_INSNS];
    struct shadow *shadow; /* owned */
    bool unsteady;         /* no record that could be compared with */
    uint64_t bias;
    /* The translation's. */
    unsigned device_next;
    bool astray; /* it made an access that the interpreter did not make */
    struct jit_access stray;
    enum lift_stop stop;
    uint64_t units;

    struct draft draft;
    struct unit_chunk *chunks; /* owned; the first is being filled */
    unsigned chunk_count;
    struct single singles[1u << SINGLE_BITS];
};

/* ---- Instructions alone ---- */

static void forget_singles(struct system_lockstep *ls)
{
    memset(ls->singles, 0, sizeof(ls->singles));
    unit_chunks_free(ls->chunks);
    ls->chunks = NULL;
    ls->chunk_count = 0;
}

/* A chunk with room for `size` bytes, or NULL. */
static struct unit_chunk *get_chunk(struct system_lockstep *ls, size_t size)
{
    if (ls->chunks && unit_chunk_has_room(ls->chunks, size))
        return ls->chunks;
    if (ls->chunk_count == SINGLE_CHUNKS)
        forget_singles(ls);
    struct unit_chunk *c = unit_chunk_new();
    if (!c)
        return NULL;
    c->next = ls->chunks;
    ls->chunks = c;
    ls->chunk_count++;
    return c;
}

static const union cell *make_cells(struct system_hart *h, uint64_t gpa, uint32_t word, unsigned length)
{
    struct system_lockstep *ls = h->lockstep;
    struct draft *d = &ls->draft;
    uint8_t bytes[sizeof(word)];
    memcpy(bytes, &word, sizeof(word));
    predecode(d, bytes, length, gpa, h->system->config.extensions);
    size_t size = ALIGN_UP(draft_unit_bytes(d, true), sizeof(union cell));
    struct unit_chunk *c = get_chunk(ls, size);
    if (!c)
        return NULL;
    struct unit *u = unit_chunk_take(c, size);
    draft_fill_unit(d, u, bytes);
    unit_chunk_publish(c);
    return u->cells;
}

/* May it be one that is a part of units? */
static bool is_lifted_csr(const struct rv_insn *insn)
{
    switch (insn->imm) {
    case RV_CSR_FFLAGS:
    case RV_CSR_FRM:
    case RV_CSR_FCSR:
    case RV_CSR_SSTATUS:
    case RV_CSR_SSCRATCH:
    case RV_CSR_SEPC:
    case RV_CSR_SCAUSE:
    case RV_CSR_STVAL: return true;
    default: return false;
    }
}

/* Does the interpreter execute it as a part of a unit? */
static bool is_step(const struct rv_insn *insn)
{
    switch (insn->op) {
    case RV_INVALID:
    case RV_ECALL:
    case RV_EBREAK:
    case RV_FENCE_I:
    case RV_AMOCAS_Q: return false;
    default: break;
    }
    switch (rv_op_ext(insn->op)) {
    case RV_EXT_ZICSR: return is_lifted_csr(insn);
    case RV_EXT_ZICBOM: return false;
    default: return rv_op_ext(insn->op) < RV_EXT_PROGRAM_COUNT;
    }
}

/* The instruction whose bytes the translation has; NULL when there is no memory. */
static const struct single *find_single(struct system_hart *h, uint64_t gpa, const uint8_t *bytes)
{
    uint32_t word = 0;
    unsigned length = (bytes[0] & 3) == 3 ? 4 : 2;
    memcpy(&word, bytes, length);
    struct single *s = &h->lockstep->singles[gpa >> 1 & (BIT(SINGLE_BITS) - 1)];
    if (likely(s->cells && s->gpa == gpa && s->insn.word == word))
        return s;
    const union cell *cells = make_cells(h, gpa, word, length);
    s->gpa = gpa;
    s->cells = cells;
    rv_decode(word, &s->insn);
    s->is_step = is_step(&s->insn);
    s->access = rv_op_flags(s->insn.op) & (RV_LOAD | RV_STORE) ? (uint8_t)lockstep_access_size(&s->insn) : 0;
    return cells ? s : NULL;
}

/* ---- The interpreter's turn: the record ---- */

static const uint8_t *page_of(const uint8_t *host)
{
    return (const uint8_t *)((uintptr_t)host & TLB_PAGE_MASK);
}

/* What the instruction read from memory, as its target has it; that of x0 is beside. */
static uint64_t loaded(const struct hart *hart, const struct rv_insn *insn)
{
    if (rv_op_flags(insn->op) & RV_FRD)
        return hart->f[insn->rd];
    return hart->x[insn->rd ? insn->rd : HART_X_SINK];
}

static uint64_t stored(const struct lockstep_state *before, const struct rv_insn *insn)
{
    return rv_op_flags(insn->op) & RV_FP ? before->fp->f[insn->rs2] : before->x[insn->rs2];
}

static void record_device(struct system_lockstep *ls, uint64_t gva, unsigned size, bool is_write,
                          uint64_t value)
{
    uint64_t mask = size < 8 ? BIT(8 * size) - 1 : UINT64_MAX;
    ls->devices[ls->device_count++] =
        (struct device_access){gva, value & mask, ls->path.steps, (uint8_t)size, is_write};
}

/* What the other harts may have written over meanwhile is worked out, and not read. */
static uint64_t written(const struct lockstep_state *before, const struct rv_insn *insn, int64_t old)
{
    int64_t operand = (int64_t)stored(before, insn), result = operand;
    switch (insn->op) {
#define AMO(name, value)                                               \
    case RV_##name##_W: operand = (int32_t)operand; /* fall through */ \
    case RV_##name##_D: result = (value); break
        AMO(AMOADD, old + operand);
        AMO(AMOXOR, old ^ operand);
        AMO(AMOAND, old & operand);
        AMO(AMOOR, old | operand);
        AMO(AMOMIN, MIN(old, operand));
        AMO(AMOMAX, MAX(old, operand));
        AMO(AMOMINU, (uint64_t)old < (uint64_t)operand ? old : operand);
        AMO(AMOMAXU, (uint64_t)old > (uint64_t)operand ? old : operand);
#undef AMO
    case RV_AMOCAS_W: result = old == (int32_t)before->x[insn->rd] ? operand : old; break;
    case RV_AMOCAS_D: result = old == (int64_t)before->x[insn->rd] ? operand : old; break;
    default: break;
    }
    return (uint64_t)result;
}

/* An SC that has failed: for want of a reservation, or because memory is not as it was reserved. */
static bool record_failure(struct system_lockstep *ls, const uint8_t *host, uint64_t gva, unsigned size)
{
    const struct lockstep_state *before = &ls->path.states[ls->path.steps];
    uint64_t other = ~before->reserve_value;
    return (before->reserve_address != gva ||
            shadow_load(ls->shadow, page_of(host), gva, &other, size, ls->path.steps)) &&
           shadow_touch(ls->shadow, page_of(host), gva, size, ls->path.steps);
}

/* CBO.ZERO, whose address need not be the block's first. */
static bool record_zeroes(struct system_lockstep *ls, const uint8_t *host, uint64_t gva, unsigned size)
{
    static const uint8_t zeroes[IR_ZERO_BYTES];
    return shadow_store(ls->shadow, page_of(host), gva, zeroes, size, ls->path.steps);
}

static bool is_conditional(const struct rv_insn *insn)
{
    return insn->op == RV_SC_W || insn->op == RV_SC_D;
}

/* The part of an access to memory that is in one page; `from`: bytes before it. */
static bool record_memory(struct system_hart *h, const struct rv_insn *insn, const uint8_t *host,
                          uint64_t gva, unsigned size, unsigned from)
{
    struct system_lockstep *ls = h->lockstep;
    const struct lockstep_state *before = &ls->path.states[ls->path.steps];
    unsigned flags = rv_op_flags(insn->op);
    uint64_t old = loaded(&h->hart, insn);
    if (insn->op == RV_CBO_ZERO)
        return record_zeroes(ls, host, gva, size);
    if (is_conditional(insn)) {
        if (old)
            return record_failure(ls, host, gva, size);
        old = before->reserve_value;
    }
    uint64_t read = old >> 8 * from, write = written(before, insn, (int64_t)old) >> 8 * from;
    return (!(flags & RV_LOAD || is_conditional(insn)) ||
            shadow_load(ls->shadow, page_of(host), gva, &read, size, ls->path.steps)) &&
           (!(flags & RV_STORE) ||
            shadow_store(ls->shadow, page_of(host), gva, &write, size, ls->path.steps));
}

/* `from`: bytes of the access before this part of it. */
static bool record_part(struct system_hart *h, const struct rv_insn *insn, uint64_t gva, unsigned size,
                        unsigned from)
{
    struct system_lockstep *ls = h->lockstep;
    bool writes = rv_op_flags(insn->op) & RV_STORE;
    const uint8_t *host;
    if (!system_locate(h, gva, writes ? MMU_STORE : MMU_LOAD, &host))
        return false;
    if (host)
        return record_memory(h, insn, host, gva, size, from);
    uint64_t value = writes ? stored(&ls->path.states[ls->path.steps], insn) : loaded(&h->hart, insn);
    record_device(ls, gva, size, writes, value);
    return true;
}

/* Of the instruction that was just executed. */
static void record_access(struct system_hart *h, const struct rv_insn *insn, unsigned size)
{
    struct system_lockstep *ls = h->lockstep;
    uint64_t gva = ls->path.states[ls->path.steps].x[insn->rs1] + (uint64_t)(int64_t)insn->imm;
    if (insn->op == RV_CBO_ZERO)
        gva &= ~(uint64_t)(size - 1);
    unsigned first = (unsigned)MIN(size, SYSTEM_PAGE - (gva & ~TLB_PAGE_MASK));
    ls->unsteady = !record_part(h, insn, gva, first, 0) ||
                   (first < size && !record_part(h, insn, gva + first, size - first, first));
}

static void note_privileged(const struct system_hart *h, struct lockstep_state *s)
{
    s->privileged[LOCKSTEP_MODE] = h->sys.mode;
    s->privileged[LOCKSTEP_MSTATUS] = h->sys.mstatus;
    s->privileged[LOCKSTEP_SSCRATCH] = h->sys.sscratch;
    s->privileged[LOCKSTEP_SEPC] = h->sys.sepc;
    s->privileged[LOCKSTEP_SCAUSE] = h->sys.scause;
    s->privileged[LOCKSTEP_STVAL] = h->sys.stval;
}

static void note(const struct system_hart *h, struct lockstep_state *s, struct lockstep_fp *fp)
{
    lockstep_note(&h->hart, s, fp);
    note_privileged(h, s);
}

static void restore(struct system_hart *h, const struct lockstep_state *s)
{
    lockstep_restore(&h->hart, s);
    h->sys.mode = s->privileged[LOCKSTEP_MODE];
    h->sys.mstatus = s->privileged[LOCKSTEP_MSTATUS];
    h->sys.sscratch = s->privileged[LOCKSTEP_SSCRATCH];
    h->sys.sepc = s->privileged[LOCKSTEP_SEPC];
    h->sys.scause = s->privileged[LOCKSTEP_SCAUSE];
    h->sys.stval = s->privileged[LOCKSTEP_STVAL];
}

/* ---- The interpreter's turn: steps ---- */

/* From here on the interpreter comes back after each instruction. */
static void begin_steps(struct hart *hart)
{
    atomic_fetch_or(&hart->pending, HART_PENDING_STEP);
}

static void end_steps(struct hart *hart)
{
    atomic_fetch_and(&hart->pending, ~HART_PENDING_STEP);
}

/* False: it ended in a trap, which was taken. */
static bool step(struct system_hart *h, const struct single *s)
{
    struct system_lockstep *ls = h->lockstep;
    h->trap.cause = NO_TRAP;
    interp_system_go(h, s->cells);
    if (unlikely(h->trap.cause != NO_TRAP)) {
        ls->trap = h->trap;
        return false;
    }
    if (s->access && !ls->unsteady)
        record_access(h, &s->insn, s->access);
    lockstep_step(&ls->path, &h->hart, &s->insn);
    note_privileged(h, &ls->path.states[ls->path.steps]);
    /* An interrupt that a CSR has let through comes before the next instruction; a translation may have seen none. */
    ls->unsteady |=
        rv_op_ext(s->insn.op) == RV_EXT_ZICSR && atomic_load(&h->hart.pending) & ~HART_PENDING_STEP;
    return true;
}

/* The instruction at `at` in the piece is the next of the record, or is executed now and becomes that. False: neither. */
static bool walk_on(struct system_hart *h, const struct lift_piece *piece, unsigned at, const uint8_t *bytes,
                    unsigned *steps)
{
    struct system_lockstep *ls = h->lockstep;
    if (*steps == ls->path.steps) {
        const struct single *s = find_single(h, piece->pc + at, bytes);
        if (ls->trap.cause != NO_TRAP || ls->unsteady || ls->path.steps == LIFT_MAX_INSNS || !s ||
            !s->is_step || !step(h, s))
            return false;
    }
    ++*steps;
    return true;
}

/* Along one piece; false when control has left the unit's path. */
static bool walk_piece(struct system_hart *h, const struct lift_piece *piece, const uint8_t *bytes,
                       unsigned *steps)
{
    const struct lockstep_path *path = &h->lockstep->path;
    for (unsigned at = 0; at < piece->bytes; at += (bytes[at] & 3) == 3 ? 4 : 2) {
        if (path->states[*steps].pc != piece->pc + at + h->lockstep->bias)
            return at > 0; /* a jump to the next piece, or out */
        if (!walk_on(h, piece, at, bytes + at, steps))
            return false;
    }
    return true;
}

static void begin_record(struct system_hart *h)
{
    struct system_lockstep *ls = h->lockstep;
    lockstep_begin(&ls->path, &h->hart);
    note_privileged(h, &ls->path.states[0]);
    ls->device_count = 0;
    ls->trap.cause = NO_TRAP;
    ls->unsteady = false;
    ls->bias = h->hart.bias;
}

/* The record gets as long as the translation can go that begins after `steps` steps. */
static void walk(struct system_hart *h, const struct translation *t, unsigned steps)
{
    const uint8_t *bytes = translation_bytes(t);
    shadow_record(h->lockstep->shadow);
    begin_steps(&h->hart);
    for (unsigned i = 0; i < t->piece_count && walk_piece(h, &t->pieces[i], bytes, &steps); i++)
        bytes += t->pieces[i].bytes;
    end_steps(&h->hart);
}

/* ---- The translation's turn: accesses ---- */

static bool stray(struct system_lockstep *ls, const struct jit_access *a)
{
    if (!ls->astray)
        ls->stray = *a;
    ls->astray = true;
    return false;
}

/* Is it the access that the interpreter's trap is of? */
static bool traps(const struct system_lockstep *ls, const struct jit_access *a, unsigned size, bool is_store)
{
    bool same_kind = false;
    switch (ls->trap.cause) {
    case CAUSE_LOAD_MISALIGNED:
    case CAUSE_LOAD_ACCESS:
    case CAUSE_LOAD_PAGE: same_kind = !is_store; break;
    case CAUSE_STORE_MISALIGNED:
    case CAUSE_STORE_ACCESS:
    case CAUSE_STORE_PAGE: same_kind = is_store; break;
    default: break;
    }
    return same_kind && ls->trap.value - a->address < size;
}

static bool answer_device(struct system_lockstep *ls, struct jit_access *a, unsigned size, bool is_store)
{
    const struct device_access *d = &ls->devices[ls->device_next];
    uint64_t mask = size < 8 ? BIT(8 * size) - 1 : UINT64_MAX;
    if (ls->device_next == ls->device_count || d->gva != a->address || d->size != size ||
        d->is_write != is_store || (is_store && d->value != (a->value & mask)))
        return false;
    ls->device_next++;
    if (!is_store)
        a->value = d->value;
    return true;
}

/* Loads and stores of bytes that the interpreter has accessed. */
static bool answer_part(struct system_lockstep *ls, uint64_t gva, uint8_t *value, unsigned size,
                        bool is_store)
{
    uint8_t *at = shadow_find(ls->shadow, gva, size, is_store);
    if (at)
        memcpy(is_store ? at : value, is_store ? value : at, size);
    return at;
}

static bool answer_memory(struct system_lockstep *ls, struct jit_access *a, unsigned size, bool is_store)
{
    unsigned first = (unsigned)MIN(size, SYSTEM_PAGE - (a->address & ~TLB_PAGE_MASK));
    uint8_t *value = (uint8_t *)&a->value;
    if (!shadow_find(ls->shadow, a->address, first, is_store))
        return false;
    if (!is_store)
        a->value = 0;
    if (first < size && !answer_part(ls, a->address + first, value + first, size - first, is_store))
        return false;
    return answer_part(ls, a->address, value, first, is_store);
}

/* Where the accesses of a span will find the page; a refusal is no fault of the translation's. */
static void answer_span(struct system_lockstep *ls, struct jit_access *a)
{
    uint8_t *page = shadow_page(ls->shadow, a->address, a->write);
    a->value = page ? (uint64_t)page - (a->address & TLB_PAGE_MASK) : JIT_PAGE_NONE;
}

static bool answer_zero(struct system_lockstep *ls, struct jit_access *a)
{
    uint8_t *block = NULL;
    if (!traps(ls, a, IR_ZERO_BYTES, true)) {
        block = shadow_find(ls->shadow, a->address, IR_ZERO_BYTES, true);
        if (!block)
            return stray(ls, a);
        memset(block, 0, IR_ZERO_BYTES);
    }
    return block;
}

bool system_lockstep_access(struct system_hart *h, struct jit_access *a)
{
    struct system_lockstep *ls = h->lockstep;
    unsigned size = ir_access_size(a->op, a->type);
    bool is_atomic = a->op >= IR_AXCHG, is_store = is_atomic || (a->op >= IR_ST8 && a->op <= IR_STF);
    if (a->op == IR_HOST) {
        answer_span(ls, a);
        return true;
    }
    if (a->op == IR_ZERO)
        return answer_zero(ls, a);
    bool known = !is_atomic && answer_device(ls, a, size, is_store);
    if (!known && traps(ls, a, size, is_store))
        return false;
    if (is_atomic)
        return (a->value = (uint64_t)shadow_find(ls->shadow, a->address, size, true)) || stray(ls, a);
    if (!known && !answer_memory(ls, a, size, is_store))
        return stray(ls, a);
    if (!is_store)
        a->value = ir_loaded(a->op, a->value);
    return true;
}

/* ---- The comparison ---- */

static void print_memory(struct system_lockstep *ls, unsigned steps, struct buf *out)
{
    uint64_t gva;
    uint8_t is, should;
    if (ls->unsteady || shadow_agrees(ls->shadow, steps, &gva))
        return;
    shadow_difference(ls->shadow, gva, &is, &should);
    buf_printf(out, "  memory at %#llx  interpreter %#04x  translation %#04x\n", (unsigned long long)gva,
               should, is);
}

static unsigned count_devices(const struct system_lockstep *ls, unsigned steps)
{
    unsigned count = 0;
    while (count < ls->device_count && ls->devices[count].step < steps)
        count++;
    return count;
}

/* `steps`: after how many of the interpreter's the state is nearest to that of the translation. */
static void report(struct system_hart *h, unsigned from, unsigned steps, const struct lockstep_state *jit,
                   const char *what)
{
    struct system_lockstep *ls = h->lockstep;
    struct buf out = {0};
    uint64_t pc = ls->path.states[from].pc;
    buf_printf(&out, "guise: lockstep: hart %u at %#llx: %s\n", h->index, (unsigned long long)pc, what);
    code_print(h->hart.code, pc - ls->bias, DUMP_GUEST | DUMP_IR | DUMP_HOST, &out);
    buf_printf(&out, "interpreter: %u steps, from step %u on", ls->path.steps, from);
    if (ls->trap.cause != NO_TRAP)
        buf_printf(&out, ", trap %llu, value %#llx", (unsigned long long)ls->trap.cause,
                   (unsigned long long)ls->trap.value);
    buf_printf(&out, "; compared after step %u\n", steps);
    lockstep_print(&out, &ls->path, from, steps, jit);
    print_memory(ls, steps, &out);
    if (ls->device_next != count_devices(ls, steps))
        buf_printf(&out, "  device accesses  interpreter %u  translation %u\n", count_devices(ls, steps),
                   ls->device_next);
    if (ls->astray)
        buf_printf(&out, "  access of %u bytes at %#llx by the translation alone\n",
                   ir_access_size(ls->stray.op, ls->stray.type), (unsigned long long)ls->stray.address);
    report_write(&out);
    h->hart.exit.kind = EXIT_WRONG;
}

static bool agrees(struct system_lockstep *ls, unsigned steps, const struct lockstep_state *jit)
{
    uint64_t gva;
    return lockstep_agrees(&ls->path, steps, jit, ls->stop) && ls->device_next == count_devices(ls, steps) &&
           shadow_agrees(ls->shadow, steps, &gva);
}

/* As in lockstep.c. */
static bool find_place(struct system_lockstep *ls, unsigned from, const struct lockstep_state *jit,
                       unsigned *steps)
{
    *steps = ls->path.steps;
    for (; lockstep_find(&ls->path, from, jit->pc, steps); from = *steps + 1)
        if (agrees(ls, *steps, jit))
            return true;
    return false;
}

/* ---- The translation's turn ---- */

/* How a translation was left. */
struct left {
    enum { LEFT_GOING, LEFT_BY_TRAP, LEFT_WRONGLY } how;
    enum lift_stop stop; /* LIFT_STOP_COUNT: none */
    uint64_t link;       /* for code_apart(), when a span was refused */
    bool refused;
};

/* The state before the access that could not be made. */
static void recover(struct hart *hart, struct left *left)
{
    uint64_t address;
    left->how =
        !hart->fault.host_signal && code_recover(hart->code, hart, &address) ? LEFT_BY_TRAP : LEFT_WRONGLY;
    hart->pc += hart->bias;
}

static void go_through(struct hart *hart, struct left *left)
{
    uint64_t pc = translator_link_pc(code_translator(hart->code), hart->jit.value);
    left->link = hart->jit.value;
    left->refused = pc & LIFT_APART;
    hart->pc = (pc & ~LIFT_APART) + hart->bias;
}

/* hart.pc is where translated code left. */
static struct left execute(struct system_hart *h, const void *entry)
{
    struct hart *hart = &h->hart;
    struct left left = {.how = LEFT_GOING, .stop = LIFT_STOP_COUNT};
    hart->jit.value = hart->pc - hart->bias; /* when it comes back at once */
    unsigned reason = system_jit_enter(h, entry);
    switch (reason) {
    case JIT_FAULT: recover(hart, &left); break;
    case JIT_LINK: go_through(hart, &left); break;
    case JIT_LOOKUP: hart->pc = hart->jit.value & ~UINT64_C(1); break;
    default:
        hart->pc = hart->jit.value + hart->bias;
        if (reason >= JIT_STOP)
            left.stop = (enum lift_stop)(reason - JIT_STOP);
        break;
    }
    return left;
}

/* From the state after `from` steps. The hart is the translation's, and then as before. What it is asked for meanwhile has to
 * wait. */
static struct left execute_on_copies(struct system_hart *h, const void *entry, unsigned from,
                                     struct lockstep_state *jit, struct lockstep_fp *fp)
{
    enum { SELDOM = 8 };
    struct system_lockstep *ls = h->lockstep;
    struct hart *hart = &h->hart;
    struct tlb_entry *const tlb = hart->tlb;
    struct lockstep_state after;
    struct lockstep_fp after_fp;
    note(h, &after, &after_fp);
    uint32_t pending = atomic_exchange(&hart->pending, 0);
    restore(h, &ls->path.states[from]);
    hart->bias = ls->bias;
    hart->tlb = shadow_table(ls->shadow, from, ++ls->units % SELDOM != 0);
    ls->device_next = count_devices(ls, from);
    ls->astray = false;
    struct left left = execute(h, entry);
    note(h, jit, fp);
    hart->tlb = tlb;
    restore(h, &after);
    atomic_fetch_or(&hart->pending, pending);
    return left;
}

/* NULL: as it should be, after so many steps. */
static const char *judge(struct system_lockstep *ls, const struct left *left, unsigned from,
                         const struct lockstep_state *jit, unsigned *steps)
{
    *steps = from;
    ls->stop = left->stop;
    if (left->how == LEFT_WRONGLY)
        return "a fault that is not the guest's";
    if (!find_place(ls, from, jit, steps))
        return "the engines differ";
    if (ls->astray)
        return "an access that the interpreter did not make";
    if (left->how == LEFT_BY_TRAP && *steps != ls->path.steps)
        return "a trap that the interpreter did not take";
    return NULL;
}

/* The translation that goes on after `steps` steps; NULL: none, or the record is over. */
static const struct translation *go_on(struct system_hart *h, const struct left *left, unsigned from,
                                       unsigned *steps)
{
    struct system_lockstep *ls = h->lockstep;
    struct code *code = h->hart.code;
    uint64_t gpa = ls->path.states[*steps].pc - ls->bias;
    if (*steps < ls->path.steps && left->refused && code_apart(code, left->link, gpa))
        return code_unit(code, gpa)->apart;
    if (*steps < ls->path.steps && (left->stop == LIFT_INTERPRET || left->refused || *steps == from))
        shadow_skip(ls->shadow, (*steps)++);
    const struct lockstep_state *s = &ls->path.states[*steps];
    bool any = *steps < ls->path.steps && lockstep_rounds_as_host(s);
    return any ? code_translation(code, s->pc - ls->bias, false) : NULL;
}

/* The translation `t`, and those that follow, along the record, which they make longer. */
static void compare(struct system_hart *h, const struct translation *t)
{
    struct system_lockstep *ls = h->lockstep;
    struct lockstep_state jit;
    struct lockstep_fp jit_fp;
    for (unsigned from = 0, steps; t; from = steps) {
        walk(h, t, from);
        h->hart.exit.kind = EXIT_NONE;
        if (ls->unsteady)
            return;
        struct left left = execute_on_copies(h, t->unit.entry, from, &jit, &jit_fp);
        const char *what = judge(ls, &left, from, &jit, &steps);
        if (what) {
            report(h, from, steps, &jit, what);
            return;
        }
        t = go_on(h, &left, from, &steps);
    }
}

/* ---- The engine ---- */

/* The translation at hart.pc, or NULL; what cannot be fetched is for the interpreter to find out. */
static const struct translation *find_translation(struct system_hart *h)
{
    struct hart *hart = &h->hart;
    const struct tlb_code *page = hart_rounds_as_host(hart) ? system_fetch_page(h, hart->pc) : NULL;
    if (!page)
        return NULL;
    uint64_t gpa = (page->page & TLB_PAGE_MASK) | (hart->pc & ~TLB_PAGE_MASK);
    hart->bias = hart->pc - gpa;
    return code_translation(hart->code, gpa, false);
}

/* The interpreter alone. */
static void run_single(struct system_hart *h)
{
    struct hart *hart = &h->hart;
    struct rv_insn insn;
    begin_steps(hart);
    const union cell *cells = system_step(h, &insn);
    if (cells)
        interp_system_go(h, cells);
    else
        hart->pc = system_take_trap(h);
    end_steps(hart);
    if (hart->exit.kind == EXIT_PENDING)
        hart->exit.kind = EXIT_NONE;
}

static void run_unit(struct system_hart *h)
{
    struct hart *hart = &h->hart;
    hart->exit.kind = EXIT_NONE;
    const struct translation *t = find_translation(h);
    if (!t) {
        run_single(h);
        return;
    }
    begin_record(h);
    compare(h, t);
    shadow_clear(h->lockstep->shadow);
    if (h->lockstep->path.steps == 0 && h->lockstep->trap.cause == NO_TRAP && hart->exit.kind == EXIT_NONE)
        run_single(h);
}

void system_lockstep_go(struct system_hart *h)
{
    struct hart *hart = &h->hart;
    hart->pc &= ~UINT64_C(1);
    do {
        run_unit(h);
        if (hart->exit.kind == EXIT_NONE && host_is_set(hart->pending))
            hart->exit.kind = EXIT_PENDING;
    } while (hart->exit.kind == EXIT_NONE);
}

/* ---- Life ---- */

int system_lockstep_init(struct system_hart *h)
{
    if (code_engine(h->hart.code)->kind != ENGINE_LOCKSTEP)
        return 0;
    struct system_lockstep *ls = h->lockstep = calloc(1, sizeof(*ls));
    if (!ls || !(ls->shadow = shadow_new()))
        return -1;
    ls->draft.single = true;
    ls->draft.place = DRAFT_PAGED;
    ls->draft.interp = interp_system_table();
    return 0;
}

void system_lockstep_release(struct system_hart *h)
{
    if (!h->lockstep)
        return;
    shadow_free(h->lockstep->shadow);
    unit_chunks_free(h->lockstep->chunks);
    free(h->lockstep);
}
