/* The engine that translates, for a computer's harts.
 *
 *   gva ──fetch TLB──> gpa ──> unit ──> its translation            a jump cache for each fetch context remembers it
 *
 *                 no translation                         counted out, or a translation begins there
 *   jit_system_go ──┬───────────────> interp_system_go ──────────────────────┐
 *                   │ entry                                                   v
 *                   └───> translated code ──> translated code ──> ... ──> back here, for a reason
 *
 * What changes privileged state or takes traps is done by the interpreter or here, in between; so a fetch context holds as long as
 * translated code runs. An access that ends in a trap leaves translated code with the state before its instruction.
 *
 * A return stack belongs to a fetch context, too: a return address that the guest finds in another one may be other code. Each mode
 * has one, so that the way into a kernel and back loses none. */
#include "base/util.h"
#include "cpu/riscv/hot.h"
#include "cpu/riscv/jit.h"
#include "cpu/riscv/lift.h"
#include "cpu/riscv/system_internal.h"
#include "cpu/riscv/translate.h"
#include "cpu/riscv/unit.h"
#include "host/atomic.h"
#include "host/copy.h"
#include "host/signal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLES = 8, MODES = PRIV_M + 1 };

struct returns {
    struct host_return_stack stack; /* of S-mode the one that the thread came with, of the others owned */
    void *sp;
    uint64_t context; /* that what it holds is of; 0: none */
};

struct system_jit {
    struct {
        uint64_t context; /* 0: none */
        struct jit_far *far;
    } tables[TABLES];
    unsigned next;           /* table to be used for a new context */
    uint64_t context;        /* that `far` and the return stack in use are of; 0: none */
    struct jit_far *far;     /* the context's */
    struct returns *returns; /* in use */
    struct returns returns_of[MODES];
    struct jit_far nowhere[JIT_FAR_COUNT];
};

/* ---- What the back end has to know ---- */

_Static_assert(sizeof(struct tlb_entry) == sizeof(struct jit_page) &&
                   offsetof(struct tlb_entry, read) == offsetof(struct jit_page, read) &&
                   offsetof(struct tlb_entry, write) == offsetof(struct jit_page, write) &&
                   offsetof(struct tlb_entry, addend) == offsetof(struct jit_page, addend),
               "translated code looks into the TLB");

static struct system_hart *hart_of_state(void *state_register)
{
    return (struct system_hart *)((char *)state_register - offsetof(struct system_hart, hart.x[LIFT_BIAS]));
}

static bool access_memory(struct system_hart *h, struct jit_access *a)
{
    if (unlikely(h->lockstep))
        return system_lockstep_access(h, a);
    unsigned size = ir_access_size(a->op, a->type);
    if (a->op >= IR_ST8 && a->op <= IR_STF)
        return system_store(h, a->address, size, a->value);
    if (a->op == IR_HOST) {
        if (!system_reach(h, a->address, (unsigned)a->value, a->write ? MMU_STORE : MMU_LOAD, &a->value))
            a->value = JIT_PAGE_NONE;
        return true;
    }
    if (a->op == IR_ZERO)
        return system_cache_block(h, RV_CBO_ZERO, a->address);
    if (a->op >= IR_AXCHG)
        return (a->value = (uint64_t)system_atomic(h, a->address, size, MMU_STORE)) != 0;
    if (!system_load(h, a->address, size, &a->value))
        return false;
    a->value = ir_loaded(a->op, a->value);
    return true;
}

/* A jit_helper. */
static bool help(void *state_register, const void *at)
{
    struct system_hart *h = hart_of_state(state_register);
    struct jit_fault *fault = &h->hart.fault;
    if (likely(access_memory(h, &h->hart.jit.access)))
        return true;
    memcpy(fault->integer, h->hart.jit.saved, sizeof(fault->integer));
    memcpy(fault->fp, h->hart.jit.saved + ARRAY_SIZE(fault->integer), sizeof(fault->fp));
    fault->pc = at;
    fault->address = 0;
    fault->host_signal = 0;
    return false;
}

void jit_system_machine(struct jit_machine *machine)
{
    machine->page_bits = TLB_BITS;
    machine->pages = LIFT_OFFSET(tlb);
    machine->bias = LIFT_OFFSET(bias);
    machine->helper = help;
}

/* ---- Jump caches ---- */

static struct jit_far *far_slot(struct jit_far *far, uint64_t pc)
{
    return &far[(pc >> 1) % JIT_FAR_COUNT];
}

/* No instruction is at an odd address: the one slot that 0 belongs to must not match it. */
static void clear_table(struct jit_far *far)
{
    memset(far, 0, JIT_FAR_COUNT * sizeof(far[0]));
    far_slot(far, 0)->pc = 1;
}

