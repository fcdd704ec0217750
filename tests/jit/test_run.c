/* The reference execution itself: floating point against softfp, in values and flags; atomics and ways out by example. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "cpu/riscv/softfp.h"
#include "host/fpu.h"
#include "jit/text.h"
#include "jit/verify.h"
#include "random_unit.h"

#define SIGN(single) ((single) ? UINT64_C(1) << 31 : UINT64_C(1) << 63)

enum { A0, A1, A2, A3, FA0, FA1, T0, T1, FT0 };

struct numbers {
    uint64_t a, b, c;
    bool single;
    unsigned rm;
    uint32_t flags;
};

static const struct softfp_format *format(const struct numbers *n)
{
    return n->single ? &softfp_s : &softfp_d;
}

/* What the operation should give, by softfp. */
static uint64_t expected(enum ir_op op, struct numbers *n)
{
    const struct softfp_format *f = format(n), *other = n->single ? &softfp_d : &softfp_s;
    uint64_t sign = SIGN(n->single);
    switch (op) {
    case IR_FADD: return softfp_add(f, n->rm, n->a, n->b, &n->flags);
    case IR_FSUB: return softfp_sub(f, n->rm, n->a, n->b, &n->flags);
    case IR_FMUL: return softfp_mul(f, n->rm, n->a, n->b, &n->flags);
    case IR_FDIV: return softfp_div(f, n->rm, n->a, n->b, &n->flags);
    case IR_FSQRT: return softfp_sqrt(f, n->rm, n->a, &n->flags);
    case IR_FMADD: return softfp_fma(f, n->rm, n->a, n->b, n->c, &n->flags);
    case IR_FMSUB: return softfp_fma(f, n->rm, n->a, n->b, n->c ^ sign, &n->flags);
    case IR_FNMSUB: return softfp_fma(f, n->rm, n->a ^ sign, n->b, n->c, &n->flags);
    case IR_FNMADD: return softfp_fma(f, n->rm, n->a ^ sign, n->b, n->c ^ sign, &n->flags);
    case IR_FCVT: return softfp_convert(f, other, n->rm, n->a, &n->flags);
    case IR_FROMW: return softfp_from_signed(f, n->rm, (int32_t)n->a, &n->flags);
    case IR_FROMWU: return softfp_from_unsigned(f, n->rm, (uint32_t)n->a, &n->flags);
    case IR_FROML: return softfp_from_signed(f, n->rm, (int64_t)n->a, &n->flags);
    case IR_FROMLU: return softfp_from_unsigned(f, n->rm, n->a, &n->flags);
    case IR_TRUNCW: return softfp_to_int(f, SOFTFP_RTZ, n->a, 32, true, &n->flags);
    case IR_TRUNCWU: return softfp_to_int(f, SOFTFP_RTZ, n->a, 32, false, &n->flags);
    case IR_TRUNCL: return softfp_to_int(f, SOFTFP_RTZ, n->a, 64, true, &n->flags);
    case IR_TRUNCLU: return softfp_to_int(f, SOFTFP_RTZ, n->a, 64, false, &n->flags);
    case IR_ROUNDW: return softfp_to_int(f, n->rm, n->a, 32, true, &n->flags);
    default: return softfp_to_int(f, n->rm, n->a, 64, true, &n->flags);
    }
}

static bool is_nan(const struct numbers *n, uint64_t bits)
{
    uint64_t infinity = n->single ? 0x7f800000 : 0x7ff0000000000000;
    return (bits & (SIGN(n->single) - 1)) > infinity;
}

static ir_ref number(struct ir *ir, bool single, unsigned slot)
{
    return ir_emit(ir, IR_FROMBITS, single ? IR_F32 : IR_F64, ir_get(ir, slot), 0);
}

/* A unit that leaves the operation on a0, a1, a2 in a3. */
static void make_unit(struct ir *ir, enum ir_op op, bool single)
{
    enum ir_type type = single ? IR_F32 : IR_F64;
    ir_begin(ir, &unit_machine, 0x1000);
    ir_ref a = ir_get(ir, A0), b = 0;
    if (op < IR_FROMW || op > IR_FROMLU)
        a = number(ir, op == IR_FCVT ? !single : single, A0);
    if (ir_ops[op].b != IR_KIND_0)
        b = number(ir, single, A1);
    if (ir_ops[op].b == IR_KIND_P)
        b = ir_emit(ir, IR_PAIR, IR_I64, b, number(ir, single, A2));
    ir_ref result = ir_emit(ir, op, type, a, b);
    if (ir_ops[op].result == IR_RESULT_F)
        result = ir_emit(ir, IR_BITS, IR_I64, ir_emit(ir, IR_CANON, type, result, 0), 0);
    ir_set(ir, A3, result);
    ir_leave(ir, (struct ir_exit){.kind = IR_EXIT_GO, .pc = 0x2000}, 0);
    struct guise_error err;
    if (ir_verify(ir, &err))
        fail_msg("%s", err.text);
}

