/* Quick units against their meaning in C: each operation with its slots in every place, faults, and sequences made by
 * chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/util.h"
#include "quick_bench.h"
#include "random_unit.h"

/* ---- To compute ---- */

struct operation {
    uint8_t op, type;
};
static const struct operation operations[] = {
    {IR_ADD, IR_I64}, {IR_SUB, IR_I64}, {IR_MUL, IR_I64}, {IR_AND, IR_I64}, {IR_OR, IR_I64},
    {IR_XOR, IR_I64}, {IR_SHL, IR_I64}, {IR_SHR, IR_I64}, {IR_SAR, IR_I64}, {IR_LT, IR_I64},
    {IR_LTU, IR_I64}, {IR_ADD, IR_I32}, {IR_SUB, IR_I32}, {IR_MUL, IR_I32}, {IR_AND, IR_I32},
    {IR_OR, IR_I32},  {IR_XOR, IR_I32}, {IR_SHL, IR_I32}, {IR_SHR, IR_I32}, {IR_SAR, IR_I32},
};

static bool is_shift(unsigned op)
{
    return op == IR_SHL || op == IR_SHR || op == IR_SAR;
}

/* Of one instruction that sets `to`. */
static void check_computed(struct quick_bench *q, struct jit_quick_ins ins)
{
    const struct ending right = {JIT_LINK, AFTER, 0};
    ins.kind = JIT_QUICK_COMPUTE;
    begin(q);
    add(q, ins);
    make(q);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t want[WIDE_SLOTS];
        fill_slots(q);
        memcpy(want, q->slots, sizeof(want));
        want[ins.to] = compute(&ins, q->slots);
        struct ending is = run(q);
        check_ending(q, &is, &right);
        check_slots(q, want);
    }
}

static void slots_are_computed_with(void **state)
{
    (void)state;
    static struct quick_bench q;
    start(&q);
    for (unsigned i = 0; i < ARRAY_SIZE(operations); i++)
        for (unsigned to = 0; to < ARRAY_SIZE(places); to++)
            for (unsigned a = 0; a < ARRAY_SIZE(sources); a++)
                for (unsigned b = 0; b < ARRAY_SIZE(sources); b++)
                    check_computed(&q, (struct jit_quick_ins){.op = operations[i].op,
                                                              .type = operations[i].type,
                                                              .to = places[to],
                                                              .a = sources[a],
                                                              .b = sources[b]});
    finish(&q);
}

static void check_numbers(struct quick_bench *q, struct jit_quick_ins ins)
{
    static const int32_t numbers[] = {0,    1,     -1,         127,       128,       -128,       -129,
                                      2047, -2048, 0x7ffff000, INT32_MAX, INT32_MIN, 0x12345678, -0x12345678};
    ins.b = NONE;
    if (is_shift(ins.op)) {
        for (ins.number = 0; ins.number < (ins.type == IR_I64 ? 64 : 32); ins.number++)
            check_computed(q, ins);
        return;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        ins.number = numbers[i];
        check_computed(q, ins);
    }
}

static void numbers_are_computed_with(void **state)
{
    (void)state;
    static struct quick_bench q;
    start(&q);
    for (unsigned i = 0; i < ARRAY_SIZE(operations); i++)
        for (unsigned to = 0; operations[i].op != IR_MUL && to < ARRAY_SIZE(places); to++)
            for (unsigned a = 0; a < ARRAY_SIZE(sources); a++)
                check_numbers(&q, (struct jit_quick_ins){.op = operations[i].op,
                                                         .type = operations[i].type,
                                                         .to = places[to],
                                                         .a = sources[a]});
    finish(&q);
}

static void check_constant(struct quick_bench *q, unsigned to, uint64_t number)
{
    const struct ending right = {JIT_LINK, AFTER, 0};
    uint64_t want[WIDE_SLOTS];
    begin(q);
    add(q, (struct jit_quick_ins){
               .kind = JIT_QUICK_CONSTANT, .to = (uint8_t)to, .b = NONE, .number = (int64_t)number});
    make(q);
    fill_slots(q);
    memcpy(want, q->slots, sizeof(want));
    want[to] = number;
    struct ending is = run(q);
    check_ending(q, &is, &right);
    check_slots(q, want);
}

