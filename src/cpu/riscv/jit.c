/* The engine that translates: its dispatcher, and what it does with faults.
 *
 *                   no translation                     hot, or a translation begins here
 *   jit_run ──┬──────────────────────> interp_go ──────────────────────┐
 *             │  entry                                                  v
 *             ├──────> translated code ──> translated code ──> ... ──> back here, for a reason
 *             └<────────────────────────────────────────────────────────┘
 *
 * Everything that may leave the engine does so from here, with the whole state in the hart. */
#include "cpu/riscv/engine.h"

#include "base/util.h"
#include "cpu/riscv/hot.h"
#include "cpu/riscv/jit.h"
#include "cpu/riscv/translate.h"
#include "host/atomic.h"
#include "host/clock.h"
#include "host/signal.h"

#include <stdio.h>
#include <string.h>

/* As jump_clear() of the interpreter's: memory that is all zero holds no entry, but for the slot that pc 0 belongs to. */
static void clear_jumps(struct hart *hart)
{
    if (hart->jit_epoch)
        memset(hart->jit.jumps, 0, sizeof(hart->jit.jumps));
    hart->jit.jumps[0].pc = 2;
}

/* What the jump cache and the return stack hold is of another epoch: its memory may be used for something else. */
static void start_afresh(struct hart *hart, const struct jit_thunks *thunks)
{
    clear_jumps(hart);
    *hart->host.returns.base = (uint64_t)thunks->underflow;
    hart->jit.return_base = hart->host.returns.base;
    hart->jit.return_sp = hart->host.returns.base;
    for (unsigned i = 0; i < JIT_COUNTERS; i++)
        hart->jit.counters[i] = (int32_t)code_engine(hart->code)->hot;
    for (unsigned i = 0; i < JIT_ENTRIES; i++)
        hart->jit.entries[i] = (int32_t)code_engine(hart->code)->quick;
    hart->jit_epoch = atomic_load_explicit(&hart->epoch, memory_order_relaxed);
}

/* When a tier is entered, and on the way out of it. */
static uint64_t tier_start(const struct hart *hart)
{
    return unlikely(code_engine(hart->code)->timed) ? host_ticks() : 0;
}

static void tier_end(struct hart *hart, enum engine_tier tier, uint64_t start)
{
    if (unlikely(start))
        hart->tier_ticks[tier] += host_ticks() - start;
}

unsigned jit_enter(struct hart *hart, const void *entry)
{
    const struct jit_thunks *thunks = translator_thunks(code_translator(hart->code));
    if (unlikely(hart->jit_epoch != atomic_load_explicit(&hart->epoch, memory_order_relaxed)))
        start_afresh(hart, thunks);
    uint64_t start = tier_start(hart);
    unsigned reason = thunks->enter(&hart->x[LIFT_BIAS], entry);
    tier_end(hart, ENGINE_TIER_TRANSLATED, start);
    hart->exits[MIN(reason, ENGINE_EXIT_ENTERED)]++;
    return reason;
}

/* What is known of the code at hart->pc: looking it up costs several cache misses, so it is done once. */
struct place {
    const struct unit *unit; /* or NULL */
    const void *entry;       /* of its translation, or NULL */
};

static struct place find_place(struct hart *hart)
{
    const struct unit *unit = code_unit(hart->code, hart->pc);
    return (struct place){unit, unit ? code_entry(hart->code, unit) : NULL};
}

/* The link is tied when it leads to a translation; else the interpreter goes on there. */
static struct place follow(struct hart *hart, uint64_t link)
{
    hart->pc = translator_link_pc(code_translator(hart->code), link);
    struct place place = find_place(hart);
    if (place.entry && !code_engine(hart->code)->modes.no_chain)
        code_tie(hart->code, link, place.unit);
    return place;
}

static struct place look_up(struct hart *hart, uint64_t pc)
{
    hart->pc = pc & ~UINT64_C(1);
    struct place place = find_place(hart);
    if (place.entry)
        hart->jit.jumps[(pc >> 1) % JIT_JUMP_COUNT] = (struct jit_jump){hart->pc, place.entry};
    return place;
}