static void check_operation(struct ir *ir, enum ir_op op, bool single, uint64_t *seed)
{
    static const struct ir_world world = {.upper = 0};
    make_unit(ir, op, single);
    bool from_integer = op >= IR_FROMW && op <= IR_FROMLU;
    for (unsigned i = 0; i < 2000; i++) {
        struct numbers n = {.single = single, .rm = (unsigned)random_next(seed) & 3};
        n.a = from_integer ? random_value(seed) : random_float(seed);
        n.b = random_float(seed);
        n.c = random_float(seed);
        uint64_t slots[UNIT_SLOTS] = {n.a, n.b, n.c};
        fpu_enter((enum fpu_rounding)n.rm);
        struct ir_ending end = ir_run(ir, &world, slots);
        unsigned flags = fpu_leave();
        assert_int_equal(end.kind, IR_LEFT);
        bool half = op == IR_FCVT ? !single : single;
        if (half && !from_integer)
            n.a = (uint32_t)n.a;
        if (single) {
            n.b = (uint32_t)n.b;
            n.c = (uint32_t)n.c;
        }
        uint64_t wanted = expected(op, &n);
        /* The host does not report infinity times zero when a NaN is added; neither does the operation. */
        if (op >= IR_FMADD && op <= IR_FNMADD && is_nan(&n, n.c))
            n.flags = flags;
        if (single && ir_ops[op].result == IR_RESULT_F)
            wanted |= UINT64_MAX << 32;
        if (slots[A3] != wanted || flags != n.flags)
            fail_msg("%s of %" PRIx64 " %" PRIx64 " %" PRIx64 ", mode %u: %" PRIx64 " flags %x, not %" PRIx64
                     " flags %x",
                     ir_ops[op].text, n.a, n.b, n.c, n.rm, slots[A3], flags, wanted, n.flags);
    }
}

static void test_floating(void **state)
{
    (void)state;
    struct ir *ir = calloc(1, sizeof(*ir));
    assert_non_null(ir);
    uint64_t seed = 11;
    for (enum ir_op op = IR_FADD; op <= IR_ROUNDL; op++) {
        bool by_example = (op >= IR_FMIN && op <= IR_FROMBITS);
        if (by_example || (op >= IR_FMADD && op <= IR_FNMADD && !fpu_has_fma()))
            continue;
        check_operation(ir, op, false, &seed);
        check_operation(ir, op, true, &seed);
    }
    free(ir);
}

/* a0 and a1 as numbers, the result's bits in a3. */
static void test_floating_examples(void **state)
{
    (void)state;
    static const uint64_t zero = 0, minus = UINT64_C(1) << 63, one = 0x3ff0000000000000,
                          two = 0x4000000000000000, quiet = 0xfff8000000000001,
                          signaling = 0x7ff0000000000001, nan = 0x7ff8000000000000;
    const struct {
        enum ir_op op;
        uint64_t a, b, result;
        unsigned flags;
    } cases[] = {
        {IR_FMIN, one, two, one, 0},
        {IR_FMAX, one, two, two, 0},
        {IR_FMIN, zero, minus, minus, 0},
        {IR_FMAX, minus, zero, zero, 0},
        {IR_FMIN, quiet, two, two, 0},
        {IR_FMAX, two, signaling, two, FPU_INVALID},
        {IR_FMIN, quiet, quiet, nan, 0},
        {IR_FMAX, signaling, quiet, nan, FPU_INVALID},
        {IR_CANON, quiet, 0, nan, 0},
        {IR_CANON, minus, 0, minus, 0},
        {IR_FSGNJ, one, minus, one | minus, 0},
        {IR_FSGNJN, one, minus, one, 0},
        {IR_FSGNJX, one | minus, minus, one, 0},
        {IR_FEQ, zero, minus, 1, 0},
        {IR_FEQ, quiet, quiet, 0, 0},
        {IR_FEQ, signaling, one, 0, FPU_INVALID},
        {IR_FLT, one, two, 1, 0},
        {IR_FLT, one, quiet, 0, FPU_INVALID},
        {IR_FLE, two, two, 1, 0},
        {IR_FLE, two, one, 0, 0},
    };
    static const struct ir_world world = {.upper = 0};
    struct ir *ir = calloc(1, sizeof(*ir));
    assert_non_null(ir);
    ir->no_fold = true;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        make_unit(ir, cases[i].op, false);
        uint64_t slots[UNIT_SLOTS] = {cases[i].a, cases[i].b};
        fpu_enter(FPU_NEAREST);
        ir_run(ir, &world, slots);
        unsigned flags = fpu_leave();
        if (slots[A3] != cases[i].result || flags != cases[i].flags)
            fail_msg("case %u: %" PRIx64 " flags %x", i, slots[A3], flags);
    }
    free(ir);
}

