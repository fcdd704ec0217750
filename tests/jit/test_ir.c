/* Building units: constants, slots and the links between their values, marks, ways out, room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jit/verify.h"
#include "random_unit.h"

enum { A0, A1, A2, A3, FA0, FA1, T0, T1, FT0 };

static int setup(void **state)
{
    struct ir *ir = calloc(1, sizeof(*ir));
    assert_non_null(ir);
    ir_begin(ir, &unit_machine, 0x1000);
    *state = ir;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static ir_ref add(struct ir *ir, ir_ref a, int64_t b)
{
    return ir_emit(ir, IR_ADD, IR_I64, a, ir_constant(ir, b));
}

static ir_ref load(struct ir *ir, ir_ref address)
{
    return ir_emit(ir, IR_LD64, IR_I64, address, 0);
}

static unsigned count_op(struct ir *ir, enum ir_op op)
{
    unsigned count = 0;
    for (unsigned i = 0; i < ir->count; i++)
        count += ir->ins[i].op == op;
    return count;
}

static void assert_verifies(struct ir *ir)
{
    struct guise_error err;
    if (ir_verify(ir, &err))
        fail_msg("%s", err.text);
}

static void test_begin(void **state)
{
    struct ir *ir = *state;
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(ir->count, unit_machine.pin_count);
        for (unsigned slot = 0; slot < unit_machine.pin_count; slot++) {
            assert_int_equal(ir_get(ir, slot), IR_BASE + slot);
            assert_int_equal(ir->ins[slot].op, IR_GET);
            assert_int_equal(ir->ins[slot].type, unit_machine.slots[slot].type);
        }
        /* Nothing of a former unit is left. */
        ir_set(ir, A0, add(ir, ir_get(ir, A1), 1));
        ir_get(ir, T0);
        ir_begin(ir, &unit_machine, 0x2000);
    }
    assert_int_equal(ir->constant_count, 0);
    assert_int_equal(ir->slot[A0], 0);
    assert_int_equal(ir->value[T0], 0);
}

static void test_constants(void **state)
{
    struct ir *ir = *state;
    ir_ref refs[200];
    for (int i = 0; i < 200; i++) {
        refs[i] = ir_constant(ir, i * 64 - 100);
        assert_true(refs[i] && ir_is_constant(refs[i]));
        assert_int_equal(ir_constant_value(ir, refs[i]), i * 64 - 100);
    }
    for (int i = 0; i < 200; i++)
        assert_int_equal(ir_constant(ir, i * 64 - 100), refs[i]);
    assert_int_equal(ir->constant_count, 200);
}

static void test_slots(void **state)
{
    struct ir *ir = *state;
    unsigned before = ir->count;
    ir_ref t0 = ir_get(ir, T0);
    assert_int_equal(ir->count, before + 1);
    assert_int_equal(ir_get(ir, T0), t0);
    ir_set(ir, T0, t0);
    ir_set(ir, A0, ir_get(ir, A0));
    assert_int_equal(ir->count, before + 1);

    ir_ref sum = add(ir, t0, 1);
    ir_set(ir, A0, sum);
    assert_int_equal(ir_get(ir, A0), sum);
    assert_int_equal(ir_at(ir, ir->slot[A0])->prev, IR_BASE + A0);
    assert_int_equal(ir_at(ir, ir->slot[A0])->type, IR_I64);
    ir_set(ir, T0, sum);
    assert_int_equal(ir_at(ir, ir->slot[T0])->prev, 0);
    ir_ref first = ir->slot[A0];
    load(ir, sum);
    ir_set(ir, A0, t0);
    assert_int_equal(ir_at(ir, ir->slot[A0])->prev, first);
    ir_leave(ir, (struct ir_exit){.kind = IR_EXIT_GO}, 0);
    assert_verifies(ir);
}

static void test_hints(void **state)
{
    struct ir *ir = *state;
    ir_ref sum = add(ir, ir_get(ir, A0), 1), floating = ir_emit(ir, IR_FROML, IR_F64, sum, 0);
    ir_set(ir, T0, sum);
    assert_int_equal(ir_at(ir, sum)->hint, 0);
    ir_set(ir, A2, sum);
    assert_int_equal(ir_at(ir, sum)->hint, unit_machine.slots[A2].pin);
    ir_set(ir, A3, sum);
    assert_int_equal(ir_at(ir, sum)->hint, unit_machine.slots[A2].pin);
    ir_set(ir, FA1, floating);
    assert_int_equal(ir_at(ir, floating)->hint, unit_machine.slots[FA1].pin);
    ir_set(ir, A1, ir_get(ir, A0));
    assert_int_equal(ir_at(ir, ir_get(ir, A0))->hint, 0);
    ir_set(ir, A1, ir_constant(ir, 3));
}