static void constants_are_set(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0,
                                       1,
                                       UINT64_MAX,
                                       0x7f,
                                       0x80,
                                       0x12345678,
                                       INT32_MAX,
                                       0x80000000,
                                       0x87654321,
                                       UINT32_MAX,
                                       0x100000000,
                                       0xfffffffffffff000,
                                       (uint64_t)INT32_MIN,
                                       (uint64_t)INT32_MIN - 1,
                                       0x123456789abcdef0,
                                       INT64_MAX,
                                       (uint64_t)INT64_MIN};
    static struct quick_bench q;
    start(&q);
    for (unsigned to = 0; to < ARRAY_SIZE(places); to++)
        for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
            check_constant(&q, places[to], numbers[i]);
    finish(&q);
}

/* ---- Memory ---- */

static const uint8_t loads[] = {IR_LDS8, IR_LDS16, IR_LDS32, IR_LD64, IR_LDU8, IR_LDU16, IR_LDU32};
static const uint8_t stores[] = {IR_ST8, IR_ST16, IR_ST32, IR_ST64};
static const int32_t offsets[] = {0, 1, -1, 127, 128, -128, -129, 2047, -2048};

/* One load or store; `at`: where it accesses memory. */
static void check_access(struct quick_bench *q, struct jit_quick_ins ins, uint8_t *at)
{
    const struct ending right = {JIT_LINK, AFTER, 0};
    static uint8_t memory[BENCH_WINDOW];
    uint64_t want[WIDE_SLOTS];
    uint8_t bytes[24];
    begin(q);
    add(q, ins);
    make(q);
    fill_slots(q);
    if (ins.a != ZERO)
        q->slots[ins.a] = (uint64_t)at - (uint64_t)ins.number;
    memcpy(want, q->slots, sizeof(want));
    memcpy(bytes, at - 8, sizeof(bytes));
    memcpy(memory, q->b.window, sizeof(memory));
    if (ins.kind == JIT_QUICK_STORE) {
        uint64_t value = value_of(q->slots, ins.b);
        memcpy(bytes + 8, &value, ir_access_size(ins.op, IR_I64));
    } else if (ins.to != NONE) {
        want[ins.to] = load(ins.op, at);
    }
    struct ending is = run(q);
    check_ending(q, &is, &right);
    check_slots(q, want);
    assert_memory_equal(bytes, at - 8, sizeof(bytes));
    if (ins.a != ZERO) {
        memcpy(memory + (at - 8 - q->b.window), bytes, sizeof(bytes));
        assert_memory_equal(memory, q->b.window, sizeof(memory));
    }
}

/* Not aligned, and somewhere else each time. */
static uint8_t *some_place(struct quick_bench *q)
{
    return q->b.window + 64 + (random_next(&q->seed) >> 32) % (BENCH_WINDOW - 128);
}

static void memory_is_loaded(void **state)
{
    (void)state;
    static struct quick_bench q;
    start(&q);
    fill_window(&q);
    for (unsigned i = 0; i < ARRAY_SIZE(loads); i++)
        for (unsigned to = 0; to <= ARRAY_SIZE(places); to++)
            for (unsigned a = 0; a < ARRAY_SIZE(places); a++)
                for (unsigned k = 0; k < ARRAY_SIZE(offsets); k++)
                    check_access(&q,
                                 (struct jit_quick_ins){.kind = JIT_QUICK_LOAD,
                                                        .op = loads[i],
                                                        .to = to < ARRAY_SIZE(places) ? places[to] : NONE,
                                                        .a = places[a],
                                                        .b = NONE,
                                                        .number = offsets[k]},
                                 some_place(&q));
    finish(&q);
}

static void memory_is_stored_to(void **state)
{
    (void)state;
    static struct quick_bench q;
    start(&q);
    fill_window(&q);
    for (unsigned i = 0; i < ARRAY_SIZE(stores); i++)
        for (unsigned a = 0; a < ARRAY_SIZE(places); a++)
            for (unsigned b = 0; b < ARRAY_SIZE(sources); b++)
                for (unsigned k = 0; k < ARRAY_SIZE(offsets); k++)
                    check_access(&q,
                                 (struct jit_quick_ins){.kind = JIT_QUICK_STORE,
                                                        .op = stores[i],
                                                        .a = places[a],
                                                        .b = sources[b],
                                                        .number = offsets[k]},
                                 some_place(&q));
    finish(&q);
}