/* Memory is one word, at address 8. */

static bool load(void *context, uint64_t address, unsigned size, uint64_t *value)
{
    *value = 0;
    memcpy(value, context, size);
    return address == 8;
}

static bool store(void *context, uint64_t address, unsigned size, uint64_t value)
{
    if (address == 8)
        memcpy(context, &value, size);
    return address == 8;
}

static void test_atomics(void **state)
{
    (void)state;
    static const struct {
        enum ir_op op;
        enum ir_type type;
        uint64_t memory, operand, result;
    } cases[] = {
        {IR_AXCHG, IR_I64, 1, 2, 2},
        {IR_AXCHG, IR_I32, 0x1111111122222222, 0x3333333344444444, 0x1111111144444444},
        {IR_AADD, IR_I32, 0x11111111ffffffff, 1, 0x1111111100000000},
        {IR_AAND, IR_I64, 6, 3, 2},
        {IR_AOR, IR_I64, 6, 3, 7},
        {IR_AXOR, IR_I64, 6, 3, 5},
        {IR_AMIN, IR_I32, 0x80000000, 1, 0x80000000},
        {IR_AMINU, IR_I32, 0x80000000, 1, 1},
        {IR_AMAX, IR_I64, UINT64_MAX, 1, 1},
        {IR_AMAXU, IR_I32, 0xffffffff, 1, 0xffffffff},
    };
    struct ir *ir = calloc(1, sizeof(*ir));
    assert_non_null(ir);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        ir_begin(ir, &unit_machine, 0x1000);
        ir_ref old = ir_emit(ir, cases[i].op, cases[i].type, ir_get(ir, A0), ir_get(ir, A1));
        ir_set(ir, A2, cases[i].type == IR_I32 ? ir_emit(ir, IR_ZEXT32, IR_I64, old, 0) : old);
        ir_leave(ir, (struct ir_exit){.kind = IR_EXIT_INDIRECT}, ir_get(ir, A1));
        uint64_t memory = cases[i].memory, slots[UNIT_SLOTS] = {8, cases[i].operand};
        struct ir_world world = {load, store, &memory, NULL, 0xdeadbeef, false, NULL};
        struct ir_ending end = ir_run(ir, &world, slots);
        assert_int_equal(end.kind, IR_LEFT);
        assert_int_equal(end.pc, cases[i].operand);
        assert_int_equal(memory, cases[i].result);
        assert_int_equal(slots[A2], cases[i].type == IR_I32 ? (uint32_t)cases[i].memory : cases[i].memory);
    }
    free(ir);
}

static void test_endings(void **state)
{
    (void)state;
    static const char text[] = "unit 0x1000\n"
                               "i64 get a0\ni64 get a1\ni64 get a2\ni64 get a3\nf64 get fa0\nf64 get fa1\n"
                               "pc 0x1000\n"
                               "br r1 -> stop 2 0x1000\n"
                               "pc 0x1004\n"
                               "set a2, 5\n"
                               "r10 pair 3, r0\n"
                               "r11 i64 acas r0, r10\n"
                               "set a2, r11\n"
                               "exit -> go 0x1008\n";
    struct ir *ir = calloc(1, sizeof(*ir));
    assert_non_null(ir);
    assert_int_equal(ir_parse(ir, &unit_machine, text, NULL), 0);
    assert_int_equal(ir_verify(ir, NULL), 0);
    uint64_t memory = 3;
    struct ir_world world = {load, store, &memory, NULL, 0, false, NULL};

    uint64_t stops[UNIT_SLOTS] = {8, 1};
    struct ir_ending end = ir_run(ir, &world, stops);
    assert_true(end.kind == IR_LEFT && end.exit == 0 && end.pc == 0x1000 && stops[A2] == 0 && memory == 3);

    uint64_t faults[UNIT_SLOTS] = {16, 0};
    end = ir_run(ir, &world, faults);
    assert_true(end.kind == IR_FAULTED && end.pc == 0x1004 && end.address == 16 && faults[A2] == 5 &&
                memory == 3);

    uint64_t goes[UNIT_SLOTS] = {8, 0};
    end = ir_run(ir, &world, goes);
    assert_true(end.kind == IR_LEFT && end.exit == 1 && end.pc == 0x1008 && goes[A2] == 3 && memory == 8);
    goes[A2] = 0;
    end = ir_run(ir, &world, goes);
    assert_true(end.kind == IR_LEFT && goes[A2] == 8 && memory == 8);
    free(ir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floating),
        cmocka_unit_test(test_floating_examples),
        cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_endings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
