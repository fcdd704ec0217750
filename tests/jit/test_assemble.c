/* Host code against the reference execution: units made by chance, with every way the back end can be made to choose registers. */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/util.h"
#include "host/fpu.h"
#include "host/signal.h"
#include "jit/assembler.h"
#include "jit/text.h"
#include "jit/verify.h"
#include "random_unit.h"

enum { ROOM = 2 * JIT_UNIT_MAX, WINDOW = 8192, STACK = 64 << 10, PAGE = 4096, PAGE_BITS = 3 };

/* Where paged memory has the window: in two pages. */
static const uint64_t paged_window = 0xffffffc000122000;

/* What the state register points to. */
struct cpu {
    uint64_t slots[IR_MAX_SLOTS];
    uint32_t pending;
    struct jit_page *pages;
    uint64_t bias;
    struct jit_state state;
};

/* As many pinned slots as there are pins, and some others. */
enum { WIDE_INTEGER = 10, WIDE_FP = 13, WIDE_PINS = WIDE_INTEGER + WIDE_FP, WIDE_SLOTS = WIDE_PINS + 13 };
static struct ir_slot wide_slots[WIDE_SLOTS];
static char wide_names[WIDE_SLOTS][8];

static void make_wide_slots(void)
{
    for (unsigned i = 0; i < WIDE_SLOTS; i++) {
        bool fp = (i >= WIDE_INTEGER && i < WIDE_PINS) || (i >= WIDE_SLOTS - 5 && i < WIDE_SLOTS - 1);
        unsigned pin = i < WIDE_INTEGER ? i + 1 : i < WIDE_PINS ? i - WIDE_INTEGER + 1 : 0;
        snprintf(wide_names[i], sizeof(wide_names[i]), "%c%u", fp ? 'f' : 'x', i);
        wide_slots[i] = (struct ir_slot){wide_names[i], (int32_t)(8 * i), fp ? IR_F64 : IR_I64, (uint8_t)pin};
    }
}

struct bench {
    struct jit_machine machine;
    struct jit_assembler *as;
    struct jit_thunks thunks;
    struct jit_room room;
    struct cpu *cpu;
    uint8_t *window, *stack;
    uint64_t guest_window; /* the guest's address of it */
    struct ir *ir, *copy;
    bool stop; /* asks the unit to */
    struct jit_page pages[1 << PAGE_BITS];
    struct jit_far far[JIT_FAR_COUNT];
    unsigned helped; /* accesses that the table did not serve */
};

static struct bench *running;
static struct jit_fault fault;
static struct jit_stop stop;

/* As an engine does. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *g = uc->uc_mcontext.gregs;
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    const uint8_t *pc = (const uint8_t *)g[REG_RIP];
    if (!running || pc < running->room.cold || pc >= running->room.cold + ROOM) {
        signal(number, SIG_DFL);
        return;
    }
    for (unsigned i = 0; i < 16; i++) {
        fault.integer[i] = (uint64_t)g[order[i]];
        memcpy(&fault.fp[i], uc->uc_mcontext.fpregs->_xmm[i].element, sizeof(fault.fp[i]));
    }
    fault.pc = pc;
    fault.address = (uint64_t)info->si_addr;
    fault.host_signal = number;
    g[REG_RIP] = (greg_t)running->thunks.fault;
}

/* As an engine does it, but that entries are passed. */
static void on_trap(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *pc = (const uint8_t *)g[REG_RIP];
    const uint8_t *first = (const uint8_t *)running->room.hot - ROOM; /* the thunks' */
    bool inside = pc >= first && pc < first + ROOM, stops = pc == stop.at;
    if (stops)
        g[REG_RIP] = (greg_t)stop.out;
    host_context_set_step(context, inside && !stops);
}

static struct jit_page *page_of(struct bench *b, uint64_t address)
{
    return &b->pages[address / PAGE % (1u << PAGE_BITS)];
}

static void forget_pages(struct bench *b)
{
    for (unsigned i = 0; i < 1u << PAGE_BITS; i++)
        b->pages[i] = (struct jit_page){JIT_PAGE_NONE, JIT_PAGE_NONE, 0, 0};
}

