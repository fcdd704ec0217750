/* Folding: each rule by example, sharing, and units made by chance, folded and not, which must do the same. */
#include <ctype.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/util.h"
#include "host/fpu.h"
#include "jit/text.h"
#include "jit/verify.h"
#include "random_unit.h"

/* Expressions: slots, numbers, and operations as op(a, b) or op.type(a, b); select(a, b, c) makes its pair. */

static ir_ref parse(struct ir *ir, const char **at);

static size_t word(const char *at)
{
    size_t length = 0;
    while (isalnum((unsigned char)at[length]))
        length++;
    return length;
}

static bool is_word(const char *at, size_t length, const char *text)
{
    return strlen(text) == length && !strncmp(at, text, length);
}

static ir_ref parse_leaf(struct ir *ir, const char **at, size_t length)
{
    for (unsigned slot = 0; slot < ir->machine->slot_count; slot++)
        if (is_word(*at, length, ir->machine->slots[slot].name)) {
            *at += length;
            return ir_get(ir, slot);
        }
    char *rest;
    bool negative = **at == '-';
    uint64_t size = strtoull(*at + negative, &rest, 0);
    assert_ptr_not_equal(rest, *at + negative);
    *at = rest;
    return ir_constant(ir, (int64_t)(negative ? -size : size));
}

static enum ir_type parse_type(const char **at)
{
    static const char *const names[] = {".i32", ".i64", ".f32", ".f64"};
    for (unsigned type = 0; type < ARRAY_SIZE(names); type++)
        if (!strncmp(*at, names[type], 4)) {
            *at += 4;
            return (enum ir_type)type;
        }
    return IR_I64;
}

static ir_ref parse_operation(struct ir *ir, const char **at, enum ir_op op)
{
    enum ir_type type = parse_type(at);
    ir_ref operands[3] = {0};
    unsigned count = 0;
    assert_int_equal(**at, '(');
    while (**at != ')') {
        *at += strspn(*at, "(, ");
        operands[count++] = parse(ir, at);
    }
    ++*at;
    if (count == 3)
        operands[1] = ir_emit(ir, IR_PAIR, IR_I64, operands[1], operands[2]);
    return ir_emit(ir, op, type, operands[0], operands[1]);
}

static ir_ref parse(struct ir *ir, const char **at)
{
    size_t length = word(*at);
    for (unsigned op = 0; op < IR_OP_COUNT; op++)
        if (is_word(*at, length, ir_ops[op].text)) {
            *at += length;
            return parse_operation(ir, at, (enum ir_op)op);
        }
    return parse_leaf(ir, at, length);
}

static void print(const struct ir *ir, struct buf *out, ir_ref ref)
{
    static const char *const types[] = {".i32", "", ".f32", ".f64"};
    if (ir_is_constant(ref)) {
        buf_printf(out, "%" PRId64, ir_constant_value(ir, ref));
        return;
    }
    const struct ir_ins *ins = &ir->ins[ref - IR_BASE];
    if (ins->op == IR_GET) {
        buf_printf(out, "%s", ir->machine->slots[ins->a].name);
        return;
    }
    if (ins->op != IR_PAIR)
        buf_printf(out, "%s%s(", ir_ops[ins->op].text, types[ins->type]);
    print(ir, out, ins->a);
    if (ins->b) {
        buf_printf(out, ", ");
        print(ir, out, ins->b);
    }
    if (ins->op != IR_PAIR)
        buf_printf(out, ")");
}

static struct ir *new_ir(void)
{
    struct ir *ir = calloc(1, sizeof(*ir));
    assert_non_null(ir);
    return ir;
}