/* What a displacement alone reaches. */
static void memory_is_reached_from_zero(void **state)
{
    (void)state;
    static struct quick_bench q;
    uint8_t *low =
        mmap(NULL, BENCH_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    assert_ptr_not_equal(low, MAP_FAILED);
    start(&q);
    for (unsigned i = 0; i < BENCH_PAGE; i++)
        low[i] = (uint8_t)random_next(&q.seed);
    struct jit_quick_ins ins = {.a = ZERO, .number = (int64_t)(low + 100)};
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        ins.kind = JIT_QUICK_LOAD;
        ins.to = places[i];
        ins.b = NONE;
        for (unsigned k = 0; k < ARRAY_SIZE(loads); k++) {
            ins.op = loads[k];
            check_access(&q, ins, low + 100);
        }
        ins.kind = JIT_QUICK_STORE;
        ins.b = places[i];
        for (unsigned k = 0; k < ARRAY_SIZE(stores); k++) {
            ins.op = stores[k];
            check_access(&q, ins, low + 100);
        }
    }
    finish(&q);
    munmap(low, BENCH_PAGE);
}

/* ---- Faults ---- */

/* Behind the window, partly behind it, at the very beginning, and where no address is. */
struct bad_address {
    uint64_t at, told;
};

static unsigned bad_addresses(const struct bench *b, unsigned size, struct bad_address *bad)
{
    uint64_t behind = b->guest_window + BENCH_WINDOW;
    unsigned count = 0;
    bad[count++] = (struct bad_address){behind, behind};
    bad[count++] = (struct bad_address){behind + 100, behind + 100};
    bad[count++] = (struct bad_address){0, 0};
    bad[count++] = (struct bad_address){40, 40};
    bad[count++] = (struct bad_address){0x8000000000000000, 0x8000000000000000};
    bad[count++] = (struct bad_address){0x0123456789abcdef, 0x0123456789abcdef};
    if (size > 1)
        bad[count++] = (struct bad_address){behind - 1, behind};
    return count;
}

/* What comes before it is done, what comes behind it is not. */
static void check_fault(struct quick_bench *q, struct jit_quick_ins access, const struct bad_address *bad)
{
    const unsigned pinned = access.a == 7 ? 8 : 7, other = WIDE_PINS + 3;
    uint64_t want[WIDE_SLOTS];
    begin(q);
    fill_slots(q);
    q->slots[access.a] = bad->at - (uint64_t)access.number;
    memcpy(want, q->slots, sizeof(want));
    for (unsigned i = 0; i < 2; i++) {
        if (i)
            add(q, access);
        add(q,
            (struct jit_quick_ins){.kind = JIT_QUICK_CONSTANT, .to = (uint8_t)pinned, .number = 77 + (int)i});
        add(q,
            (struct jit_quick_ins){.kind = JIT_QUICK_CONSTANT, .to = (uint8_t)other, .number = 88 + (int)i});
    }
    want[pinned] = 77;
    want[other] = 88;
    make(q);
    struct ending is = run(q), right = {JIT_FAULT, PC + 4, bad->told};
    check_ending(q, &is, &right);
    check_slots(q, want);
}

static void check_faults(struct quick_bench *q, struct jit_quick_ins access)
{
    struct bad_address bad[8];
    unsigned count = bad_addresses(&q->b, ir_access_size(access.op, IR_I64), bad);
    for (unsigned i = 0; i < count; i++)
        for (access.number = -8; access.number <= 8; access.number += 8)
            check_fault(q, access, &bad[i]);
}

static void faults_are_exact(void **state)
{
    (void)state;
    static struct quick_bench q;
    static uint8_t memory[BENCH_WINDOW];
    start(&q);
    fill_window(&q);
    memcpy(memory, q.b.window, sizeof(memory));
    for (unsigned a = 0; a < ARRAY_SIZE(places); a++) {
        for (unsigned i = 0; i < ARRAY_SIZE(loads) * 3; i++) {
            const uint8_t to[] = {places[a], places[(a + 1) % ARRAY_SIZE(places)], NONE};
            check_faults(
                &q,
                (struct jit_quick_ins){
                    .kind = JIT_QUICK_LOAD, .op = loads[i / 3], .to = to[i % 3], .a = places[a], .b = NONE});
        }
        for (unsigned i = 0; i < ARRAY_SIZE(stores) * ARRAY_SIZE(sources); i++)
            check_faults(&q, (struct jit_quick_ins){.kind = JIT_QUICK_STORE,
                                                    .op = stores[i / ARRAY_SIZE(sources)],
                                                    .to = NONE,
                                                    .a = places[a],
                                                    .b = sources[i % ARRAY_SIZE(sources)]});
    }
    assert_memory_equal(memory, q.b.window, sizeof(memory));
    finish(&q);
}