static void know_page(struct bench *b, uint64_t address, bool writable)
{
    uint64_t tag = address & ~(uint64_t)(PAGE - 1);
    *page_of(b, address) =
        (struct jit_page){tag, writable ? tag : JIT_PAGE_NONE, 0, (uint64_t)b->window - b->guest_window};
}

/* As far as the window's page goes. */
static bool reaches(const struct bench *b, uint64_t address, unsigned size)
{
    uint64_t offset = address - b->guest_window;
    return offset < WINDOW && offset % PAGE + size <= PAGE;
}

/* A jit_helper. The registers it finds are not those of the unit any more when it comes back. */
static bool help(void *state_register, const void *at)
{
    struct bench *b = running;
    struct jit_access *a = &((struct cpu *)state_register)->state.access;
    uint64_t offset = a->address - b->guest_window, value = 0;
    unsigned size = ir_access_size(a->op, a->type);
    b->helped++;
    if (a->op == IR_HOST) {
        a->value = reaches(b, a->address, (unsigned)a->value) ? (uint64_t)b->window - b->guest_window
                                                              : JIT_PAGE_NONE;
        return true;
    }
    if (offset > WINDOW - size) {
        memcpy(fault.integer, b->cpu->state.saved, sizeof(fault.integer));
        memcpy(fault.fp, b->cpu->state.saved + ARRAY_SIZE(fault.integer), sizeof(fault.fp));
        fault.pc = at;
        fault.address = 0;
        return false;
    }
    if (a->op >= IR_ST8 && a->op <= IR_STF) {
        memcpy(b->window + offset, &a->value, size);
    } else if (a->op == IR_ZERO) {
        memset(b->window + offset, 0, size);
    } else if (a->op >= IR_AXCHG) {
        a->value = (uint64_t)(b->window + offset);
    } else {
        memcpy(&value, b->window + offset, size);
        a->value = ir_loaded(a->op, value);
    }
    if (b->helped % 2)
        know_page(b, a->address, b->helped % 4 == 1);
    __asm__ volatile("" ::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                           "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory");
    return true;
}

/* cmocka has its own handler around each test. */
static void catch_faults(void)
{
    static uint8_t stack[64 << 10];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof(stack)}, NULL);
    const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    const struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGTRAP, &trap, NULL);
}

static void *map(size_t size, int protection)
{
    void *at = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    return at;
}

static void bench_init(struct bench *b, const struct ir_machine *machine, struct jit_modes modes, bool paged)
{
    *b = (struct bench){.ir = calloc(1, sizeof(struct ir)), .copy = calloc(1, sizeof(struct ir))};
    b->machine = (struct jit_machine){.ir = *machine,
                                      .state = offsetof(struct cpu, state),
                                      .pending = offsetof(struct cpu, pending),
                                      .calls = unit_calls,
                                      .page_bits = paged ? PAGE_BITS : 0,
                                      .pages = offsetof(struct cpu, pages),
                                      .bias = offsetof(struct cpu, bias),
                                      .helper = help};
    b->cpu = calloc(1, sizeof(*b->cpu));
    uint8_t *code = map(ROOM, PROT_READ | PROT_WRITE | PROT_EXEC);
    b->room = (struct jit_room){code, code + ROOM, 0};
    struct jit_room rest = b->room;
    jit_make_thunks(&b->machine, modes, &rest, &b->thunks);
    b->room.cold = rest.cold;
    assert_int_equal(jit_assembler_new(&b->as, &b->machine, modes), 0);
    b->stack = map(STACK, PROT_READ | PROT_WRITE);
    b->window = map(2 * WINDOW, PROT_NONE);
    assert_int_equal(mprotect(b->window, WINDOW, PROT_READ | PROT_WRITE), 0);
    b->guest_window = paged ? paged_window : (uint64_t)b->window;
    b->cpu->pages = b->pages;
    b->cpu->state.far = b->far;
    b->far[0].pc = 2; /* 0 would be found there */
    forget_pages(b);
    uint64_t *bottom = (uint64_t *)(void *)(b->stack + STACK) - 4;
    *bottom = (uint64_t)b->thunks.underflow;
    b->cpu->state.jumps[0].pc = 2; /* here, too */
    b->cpu->state.return_base = b->cpu->state.return_sp = bottom;
}