static struct jit_far *find_table(struct system_jit *jit, uint64_t context)
{
    for (unsigned i = 0; i < TABLES; i++)
        if (jit->tables[i].context == context)
            return jit->tables[i].far;
    unsigned i = jit->next++ % TABLES;
    jit->tables[i].context = context;
    clear_table(jit->tables[i].far);
    return jit->tables[i].far;
}

/* Translations that the tables know may be gone. */
static void forget(struct system_jit *jit)
{
    for (unsigned i = 0; i < TABLES; i++)
        jit->tables[i].context = 0;
    for (unsigned i = 0; i < MODES; i++)
        jit->returns_of[i].context = 0;
    jit->context = 0;
}

/* The return stack of the current mode and context. */
static void set_returns(struct system_hart *h)
{
    struct hart *hart = &h->hart;
    struct returns *r = &h->jit->returns_of[h->tlb.code->key.mode];
    h->jit->returns->sp = hart->jit.return_sp;
    if (r->context != hart->context) {
        r->context = hart->context;
        r->sp = r->stack.base;
        *r->stack.base = (uint64_t)translator_thunks(code_translator(hart->code))->underflow;
    }
    h->jit->returns = r;
    hart->host.returns = r->stack;
    hart->jit.return_base = r->stack.base;
    hart->jit.return_sp = r->sp;
}

static void set_context(struct system_hart *h)
{
    struct hart *hart = &h->hart;
    h->jit->context = hart->context;
    h->jit->far = find_table(h->jit, hart->context);
    set_returns(h);
}

/* ---- The dispatcher ---- */

/* What is known of the code at hart.pc. */
struct place {
    const struct unit *unit; /* or NULL */
    const void *entry;       /* of its translation, or NULL */
};

static struct place place_of(struct hart *hart, uint64_t gpa)
{
    const struct unit *unit = code_unit(hart->code, gpa);
    return (struct place){unit, unit ? code_entry(hart->code, unit) : NULL};
}

/* What cannot be fetched, or not in one piece, is for the interpreter to find out. */
static struct place find_place(struct system_hart *h)
{
    struct hart *hart = &h->hart;
    const struct tlb_code *page = system_fetch_page(h, hart->pc);
    if (!page)
        return (struct place){NULL, NULL};
    uint64_t gpa = (page->page & TLB_PAGE_MASK) | (hart->pc & ~TLB_PAGE_MASK);
    hart->bias = hart->pc - gpa;
    return place_of(hart, gpa);
}

/* Where the link leads to. No entry: that is still cold. */
static struct place follow(struct hart *hart, uint64_t link, uint64_t gpa)
{
    struct place place = place_of(hart, gpa);
    if (place.entry && !code_engine(hart->code)->modes.no_chain)
        code_tie(hart->code, link, place.unit);
    return place;
}

/* Is the page where it was when the jump was noted, perhaps in another fetch context? */
static bool still_leads_there(struct system_hart *h, struct system_jump *jump)
{
    if (likely(jump->context == h->hart.context))
        return true;
    const struct tlb_code *page = system_fetch_page(h, jump->pc);
    if (!page || !jump->cell ||
        jump->pc - ((page->page & TLB_PAGE_MASK) | (jump->pc & ~TLB_PAGE_MASK)) != jump->bias)
        return false;
    jump->context = h->hart.context;
    return true;
}

/* By the interpreter's jump cache, which is larger than a context's own and is not cleared for each: the table of units is far from
 * the host's caches. */
static struct place find_known(struct system_hart *h)
{
    struct hart *hart = &h->hart;
    struct system_jump *slot = system_jump_slot(h, hart->pc);
    if (slot->pc == hart->pc && still_leads_there(h, slot)) {
        const struct unit *unit = system_jump_unit(slot);
        const void *entry = code_entry(hart->code, unit);
        hart->bias = slot->bias;
        if (likely(entry))
            return (struct place){unit, entry};
    }
    struct place place = find_place(h);
    if (place.entry)
        *slot = (struct system_jump){hart->pc, hart->context, place.unit->cells, hart->bias};
    return place;
}

static struct place look_up(struct system_hart *h, uint64_t pc)
{
    struct hart *hart = &h->hart;
    hart->pc = pc & ~UINT64_C(1);
    struct place place = find_known(h);
    if (place.entry)
        *far_slot(h->jit->far, hart->pc) = (struct jit_far){hart->pc, place.entry, hart->bias, 0};
    return place;
}

/* The same at hart.pc, for what has changed the context, perhaps. */
static struct place find_next(struct system_hart *h)
{
    struct hart *hart = &h->hart;
    if (h->jit->context != hart->context)
        set_context(h);
    const struct jit_far *slot = far_slot(h->jit->far, hart->pc);
    if (unlikely(slot->pc != hart->pc))
        return look_up(h, hart->pc);
    hart->bias = slot->bias;
    return (struct place){NULL, slot->entry};
}

