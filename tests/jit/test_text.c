/* The textual form is exact in both directions and says where it is wrong; the verifier finds every kind of mistake. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "jit/text.h"
#include "jit/verify.h"
#include "random_unit.h"

#define PINNED         \
    "unit 0x10000\n"   \
    "r0 i64 get a0\n"  \
    "r1 i64 get a1\n"  \
    "r2 i64 get a2\n"  \
    "r3 i64 get a3\n"  \
    "r4 f64 get fa0\n" \
    "r5 f64 get fa1\n"
#define GO "exit -> go 0x20000\n"

static struct ir *new_ir(void)
{
    struct ir *ir = calloc(1, sizeof(*ir));
    assert_non_null(ir);
    return ir;
}

static const char sample[] = PINNED "pc 0x10004\n"
                                    "r7 i64 add r0, 16 for a1\n"
                                    "set a1, r7\n"
                                    "r9 i64 get t0\n"
                                    "r10 pair r9, -0x8000000000000000\n"
                                    "r11 i64 select r7, r10\n"
                                    "r12 i32 shl r11, 0x123456789\n"
                                    "r13 i64 sext32 r12\n"
                                    "nop\n"
                                    "pc 0xfffe\n"
                                    "r16 f32 ldf r13\n"
                                    "f32 stf r13, r16\n"
                                    "st8 r13, -5\n"
                                    "i32 st8 r13, r12\n"
                                    "fence\n"
                                    "r21 pair 1, r10\n"
                                    "r22 i64 call 1, r21\n"
                                    "r23 i64 call 0, -\n"
                                    "set fa0, r16\n"
                                    "set t0, r22\n"
                                    "r26 i64 host r7, -8, 24 write -> 0x10015\n"
                                    "r27 i64 add r26, 16\n"
                                    "st64 r27, r0\n"
                                    "r29 i64 lds32 r26\n"
                                    "r30 i64 host r9, 0, 8 -> 0x1001b\n"
                                    "r31 f64 ldf r30\n"
                                    "br r9 -> go 0x10040\n"
                                    "br r9 -> go 0x10000 count 5\n"
                                    "br r0 -> stop 3 0x10044\n"
                                    "br r0 -> call 0x10100 return 0x1000c check a0\n";

static void test_sample(void **state)
{
    (void)state;
    static const char *const ends[] = {
        "exit -> go 0x0\n",
        "exit r9 -> indirect\n",
        "exit r9 -> indirect-call return 0x1000c check t0\n",
        "exit r9 -> return check a0\n",
        "exit -> call 0xfffffffffffffffe return 0x10 check t1\n",
        "exit -> stop 255 0x10000\n",
    };
    struct ir *ir = new_ir();
    for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
        char text[sizeof(sample) + 100];
        snprintf(text, sizeof(text), "%s%s", sample, ends[i]);
        struct guise_error err;
        if (ir_parse(ir, &unit_machine, text, &err))
            fail_msg("%s", err.text);
        struct buf out = {0};
        ir_print(ir, &out);
        assert_string_equal(out.data, text);
        buf_release(&out);
    }
    free(ir);
}

static void test_free_form(void **state)
{
    (void)state;
    struct ir *ir = new_ir();
    static const char text[] = "# a comment\n\n  unit 65536\t# its pc\r\n"
                               "i64 get a0\ni64 get a1\ni64 get a2\ni64 get a3\nf64 get fa0\nf64 get fa1\n"
                               "i64   add   r0,0x10   # no number in front\n" GO;
    struct guise_error err;
    if (ir_parse(ir, &unit_machine, text, &err) || ir_verify(ir, &err))
        fail_msg("%s", err.text);
    struct buf out = {0};
    ir_print(ir, &out);
    assert_string_equal(out.data, PINNED "r6 i64 add r0, 16\n" GO);
    buf_release(&out);
    free(ir);
}

static void test_syntax_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "line 1: a unit is missing"},
        {"r0 i64 get a0\n", "line 1: syntax error"},
        {"unit x\n", "line 1: a number is missing"},
        {"unit 1 2\n", "line 1: more than the unit's pc"},
        {"unit 1\nr0 i64 get a1\n", "line 2: the pinned slots come first"},
        {PINNED "r6 i64 plus r0, 1\n", "line 8: unknown operation"},
        {PINNED "r7 i64 add r0, 1\n", "line 8: the value's number is not the instruction's"},
        {PINNED "r6 i64 add r0\n", "line 8: a comma is missing"},
        {PINNED "r6 i64 add r0, \n", "line 8: a number is missing"},
        {PINNED "r6 i64 add r0, 1x\n", "line 8: a number is missing"},
        {PINNED "r6 i64 add r0, r99999\n", "line 8: the number is too large"},
        {PINNED "r6 i64 add r0, 1 2\n", "line 8: more than one instruction"},
        {PINNED "r6 i64 get s5\n", "line 8: unknown slot"},
        {PINNED "\n\nset a9, r0\n", "line 10: unknown slot"},
        {PINNED "pc 0x100010000\n", "line 8: too far from the unit's pc"},
        {PINNED "br r0 go 1\n", "line 8: -> is missing"},
        {PINNED "br r0 -> away 1\n", "line 8: unknown way out"},
        {PINNED "br r0 -> call 1 check a0\n", "line 8: syntax error"},
        {PINNED "exit -> stop 256 1\n", "line 8: the number is too large"},
        {PINNED "exit -> go 1 count\n", "line 8: a number is missing"},
        {PINNED "exit -> stop 1 1 count 1\n", "line 8: more than one instruction"},
    };
    struct ir *ir = new_ir();
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct guise_error err;
        assert_int_equal(ir_parse(ir, &unit_machine, cases[i].text, &err), GUISE_E_CONFIG);
        if (strncmp(err.text, cases[i].error, strlen(cases[i].error)))
            fail_msg("case %u: \"%s\", not \"%s\"", i, err.text, cases[i].error);
    }
    free(ir);
}

/* More lines than a unit has room for. */
static void test_limits(void **state)
{
    (void)state;
    static const struct {
        const char *line, *error;
        unsigned count;
    } cases[] = {
        {"nop\n", "too many instructions", IR_MAX_INS},
        {"br r0 -> go 1\n", "too many exits", IR_MAX_EXITS},
        {"host r0, 0, 8 -> 1\n", "too many spans", IR_MAX_SPANS},
    };
    struct ir *ir = new_ir();
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf text = {0};
        buf_printf(&text, PINNED);
        for (unsigned line = 0; line <= cases[i].count; line++)
            buf_printf(&text, "%s", cases[i].line);
        struct guise_error err;
        assert_int_equal(ir_parse(ir, &unit_machine, text.data, &err), GUISE_E_CONFIG);
        assert_non_null(strstr(err.text, cases[i].error));
        buf_release(&text);
    }
    struct buf text = {0};
    buf_printf(&text, PINNED);
    for (unsigned value = 0; value <= IR_BASE; value++)
        buf_printf(&text, "i64 add r0, %u\n", value);
    struct guise_error err;
    assert_int_equal(ir_parse(ir, &unit_machine, text.data, &err), GUISE_E_CONFIG);
    assert_non_null(strstr(err.text, "too many constants"));
    buf_release(&text);
    free(ir);
}