static void test_dead_sets(void **state)
{
    struct ir *ir = *state;
    ir_ref a0 = ir_get(ir, A0);
    ir_set(ir, A0, add(ir, a0, 1));
    ir_set(ir, A0, add(ir, a0, 2));
    assert_int_equal(count_op(ir, IR_SET), 1);
    assert_int_equal(ir_at(ir, ir->slot[A0])->prev, IR_BASE + A0);
    /* Back to what it was: as if it had never been set. */
    ir_set(ir, A0, a0);
    assert_int_equal(count_op(ir, IR_SET), 0);
    assert_int_equal(ir_get(ir, A0), a0);
    /* A load may fault: the guest sees what was set before. */
    ir_ref one = add(ir, a0, 1), two = add(ir, a0, 2);
    ir_set(ir, A0, one);
    ir_set(ir, T0, one);
    load(ir, a0);
    ir_set(ir, A0, two);
    ir_set(ir, T0, two);
    assert_int_equal(count_op(ir, IR_SET), 4);
    ir_set(ir, A0, one);
    ir_set(ir, T0, ir_constant(ir, 9));
    assert_int_equal(count_op(ir, IR_SET), 4 - 1);
    /* So it does at a way out. */
    ir_branch(ir, a0, (struct ir_exit){.kind = IR_EXIT_GO});
    ir_set(ir, T0, one);
    assert_int_equal(count_op(ir, IR_SET), 4);
    ir_leave(ir, (struct ir_exit){.kind = IR_EXIT_GO}, 0);
    assert_verifies(ir);
}

static void test_marks(void **state)
{
    struct ir *ir = *state;
    assert_int_equal(ir_pc_of(ir, IR_BASE), 0x1000);
    ir_mark(ir, 0x1000);
    ir_ref a0 = ir_get(ir, A0), first = load(ir, a0);
    ir_mark(ir, 0x1002); /* the instructions between leave nothing that may fault */
    add(ir, a0, 1);
    ir_mark(ir, 0x1006);
    ir_ref second = load(ir, a0), third = load(ir, a0);
    ir_mark(ir, UINT64_C(0x1000) - 0x12345);
    ir_ref fourth = load(ir, add(ir, a0, 2));
    ir_mark(ir, UINT64_C(0x1000) + 0x7fffffff);
    ir_branch(ir, a0, (struct ir_exit){.kind = IR_EXIT_GO});
    assert_int_equal(ir_pc_of(ir, first), 0x1000);
    assert_int_equal(ir_pc_of(ir, second), 0x1006);
    assert_int_equal(ir_pc_of(ir, third), 0x1006);
    assert_int_equal(ir_pc_of(ir, fourth), UINT64_C(0x1000) - 0x12345);
    assert_int_equal(ir_pc_of(ir, (ir_ref)(IR_BASE + ir->count - 1)), UINT64_C(0x1000) + 0x7fffffff);
    assert_int_equal(count_op(ir, IR_PC), 4);
}

static void test_branches(void **state)
{
    struct ir *ir = *state;
    struct ir_exit exit = {.kind = IR_EXIT_GO, .pc = 0x1234};
    ir_branch(ir, ir_constant(ir, 0), exit);
    assert_int_equal(ir->exit_count, 0);
    ir_branch(ir, ir_get(ir, A0), exit);
    ir_branch(ir, ir_constant(ir, 1), exit);
    ir_leave(ir, (struct ir_exit){.kind = IR_EXIT_RETURN, .check = A1}, ir_get(ir, A1));
    assert_int_equal(ir->exit_count, 3);
    assert_int_equal(count_op(ir, IR_BR), 2);
    assert_memory_equal(&ir->exits[0], &exit, sizeof(exit));
    assert_int_equal(ir->ins[ir->count - 1].op, IR_EXIT);
    assert_int_equal(ir->ins[ir->count - 1].b, IR_BASE + A1);
    assert_verifies(ir);
}

static ir_ref reach(struct ir *ir, ir_ref base, int64_t offset, bool writes)
{
    ir_ref address = ir_reach(ir, base, offset, 8, writes, 0x1001);
    if (writes)
        ir_emit(ir, IR_ST64, IR_I64, address, ir_get(ir, A3));
    else
        load(ir, address);
    return address;
}