static const struct rule {
    const char *from, *to;
} rules[] = {
    /* constants, and their place */
    {"add(2, 3)", "5"},
    {"add.i32(0x7fffffff, 1)", "-2147483648"},
    {"mulhu(-1, -1)", "-2"},
    {"div(-9223372036854775808, -1)", "-9223372036854775808"},
    {"rem(5, 0)", "5"},
    {"ror.i32(1, 1)", "-2147483648"},
    {"clz.i32(1)", "31"},
    {"add(7, a0)", "add(a0, 7)"},
    {"add(a0, a1)", "add(a1, a0)"},
    {"add.i32(a0, 0xffffffff)", "add.i32(a0, -1)"},
    {"shl(a0, 67)", "shl(a0, 3)"},
    {"shl.i32(a0, 35)", "shl.i32(a0, 3)"},
    {"add(add(a0, 1), 2)", "add(add(a0, 1), 2)"},
    /* identities */
    {"add(a0, 0)", "a0"},
    {"add.i32(a0, 0x100000000)", "a0"},
    {"sub(a0, 0)", "a0"},
    {"sub(a0, a0)", "0"},
    {"sub(a0, 5)", "add(a0, -5)"},
    {"sub.i32(a0, -2147483648)", "add.i32(a0, -2147483648)"},
    {"mul(a0, 0)", "0"},
    {"mul(a0, 1)", "a0"},
    {"mul(8, a0)", "shl(a0, 3)"},
    {"mul.i32(a0, 0x80000000)", "shl.i32(a0, 31)"},
    {"mulhsu(a0, 0)", "0"},
    {"and(a0, 0)", "0"},
    {"and(a0, -1)", "a0"},
    {"and(a0, a0)", "a0"},
    {"and(a0, 0xff)", "zext8(a0)"},
    {"and.i32(a0, 0xffff)", "zext16(a0)"},
    {"and(a0, 0xffffffff)", "zext32(a0)"},
    {"and(ldu8(a0), 0xfff)", "ldu8(a0)"},
    {"and(ldu8(a0), 0x7f)", "and(ldu8(a0), 127)"},
    {"or(a0, 0)", "a0"},
    {"or(a0, -1)", "-1"},
    {"or(a0, a0)", "a0"},
    {"xor(a0, 0)", "a0"},
    {"xor(a0, a0)", "0"},
    {"shl(a0, 0)", "a0"},
    {"ror(a0, 64)", "a0"},
    {"shl(0, a0)", "0"},
    {"shr(ldu16(a0), 16)", "0"},
    {"div(a0, 1)", "a0"},
    {"divu(a0, 16)", "shr(a0, 4)"},
    {"divu.i32(a0, 0x80000000)", "shr.i32(a0, 31)"},
    {"div(a0, 16)", "div(a0, 16)"},
    {"remu(a0, 16)", "and(a0, 15)"},
    {"remu.i32(a0, 0x80000000)", "and.i32(a0, 2147483647)"},
    {"rem(a0, 1)", "0"},
    /* extensions */
    {"shr(shl(a0, 32), 32)", "zext32(a0)"},
    {"shr(shl(a0, 32), 29)", "shl(zext32(a0), 3)"},
    {"shr(shl(a0, 32), 35)", "shr(zext32(a0), 3)"},
    {"shr(shl(a0, 48), 48)", "zext16(a0)"},
    {"shr(shl(a0, 56), 56)", "zext8(a0)"},
    {"sar(shl(a0, 32), 32)", "sext32(a0)"},
    {"sar(shl(a0, 48), 47)", "shl(sext16(a0), 1)"},
    {"sar(shl(a0, 56), 58)", "sar(sext8(a0), 2)"},
    {"shr.i32(shl.i32(a0, 16), 16)", "shr.i32(shl.i32(a0, 16), 16)"},
    {"sext32(add.i32(a0, a1))", "sext32(add.i32(a1, a0))"},
    {"sext32(sext32(a0))", "sext32(a0)"},
    {"sext32(zext32(a0))", "sext32(a0)"},
    {"sext16(zext8(a0))", "zext8(a0)"},
    {"sext8(sext32(a0))", "sext8(a0)"},
    {"zext32(sext8(a0))", "zext32(sext8(a0))"},
    {"sext32(lds32(a0))", "lds32(a0)"},
    {"sext32(ldu32(a0))", "sext32(ldu32(a0))"},
    {"sext32(ldu16(a0))", "ldu16(a0)"},
    {"zext32(ldu32(a0))", "ldu32(a0)"},
    {"sext32(lt(a0, a1))", "lt(a0, a1)"},
    {"sext32(and(a0, 0x7fffffff))", "and(a0, 2147483647)"},
    {"sext32(or(lds32(a0), lds16(a1)))", "or(lds16(a1), lds32(a0))"},
    {"zext32(and(ldu8(a0), a1))", "and(ldu8(a0), a1)"},
    {"zext32(shr(a0, 32))", "shr(a0, 32)"},
    {"sext32(sar(a0, 32))", "sar(a0, 32)"},
    {"sext32(sar(a0, 31))", "sext32(sar(a0, 31))"},
    {"sext32(shr.i32(a0, 4))", "zext32(shr.i32(a0, 4))"},
    {"sext32(sext32(shr.i32(a0, 4)))", "zext32(shr.i32(a0, 4))"},
    {"sext32(popcnt(a0))", "popcnt(a0)"},
    {"sext32(bits(frombits.f32(a0)))", "sext32(a0)"},
    {"sext32(truncwu.f64(fa0))", "truncwu.f64(fa0)"},
    /* comparisons */
    {"eq(a0, a0)", "1"},
    {"ltu(a0, a0)", "0"},
    {"lt(5, a0)", "ge(a0, 6)"},
    {"ge(5, a0)", "lt(a0, 6)"},
    {"ltu(0, a0)", "ne(a0, 0)"},
    {"geu(-1, a0)", "1"},
    {"lt(0x7fffffffffffffff, a0)", "0"},
    {"lt.i32(0x7fffffff, a0)", "0"},
    {"ltu.i32(0x7fffffff, a0)", "geu.i32(a0, -2147483648)"},
    {"ltu(a0, 0)", "0"},
    {"geu(a0, 0)", "1"},
    {"ltu(a0, 1)", "eq(a0, 0)"},
    {"geu(a0, 1)", "ne(a0, 0)"},
    {"lt(a0, -9223372036854775808)", "0"},
    {"ge.i32(a0, -2147483648)", "1"},
    {"ne(lt(a0, a1), 0)", "lt(a0, a1)"},
    {"eq(lt(a0, a1), 0)", "ge(a0, a1)"},
    {"eq(ltu(a0, a1), 1)", "ltu(a0, a1)"},
    {"ne(eq.i32(a0, 9), 1)", "ne.i32(a0, 9)"},
    {"xor(geu(a0, a1), 1)", "ltu(a0, a1)"},
    {"xor(flt.f64(fa0, fa1), 1)", "eq.i32(flt.f64(fa0, fa1), 0)"},
    {"eq(eq(flt.f64(fa0, fa1), 0), 0)", "flt.f64(fa0, fa1)"},
    {"eq(sub(a1, a0), 0)", "eq(a1, a0)"},
    {"ne(xor(a1, a0), 0)", "ne(a1, a0)"},
    {"eq(sext32(sub.i32(a1, a0)), 0)", "eq.i32(a1, a0)"},
    {"eq.i32(sub(a1, a0), 0)", "eq.i32(sub(a1, a0), 0)"},
    {"lt(sext32(a0), lds32(a1))", "lt.i32(sext32(a0), lds32(a1))"},
    {"ltu(sext32(a0), -5)", "ltu.i32(sext32(a0), -5)"},
    {"lt(zext32(a0), ldu32(a1))", "ltu.i32(zext32(a0), ldu32(a1))"},
    {"geu(ldu8(a0), 200)", "geu.i32(ldu8(a0), 200)"},
    {"lt(sext32(a0), ldu32(a1))", "lt(sext32(a0), ldu32(a1))"},
    {"eq(zext32(a0), 0xffffffff)", "eq.i32(zext32(a0), -1)"},
    /* selection */
    {"select(1, a0, a1)", "a0"},
    {"select(0, a0, a1)", "a1"},
    {"select(a2, a0, a0)", "a0"},
    {"select(lt(a0, a1), 1, 0)", "lt(a0, a1)"},
    {"select(a0, 1, 0)", "select(a0, 1, 0)"},
    /* floating point */
    {"canon.f64(canon.f64(fadd.f64(fa0, fa0)))", "canon.f64(fadd.f64(fa0, fa0))"},
    {"canon.f64(fmin.f64(fa0, fa1))", "fmin.f64(fa0, fa1)"},
    {"canon.f64(froml.f64(a0))", "froml.f64(a0)"},
    {"fsgnj.f64(fa0, fa0)", "fa0"},
    {"fsgnjn.f64(fa0, fa0)", "fsgnjn.f64(fa0, fa0)"},
    {"unboxed(box.f32(ldf.f32(a0)))", "0"},
    {"unboxed(canon.f32(fadd.f32(fa0, fa1)))", "0"},
    {"unboxed(ldf.f32(a0))", "unboxed(ldf.f32(a0))"},
    {"box.f32(canon.f32(fadd.f32(fa1, fa0)))", "canon.f32(fadd.f32(fa1, fa0))"},
    {"sext32(bits(box.f32(ldf.f32(a0))))", "sext32(bits(ldf.f32(a0)))"},
    {"unboxed(fa0)", "unboxed(fa0)"},
    {"unboxed(ldf.f64(a0))", "unboxed(ldf.f64(a0))"},
    {"bits(frombits.f64(a0))", "a0"},
    {"bits(frombits.f32(a0))", "bits(frombits.f32(a0))"},
    {"frombits.f64(bits(fa0))", "fa0"},
    {"frombits.f32(bits(fa0))", "fa0"},
    {"frombits.f32(bits(ldf.f32(a0)))", "ldf.f32(a0)"},
    {"fadd.f64(fa0, fa1)", "fadd.f64(fa1, fa0)"},
};