static void assert_same(struct ir *a, struct ir *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->exit_count, b->exit_count);
    assert_int_equal(a->loop, b->loop);
    assert_memory_equal(a->slot, b->slot, sizeof(a->slot));
    for (unsigned i = 0; i < a->count; i++) {
        const struct ir_ins *x = &a->ins[i], *y = &b->ins[i];
        assert_int_equal(x->op, y->op);
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->hint, y->hint);
        if (x->op == IR_SET)
            assert_int_equal(x->prev, y->prev);
    }
    for (unsigned i = 0; i < a->exit_count; i++) {
        const struct ir_exit *x = &a->exits[i], *y = &b->exits[i];
        assert_true(x->kind == y->kind && x->pc == y->pc && x->return_pc == y->return_pc &&
                    x->check == y->check && x->reason == y->reason && x->count == y->count);
    }
}

static void test_random_units(void **state)
{
    (void)state;
    struct ir *ir = new_ir(), *again = new_ir();
    struct random_unit options = {.seed = 3, .floating = true, .memory = true, .calls = true, .fused = true};
    options.window_size = 256;
    for (unsigned i = 0; i < 300; i++) {
        options.length = 1 + i % 200;
        options.loop = i % 3 == 0;
        options.spans = i % 3 == 1;
        ir->no_fold = i & 1;
        uint64_t seed = options.seed;
        random_unit(ir, &unit_machine, 0x1000, &options);
        struct buf text = {0}, text_again = {0};
        ir_print(ir, &text);
        struct guise_error err;
        if (ir_parse(again, &unit_machine, text.data, &err) || ir_verify(again, &err))
            fail_msg("seed %" PRIu64 ": %s", seed, err.text);
        assert_same(ir, again);
        ir_print(again, &text_again);
        assert_string_equal(text.data, text_again.data);
        buf_release(&text);
        buf_release(&text_again);
    }
    free(ir);
    free(again);
}