static bool leave(struct system_hart *h, enum exit_kind kind)
{
    h->hart.exit.kind = kind;
    return false;
}

/* Goes on in the interpreter, at the cell or at hart.pc, and returns the unit that is not cold. NULL: the engine is left. */
static const struct unit *interpret(struct system_hart *h, const union cell *cell)
{
    const struct unit *unit = interp_system_go(h, cell);
    if (unit)
        h->hart.exits[ENGINE_EXIT_COLD]++;
    return unit;
}

/* The interpreter executes one instruction alone. */
static bool step(struct system_hart *h)
{
    return interpret(h, system_step(h, NULL)) != NULL;
}

/* The same, and what begins there is for the interpreter from now on. */
static bool interpret_one(struct system_hart *h)
{
    struct hart *hart = &h->hart;
    struct place place = find_place(h);
    bool alone = !place.unit || code_isolate(hart->code, place.unit->pc);
    return alone ? interpret(h, NULL) != NULL : step(h);
}

/* Translated code has come to an instruction that it has not, at hart.pc. */
static bool execute_one(struct system_hart *h)
{
    switch (system_execute(h)) {
    case SYSTEM_LEFT: return false;
    case SYSTEM_DONE: return true;
    case SYSTEM_NOT_DONE: break;
    }
    return interpret_one(h);
}

static const union cell *find_step(struct hart *hart, struct rv_insn *insn)
{
    return system_step(system_hart_of(hart), insn);
}

static void go_on(struct hart *hart, const union cell *cell)
{
    interp_system_go(system_hart_of(hart), cell);
}

static const struct record_steps steps = {.find = find_step, .go = go_on};

/* A unit has ended with IR_EXIT_STOP at hart.pc. False: the engine is left. */
static bool stop(struct system_hart *h, enum lift_stop reason, struct place *place)
{
    bool stay = true;
    const uint64_t *arguments = h->hart.jit.arguments;
    if (reason == LIFT_ENTERED)
        direct_heat(h, arguments[0]);
    else if (reason == LIFT_HOT)
        stay = hot_way_back(&h->hart, &steps, arguments[0], arguments[1]);
    else if (reason == LIFT_INTERPRET)
        stay = execute_one(h);
    else if (reason == LIFT_FETCH || (reason == LIFT_OUTSIDE && !direct_outside(h)))
        stay = step(h);
    else if (reason != LIFT_OUTSIDE)
        stay = interpret_one(h);
    if (stay)
        *place = find_next(h);
    return stay;
}

/* False: the engine is left. What a span was refused for is done by itself: in a translation for that, or here. */
static bool go_through(struct system_hart *h, uint64_t link, struct place *place)
{
    struct hart *hart = &h->hart;
    uint64_t pc = translator_link_pc(code_translator(hart->code), link), gpa = pc & ~LIFT_APART;
    hart->pc = gpa + hart->bias;
    if (likely(pc == gpa)) {
        *place = follow(hart, link, gpa);
        return true;
    }
    *place = (struct place){NULL, code_apart(hart->code, link, gpa)};
    if (place->entry)
        return true;
    bool stay = step(h);
    *place = find_place(h);
    return stay;
}

static bool is_wrong(struct system_hart *h, const char *what)
{
    fprintf(stderr, "guise: internal error: %s at %p\n", what, h->hart.fault.pc);
    return leave(h, EXIT_WRONG);
}

/* An access has ended in a trap. */
static bool recover(struct system_hart *h)
{
    uint64_t address;
    struct hart *hart = &h->hart;
    if (!code_recover(hart->code, hart, &address))
        return is_wrong(h, "a trap that is no access of the guest's");
    hart->pc += hart->bias;
    if (hart->fault.host_signal)
        return direct_refused(h) ? step(h) : is_wrong(h, "a fault of the host's in the guest's memory");
    hart->pc = system_take_trap(h);
    return true;
}

unsigned system_jit_enter(struct system_hart *h, const void *entry)
{
    struct hart *hart = &h->hart;
    if (unlikely(hart->jit_epoch != atomic_load_explicit(&hart->epoch, memory_order_relaxed)))
        forget(h->jit);
    if (h->jit->context != hart->context)
        set_context(h);
    hart->jit.far = h->jit->far;
    direct_enter(h);
    atomic_signal_fence(
        memory_order_seq_cst); /* who kicks the hart later than we look puts `nowhere` there */
    return host_is_set(hart->pending) ? JIT_POLL : jit_enter(hart, entry);
}