static void test_rules(void **state)
{
    (void)state;
    struct ir *ir = new_ir();
    for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
        ir_begin(ir, &unit_machine, 0x1000);
        const char *at = rules[i].from;
        ir_ref ref = parse(ir, &at);
        assert_int_equal(*at, 0);
        struct buf out = {0};
        print(ir, &out, ref);
        if (strcmp(out.data, rules[i].to))
            fail_msg("%s becomes %s, not %s", rules[i].from, out.data, rules[i].to);
        buf_release(&out);
    }
    free(ir);
}

static void test_sharing(void **state)
{
    (void)state;
    static const char *const shared[] = {"add(a0, a1)", "add(a1, a0)"};
    struct ir *ir = new_ir();
    ir_begin(ir, &unit_machine, 0x1000);
    const char *at = shared[0];
    ir_ref sum = parse(ir, &at);
    at = shared[1];
    assert_int_equal(parse(ir, &at), sum);
    ir_ref x = ir_get(ir, 0), y = ir_get(ir, 1);
    assert_int_not_equal(ir_emit(ir, IR_ADD, IR_I32, x, y), sum);
    ir_ref pair = ir_emit(ir, IR_PAIR, IR_I64, x, y);
    ir_ref selected = ir_emit(ir, IR_SELECT, IR_I64, sum, pair);
    assert_int_equal(ir_emit(ir, IR_SELECT, IR_I64, sum, ir_emit(ir, IR_PAIR, IR_I64, x, y)), selected);
    /* Loads are not: memory may have changed. */
    ir_ref loaded = ir_emit(ir, IR_LD64, IR_I64, x, 0);
    assert_int_not_equal(ir_emit(ir, IR_LD64, IR_I64, x, 0), loaded);
    free(ir);
}