/* Whatever the text, parser and verifier come to an end; what the verifier accepts can be printed and read again. */
static void test_damaged_text(void **state)
{
    (void)state;
    static const char signs[] = "0189abrx,->. #\n-if";
    struct ir *ir = new_ir();
    struct random_unit options = {.seed = 8, .floating = true, .memory = true, .calls = true, .length = 20};
    options.window_size = 256;
    unsigned accepted = 0;
    for (unsigned i = 0; i < 3000; i++) {
        random_unit(ir, &unit_machine, 0x1000, &options);
        struct buf text = {0}, again = {0};
        ir_print(ir, &text);
        for (unsigned damage = 0; damage < 1 + i % 3; damage++) {
            uint64_t any = random_next(&options.seed);
            text.data[any % text.length] = signs[(any >> 40) % (sizeof(signs) - 1)];
        }
        if (!ir_parse(ir, &unit_machine, text.data, NULL) && !ir_verify(ir, NULL)) {
            accepted++;
            ir_print(ir, &again);
            assert_int_equal(ir_parse(ir, &unit_machine, again.data, NULL), 0);
        }
        buf_release(&text);
        buf_release(&again);
    }
    assert_in_range(accepted, 1, 2999);
    free(ir);
}

static void test_verifier(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "the last instruction is no exit"},
        {"nop\n", "the last instruction is no exit"},
        {GO GO, "instructions follow the exit"},
        {"r6 i64 add r0, r7\nr7 i64 add r0, r0\n" GO, "not made yet"},
        {"r6 i64 add r6, 1\n" GO, "not made yet"},
        {"r6 pair r0, r7\n" GO, "not made yet"},
        {"r6 i64 add r0, -\n" GO, "missing"},
        {"st8 r0, 1\nr7 i64 add r0, r6\n" GO, "no value"},
        {"r6 pair r0, r0\nr7 i64 add r0, r6\n" GO, "no value"},
        {"r6 i64 add r0, r4\n" GO, "wrong class"},
        {"r6 f64 fadd r4, r0\n" GO, "wrong class"},
        {"r6 f64 fadd r4, 1\n" GO, "is a constant"},
        {"f64 stf r4, r4\n" GO, "wrong class"},
        {"f64 stf r0, r0\n" GO, "wrong class"},
        {"r6 f64 froml r4\n" GO, "wrong class"},
        {"r6 i64 select r0, r1\n" GO, "not a pair"},
        {"r6 pair r0, r4\nr7 i64 select r0, r6\n" GO, "wrong class"},
        {"r6 pair r0, r0\nr7 f64 fmadd r4, r6\n" GO, "wrong class"},
        {"r6 pair r0, -\nr7 i64 select r0, r6\n" GO, "missing"},
        {"r6 pair r0, r0\nr7 pair r6, r6\nr8 i64 call 0, r7\n" GO, "no value"},
        {"r6 pair 1, 2\nr7 pair 3, r6\nr8 pair 4, r7\nr9 i64 call 0, r8\n" GO, "no value"},
        {"r6 f64 add r0, r0\n" GO, "type does not fit"},
        {"r6 i64 fadd r4, r4\n" GO, "type does not fit"},
        {"r6 i32 mulh r0, r0\n" GO, "type does not fit"},
        {"r6 i32 sext32 r0\n" GO, "type does not fit"},
        {"r6 i64 ldf r0\n" GO, "type does not fit"},
        {"r6 i32 add r0, r0\nr7 i64 add r6, r0\n" GO, "upper half is undefined"},
        {"r6 i32 add r0, r0\nset a0, r6\n" GO, "upper half is undefined"},
        {"r6 i32 add r0, r0\nst64 r0, r6\n" GO, "upper half is undefined"},
        {"r6 i32 add r0, r0\nst32 r6, r0\n" GO, "upper half is undefined"},
        {"r6 i32 bswap r0\nbr r6 -> go 1\n" GO, "upper half is undefined"},
        {"r6 i32 aadd r0, r0\nr7 pair r6, r6\nr8 i64 acas r0, r7\n" GO, "upper half is undefined"},
        {"r6 i64 get a0\n" GO, "value was known"},
        {"r6 i64 get t0\nr7 i64 get t0\n" GO, "value was known"},
        {"set t0, r0\nr7 i64 get t0\n" GO, "value was known"},
        {"r6 f64 get t0\n" GO, "type is not the slot's"},
        {"f64 set a0, r0\n" GO, "type is not the slot's"},
        {"set fa0, r0\n" GO, "wrong class"},
        {"exit -> indirect\n", "missing"},
        {"exit r0 -> go 1\n", "has a value"},
        {"br r0 -> indirect\n" GO, "has a condition"},
        {"br r0 -> return check a0\n" GO, "has a condition"},
        {"br -> go 1\n" GO, "missing"},
        {"exit -> call 1 return 2 check fa0\n", "cannot hold a return address"},
        {"loop\nloop\n" GO, "a second loop"},
        {"set a0, r1\nloop\n" GO, "set before the loop"},
        {"r6 i64 add r0, r1\nloop\nset a0, r6\n" GO, "made before the loop"},
        {"r6 i64 get t0\nloop\nset a0, r6\n" GO, "made before the loop"},
        {"r6 i64 get t0\nr7 pair r0, r6\nloop\nr9 i64 select r0, r7\n" GO, "made before the loop"},
        {"br r0 -> go 0x10000\nloop\n" GO, "back before the loop"},
        {"poll -> go 1\n" GO, "a poll outside of a loop"},
        {"poll -> go 1\nloop\n" GO, "a poll outside of a loop"},
        {"loop\npoll -> go 1\npoll -> go 1\n" GO, "a second poll"},
        {"loop\npoll -> stop 1 1\n" GO, "a poll goes on at a pc"},
        {"r6 i64 host r0, 0, 0 -> 1\n" GO, "empty or too large"},
        {"r6 i64 host r0, 0, 1025 -> 1\n" GO, "empty or too large"},
        {"r6 f64 host r0, 0, 8 -> 1\n" GO, "type does not fit"},
        {"r6 i64 host r4, 0, 8 -> 1\n" GO, "wrong class"},
        {"r6 i64 host r0, 0, 8 -> 1\nr7 i64 add r6, 1\nr8 i64 ld64 r7\n" GO, "beyond its span"},
        {"r6 i64 host r0, 0, 8 -> 1\nr7 i64 add r6, -1\nr8 i64 ldu8 r7\n" GO, "beyond its span"},
        {"r6 i64 host r0, 0, 8 -> 1\nst64 r6, r0\n" GO, "not for stores"},
        {"r6 i64 host r0, 0, 8 write -> 1\nst64 r6, r6\n" GO, "used as a value"},
        {"r6 i64 host r0, 0, 8 -> 1\nr7 i64 add r6, r0\n" GO, "used as a value"},
        {"r6 i64 host r0, 0, 8 -> 1\nr7 i64 add r6, 1\nset a0, r7\n" GO, "used as a value"},
        {"r6 i64 host r0, 0, 8 write -> 1\nr7 i64 aadd r6, r0\n" GO, "used as a value"},
        {"r6 i64 host r0, 0, 8 -> 1\nr7 i64 host r6, 0, 8 -> 1\n" GO, "used as a value"},
    };
    struct ir *ir = new_ir();
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[1024];
        snprintf(text, sizeof(text), PINNED "%s", cases[i].text);
        struct guise_error err;
        if (ir_parse(ir, &unit_machine, text, &err))
            fail_msg("case %u: %s", i, err.text);
        assert_int_equal(ir_verify(ir, &err), GUISE_E_CONFIG);
        if (!strstr(err.text, cases[i].error))
            fail_msg("case %u: \"%s\", not \"%s\"", i, err.text, cases[i].error);
    }
    free(ir);
}