static void end_unit(struct ir *ir)
{
    ir_leave(ir, (struct ir_exit){.kind = IR_EXIT_GO}, 0);
    assert_verifies(ir);
}

/* A frame, addressed by way of the old and the new value of its register, and one beyond reach. */
static void test_spans(void **state)
{
    struct ir *ir = *state;
    ir_ref old = ir_get(ir, A0), new = add(ir, old, -32), below = add(ir, new, -16);
    assert_true(ir_is_host_address(ir, reach(ir, new, 24, true)));
    assert_int_equal(ir_at(ir, ir->spans[0].host)->b, new);
    assert_int_equal(reach(ir, old, -8, false), reach(ir, new, 24, false));
    assert_int_equal(reach(ir, below, 16, false), ir->spans[0].host);
    reach(ir, below, 8, true);
    assert_int_equal(ir->span_count, 1);
    assert_int_equal(ir->spans[0].low, -8);
    assert_int_equal(ir->spans[0].high, 32);
    reach(ir, new, -1000, false);
    assert_int_equal(ir->span_count, 2);
    assert_int_equal(reach(ir, new, 5000, false), add(ir, new, 5000));
    assert_int_equal(reach(ir, ir_constant(ir, 64), 0, false), ir_constant(ir, 64));
    ir_end_spans(ir);
    reach(ir, new, 0, true);
    reach(ir, new, 8, false);
    assert_int_equal(ir->span_count, 3);
    end_unit(ir);
    assert_int_equal(count_op(ir, IR_HOST), 2);
}

/* A span of loads serves a store that is certain to come; after a way out it is not. */
static void test_span_writes(void **state)
{
    struct ir *ir = *state;
    ir_ref base = ir_get(ir, A0);
    reach(ir, base, 0, false);
    reach(ir, base, 8, true);
    assert_true(ir->span_count == 1 && ir->spans[0].writes);
    reach(ir, ir_get(ir, A1), 0, false);
    ir_branch(ir, ir_get(ir, A2), (struct ir_exit){.kind = IR_EXIT_GO});
    reach(ir, ir_get(ir, A1), 8, false);
    assert_int_equal(ir->span_count, 2);
    reach(ir, ir_get(ir, A1), 0, true);
    reach(ir, ir_get(ir, A1), 0, false);
    reach(ir, base, 16, true);
    assert_int_equal(ir->span_count, 3);
    assert_false(ir->spans[1].writes);
    end_unit(ir);
    assert_int_equal(count_op(ir, IR_HOST), 3);
}

/* One access alone is what it were without a span, and a slot's value that only the accesses of a span might see is not kept. */
static void test_single_access(void **state)
{
    struct ir *ir = *state;
    ir_ref sum = add(ir, ir_get(ir, A1), 8);
    reach(ir, ir_get(ir, A0), 8, false);
    reach(ir, sum, 0, true);
    unsigned first = ir->count;
    reach(ir, ir_get(ir, A2), 0, false);
    ir_set(ir, T0, ir_get(ir, A1));
    reach(ir, ir_get(ir, A2), 8, false);
    ir_set(ir, T0, ir_get(ir, A0));
    end_unit(ir);
    assert_int_equal(count_op(ir, IR_HOST), 1);
    assert_int_equal(count_op(ir, IR_SET), 1);
    assert_int_equal(count_op(ir, IR_ST64), 1);
    for (unsigned i = 0; i < first; i++)
        if (ir->ins[i].op == IR_ST64)
            assert_int_equal(ir->ins[i].a, sum);
}

/* However the room is used up, what ir_has_room() promised is there. */
static void test_room(void **state)
{
    struct ir *ir = *state;
    while (ir_has_room(ir))
        for (unsigned i = 0; i < IR_ROOM_INS; i++)
            load(ir, ir_get(ir, A0));
    assert_in_range(ir->count, IR_MAX_INS - IR_ROOM_INS + 1, IR_MAX_INS);
    ir_begin(ir, &unit_machine, 0);
    int64_t value = 0;
    while (ir_has_room(ir))
        for (unsigned i = 0; i < IR_ROOM_CONSTANTS; i++)
            ir_constant(ir, value++);
    assert_in_range(ir->constant_count, IR_BASE - IR_ROOM_CONSTANTS - 1, IR_BASE - 1);
    ir_begin(ir, &unit_machine, 0);
    while (ir_has_room(ir))
        for (unsigned i = 0; i < IR_ROOM_EXITS; i++)
            ir_branch(ir, ir_get(ir, A0), (struct ir_exit){.kind = IR_EXIT_GO});
    assert_in_range(ir->exit_count, IR_MAX_EXITS - IR_ROOM_EXITS + 1, IR_MAX_EXITS);
}