void jit_fault_exit(struct hart *hart)
{
    uint64_t address;
    if (!code_recover(hart->code, hart, &address)) {
        fprintf(stderr,
                "guise: internal error: fault at %p, which is no access of the guest's, address %#llx\n",
                hart->fault.pc, (unsigned long long)hart->fault.address);
        hart->exit.kind = EXIT_WRONG;
        return;
    }
    enum exit_kind kind = hart->fault.host_signal ? EXIT_FAULT : EXIT_PENDING;
    hart->exit = (struct hart_exit){kind, address, hart->fault.host_signal};
}

static bool leave(struct hart *hart, enum exit_kind kind)
{
    hart->exit.kind = kind;
    return false;
}

/* Goes on in the interpreter, at the cell or at the hart's pc, and returns the unit that is not cold. NULL: the engine is left. */
static const struct unit *interpret(struct hart *hart, const union cell *cell)
{
    uint64_t start = tier_start(hart);
    const struct unit *unit = interp_go(hart, cell);
    tier_end(hart, ENGINE_TIER_INTERPRETER, start);
    if (unit)
        hart->exits[ENGINE_EXIT_COLD]++;
    return unit;
}

/* The interpreter executes the instruction at the hart's pc, whatever begins there. */
static bool interpret_one(struct hart *hart)
{
    struct rv_insn insn;
    return interpret(hart, code_isolate(hart->code, hart->pc) ? NULL : code_step(hart, &insn));
}

static void go_on(struct hart *hart, const union cell *cell)
{
    interp_go(hart, cell);
}

static const struct record_steps steps = {.find = code_step, .go = go_on};

void jit_promote(struct hart *hart)
{
    hart->jit.entries[jit_entry_counter(hart->pc)] = (int32_t)code_engine(hart->code)->quick;
    code_promote(hart->code, hart->pc);
    if (hart->jit.jumps[(hart->pc >> 1) % JIT_JUMP_COUNT].pc == hart->pc)
        look_up(hart, hart->pc);
}

static bool stop(struct hart *hart, enum lift_stop reason)
{
    hart->pc = hart->jit.value;
    switch (reason) {
    case LIFT_ECALL: return leave(hart, EXIT_ECALL);
    case LIFT_EBREAK: return leave(hart, EXIT_EBREAK);
    case LIFT_ILLEGAL: return leave(hart, EXIT_ILLEGAL);
    case LIFT_INTERPRET: return interpret_one(hart);
    case LIFT_HOT: return hot_way_back(hart, &steps, hart->jit.arguments[0], hart->jit.arguments[1]);
    case LIFT_ENTERED: jit_promote(hart); return true;
    case LIFT_OUTSIDE:
    case LIFT_FETCH: /* the interpreter says what is missing, if it still is */
    case LIFT_STOP_COUNT: break;
    }
    return interpret(hart, NULL);
}

/* Runs translated code until it comes back. False: the engine is left. */
static bool execute(struct hart *hart, struct place *place)
{
    unsigned reason = jit_enter(hart, place->entry);
    switch (reason) {
    case JIT_LINK: *place = follow(hart, hart->jit.value); break;
    case JIT_LOOKUP: *place = look_up(hart, hart->jit.value); break;
    case JIT_POLL: hart->pc = hart->jit.value; return leave(hart, EXIT_PENDING);
    case JIT_FAULT: jit_fault_exit(hart); return false;
    default:
        if (!stop(hart, (enum lift_stop)(reason - JIT_STOP)))
            return false;
        *place = find_place(hart);
        return true;
    }
    return likely(!host_is_set(hart->pending)) || leave(hart, EXIT_PENDING);
}

/* Interprets until there is something to translate, or a translation. False: the engine is left. */
static bool warm_up(struct hart *hart, struct place *place)
{
    place->unit = interpret(hart, place->unit ? place->unit->cells : NULL);
    if (!place->unit)
        return false;
    place->entry = code_translate(hart->code, place->unit, true);
    return true;
}