/* Mistakes that the text cannot express. */
static void test_verifier_links(void **state)
{
    (void)state;
    static const char text[] = PINNED "set a0, r1\nst8 r0, r0\nset a0, r2\nbr r0 -> go 1\n" GO;
    struct ir *ir = new_ir();
    struct guise_error err;
#define BREAK(change, message)                                        \
    do {                                                              \
        assert_int_equal(ir_parse(ir, &unit_machine, text, &err), 0); \
        assert_int_equal(ir_verify(ir, &err), 0);                     \
        change;                                                       \
        assert_int_equal(ir_verify(ir, &err), GUISE_E_CONFIG);        \
        assert_non_null(strstr(err.text, message));                   \
    } while (0)
    BREAK(ir->ins[6].prev = 0, "link");
    BREAK(ir->ins[8].prev = IR_BASE, "link");
    BREAK(ir->ins[8].op = IR_NOP; ir->ins[6].a = 1, "link");
    BREAK(ir->ins[8].a = UNIT_SLOTS, "no such slot");
    BREAK(ir->ins[9].a = 2, "no such exit");
    BREAK(ir->ins[9].a = 1, "in order");
    BREAK(ir->ins[9].op = IR_NOP, "in order");
    BREAK(ir->exit_count++, "not used");
    BREAK(ir->exits[0].kind = 9, "kind is unknown");
    BREAK(ir->ins[7].op = IR_OP_COUNT, "operation is unknown");
    BREAK(ir->ins[7].type = 5, "type is unknown");
    BREAK(ir->ins[7].b = 7, "no such constant");
    BREAK(ir->ins[0].op = IR_NOP, "pinned slots");
    BREAK(ir->loop = true; ir->ins[6].op = ir->ins[8].op = IR_NOP, "the loop is missing");
    BREAK(ir->count = 0, "empty");
    static const char with_spans[] = PINNED "r6 i64 host r0, 0, 8 -> 1\nr7 i64 host r0, 0, 8 -> 1\n" GO;
    assert_int_equal(ir_parse(ir, &unit_machine, with_spans, &err), 0);
    assert_int_equal(ir_verify(ir, &err), 0);
    ir->ins[7].a = 0;
    assert_int_equal(ir_verify(ir, &err), GUISE_E_CONFIG);
    assert_non_null(strstr(err.text, "not HOST's"));
    free(ir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample),        cmocka_unit_test(test_free_form),
        cmocka_unit_test(test_syntax_errors), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_random_units),  cmocka_unit_test(test_damaged_text),
        cmocka_unit_test(test_verifier),      cmocka_unit_test(test_verifier_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