static void bench_release(struct bench *b)
{
    munmap(b->window, 2 * WINDOW);
    munmap(b->stack, STACK);
    munmap(b->room.hot - ROOM, ROOM);
    jit_assembler_free(b->as);
    free(b->cpu);
    free(b->ir);
    free(b->copy);
}

static bool world_load(void *context, uint64_t address, unsigned size, uint64_t *value)
{
    const struct bench *b = context;
    uint64_t offset = address - b->guest_window;
    if (offset > WINDOW - size)
        return false;
    memcpy(value, b->window + offset, size);
    return true;
}

static bool world_store(void *context, uint64_t address, unsigned size, uint64_t value)
{
    const struct bench *b = context;
    uint64_t offset = address - b->guest_window;
    if (offset > WINDOW - size)
        return false;
    memcpy(b->window + offset, &value, size);
    return true;
}

static bool world_reach(void *context, uint64_t address, unsigned size, bool write)
{
    (void)write;
    return reaches(context, address, size);
}

static void show(const struct bench *b, uint64_t seed, const struct jit_result *r)
{
    struct buf text = {0};
    ir_print(b->copy, &text);
    fprintf(stderr, "seed %" PRIu64 "\n%.*s", seed, (int)text.length, text.data);
    buf_release(&text);
    const char *path = getenv("UNIT_CODE"); /* for objdump -D -b binary -m i386:x86-64 */
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f)
        return;
    fwrite(r->entry, 1, (size_t)(b->room.hot - r->entry), f);
    fwrite(b->room.cold, 1, (size_t)(r->room.cold - b->room.cold), f);
    fclose(f);
    fprintf(stderr, "hot code in %s up to %#zx, then cold\n", path, (size_t)(b->room.hot - r->entry));
}

/* What the unit is to do, and what it did. */
struct outcome {
    uint64_t slots[IR_MAX_SLOTS];
    uint8_t memory[WINDOW];
    unsigned flags;
    unsigned reason;
    uint64_t pc, address;
};

/* Slots as the unit numbers them: the CPU's state has them in the order of their offsets. */
static uint64_t *slot_of(const struct bench *b, uint64_t *slots, unsigned number)
{
    return &slots[b->copy->machine->slots[number].offset / 8];
}

static void expect(struct bench *b, const uint64_t *slots, struct outcome *o)
{
    uint64_t numbered[IR_MAX_SLOTS];
    const struct ir_world world = {world_load, world_store, b, unit_calls, 0x5a5a5a5a, b->stop, world_reach};
    memcpy(o->slots, slots, sizeof(o->slots));
    fpu_enter(FPU_NEAREST);
    for (unsigned i = 0; i < b->copy->machine->slot_count; i++)
        numbered[i] = *slot_of(b, o->slots, i);
    struct ir_ending e = ir_run(b->copy, &world, numbered);
    o->flags = fpu_leave();
    for (unsigned i = 0; i < b->copy->machine->slot_count; i++)
        *slot_of(b, o->slots, i) = numbered[i];
    memcpy(o->memory, b->window, WINDOW);
    o->pc = e.pc;
    o->address = e.address;
    const struct ir_exit *exit = &b->copy->exits[e.exit];
    if (e.kind == IR_FAULTED)
        o->reason = JIT_FAULT;
    else if (ir_at(b->copy, e.at)->op == IR_HOST)
        o->reason = JIT_LINK;
    else if (exit->kind == IR_EXIT_STOP)
        o->reason = JIT_STOP + exit->reason;
    else if (ir_at(b->copy, e.at)->op == IR_POLL)
        o->reason = JIT_POLL;
    else
        o->reason = exit->kind == IR_EXIT_GO ? JIT_LINK : JIT_LOOKUP;
}