void jit_run(struct hart *hart)
{
    struct code *code = hart->code;
    struct place place;
    bool stay = true;
    code_enter(code, hart);
    hart->reserve_address = HART_NO_RESERVE; /* as a kernel does on its way back from any trap */
    hart->pc &= ~UINT64_C(1);
    place = find_place(hart);
    while (stay) {
        if (unlikely(!hart_rounds_as_host(hart))) {
            stay = interpret_one(hart);
            place = find_place(hart);
        } else {
            stay = place.entry ? execute(hart, &place) : warm_up(hart, &place);
        }
    }
    code_leave(hart);
}

/* ---- For the host's signal handler ---- */

/* Out of translated code by way of JIT_FAULT. */
HOST_NO_TSAN static const void *recover_from(struct hart *hart, const void *pc, int host_signal,
                                             uint64_t host_address, const void *ucontext)
{
    host_context_registers(ucontext, hart->fault.integer, hart->fault.fp);
    hart->fault.pc = pc;
    hart->fault.address = host_address;
    hart->fault.host_signal = host_signal;
    return translator_thunks(code_translator(hart->code))->fault;
}

/* Single steps have come to an atomic that is a loop. If they come again, another hart has changed the word meanwhile, and may do so
 * for ever: single steps take a thousand times as long as the other's loop. Then there is a way out before the atomic. */
HOST_NO_TSAN static const void *leave_atomic(struct hart *hart, const void *pc, const void *ucontext)
{
    if (!jit_is_retried(pc))
        return NULL;
    bool again = hart->retried == pc;
    hart->retried = pc;
    return again ? recover_from(hart, pc, 0, 0, ucontext) : NULL;
}

/* The thread is in translated code: single steps bring it to the next place from which there is a way out. */
HOST_NO_TSAN void jit_interrupt(struct hart *hart, void *ucontext)
{
    if (hart->jit.nowhere) { /* paged code: struct jit_state */
        hart->jit.far = hart->jit.nowhere;
        return;
    }
    const struct translator *translator = code_translator(hart->code);
    const void *pc = (const void *)host_context_pc(ucontext), *out = NULL;
    bool inside = translator && translator_holds(translator, pc);
    if (inside)
        out = translator_way_out(translator, pc, &hart->jit.value);
    if (inside && !out)
        out = leave_atomic(hart, pc, ucontext);
    if (!inside || out)
        hart->retried = NULL;
    if (out)
        host_context_set_pc(ucontext, out);
    host_context_set_step(ucontext, inside && !out);
}

/* From where a hart faults because the unit has died; NULL: it faults for another reason. */
HOST_NO_TSAN static const void *way_out_of_grave(struct hart *hart, const struct translator *translator,
                                                 const void *pc)
{
    if (translator_entry_pc(translator, pc, &hart->jit.value)) {
        hart->jit.value += hart->bias; /* which JIT_LOOKUP does not add */
        return translator_thunks(translator)->buried;
    }
    return translator_way_out(translator, pc, &hart->jit.value);
}

HOST_NO_TSAN bool jit_fault(struct hart *hart, int host_signal, uint64_t host_address, void *ucontext)
{
    const struct translator *translator = code_translator(hart->code);
    const void *pc = (const void *)host_context_pc(ucontext);
    if (!translator || !translator_holds(translator, pc))
        return false;
    const void *out = jit_is_buried(pc) ? way_out_of_grave(hart, translator, pc) : NULL;
    if (out) {
        host_context_set_pc(ucontext, out);
        return true;
    }
    out = recover_from(hart, pc, host_signal, host_address, ucontext);
    if (host_guest_thread_overflows(&hart->host, host_address, hart->fault.integer[HOST_SP]))
        host_context_set_sp(ucontext,
                            hart->host.returns.base); /* the call is done again, on an empty stack */
    else
        host_context_set_pc(ucontext, out);
    return true;
}