/* Other code of the unit's, or around it, is no instruction's. */
static void faults_elsewhere_are_unknown(void **state)
{
    (void)state;
    static struct quick_bench q;
    uint64_t pc, address;
    start(&q);
    begin(&q);
    add(&q, (struct jit_quick_ins){.kind = JIT_QUICK_CONSTANT, .to = 3, .number = 7});
    make(&q);
    const uint8_t *elsewhere[] = {q.made.entry, q.made.entry - 1, q.b.thunks.link, q.b.room.cold,
                                  q.b.room.hot - 1};
    for (unsigned i = 0; i < ARRAY_SIZE(elsewhere); i++) {
        q.b.fault.pc = elsewhere[i];
        assert_false(jit_quick_recover(q.b.as, q.b.ir, &q.code, &q.b.thunks, q.b.room, q.first_site,
                                       &q.b.fault, q.b.cpu, &pc, &address));
    }
    finish(&q);
}

/* ---- Sequences ---- */

enum { LONGEST = 40, POINTER = 4, OTHER_POINTER = WIDE_PINS + 2 };

static unsigned below(struct quick_bench *q, unsigned limit)
{
    return (unsigned)(random_next(&q->seed) >> 33) % limit;
}

/* Few slots, so that most are read again; the pointers are seldom overwritten. */
static uint8_t some_slot(struct quick_bench *q)
{
    static const uint8_t often[] = {0, 1, 5, WIDE_PINS, WIDE_PINS + 1};
    return below(q, 3) ? often[below(q, ARRAY_SIZE(often))] : places[below(q, ARRAY_SIZE(places))];
}

static uint8_t some_target(struct quick_bench *q)
{
    uint8_t slot = some_slot(q);
    return slot == POINTER && below(q, 8) ? 0 : slot;
}

static uint8_t some_source(struct quick_bench *q)
{
    return below(q, 10) ? some_slot(q) : ZERO;
}

static uint8_t some_base(struct quick_bench *q)
{
    return !below(q, 40) ? some_slot(q) : below(q, 2) ? POINTER : OTHER_POINTER;
}

static void add_compute(struct quick_bench *q)
{
    const struct operation *o = &operations[below(q, ARRAY_SIZE(operations))];
    struct jit_quick_ins ins = {
        .kind = JIT_QUICK_COMPUTE, .op = o->op, .type = o->type, .to = some_target(q), .a = some_source(q)};
    ins.b = o->op != IR_MUL && below(q, 2) ? NONE : some_source(q);
    if (ins.b == NONE)
        ins.number =
            is_shift(o->op) ? (int)below(q, o->type == IR_I64 ? 64 : 32) : (int)below(q, 4096) - 2048;
    add(q, ins);
}

static void add_any(struct quick_bench *q)
{
    struct jit_quick_ins ins = {.number = (int)below(q, 4096) - 2048};
    unsigned kind = below(q, 20);
    if (kind < 9) {
        add_compute(q);
        return;
    }
    if (kind < 11) {
        ins = (struct jit_quick_ins){
            .kind = JIT_QUICK_CONSTANT, .to = some_target(q), .number = (int64_t)any_value(q)};
    } else if (kind < 15) {
        ins.kind = JIT_QUICK_LOAD;
        ins.op = loads[below(q, ARRAY_SIZE(loads))];
        ins.to = below(q, 20) ? some_target(q) : NONE;
        ins.a = some_base(q);
        ins.b = NONE;
    } else if (kind < 19) {
        ins.kind = JIT_QUICK_STORE;
        ins.op = stores[below(q, ARRAY_SIZE(stores))];
        ins.a = some_base(q);
        ins.b = some_source(q);
    } else {
        ins.kind = JIT_QUICK_BRANCH;
        ins.op = (uint8_t)(below(q, 8) ? IR_EQ : IR_EQ + below(q, 6));
        ins.a = some_source(q);
        ins.b = some_source(q);
        ins.number = BRANCH + (int)(2 * q->code.count);
    }
    add(q, ins);
}

