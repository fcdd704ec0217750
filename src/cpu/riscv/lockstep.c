/* The engine that trusts nobody: every unit runs twice, and what both engines made of the hart and of memory must agree.
 *
 *   1. interpreter   one instruction after the other along what was lifted; before each the hart's state is noted, and what
 *                    it is about to overwrite in memory. Ends where control leaves the unit, or at an exit.
 *   2. undo          memory and hart are as before
 *   3. translation   to its way out, which is never tied to another unit; some times that of a quick unit, then that of one of IR
 *   4. compare       with the state noted where the interpreter was at the same pc, and with memory as it was then
 *
 * Harts, those of children made by fork() too, take turns: no other may see memory between 1 and 3. A program that shares
 * memory with others that it has not made may differ for that reason alone. */
#include "cpu/riscv/jit.h"

#include "base/buf.h"
#include "cpu/riscv/lockstep.h"
#include "cpu/riscv/report.h"
#include "cpu/riscv/unit.h"
#include "host/atomic.h"
#include "host/copy.h"

#include <stdlib.h>
#include <string.h>

struct store {
    uint64_t address;
    unsigned size, step; /* of the step's instruction */
    uint8_t before[64], after[64];
};

struct lockstep {
    struct lockstep_path path;
    unsigned store_count;
    struct store stores[LIFT_MAX_INSNS];
    struct hart_exit exit; /* after the last step; EXIT_NONE: it only went its way */
    enum lift_stop stop;   /* the translation's; LIFT_STOP_COUNT: none */
};

/* ---- Memory ---- */

static void *host_address(const struct hart *hart, uint64_t address)
{
    return (void *)(hart->mem_base + address);
}

/* Notes what the instruction is about to overwrite. */
static void note_store(struct lockstep *ls, const struct hart *hart, const struct rv_insn *insn)
{
    struct store *s = &ls->stores[ls->store_count];
    if (!(rv_op_flags(insn->op) & RV_STORE))
        return;
    s->step = ls->path.steps;
    s->address = hart->x[insn->rs1] + (uint64_t)(int64_t)insn->imm;
    s->size = lockstep_access_size(insn);
    if (insn->op == RV_CBO_ZERO)
        s->address = hart->x[insn->rs1] & ~(uint64_t)(s->size - 1);
    if (s->address < hart->mem_limit && host_copy(s->before, host_address(hart, s->address), s->size) == 0)
        ls->store_count++;
}

static void note_stored(struct lockstep *ls, const struct hart *hart)
{
    struct store *s = ls->store_count ? &ls->stores[ls->store_count - 1] : NULL;
    if (s && s->step == ls->path.steps)
        host_copy(s->after, host_address(hart, s->address), s->size);
}

static void undo_stores(const struct lockstep *ls, const struct hart *hart)
{
    for (unsigned i = ls->store_count; i-- > 0;)
        host_copy(host_address(hart, ls->stores[i].address), ls->stores[i].before, ls->stores[i].size);
}

/* The byte that should be at the address after `steps` steps. */
static uint8_t expected_byte(const struct lockstep *ls, uint64_t address, unsigned steps)
{
    uint8_t value = 0;
    bool first = true;
    for (unsigned i = 0; i < ls->store_count; i++) {
        const struct store *s = &ls->stores[i];
        uint64_t offset = address - s->address;
        if (offset >= s->size)
            continue;
        if (first)
            value = s->before[offset];
        first = false;
        if (s->step < steps)
            value = s->after[offset];
    }
    return value;
}

/* The address of the first byte that is not as it should be after `steps` steps; false when there is none. */
static bool find_difference(const struct lockstep *ls, const struct hart *hart, unsigned steps,
                            uint64_t *address)
{
    for (unsigned i = 0; i < ls->store_count; i++) {
        const struct store *s = &ls->stores[i];
        uint8_t now[sizeof(s->after)] = {0};
        host_copy(now, host_address(hart, s->address), s->size);
        for (unsigned j = 0; j < s->size; j++)
            if (now[j] != expected_byte(ls, s->address + j, steps)) {
                *address = s->address + j;
                return true;
            }
    }
    return false;
}

/* ---- The interpreter's turn ---- */