static void execute(struct bench *b, const uint64_t *slots, const struct jit_result *r, struct outcome *o)
{
    memcpy(b->cpu->slots, slots, sizeof(b->cpu->slots));
    fault.pc = NULL;
    running = b;
    stop = r->stop;
    b->cpu->pending = b->stop;
    fpu_enter(FPU_NEAREST);
    o->reason = b->thunks.enter(b->cpu, r->entry);
    o->flags = fpu_leave();
    running = NULL;
    o->address = 0;
    o->pc = o->reason == JIT_LINK ? r->sites[b->cpu->state.value].pc : b->cpu->state.value;
    if (o->reason == JIT_FAULT) {
        memcpy(b->ir, b->copy, sizeof(*b->ir));
        assert_true(jit_recover(b->as, b->ir, &b->thunks, b->room, 0, &fault, b->cpu, &o->pc, &o->address));
    }
    memcpy(o->slots, b->cpu->slots, sizeof(o->slots));
    memcpy(o->memory, b->window, WINDOW);
}

static bool same(const struct bench *b, const struct outcome *a, const struct outcome *c)
{
    bool flags = a->reason == JIT_FAULT || a->flags == c->flags;
    return a->reason == c->reason && a->pc == c->pc && a->address == c->address && flags &&
           !memcmp(a->slots, c->slots, b->machine.ir.slot_count * sizeof(uint64_t)) &&
           !memcmp(a->memory, c->memory, WINDOW);
}

static void differ(const struct bench *b, uint64_t seed, const struct outcome *want,
                   const struct outcome *got, const struct jit_result *r)
{
    show(b, seed, r);
    fprintf(
        stderr, "reason %u %u, pc %" PRIx64 " %" PRIx64 ", address %" PRIx64 " %" PRIx64 ", flags %x %x\n",
        want->reason, got->reason, want->pc, got->pc, want->address, got->address, want->flags, got->flags);
    for (unsigned i = 0; i < b->machine.ir.slot_count; i++)
        if (want->slots[i] != got->slots[i])
            fprintf(stderr, "%s: %" PRIx64 ", got %" PRIx64 "\n", b->machine.ir.slots[i].name, want->slots[i],
                    got->slots[i]);
    for (unsigned i = 0; i < WINDOW; i++)
        if (want->memory[i] != got->memory[i])
            fprintf(stderr, "memory %u: %x, got %x\n", i, want->memory[i], got->memory[i]);
    fail_msg("host code differs from its meaning");
}

static void fill(struct bench *b, uint64_t *seed, uint64_t *slots)
{
    for (unsigned i = 0; i < b->machine.ir.slot_count; i++)
        slots[i] = b->machine.ir.slots[i].type == IR_I64 ? random_value(seed) : random_float(seed);
    for (unsigned i = 0; i < WINDOW; i += 8) {
        uint64_t word = random_value(seed);
        memcpy(b->window + i, &word, sizeof(word));
    }
}

/* Runs the unit in b->ir both ways. */
static void compare(struct bench *b, uint64_t seed, const uint64_t *slots)
{
    static struct outcome want, got;
    static uint8_t memory[WINDOW];
    struct jit_result r;
    memcpy(b->copy, b->ir, sizeof(*b->copy));
    memcpy(memory, b->window, WINDOW);
    expect(b, slots, &want);
    memcpy(b->window, memory, WINDOW);
    jit_assemble(b->as, b->ir, &b->thunks, b->room, 0, &r);
    if (!r.entry)
        return; /* too large */
    execute(b, slots, &r, &got);
    if (!same(b, &want, &got))
        differ(b, seed, &want, &got, &r);
}

static void try_unit(struct bench *b, uint64_t seed, struct random_unit options)
{
    uint64_t slots[IR_MAX_SLOTS] = {0};
    options.seed = seed;
    options.window = b->guest_window;
    options.window_size = WINDOW;
    random_unit(b->ir, &b->machine.ir, 0x10000, &options);
    fill(b, &options.seed, slots);
    compare(b, seed, slots);
}

/* The machine of a loop: slots change places, so that others have the pins, or the same ones other pins. */
static struct ir_machine mix_slots(const struct ir_machine *machine, struct ir_slot *slots, uint64_t *seed)
{
    memcpy(slots, machine->slots, machine->slot_count * sizeof(*slots));
    for (unsigned i = 0; i < machine->pin_count; i++) {
        unsigned other = (unsigned)(random_next(seed) >> 33) % (machine->slot_count - 1);
        struct ir_slot here = slots[i], there = slots[other];
        if (here.type != there.type)
            continue;
        slots[i] = there;
        slots[i].pin = here.pin;
        slots[other] = here;
        slots[other].pin = there.pin;
    }
    return (struct ir_machine){slots, machine->slot_count, machine->pin_count};
}