static void add_sequence(struct quick_bench *q)
{
    begin(q);
    for (unsigned i = 1 + below(q, LONGEST); i--;)
        add_any(q);
    switch (below(q, 4)) {
    case 0: q->code.exit = (struct ir_exit){.kind = IR_EXIT_STOP, .pc = AFTER, .reason = REASON}; break;
    case 1:
        q->code.exit = (struct ir_exit){.kind = IR_EXIT_INDIRECT, .return_pc = PC + 4};
        q->code.target = some_source(q);
        q->code.link = below(q, 2) ? some_slot(q) : NONE;
        q->code.target_offset = (int)below(q, 4096) - 2048;
        break;
    default: break;
    }
}

/* Where it can't be foreseen whether something is mapped there, as where it is behind what is ours. */
enum model_result { DONE, UNSURE };
struct model {
    uint64_t slots[WIDE_SLOTS];
    uint8_t memory[BENCH_WINDOW];
    struct ending ending;
};

static bool faults_for_sure(const struct bench *b, uint64_t address)
{
    return address < BENCH_PAGE - 8 || address - b->guest_window - BENCH_WINDOW < BENCH_WINDOW - 8 ||
           (address + (UINT64_C(1) << 48) > UINT64_C(1) << 49 && address > UINT64_C(1) << 48);
}

/* The access's place in the memory, or NULL where it ends the unit. */
static uint8_t *reach(const struct quick_bench *q, struct model *m, const struct jit_quick_ins *ins,
                      bool *sure)
{
    uint64_t address = value_of(m->slots, ins->a) + (uint64_t)ins->number;
    uint64_t offset = address - q->b.guest_window, size = ir_access_size(ins->op, IR_I64);
    if (offset < BENCH_WINDOW && offset + size <= BENCH_WINDOW)
        return m->memory + offset;
    bool crosses = offset < BENCH_WINDOW;
    *sure = crosses || faults_for_sure(&q->b, address);
    m->ending = (struct ending){JIT_FAULT, PC + (uint64_t)(int64_t)ins->place,
                                crosses ? q->b.guest_window + BENCH_WINDOW : address};
    return NULL;
}

/* False: the unit is over. */
static bool step(const struct quick_bench *q, struct model *m, const struct jit_quick_ins *ins, bool *sure)
{
    uint8_t *at;
    uint64_t value;
    switch ((enum jit_quick_kind)ins->kind) {
    case JIT_QUICK_CONSTANT: m->slots[ins->to] = (uint64_t)ins->number; return true;
    case JIT_QUICK_COMPUTE: m->slots[ins->to] = compute(ins, m->slots); return true;
    case JIT_QUICK_LOAD:
        at = reach(q, m, ins, sure);
        if (at && ins->to != NONE)
            m->slots[ins->to] = load(ins->op, at);
        return at;
    case JIT_QUICK_STORE:
        at = reach(q, m, ins, sure);
        value = value_of(m->slots, ins->b);
        if (at)
            memcpy(at, &value, ir_access_size(ins->op, IR_I64));
        return at;
    case JIT_QUICK_BRANCH: m->ending = (struct ending){JIT_LINK, (uint64_t)ins->number, 0}; break;
    }
    return !compare(ins, m->slots);
}

/* False: what it does is not known. */
static bool foresee(const struct quick_bench *q, struct model *m)
{
    const struct jit_quick_code *code = &q->code;
    bool sure = true;
    memcpy(m->slots, q->slots, sizeof(m->slots));
    memcpy(m->memory, q->b.window, sizeof(m->memory));
    for (unsigned i = 0; i < code->count; i++)
        if (!step(q, m, &code->ins[i], &sure))
            return sure;
    m->ending = (struct ending){JIT_LINK, code->exit.pc, 0};
    if (code->exit.kind == IR_EXIT_STOP)
        m->ending.reason = JIT_STOP + code->exit.reason;
    if (code->exit.kind != IR_EXIT_INDIRECT)
        return true;
    m->ending = (struct ending){JIT_LOOKUP,
                                value_of(m->slots, code->target) + (uint64_t)(int64_t)code->target_offset, 0};
    if (code->link != NONE)
        m->slots[code->link] = code->exit.return_pc;
    return true;
}