/* Runs translated code until it comes back. False: the engine is left. */
static bool execute(struct system_hart *h, struct place *place)
{
    struct hart *hart = &h->hart;
    bool stay = true;
    hart->jit.value = hart->pc - hart->bias; /* when it comes back at once */
    unsigned reason = system_jit_enter(h, place->entry);
    switch (reason) {
    case JIT_LINK: stay = go_through(h, hart->jit.value, place); break;
    case JIT_LOOKUP: *place = look_up(h, hart->jit.value); break;
    case JIT_POLL: hart->pc = hart->jit.value + hart->bias; return leave(h, EXIT_PENDING);
    case JIT_FAULT:
        stay = recover(h);
        *place = find_place(h);
        break;
    default:
        hart->pc = hart->jit.value + hart->bias;
        stay = stop(h, (enum lift_stop)(reason - JIT_STOP), place);
        break;
    }
    if (unlikely(host_is_set(hart->pending)))
        return stay && leave(h, EXIT_PENDING);
    return stay;
}

/* Interprets until there is something to translate, or a translation. False: the engine is left. */
static bool warm_up(struct system_hart *h, struct place *place)
{
    place->unit = interpret(h, place->unit ? place->unit->cells : NULL);
    if (!place->unit)
        return false;
    place->entry = code_translate(h->hart.code, place->unit, direct_may_be(h));
    return true;
}

void jit_system_go(struct system_hart *h)
{
    struct hart *hart = &h->hart;
    bool stay = true;
    hart->pc &= ~UINT64_C(1);
    struct place place = find_place(h);
    while (stay) {
        if (unlikely(!hart_rounds_as_host(hart))) {
            stay = interpret_one(h);
            place = find_place(h);
        } else {
            stay = place.entry ? execute(h, &place) : warm_up(h, &place);
        }
    }
}

/* ---- Signals of the host: as in a process VM, faults at the end of the return stack and at buried units, and kicks ---- */

/* For the handlers. */
static _Thread_local struct hart *current;

static void give_up(int number)
{
    const struct host_sigaction action = {.handler = (uint64_t)SIG_DFL};
    host_sigaction(number, &action, NULL);
}

HOST_NO_TSAN static void on_fault(int number, siginfo_t *info, void *ucontext)
{
    if (host_copy_fault(ucontext) ||
        (current && direct_fault(system_hart_of(current), (uint64_t)info->si_addr, ucontext)))
        return;
    if (!current || !engine_fault(current, number, (uint64_t)info->si_addr, ucontext))
        give_up(number);
}

HOST_NO_TSAN static void on_trap(int number, siginfo_t *info, void *ucontext)
{
    if (!engine_owns_trap(info, ucontext))
        give_up(number);
    else if (current)
        engine_interrupt(current, ucontext);
}

static void install_handlers(void)
{
    const struct host_sigaction fault = {
        .handler = (uint64_t)on_fault, .flags = SA_ONSTACK, .mask = UINT64_MAX};
    const struct host_sigaction trap = {
        .handler = (uint64_t)on_trap, .flags = SA_ONSTACK | SA_RESTART, .mask = UINT64_MAX};
    host_sigaction(SIGSEGV, &fault, NULL);
    host_sigaction(SIGBUS, &fault, NULL);
    host_sigaction(SIGTRAP, &trap, NULL);
}

void jit_system_enter_thread(struct system_hart *h)
{
    if (!h->jit)
        return;
    install_handlers();
    direct_enter_thread(h);
    current = &h->hart;
}

void jit_system_leave_thread(void)
{
    current = NULL;
}

/* ---- Life ---- */

int jit_system_init(struct system_hart *h)
{
    if (!hart_translates(&h->hart))
        return 0;
    h->jit = calloc(1, sizeof(*h->jit));
    if (!h->jit)
        return -1;
    clear_table(h->jit->nowhere);
    h->hart.jit.nowhere = h->jit->nowhere;
    h->jit->returns = &h->jit->returns_of[PRIV_S];
    h->jit->returns->stack = h->hart.host.returns;
    if (host_return_stack_map(&h->jit->returns_of[PRIV_U].stack) ||
        host_return_stack_map(&h->jit->returns_of[PRIV_M].stack))
        return -1;
    for (unsigned i = 0; i < TABLES; i++)
        if (!(h->jit->tables[i].far = malloc(JIT_FAR_COUNT * sizeof(struct jit_far))))
            return -1;
    return 0;
}

void jit_system_release(struct system_hart *h)
{
    if (!h->jit)
        return;
    for (unsigned i = 0; i < TABLES; i++)
        free(h->jit->tables[i].far);
    host_return_stack_unmap(&h->jit->returns_of[PRIV_U].stack);
    host_return_stack_unmap(&h->jit->returns_of[PRIV_M].stack);
    free(h->jit);
}