static void try_loop(struct bench *b, uint64_t seed, struct random_unit options)
{
    uint64_t slots[IR_MAX_SLOTS] = {0};
    struct ir_slot mixed[IR_MAX_SLOTS];
    options.seed = seed;
    options.window = b->guest_window;
    options.window_size = WINDOW;
    options.loop = true;
    struct ir_machine machine = mix_slots(&b->machine.ir, mixed, &options.seed);
    random_unit(b->ir, &machine, 0x10000, &options);
    fill(b, &options.seed, slots);
    slots[machine.slots[machine.slot_count - 1].offset / 8] = (options.seed >> 20) % 5;
    b->stop = (seed >> 32) % 32 == 0; /* many single steps */
    compare(b, seed, slots);
    b->stop = false;
}

static void know_some(struct bench *b, uint64_t seed)
{
    forget_pages(b);
    for (unsigned i = 0; i < 2; i++, seed /= 3)
        if (seed % 3)
            know_page(b, b->guest_window + i * (WINDOW - 1), seed % 3 == 2);
}

static void try_units(const struct ir_machine *machine, struct jit_modes modes, struct random_unit options,
                      unsigned count, bool paged)
{
    struct bench b;
    catch_faults();
    bench_init(&b, machine, modes, paged);
    for (uint64_t i = 0; i < count; i++) {
        options.length = 4 + (unsigned)(i % 60);
        know_some(&b, i);
        try_unit(&b, (i + 1) * 0x9e3779b97f4a7c15u | 1, options);
        if (!options.spans)
            try_loop(&b, (i + 1) * 0xbf58476d1ce4e5b9u | 1, options);
    }
    bench_release(&b);
}

static const struct ir_machine wide_machine = {wide_slots, WIDE_SLOTS, WIDE_PINS};

#define MODES(name, ...)                                                  \
    static void name(void **state)                                        \
    {                                                                     \
        (void)state;                                                      \
        const struct jit_modes modes = {__VA_ARGS__};                     \
        bool fma = !modes.baseline && fpu_has_fma();                      \
        const struct random_unit integers = {0}, all = {.floating = true, \
                                                        .memory = true,   \
                                                        .calls = true,    \
                                                        .fused = fma,     \
                                                        .faults = true};  \
        const unsigned count = 4000;                                      \
        try_units(&unit_machine, modes, integers, count, false);          \
        try_units(&unit_machine, modes, all, count, false);               \
        try_units(&wide_machine, modes, integers, count, false);          \
        try_units(&wide_machine, modes, all, count, false);               \
        struct random_unit spans = all;                                   \
        spans.spans = true;                                               \
        try_units(&unit_machine, modes, spans, count, true);              \
        try_units(&wide_machine, modes, spans, count, true);              \
        try_units(&unit_machine, modes, all, count, true);                \
        try_units(&wide_machine, modes, all, count, true);                \
    }
MODES(test_usual, .no_chain = false)
MODES(test_baseline, .baseline = true)
MODES(test_random_registers, .random = 12345)
MODES(test_few_registers, .few_registers = true)
MODES(test_no_returns, .no_returns = true, .no_chain = true)