static void test_calls_are_not_boxed(void **state)
{
    (void)state;
    struct ir *ir = new_ir();
    ir_begin(ir, &unit_machine, 0x1000);
    ir_ref result = ir_emit(ir, IR_CALLF, IR_F32, 0, 0);
    assert_false(ir_is_constant(ir_emit(ir, IR_UNBOXED, IR_F32, result, 0)));
    free(ir);
}

/* Execution on a window of memory. */

enum { WINDOW = 0x4000, WINDOW_SIZE = 256 };

static bool load(void *context, uint64_t address, unsigned size, uint64_t *value)
{
    if (address < WINDOW || address - WINDOW + size > WINDOW_SIZE)
        return false;
    *value = 0;
    memcpy(value, (uint8_t *)context + (address - WINDOW), size);
    return true;
}

static bool store(void *context, uint64_t address, unsigned size, uint64_t value)
{
    if (address < WINDOW || address - WINDOW + size > WINDOW_SIZE)
        return false;
    memcpy((uint8_t *)context + (address - WINDOW), &value, size);
    return true;
}

static bool reach(void *context, uint64_t address, unsigned size, bool write)
{
    (void)context, (void)write;
    return address >= WINDOW && address - WINDOW + size <= WINDOW_SIZE;
}

struct outcome {
    struct ir_ending end;
    uint64_t slots[UNIT_SLOTS];
    uint64_t memory[WINDOW_SIZE / 8];
    unsigned flags;
};