/* One instruction. False: it ended in another way than by going on. */
static bool step(struct lockstep *ls, struct hart *hart, const union cell *cell)
{
    atomic_fetch_or(&hart->pending, HART_PENDING_STEP);
    interp_go(hart, cell);
    atomic_fetch_and(&hart->pending, ~HART_PENDING_STEP);
    note_stored(ls, hart);
    if (hart->exit.kind == EXIT_PENDING)
        return true;
    ls->exit = hart->exit;
    return false;
}

/* Executes the instruction at hart->pc when the piece of the unit begins or goes on there. False: the path has ended. */
static bool step_on(struct lockstep *ls, struct hart *hart, unsigned *length)
{
    struct rv_insn insn;
    const union cell *cell = code_step(hart, &insn);
    if (!cell || insn.op == RV_FENCE_I)
        return false;
    *length = insn.length;
    note_store(ls, hart, &insn);
    if (!step(ls, hart, cell))
        return false;
    lockstep_step(&ls->path, hart, &insn);
    return true;
}

/* Along one piece; false when control has left the unit's path. */
static bool walk_piece(struct lockstep *ls, struct hart *hart, const struct lift_piece *piece)
{
    uint64_t at = piece->pc;
    unsigned length;
    if (hart->pc != at)
        return false;
    while (at < piece->pc + piece->bytes && ls->path.steps < LIFT_MAX_INSNS) {
        if (!step_on(ls, hart, &length))
            return false;
        at += length;
        if (hart->pc != at)
            break; /* a jump to the next piece, or out */
    }
    return true;
}

static void walk(struct lockstep *ls, struct hart *hart, const struct translation *t)
{
    lockstep_begin(&ls->path, hart);
    ls->store_count = 0;
    ls->exit = (struct hart_exit){.kind = EXIT_NONE};
    for (unsigned i = 0; i < t->piece_count; i++)
        if (!walk_piece(ls, hart, &t->pieces[i]))
            break;
    undo_stores(ls, hart);
    lockstep_restore(hart, &ls->path.states[0]);
}

/* ---- The comparison ---- */

/* `steps`: after how many of the interpreter's the state is nearest to that of the translation. */
static void report(struct hart *hart, unsigned steps, const struct lockstep_state *jit, const char *what)
{
    const struct lockstep *ls = hart->lockstep;
    struct buf out = {0};
    uint64_t address;
    buf_printf(&out, "guise: lockstep: %s\n", what);
    code_print(hart->code, ls->path.states[0].pc, DUMP_GUEST | DUMP_IR | DUMP_HOST, &out);
    buf_printf(&out, "interpreter: %u steps, exit %u; compared after step %u\n", ls->path.steps,
               ls->exit.kind, steps);
    lockstep_print(&out, &ls->path, 0, steps, jit);
    if (find_difference(ls, hart, steps, &address)) {
        uint8_t now = 0;
        host_copy(&now, host_address(hart, address), 1);
        buf_printf(&out, "  memory at %#llx  interpreter %#04x  translation %#04x\n",
                   (unsigned long long)address, expected_byte(ls, address, steps), now);
    }
    report_write(&out);
    hart->exit.kind = EXIT_WRONG;
}

/* Is the translation's state the interpreter's after `steps`? */
static bool agrees(const struct hart *hart, unsigned steps, const struct lockstep_state *jit)
{
    const struct lockstep *ls = hart->lockstep;
    uint64_t address;
    return lockstep_agrees(&ls->path, steps, jit, ls->stop) && !find_difference(ls, hart, steps, &address);
}

/* After how many steps was the interpreter where the translation left? A branch to the very next instruction leaves the
 * unit or not, and the interpreter cannot tell: every place is tried. False: nowhere. */
static bool find_place(const struct hart *hart, const struct lockstep_state *jit, unsigned *steps)
{
    const struct lockstep *ls = hart->lockstep;
    *steps = ls->path.steps;
    for (unsigned from = 0; lockstep_find(&ls->path, from, jit->pc, steps); from = *steps + 1)
        if (agrees(hart, *steps, jit))
            return true;
    return false;
}

/* ---- The translation's turn ---- */