static void check_sequences(struct jit_modes modes, unsigned count)
{
    static struct quick_bench q;
    static struct model m;
    unsigned reasons[JIT_STOP + REASON + 1] = {0};
    start_with(&q, modes);
    fill_window(&q);
    for (unsigned i = 0; i < count; i++) {
        fill_slots(&q);
        q.slots[POINTER] = q.slots[OTHER_POINTER] = (uint64_t)q.b.window + BENCH_WINDOW / 2;
        if (!below(&q, 20))
            q.slots[POINTER] = (uint64_t)q.b.window + BENCH_WINDOW - below(&q, 1024);
        add_sequence(&q);
        if (!foresee(&q, &m))
            continue;
        make(&q);
        struct ending is = run(&q);
        check_ending(&q, &is, &m.ending);
        check_slots(&q, m.slots);
        if (memcmp(m.memory, q.b.window, BENCH_WINDOW) != 0) {
            show(&q);
            fail_msg("memory differs");
        }
        reasons[is.reason]++;
    }
    assert_true(reasons[JIT_LINK] > count / 8 && reasons[JIT_LOOKUP] > count / 16 &&
                reasons[JIT_FAULT] > count / 64 && reasons[JIT_STOP + REASON] > count / 16);
    finish(&q);
}

static void sequences_do_what_they_mean(void **state)
{
    (void)state;
    check_sequences((struct jit_modes){.random = 0}, 20000);
    check_sequences((struct jit_modes){.no_returns = true, .baseline = true}, 4000);
    check_sequences((struct jit_modes){.no_chain = true, .few_registers = true, .random = 9}, 4000);
}

/* The most, of those that take most room. */
static void the_longest_unit_has_room(void **state)
{
    (void)state;
    static struct quick_bench q;
    start(&q);
    begin(&q);
    for (unsigned i = 0; i < JIT_QUICK_MAX; i++)
        add(&q, (struct jit_quick_ins){.kind = JIT_QUICK_BRANCH,
                                       .op = IR_LTU,
                                       .a = WIDE_PINS,
                                       .b = WIDE_PINS + 1,
                                       .number = BRANCH + 2 * (int)i});
    make(&q);
    assert_int_equal(q.made.site_count, JIT_QUICK_MAX + 1);
    fill_slots(&q);
    q.slots[WIDE_PINS] = q.slots[WIDE_PINS + 1];
    struct ending is = run(&q);
    check_ending(&q, &is, &(struct ending){JIT_LINK, AFTER, 0});
    finish(&q);
}

/* The assembler has made a loop before, whose slots are elsewhere. */
static void loops_leave_no_trace(void **state)
{
    (void)state;
    static struct quick_bench q;
    struct ir_slot mixed[WIDE_SLOTS];
    struct jit_result loop;
    struct random_unit options = {.seed = 7, .length = 20, .loop = true};
    start(&q);
    memcpy(mixed, wide_slots, sizeof(mixed));
    mixed[0] = wide_slots[WIDE_PINS];
    mixed[0].pin = wide_slots[0].pin;
    mixed[WIDE_PINS] = wide_slots[0];
    mixed[WIDE_PINS].pin = 0;
    const struct ir_machine machine = {mixed, WIDE_SLOTS, WIDE_PINS};
    memset(q.b.ir, 0, sizeof(*q.b.ir));
    random_unit(q.b.ir, &machine, PC, &options);
    jit_assemble(q.b.as, q.b.ir, &q.b.thunks, q.b.room, 0, &loop);
    assert_non_null(loop.entry);
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        check_computed(&q, (struct jit_quick_ins){
                               .op = IR_SUB, .type = IR_I64, .to = places[i], .a = 0, .b = WIDE_PINS});
    assert_null(q.made.stop.at);
    finish(&q);
}

int main(void)
{
    bench_make_slots();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_computed_with),
        cmocka_unit_test(numbers_are_computed_with),
        cmocka_unit_test(constants_are_set),
        cmocka_unit_test(memory_is_loaded),
        cmocka_unit_test(memory_is_stored_to),
        cmocka_unit_test(memory_is_reached_from_zero),
        cmocka_unit_test(faults_are_exact),
        cmocka_unit_test(faults_elsewhere_are_unknown),
        cmocka_unit_test(sequences_do_what_they_mean),
        cmocka_unit_test(the_longest_unit_has_room),
        cmocka_unit_test(loops_leave_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
