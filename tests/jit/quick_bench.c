#include "quick_bench.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "random_unit.h"

const uint8_t places[PLACES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, WIDE_PINS, WIDE_PINS + 1, WIDE_SLOTS - 1};
const uint8_t sources[SOURCES] = {0,   1, 2, 3, 4, 5, 6, 7, 8, 9, WIDE_PINS, WIDE_PINS + 1, WIDE_SLOTS - 1,
                                  ZERO};

static const uint64_t edges[] = {0,          1,          UINT64_MAX, INT32_MAX,          (uint64_t)INT32_MIN,
                                 0x80000000, UINT32_MAX, INT64_MAX,  (uint64_t)INT64_MIN};

/* A word of the state that no slot is. */
enum { CANARY = IR_MAX_SLOTS - 1 };
static const uint64_t canary = 0x5a5aa5a5c3c33c3c;

/* What takes NONE and ZERO for numbers of slots finds the canary. */
static const struct ir_machine *machine_with_canary(void)
{
    static struct ir_slot slots[UINT8_MAX + 1];
    static struct ir_machine machine;
    for (unsigned i = 0; i < ARRAY_SIZE(slots); i++)
        slots[i] = i < WIDE_SLOTS ? wide_slots[i] : (struct ir_slot){"none", 8 * CANARY, IR_I64, 0};
    machine = (struct ir_machine){slots, WIDE_SLOTS, WIDE_PINS};
    return &machine;
}

void start_with(struct quick_bench *q, struct jit_modes modes)
{
    memset(q, 0, sizeof(*q));
    q->seed = 88172645463325252;
    bench_catch_faults();
    bench_init(&q->b, machine_with_canary(), modes, false);
    q->room = q->b.room;
    memset(q->b.ir, 0xff, sizeof(*q->b.ir)); /* nothing of it counts */
}

void start(struct quick_bench *q)
{
    start_with(q, (struct jit_modes){.random = 0});
}

void finish(struct quick_bench *q)
{
    q->b.room = q->room;
    bench_release(&q->b);
}

void begin(struct quick_bench *q)
{
    q->code.pc = PC;
    q->code.count = 0;
    q->code.reason = OFTEN;
    q->code.exit = (struct ir_exit){.kind = IR_EXIT_GO, .pc = AFTER};
    q->code.link = NONE;
    q->code.target = 0;
    q->code.target_offset = 0;
}

void add(struct quick_bench *q, struct jit_quick_ins ins)
{
    ins.place = (uint16_t)(2 * q->code.count);
    q->code.ins[q->code.count++] = ins;
}

void make(struct quick_bench *q)
{
    q->first_site = 11;
    jit_quick(q->b.as, q->b.ir, &q->code, &q->b.thunks, q->b.room, q->first_site, &q->made);
    assert_non_null(q->made.entry);
    assert_in_range(q->made.site_count, 0, ARRAY_SIZE(q->sites));
    memcpy(q->sites, q->made.sites, q->made.site_count * sizeof(q->sites[0]));
}

uint64_t any_value(struct quick_bench *q)
{
    uint64_t any = random_next(&q->seed) >> 32;
    return any % 2 ? edges[any / 2 % ARRAY_SIZE(edges)] : random_value(&q->seed);
}

void fill_slots(struct quick_bench *q)
{
    for (unsigned i = 0; i < WIDE_SLOTS; i++)
        q->slots[i] = any_value(q);
}

void fill_window(struct quick_bench *q)
{
    for (unsigned i = 0; i < BENCH_WINDOW; i += 8) {
        uint64_t word = random_next(&q->seed);
        memcpy(q->b.window + i, &word, sizeof(word));
    }
}

struct ending run(struct quick_bench *q)
{
    struct bench *b = &q->b;
    struct jit_state *state = &b->cpu->state;
    int32_t *counter = &state->entries[jit_entry_counter(q->code.pc)];
    memcpy(b->cpu->slots, q->slots, sizeof(q->slots));
    b->cpu->slots[CANARY] = canary;
    state->return_sp = state->return_base;
    *counter = 1;
    struct ending e = {bench_run(b, &q->made), state->value, 0};
    assert_int_equal(*counter, 0);
    assert_true(b->cpu->slots[CANARY] == canary);
    if (e.reason == JIT_LINK) {
        assert_in_range(e.pc, q->first_site, q->first_site + q->made.site_count - 1);
        e.pc = q->sites[e.pc - q->first_site].pc;
    } else if (e.reason == JIT_FAULT) {
        assert_true(jit_quick_recover(b->as, b->ir, &q->code, &b->thunks, b->room, q->first_site, &b->fault,
                                      b->cpu, &e.pc, &e.address));
    }
    return e;
}