/* Comparisons that take two conditions of the host's, as values and negated, in every register. */
static void test_comparisons(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, UINT64_C(1) << 63, 0x3ff0000000000000, 0x7ff8000000000000};
    struct bench b;
    catch_faults();
    bench_init(&b, &wide_machine, (struct jit_modes){.random = 0}, false);
    for (unsigned i = 0; i < 3 * WIDE_SLOTS * 16; i++) {
        unsigned slot = i / 48;
        uint64_t slots[IR_MAX_SLOTS] = {0};
        if (wide_slots[slot].type == IR_F64)
            continue;
        slots[WIDE_INTEGER] = values[i % 4];
        slots[WIDE_INTEGER + 1] = values[i / 4 % 4];
        ir_begin(b.ir, &wide_machine, 0x10000);
        ir_ref holds = ir_emit(b.ir, (enum ir_op)(IR_FEQ + i / 16 % 3), IR_F64, ir_get(b.ir, WIDE_INTEGER),
                               ir_get(b.ir, WIDE_INTEGER + 1));
        ir_set(b.ir, slot, ir_emit(b.ir, IR_EQ, IR_I64, holds, ir_constant(b.ir, 0)));
        ir_leave(b.ir, (struct ir_exit){.kind = IR_EXIT_GO, .pc = 0x20000}, 0);
        compare(&b, i, slots);
    }
    bench_release(&b);
}

/* A comparison whose value is only used negated, behind what reads or writes the flags: it raises its own where it stands. */
static void test_flags_around_comparisons(void **state)
{
    (void)state;
    struct bench b;
    uint64_t slots[IR_MAX_SLOTS] = {[WIDE_INTEGER] = 0x7ff8000000000000};
    catch_faults();
    bench_init(&b, &wide_machine, (struct jit_modes){.random = 0}, false);
    for (unsigned i = 0; i < 4; i++) {
        ir_begin(b.ir, &wide_machine, 0x10000);
        ir_ref holds =
            ir_emit(b.ir, IR_FLT, IR_F64, ir_get(b.ir, WIDE_INTEGER), ir_get(b.ir, WIDE_INTEGER + 1));
        if (i & 1)
            ir_set(b.ir, 0, ir_emit(b.ir, IR_GETFLAGS, IR_I64, 0, 0));
        if (i & 2)
            ir_emit(b.ir, IR_SETFLAGS, IR_I64, ir_constant(b.ir, 1), 0);
        ir_set(b.ir, 1, ir_emit(b.ir, IR_EQ, IR_I64, holds, ir_constant(b.ir, 0)));
        ir_leave(b.ir, (struct ir_exit){.kind = IR_EXIT_GO, .pc = 0x20000}, 0);
        compare(&b, i, slots);
    }
    bench_release(&b);
}

/* How often an access asks the helper: when it crosses pages, or the table does not say that it may. */
static unsigned helped_at(struct bench *b, enum ir_op op, uint64_t offset)
{
    uint64_t slots[IR_MAX_SLOTS] = {b->guest_window + offset, 0x1122334455667788};
    b->helped = 0;
    ir_begin(b->ir, &wide_machine, 0x10000);
    ir_ref address = ir_emit(b->ir, IR_ADD, IR_I64, ir_get(b->ir, 0), ir_constant(b->ir, -8));
    address = ir_emit(b->ir, IR_ADD, IR_I64, address, ir_constant(b->ir, 8));
    ir_ref result =
        ir_emit(b->ir, op, IR_I64, address, op == IR_LD64 || op == IR_LDU16 ? 0 : ir_get(b->ir, 1));
    if (ir_ops[op].result == IR_RESULT_I)
        ir_set(b->ir, 2, result);
    ir_leave(b->ir, (struct ir_exit){.kind = IR_EXIT_GO, .pc = 0x20000}, 0);
    compare(b, offset, slots);
    return b->helped;
}

static void test_paged_accesses(void **state)
{
    (void)state;
    struct bench b;
    catch_faults();
    bench_init(&b, &wide_machine, (struct jit_modes){.random = 0}, true);
    for (unsigned writable = 0; writable < 2; writable++) {
        for (unsigned offset = PAGE - 16; offset <= PAGE + 8; offset++) {
            bool crosses = offset > PAGE - 8 && offset < PAGE;
            know_page(&b, b.guest_window, writable);
            know_page(&b, b.guest_window + PAGE, writable);
            assert_int_equal(helped_at(&b, IR_LD64, offset), crosses);
            assert_int_equal(helped_at(&b, IR_LDU16, offset), offset == PAGE - 1);
            know_page(&b, b.guest_window, writable);
            know_page(&b, b.guest_window + PAGE, writable);
            assert_int_equal(helped_at(&b, IR_ST64, offset), crosses || !writable);
        }
        know_page(&b, b.guest_window, writable);
        assert_int_equal(helped_at(&b, IR_AADD, 64), !writable);
    }
    forget_pages(&b);
    assert_int_equal(helped_at(&b, IR_LD64, 0), 1);
    bench_release(&b);
}