/* Where translated code left: hart->pc; what for: hart->exit. False: for a fault that was none of the guest's. */
static bool execute(struct hart *hart, const void *entry)
{
    static const enum exit_kind kinds[LIFT_STOP_COUNT] = {
        [LIFT_ECALL] = EXIT_ECALL, [LIFT_EBREAK] = EXIT_EBREAK, [LIFT_ILLEGAL] = EXIT_ILLEGAL};
    unsigned reason = jit_enter(hart, entry);
    hart->exit.kind = EXIT_NONE;
    hart->lockstep->stop = LIFT_STOP_COUNT;
    if (reason == JIT_FAULT) {
        jit_fault_exit(hart);
        if (hart->exit.kind == EXIT_PENDING)
            hart->exit.kind = EXIT_NONE;
        return hart->exit.kind != EXIT_WRONG;
    }
    hart->pc = reason == JIT_LINK ? translator_link_pc(code_translator(hart->code), hart->jit.value)
                                  : hart->jit.value & ~UINT64_C(1);
    if (reason >= JIT_STOP) {
        hart->lockstep->stop = (enum lift_stop)(reason - JIT_STOP);
        hart->exit.kind = kinds[hart->lockstep->stop];
        if (hart->lockstep->stop == LIFT_ENTERED)
            jit_promote(hart);
    }
    return true;
}

/* Did both stop for the same reason? What the translation leaves to the interpreter is no reason. */
static bool same_exit(const struct lockstep *ls, const struct hart_exit *jit, unsigned steps)
{
    if (jit->kind == EXIT_NONE)
        return true;
    return steps == ls->path.steps && jit->kind == ls->exit.kind &&
           (jit->kind != EXIT_FAULT ||
            (jit->address == ls->exit.address && jit->host_signal == ls->exit.host_signal));
}

static bool run_both(struct hart *hart, const struct translation *t)
{
    struct lockstep *ls = hart->lockstep;
    struct lockstep_state jit;
    struct lockstep_fp jit_fp;
    unsigned steps;
    walk(ls, hart, t);
    if (!execute(hart, t->unit.entry)) {
        report(hart, 0, &ls->path.states[0], "a fault that is not the guest's");
        return false;
    }
    lockstep_note(hart, &jit, &jit_fp);
    if (!find_place(hart, &jit, &steps)) {
        report(hart, steps, &jit, "the engines differ");
        return false;
    }
    if (!same_exit(ls, &hart->exit, steps)) {
        report(hart, steps, &jit, "the engines stop for different reasons");
        return false;
    }
    return steps > 0;
}

/* The interpreter alone, for what has no translation. */
static void run_single(struct hart *hart)
{
    struct lockstep *ls = hart->lockstep;
    struct rv_insn insn;
    ls->path.steps = ls->store_count = 0;
    ls->exit = (struct hart_exit){.kind = EXIT_NONE};
    const union cell *cell = code_step(hart, &insn);
    if (!cell) {
        hart->exit = (struct hart_exit){.kind = EXIT_FETCH};
        hart->exit.address = code_fetch_fault(hart->code, hart->pc, &hart->exit.host_signal);
        return;
    }
    step(ls, hart, cell);
    hart->exit = ls->exit;
}

static void run_unit(struct hart *hart)
{
    hart->exit = (struct hart_exit){.kind = EXIT_NONE};
    const struct translation *t =
        hart_rounds_as_host(hart) ? code_translation(hart->code, hart->pc, false) : NULL;
    code_alone(hart->code);
    if (!t || (!run_both(hart, t) && hart->exit.kind == EXIT_NONE))
        run_single(hart);
    code_together(hart->code);
}

void lockstep_run(struct hart *hart)
{
    if (!hart->lockstep)
        hart->lockstep = calloc(1, sizeof(*hart->lockstep));
    if (!hart->lockstep) {
        hart->exit.kind = EXIT_WRONG;
        return;
    }
    code_enter(hart->code, hart);
    hart->reserve_address = HART_NO_RESERVE;
    hart->pc &= ~UINT64_C(1);
    do {
        run_unit(hart);
        if (hart->exit.kind == EXIT_NONE && host_is_set(hart->pending))
            hart->exit.kind = EXIT_PENDING;
    } while (hart->exit.kind == EXIT_NONE);
    code_leave(hart);
}