void show(const struct quick_bench *q)
{
    static const char *const kinds[] = {"constant", "compute", "load", "store", "branch"};
    for (unsigned i = 0; i < q->code.count; i++) {
        const struct jit_quick_ins *ins = &q->code.ins[i];
        fprintf(stderr, "%s %s %s: to %d, a %d, b %d, number %" PRIx64 "\n", kinds[ins->kind],
                ins->kind == JIT_QUICK_CONSTANT ? "" : ir_ops[ins->op].text,
                ins->type == IR_I32 ? "i32" : "i64", ins->to, ins->a, ins->b, (uint64_t)ins->number);
    }
}

void check_slots(const struct quick_bench *q, const uint64_t *right)
{
    for (unsigned i = 0; i < WIDE_SLOTS; i++)
        if (q->b.cpu->slots[i] != right[i]) {
            show(q);
            fail_msg("slot %u was %" PRIx64 " and is %" PRIx64 ", not %" PRIx64, i, q->slots[i],
                     q->b.cpu->slots[i], right[i]);
        }
}

void check_ending(const struct quick_bench *q, const struct ending *is, const struct ending *right)
{
    if (is->reason == right->reason && is->pc == right->pc && is->address == right->address)
        return;
    show(q);
    fail_msg("reason %u, pc %" PRIx64 ", address %" PRIx64 "; not %u, %" PRIx64 ", %" PRIx64, is->reason,
             is->pc, is->address, right->reason, right->pc, right->address);
}

uint64_t value_of(const uint64_t *slots, unsigned slot)
{
    return slot == ZERO ? 0 : slots[slot];
}

static uint64_t compute64(unsigned op, uint64_t a, uint64_t b)
{
    switch (op) {
    case IR_ADD: return a + b;
    case IR_SUB: return a - b;
    case IR_MUL: return a * b;
    case IR_AND: return a & b;
    case IR_OR: return a | b;
    case IR_XOR: return a ^ b;
    case IR_SHL: return a << (b & 63);
    case IR_SHR: return a >> (b & 63);
    case IR_SAR: return (uint64_t)((int64_t)a >> (b & 63));
    case IR_LT: return (int64_t)a < (int64_t)b;
    case IR_LTU: return a < b;
    default: fail_msg("no such operation"); return 0;
    }
}

static uint64_t compute32(unsigned op, uint32_t a, uint32_t b)
{
    uint32_t result;
    switch (op) {
    case IR_SHL: result = a << (b & 31); break;
    case IR_SHR: result = a >> (b & 31); break;
    case IR_SAR: result = (uint32_t)((int32_t)a >> (b & 31)); break;
    default: result = (uint32_t)compute64(op, a, b);
    }
    return (uint64_t)(int64_t)(int32_t)result;
}

uint64_t compute(const struct jit_quick_ins *ins, const uint64_t *slots)
{
    uint64_t a = value_of(slots, ins->a);
    uint64_t b = ins->b == NONE ? (uint64_t)ins->number : value_of(slots, ins->b);
    return ins->type == IR_I32 ? compute32(ins->op, (uint32_t)a, (uint32_t)b) : compute64(ins->op, a, b);
}

bool compare(const struct jit_quick_ins *ins, const uint64_t *slots)
{
    uint64_t a = value_of(slots, ins->a), b = value_of(slots, ins->b);
    switch (ins->op) {
    case IR_EQ: return a == b;
    case IR_NE: return a != b;
    case IR_LT: return (int64_t)a < (int64_t)b;
    case IR_GE: return (int64_t)a >= (int64_t)b;
    case IR_LTU: return a < b;
    case IR_GEU: return a >= b;
    default: fail_msg("no comparison"); return false;
    }
}

uint64_t load(unsigned op, const uint8_t *from)
{
    uint64_t bytes = 0;
    memcpy(&bytes, from, ir_access_size(op, IR_I64));
    switch (op) {
    case IR_LDS8: return (uint64_t)(int64_t)(int8_t)bytes;
    case IR_LDS16: return (uint64_t)(int64_t)(int16_t)bytes;
    case IR_LDS32: return (uint64_t)(int64_t)(int32_t)bytes;
    default: return bytes;
    }
}