/* ir_evaluate() at the edges that the comments of ops.def name. */
static void test_evaluate(void **state)
{
    (void)state;
    static const struct {
        enum ir_op op;
        enum ir_type type;
        int64_t a, b, result;
    } cases[] = {
        {IR_ADD, IR_I32, INT32_MAX, 1, INT32_MIN},
        {IR_ADD, IR_I64, INT64_MAX, 1, INT64_MIN},
        {IR_SUB, IR_I32, 0x500000001, 2, -1},
        {IR_MUL, IR_I32, 0x10000, 0x10000, 0},
        {IR_MULH, IR_I64, -1, 1, -1},
        {IR_MULHU, IR_I64, -1, -1, -2},
        {IR_MULHSU, IR_I64, -1, -1, -1},
        {IR_MULHSU, IR_I64, 1, -1, 0},
        {IR_DIV, IR_I64, INT64_MIN, -1, INT64_MIN},
        {IR_DIV, IR_I32, INT32_MIN, -1, INT32_MIN},
        {IR_DIV, IR_I32, 7, 0x100000000, -1},
        {IR_DIV, IR_I64, -7, 2, -3},
        {IR_DIVU, IR_I32, -1, 2, INT32_MAX},
        {IR_DIVU, IR_I64, 7, 0, -1},
        {IR_REM, IR_I64, INT64_MIN, -1, 0},
        {IR_REM, IR_I32, -7, 0, -7},
        {IR_REM, IR_I64, -7, 2, -1},
        {IR_REMU, IR_I32, -1, 0, -1},
        {IR_SHL, IR_I32, 1, 63, INT32_MIN},
        {IR_SHR, IR_I32, -1, 1, INT32_MAX},
        {IR_SAR, IR_I32, 0x80000000, 31, -1},
        {IR_SAR, IR_I64, INT64_MIN, 127, -1},
        {IR_ROR, IR_I64, 1, 1, INT64_MIN},
        {IR_ROR, IR_I32, 1, 32, 1},
        {IR_CLZ, IR_I64, 0, 0, 64},
        {IR_CLZ, IR_I32, INT64_MIN, 0, 32},
        {IR_CTZ, IR_I32, 0x100000000, 0, 32},
        {IR_CTZ, IR_I64, INT64_MIN, 0, 63},
        {IR_POPCNT, IR_I32, -1, 0, 32},
        {IR_POPCNT, IR_I64, -1, 0, 64},
        {IR_BSWAP, IR_I32, 0x80, 0, INT32_MIN},
        {IR_BSWAP, IR_I64, 1, 0, 1LL << 56},
        {IR_SEXT8, IR_I64, 0x180, 0, -128},
        {IR_ZEXT16, IR_I64, -1, 0, 0xffff},
        {IR_EQ, IR_I32, 0x100000001, 1, 1},
        {IR_LT, IR_I32, 0x80000000, 0, 1},
        {IR_LT, IR_I64, 0x80000000, 0, 0},
        {IR_LTU, IR_I64, 1, -1, 1},
        {IR_GEU, IR_I32, -1, 0x7fffffff, 1},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t result;
        assert_true(ir_evaluate(cases[i].op, cases[i].type, cases[i].a, cases[i].b, &result));
        if (result != cases[i].result)
            fail_msg("case %u (%s) gives %lld", i, ir_ops[cases[i].op].text, (long long)result);
    }
    int64_t result;
    assert_false(ir_evaluate(IR_SELECT, IR_I64, 1, 2, &result));
    assert_false(ir_evaluate(IR_FADD, IR_F64, 1, 2, &result));
    assert_false(ir_evaluate(IR_MULH, IR_I32, 1, 2, &result));
}

int main(void)
{
#define UNIT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_begin),    UNIT_TEST(test_constants),   UNIT_TEST(test_slots),
        UNIT_TEST(test_hints),    UNIT_TEST(test_dead_sets),   UNIT_TEST(test_marks),
        UNIT_TEST(test_branches), UNIT_TEST(test_room),        UNIT_TEST(test_evaluate),
        UNIT_TEST(test_spans),    UNIT_TEST(test_span_writes), UNIT_TEST(test_single_access),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