static void execute(const struct ir *ir, uint64_t seed, uint32_t upper, struct outcome *out)
{
    struct ir_world world = {load, store, out->memory, unit_calls, upper, false, reach};
    for (unsigned i = 0; i < UNIT_SLOTS; i++)
        out->slots[i] = unit_machine.slots[i].type == IR_F64 ? random_float(&seed) : random_value(&seed);
    for (unsigned i = 0; i < ARRAY_SIZE(out->memory); i++)
        out->memory[i] = random_float(&seed);
    fpu_enter((enum fpu_rounding)(random_next(&seed) & 3));
    out->end = ir_run(ir, &world, out->slots);
    out->flags = fpu_leave();
}

static bool same(const struct outcome *a, const struct outcome *b)
{
    return a->end.kind == b->end.kind && a->end.pc == b->end.pc &&
           !memcmp(a->slots, b->slots, sizeof(a->slots)) &&
           (a->end.kind != IR_FAULTED || a->end.address == b->end.address) &&
           !memcmp(a->memory, b->memory, sizeof(a->memory));
}

static void compare_units(struct random_unit options, unsigned units)
{
    struct ir *plain = new_ir(), *folded = new_ir();
    plain->no_fold = true;
    options.window = WINDOW;
    options.window_size = WINDOW_SIZE;
    options.fused = fpu_has_fma();
    uint64_t left = 0, made = 0;
    for (unsigned i = 0; i < units; i++) {
        uint64_t seed = options.seed;
        random_unit(plain, &unit_machine, 0x1000, &options);
        unit_rebuild(plain, folded);
        struct guise_error err;
        if (ir_verify(plain, &err) || ir_verify(folded, &err))
            fail_msg("seed %" PRIu64 ": %s", seed, err.text);
        made += plain->count;
        left += folded->count;
        for (uint64_t values = 1; values < 5; values++) {
            struct outcome a, b;
            execute(plain, seed + values, 0, &a);
            execute(folded, seed + values, (uint32_t)(seed >> 7), &b);
            assert_int_not_equal(a.end.kind, IR_UNABLE);
            if (same(&a, &b))
                continue;
            struct buf text = {0};
            ir_print(plain, &text);
            ir_print(folded, &text);
            fail_msg("seed %" PRIu64 ", values %" PRIu64 ":\n%s", seed, values, text.data);
        }
    }
    print_message("%" PRIu64 " of %" PRIu64 " instructions are left\n", left, made);
    free(plain);
    free(folded);
}

static void test_random_expressions(void **state)
{
    (void)state;
    compare_units((struct random_unit){.seed = 1, .length = 24}, 60000);
}

static void test_random_units(void **state)
{
    (void)state;
    struct random_unit options = {
        .length = 120, .floating = true, .memory = true, .calls = true, .faults = true};
    options.seed = 77;
    compare_units(options, 8000);
    options.spans = true;
    compare_units(options, 4000);
}

static void test_random_long_units(void **state)
{
    (void)state;
    struct random_unit options = {.seed = 5, .length = 1500, .floating = true, .memory = true, .calls = true};
    compare_units(options, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_calls_are_not_boxed),
        cmocka_unit_test(test_random_expressions),
        cmocka_unit_test(test_random_units),
        cmocka_unit_test(test_random_long_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