/* Pages of code: a caller's, and one that it calls, where an address is more than the unit's pc by another bias. */
enum { CALLER = 0x10000, BACK = 0x10004, CALLEE = 0x20000, CALLER_BIAS = 0x7000000, CALLEE_BIAS = 0x1000 };

static struct jit_result assemble_exit(struct bench *b, uint64_t pc, struct ir_exit exit, bool changes_ra)
{
    struct jit_result r;
    ir_begin(b->ir, &wide_machine, pc);
    if (exit.kind == IR_EXIT_CALL)
        ir_set(b->ir, 0, ir_constant(b->ir, (int64_t)exit.return_pc + CALLER_BIAS));
    if (changes_ra)
        ir_set(b->ir, 0, ir_emit(b->ir, IR_ADD, IR_I64, ir_get(b->ir, 0), ir_constant(b->ir, 4)));
    ir_leave(b->ir, exit, exit.kind == IR_EXIT_RETURN ? ir_get(b->ir, 0) : 0);
    jit_assemble(b->as, b->ir, &b->thunks, b->room, 0, &r);
    assert_non_null(r.entry);
    b->room = r.room;
    return r;
}

static unsigned run_from(struct bench *b, const void *entry)
{
    b->cpu->bias = CALLER_BIAS;
    b->cpu->state.return_sp = b->cpu->state.return_base;
    return b->thunks.enter(b->cpu, entry);
}

static void try_far_call(struct bench *b, bool changes_ra)
{
    const struct ir_exit stop_exit = {.kind = IR_EXIT_STOP, .pc = BACK, .reason = 1};
    const struct ir_exit call = {
        .kind = IR_EXIT_CALL, .pc = CALLEE, .return_pc = BACK, .check = 0, .far = true};
    const void *back = assemble_exit(b, BACK, stop_exit, false).entry;
    struct jit_result caller = assemble_exit(b, CALLER, call, false);
    assert_int_equal(caller.site_count, 1);
    assert_int_equal(caller.sites[0].pc, BACK);
    jit_patch(caller.sites[0].field, 0, back);
    const void *callee =
        assemble_exit(b, CALLEE, (struct ir_exit){.kind = IR_EXIT_RETURN, .check = 0}, changes_ra).entry;
    struct jit_far *far = &b->far[CALLEE / 2 % JIT_FAR_COUNT];
    *far = (struct jit_far){2, NULL, 0, 0};
    assert_int_equal(run_from(b, caller.entry), JIT_LOOKUP);
    assert_int_equal(b->cpu->state.value, CALLEE + CALLER_BIAS);
    *far = (struct jit_far){CALLEE + CALLER_BIAS, callee, CALLEE_BIAS, 0};
    unsigned reason = run_from(b, caller.entry);
    assert_ptr_equal(b->cpu->state.return_sp, b->cpu->state.return_base);
    if (changes_ra) {
        assert_int_equal(reason, JIT_LOOKUP);
        assert_int_equal(b->cpu->state.value, BACK + CALLER_BIAS + 4);
    } else {
        assert_int_equal(reason, JIT_STOP + 1);
        assert_int_equal(b->cpu->bias, CALLER_BIAS);
    }
}

static void test_far_calls(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, &wide_machine, (struct jit_modes){.random = 0}, true);
    uint8_t *memory = b.room.hot - ROOM;
    try_far_call(&b, false);
    try_far_call(&b, true);
    b.room.hot = memory + ROOM;
    bench_release(&b);
}

int main(void)
{
    make_wide_slots();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comparisons),
        cmocka_unit_test(test_flags_around_comparisons),
        cmocka_unit_test(test_paged_accesses),
        cmocka_unit_test(test_far_calls),
        cmocka_unit_test(test_usual),
        cmocka_unit_test(test_baseline),
        cmocka_unit_test(test_random_registers),
        cmocka_unit_test(test_few_registers),
        cmocka_unit_test(test_no_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
