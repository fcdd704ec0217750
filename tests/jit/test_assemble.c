/* Host code against the reference execution: units made by chance, with every way the back end can be made to choose registers. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/util.h"
#include "bench.h"
#include "host/fpu.h"
#include "jit/text.h"
#include "jit/verify.h"
#include "random_unit.h"

static bool world_load(void *context, uint64_t address, unsigned size, uint64_t *value)
{
    const struct bench *b = context;
    uint64_t offset = address - b->guest_window;
    if (offset > BENCH_WINDOW - size)
        return false;
    memcpy(value, b->window + offset, size);
    return true;
}

static bool world_store(void *context, uint64_t address, unsigned size, uint64_t value)
{
    const struct bench *b = context;
    uint64_t offset = address - b->guest_window;
    if (offset > BENCH_WINDOW - size)
        return false;
    memcpy(b->window + offset, &value, size);
    return true;
}

static bool world_reach(void *context, uint64_t address, unsigned size, bool write)
{
    (void)write;
    return bench_reaches(context, address, size);
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
    uint8_t memory[BENCH_WINDOW];
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
    memcpy(o->memory, b->window, BENCH_WINDOW);
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
    o->reason = bench_run(b, r);
    o->flags = b->flags;
    o->address = 0;
    o->pc = o->reason == JIT_LINK ? r->sites[b->cpu->state.value].pc : b->cpu->state.value;
    if (o->reason == JIT_FAULT) {
        memcpy(b->ir, b->copy, sizeof(*b->ir));
        assert_true(
            jit_recover(b->as, b->ir, &b->thunks, b->room, 0, &b->fault, b->cpu, &o->pc, &o->address));
    }
    memcpy(o->slots, b->cpu->slots, sizeof(o->slots));
    memcpy(o->memory, b->window, BENCH_WINDOW);
}

static bool same(const struct bench *b, const struct outcome *a, const struct outcome *c)
{
    bool flags = a->reason == JIT_FAULT || a->flags == c->flags;
    return a->reason == c->reason && a->pc == c->pc && a->address == c->address && flags &&
           !memcmp(a->slots, c->slots, b->machine.ir.slot_count * sizeof(uint64_t)) &&
           !memcmp(a->memory, c->memory, BENCH_WINDOW);
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
    for (unsigned i = 0; i < BENCH_WINDOW; i++)
        if (want->memory[i] != got->memory[i])
            fprintf(stderr, "memory %u: %x, got %x\n", i, want->memory[i], got->memory[i]);
    fail_msg("host code differs from its meaning");
}

static void fill(struct bench *b, uint64_t *seed, uint64_t *slots)
{
    for (unsigned i = 0; i < b->machine.ir.slot_count; i++)
        slots[i] = b->machine.ir.slots[i].type == IR_I64 ? random_value(seed) : random_float(seed);
    for (unsigned i = 0; i < BENCH_WINDOW; i += 8) {
        uint64_t word = random_value(seed);
        memcpy(b->window + i, &word, sizeof(word));
    }
}

/* Runs the unit in b->ir both ways. */
static void compare(struct bench *b, uint64_t seed, const uint64_t *slots)
{
    static struct outcome want, got;
    static uint8_t memory[BENCH_WINDOW];
    struct jit_result r;
    memcpy(b->copy, b->ir, sizeof(*b->copy));
    memcpy(memory, b->window, BENCH_WINDOW);
    expect(b, slots, &want);
    memcpy(b->window, memory, BENCH_WINDOW);
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
    options.window_size = BENCH_WINDOW;
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
    options.window_size = BENCH_WINDOW;
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
    bench_forget_pages(b);
    for (unsigned i = 0; i < 2; i++, seed /= 3)
        if (seed % 3)
            bench_know_page(b, b->guest_window + i * (BENCH_WINDOW - 1), seed % 3 == 2);
}

static void try_units(const struct ir_machine *machine, struct jit_modes modes, struct random_unit options,
                      unsigned count, bool paged)
{
    struct bench b;
    bench_catch_faults();
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
    bench_catch_faults();
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
    bench_catch_faults();
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
    bench_catch_faults();
    bench_init(&b, &wide_machine, (struct jit_modes){.random = 0}, true);
    for (unsigned writable = 0; writable < 2; writable++) {
        for (unsigned offset = BENCH_PAGE - 16; offset <= BENCH_PAGE + 8; offset++) {
            bool crosses = offset > BENCH_PAGE - 8 && offset < BENCH_PAGE;
            bench_know_page(&b, b.guest_window, writable);
            bench_know_page(&b, b.guest_window + BENCH_PAGE, writable);
            assert_int_equal(helped_at(&b, IR_LD64, offset), crosses);
            assert_int_equal(helped_at(&b, IR_LDU16, offset), offset == BENCH_PAGE - 1);
            bench_know_page(&b, b.guest_window, writable);
            bench_know_page(&b, b.guest_window + BENCH_PAGE, writable);
            assert_int_equal(helped_at(&b, IR_ST64, offset), crosses || !writable);
        }
        bench_know_page(&b, b.guest_window, writable);
        assert_int_equal(helped_at(&b, IR_AADD, 64), !writable);
    }
    bench_forget_pages(&b);
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
    uint8_t *memory = b.room.hot - BENCH_ROOM;
    try_far_call(&b, false);
    try_far_call(&b, true);
    b.room.hot = memory + BENCH_ROOM;
    bench_release(&b);
}

int main(void)
{
    bench_make_slots();
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
