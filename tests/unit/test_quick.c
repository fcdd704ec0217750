/* Quick units under the engine: that they do what the interpreter does, and how they are made anew when they were
 * entered often, while harts have ways to them and their code changes. */
#include "base/buf.h"
#include "base/util.h"
#include "cpu/riscv/lift.h"
#include "cpu/riscv/translate.h"
#include "engine_fixture.h"
#include "host/copy.h"
#include "isa/riscv/tables.h"

#include "../diff/rows.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static struct engine_stats stats(const struct guest *g)
{
    return code_engine_stats(g->code);
}

static void run_from(struct guest *g, uint64_t offset)
{
    g->hart.pc = g->start + CODE + offset;
    assert_int_equal(run(g), EXIT_ECALL);
}

/* The translation at CODE + offset. */
static const struct translation *translation_at(struct guest *g, uint64_t offset)
{
    const struct unit *u = code_unit(g->code, g->start + CODE + offset);
    return u ? u->translation : NULL;
}

static void assert_kind(struct guest *g, uint64_t offset, enum translation_kind kind)
{
    const struct translation *t = translation_at(g, offset);
    assert_non_null(t);
    assert_int_equal(t->kind, kind);
}

/* ---- Made anew ---- */

enum { LOOP = 8, LOOP_END = 24 };

/* a0 = a1 + ... + 1. A quick unit ends with a jump that sets a register; so the loop is another. */
static void put_loop(struct guest *g)
{
    PROGRAM(g, ADDI(A0, 0, 0), JAL(T0, 4), /* LOOP: */ INSN(ADD, .rd = A0, .rs1 = A0, .rs2 = A1),
            ADDI(A1, A1, -1), BNE(A1, 0, -8), JAL(T0, 4), /* LOOP_END: */ ECALL);
}

static void run_loop(struct guest *g, uint64_t rounds)
{
    g->hart.x[A1] = rounds;
    run_from(g, 0);
    assert_int_equal(g->hart.pc - g->start, CODE + LOOP_END);
    assert_int_equal(g->hart.x[A0], rounds * (rounds + 1) / 2);
    assert_int_equal(g->hart.x[A1], 0);
}

/* Exactly then. With a limit of one, the second run would make the unit at the beginning anew, too, which then has the
 * loop's first round. */
static void after_so_many_entries(void **state)
{
    (void)state;
    for (unsigned limit = 2; limit < 8; limit++) {
        struct guest g;
        char options[64];
        snprintf(options, sizeof(options), "threshold:0,hot:0,quick:%u", limit);
        start(&g, "jit", options, limit % 2);
        put_loop(&g);
        run_loop(&g, limit);
        assert_kind(&g, LOOP, TRANSLATION_QUICK);
        assert_int_equal(stats(&g).quick, 2);
        unsigned units = (unsigned)stats(&g).units;
        assert_int_equal(g.hart.exits[ENGINE_EXIT_ENTERED], 0);
        run_loop(&g, 1);
        assert_int_equal(g.hart.exits[ENGINE_EXIT_ENTERED], 1);
        assert_kind(&g, LOOP, TRANSLATION_COUNTING);
        assert_true(stats(&g).units > units);
        stop(&g);
    }
}

/* Links that led to the quick unit lead to the new one: no hart comes back for each round. */
static void links_lead_to_the_new_one(void **state)
{
    (void)state;
    struct guest g;
    start(&g, "jit", "threshold:0,hot:0,quick:5", false);
    put_loop(&g);
    run_loop(&g, 100000);
    uint64_t exits = 0;
    for (unsigned i = 0; i < ENGINE_EXIT_COUNT; i++)
        exits += g.hart.exits[i];
    assert_int_equal(g.hart.exits[ENGINE_EXIT_ENTERED], 1);
    assert_in_range(exits, 4, 16);
    assert_kind(&g, 0, TRANSLATION_QUICK); /* entered once */
    assert_kind(&g, LOOP, TRANSLATION_COUNTING);
    stop(&g);
}

/* Nor for each call: the caller's link is that of another unit. */
static void links_of_others_lead_to_the_new_one(void **state)
{
    (void)state;
    static const char *const modes[] = {"threshold:0,hot:0,quick:5", "threshold:0,hot:0,quick:5,no-returns"};
    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
        struct guest g;
        start(&g, "jit", modes[i], false);
        PROGRAM(&g, JAL(RA, 20), ADDI(A1, A1, -1), BNE(A1, 0, -8), JAL(T0, 4), ECALL, ADDI(A0, A0, 3),
                JALR(0, RA, 0));
        g.hart.x[A0] = 0;
        g.hart.x[A1] = 10000;
        run_from(&g, 0);
        assert_int_equal(g.hart.x[A0], 30000);
        for (unsigned offset = 0; offset <= 20; offset += 20)
            assert_kind(&g, offset, TRANSLATION_COUNTING);
        assert_int_equal(g.hart.exits[ENGINE_EXIT_ENTERED],
                         3); /* caller, function, and where it returns to */
        stop(&g);
    }
}

/* Two units with one counter: when it has run out for one, it begins anew for the other. */
static void counters_begin_anew(void **state)
{
    (void)state;
    enum { LIMIT = 6, OTHER = 2 * JIT_ENTRIES };
    struct guest g;
    start(&g, "jit", "threshold:0,hot:0,quick:6", false);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t at = CODE + i * OTHER;
        put(&g, &at, (struct rv_insn)ADDI(A0, A0, 1));
        put(&g, &at, (struct rv_insn)JAL(T0, 4));
        put(&g, &at, (struct rv_insn)ECALL);
    }
    assert_int_equal(jit_entry_counter(CODE), jit_entry_counter(CODE + OTHER));
    for (unsigned i = 0; i < LIMIT + 1; i++)
        run_from(&g, 0);
    assert_kind(&g, 0, TRANSLATION_COUNTING);
    for (unsigned i = 0; i < LIMIT; i++) {
        run_from(&g, 0); /* which does not count any more */
        run_from(&g, OTHER);
        assert_kind(&g, OTHER, TRANSLATION_QUICK);
    }
    assert_int_equal(g.hart.exits[ENGINE_EXIT_ENTERED], 1);
    run_from(&g, OTHER);
    assert_kind(&g, OTHER, TRANSLATION_COUNTING);
    assert_int_equal(g.hart.x[A0], 3 * LIMIT + 2);
    stop(&g);
}

static void not_at_all(void **state)
{
    (void)state;
    struct guest g;
    start(&g, "jit", "threshold:0,hot:0,quick:0", false);
    put_loop(&g);
    run_loop(&g, 1000);
    assert_int_equal(stats(&g).quick, 0);
    assert_int_equal(g.hart.exits[ENGINE_EXIT_ENTERED], 0);
    assert_kind(&g, LOOP, TRANSLATION_COUNTING);
    stop(&g);
}

/* Which gains by registers that have no pins otherwise. */
static void then_as_a_loop(void **state)
{
    (void)state;
    struct guest g;
    start(&g, "jit", "threshold:0,hot:10,quick:5,threads:0", false);
    PROGRAM(&g, ADDI(T5, 0, 0), JAL(T0, 4), /* LOOP: */ INSN(ADD, .rd = T5, .rs1 = T5, .rs2 = T4),
            ADDI(T4, T4, -1), BNE(T4, 0, -8), JAL(T0, 4), /* LOOP_END: */ ECALL);
    for (unsigned i = 0; i < 2; i++) {
        g.hart.x[T4] = 1000;
        run_from(&g, 0);
        assert_int_equal(g.hart.x[T5], 1000 * 1001 / 2);
        assert_int_equal(stats(&g).loops, 1);
        assert_kind(&g, LOOP, TRANSLATION_LOOP);
    }
    stop(&g);
}

/* The way into a loop by its condition: the jump is followed, so that nothing begins there. */
static void jumps_are_followed(void **state)
{
    (void)state;
    enum { BODY = 8, CONDITION = 16, LIMIT = 5 };
    struct guest g;
    start(&g, "jit", "threshold:0,hot:0,quick:5", false);
    PROGRAM(&g, ADDI(A0, 0, 0), JAL(0, 12), /* BODY: */ INSN(ADD, .rd = A0, .rs1 = A0, .rs2 = A1),
            ADDI(A1, A1, -1), /* CONDITION: */ BNE(A1, 0, -8), JAL(T0, 4), ECALL);
    run_loop(&g, LIMIT);
    assert_kind(&g, 0, TRANSLATION_QUICK);
    assert_int_equal(translation_at(&g, 0)->piece_count, 2);
    assert_int_equal(translation_at(&g, 0)->insns, 4);
    assert_kind(&g, BODY, TRANSLATION_QUICK);
    assert_int_equal(translation_at(&g, BODY)->piece_count, 1);
    assert_int_equal(translation_at(&g, BODY)->insns, 4);
    assert_null(translation_at(&g, CONDITION));
    assert_int_equal(stats(&g).quick, 2);
    assert_int_equal(g.hart.exits[ENGINE_EXIT_ENTERED], 0);
    run_loop(&g, 1);
    assert_int_equal(g.hart.exits[ENGINE_EXIT_ENTERED], 1); /* the body's entries: as many as rounds */
    assert_kind(&g, BODY, TRANSLATION_COUNTING);
    assert_kind(&g, 0, TRANSLATION_QUICK);
    stop(&g);
}

/* A loop that ends with a jump to where it begins is one unit, which is entered for each round. */
static void jumps_back_are_entries(void **state)
{
    (void)state;
    struct guest g;
    start(&g, "jit", "threshold:0,hot:0,quick:5", false);
    PROGRAM(&g, ADDI(A0, 0, 0), JAL(T0, 4), /* LOOP: */ BEQ(A1, 0, 16),
            INSN(ADD, .rd = A0, .rs1 = A0, .rs2 = A1), ADDI(A1, A1, -1), JAL(0, -12), /* LOOP_END: */ ECALL);
    run_loop(&g, 4);
    assert_kind(&g, LOOP, TRANSLATION_QUICK);
    assert_int_equal(translation_at(&g, LOOP)->piece_count, 1);
    assert_int_equal(translation_at(&g, LOOP)->insns, 4);
    assert_int_equal(stats(&g).quick, 2);
    assert_int_equal(g.hart.exits[ENGINE_EXIT_ENTERED], 0);
    run_loop(&g, 0);
    assert_int_equal(g.hart.exits[ENGINE_EXIT_ENTERED], 1);
    assert_kind(&g, LOOP, TRANSLATION_COUNTING);
    stop(&g);
}

/* What no quick unit has is translated otherwise at once. */
static void others_are_not_quick(void **state)
{
    (void)state;
    struct guest g;
    start(&g, "jit", "threshold:0,hot:0", false);
    PROGRAM(&g, ADDI(A0, 0, 7), INSN(DIV, .rd = A0, .rs1 = A0, .rs2 = A1), JAL(T0, 4), ECALL);
    g.hart.x[A1] = 2;
    run_from(&g, 0);
    assert_int_equal(g.hart.x[A0], 3);
    assert_kind(&g, 0, TRANSLATION_COUNTING);
    assert_int_equal(stats(&g).quick, 0);
    assert_int_equal(stats(&g).failed, 0); /* it was no failure */
    stop(&g);
}

/* Where there is none, or one that is not quick, nothing happens. */
static void only_quick_ones(void **state)
{
    (void)state;
    struct guest g;
    start(&g, "jit", "threshold:0,hot:0,quick:5", false);
    put_loop(&g);
    code_promote(g.code, g.start + CODE);
    run_loop(&g, 100);
    uint64_t units = stats(&g).units;
    const struct translation *t = translation_at(&g, LOOP);
    code_promote(g.code, g.start + CODE + LOOP);
    code_promote(g.code, g.start + CODE + 4);
    assert_ptr_equal(translation_at(&g, LOOP), t);
    assert_int_equal(stats(&g).units, units);
    code_promote(g.code, g.start + CODE);
    assert_kind(&g, 0, TRANSLATION_COUNTING);
    run_loop(&g, 100);
    stop(&g);
}

/* ---- Code that changes ---- */

enum { CALLER_ROUNDS = 12, FUNCTION = 0x100 };

/* Calls the function at FUNCTION a1 times, by way of the jump cache; it adds what it has for an addend to a0. */
static void put_caller(struct guest *g)
{
    uint64_t at = CODE + FUNCTION;
    put(g, &at, (struct rv_insn)ADDI(A0, A0, 1));
    put(g, &at, (struct rv_insn)JALR(0, RA, 0));
    PROGRAM(g, JALR(RA, A5, 0), ADDI(A1, A1, -1), BNE(A1, 0, -8), JAL(T0, 4), ECALL);
}

static void call(struct hart *hart, const struct guest *g, uint64_t times, uint64_t addend)
{
    hart->pc = g->start + CODE;
    hart->x[A0] = 0;
    hart->x[A1] = times;
    hart->x[A5] = g->start + CODE + FUNCTION;
    assert_int_equal(run_hart(hart), EXIT_ECALL);
    assert_int_equal(hart->x[A0], times * addend);
}

static const struct jit_jump *jump_of(const struct guest *g, const struct hart *hart)
{
    uint64_t pc = g->start + CODE + FUNCTION;
    return &hart->jit.jumps[pc / 2 % JIT_JUMP_COUNT];
}

static void write_addend(struct guest *g, int addend)
{
    uint64_t at = CODE + FUNCTION;
    put(g, &at, (struct rv_insn)ADDI(A0, A0, addend));
}

static void tell(struct guest *g, bool fence)
{
    if (fence)
        code_fence(g->code);
    else
        code_invalidate(g->code, g->start + CODE + FUNCTION, g->start + CODE + FUNCTION + 4);
}

/* Two harts: when the first has the function made anew, the jump cache of the second still has the quick unit. */
static void check_change(bool fence)
{
    struct guest g;
    struct hart *second = calloc(1, sizeof(*second));
    start(&g, "jit", "threshold:0,hot:0,quick:8", false);
    g.changeable = fence;
    assert_int_equal(hart_init(second, g.code, 0, UINT64_C(1) << 47, NULL), 0);
    put_caller(&g);
    call(second, &g, 4, 1);
    const void *quick = translation_at(&g, FUNCTION)->unit.entry;
    assert_kind(&g, FUNCTION, TRANSLATION_QUICK);
    assert_ptr_equal(jump_of(&g, second)->entry, quick);

    call(&g.hart, &g, CALLER_ROUNDS, 1);
    assert_kind(&g, FUNCTION, TRANSLATION_COUNTING);
    assert_ptr_not_equal(translation_at(&g, FUNCTION)->unit.entry, quick);
    assert_ptr_equal(jump_of(&g, &g.hart)->entry, translation_at(&g, FUNCTION)->unit.entry);
    assert_ptr_equal(jump_of(&g, second)->entry, quick);
    uint64_t lookups = second->exits[ENGINE_EXIT_LOOKUP];
    call(second, &g, 2, 1);
    assert_ptr_equal(jump_of(&g, second)->entry, quick); /* which is alive */
    assert_int_equal(second->exits[ENGINE_EXIT_LOOKUP], lookups);

    write_addend(&g, 5);
    tell(&g, fence);
    assert_null(translation_at(&g, FUNCTION));
    call(second, &g, 3, 5);
    call(&g.hart, &g, 3, 5);
    write_addend(&g, 6); /* the one that was made since */
    tell(&g, fence);
    call(&g.hart, &g, CALLER_ROUNDS, 6);
    call(second, &g, CALLER_ROUNDS, 6);
    hart_release(second);
    free(second);
    stop(&g);
}

static void old_ones_die_with_their_code(void **state)
{
    (void)state;
    check_change(false);
    check_change(true);
}

/* Where only the old one has the code that changes, the new one stays. The branches end the interpreter's unit before
 * it. */
static void old_ones_die_alone(void **state)
{
    (void)state;
    enum { CHANGED = 20 };
    struct guest g;
    uint64_t at = CODE + CHANGED;
    start(&g, "jit", "threshold:0,hot:0,quick:3", false);
    PROGRAM(&g, BNE(0, 0, 8), BNE(0, 0, 8), BNE(0, 0, 8), BNE(0, 0, 8), ADDI(A0, A0, 2),
            /* CHANGED: */ ADDI(A0, A0, 4), JAL(T0, 4), ECALL);
    run_from(&g, 0);
    for (unsigned i = 0; i < 4; i++)
        run_from(&g, CHANGED);
    assert_kind(&g, CHANGED, TRANSLATION_COUNTING);
    assert_int_equal(translation_at(&g, 0)->insns, 7);
    for (unsigned i = 0; i < 3; i++)
        run_from(&g, 0);
    assert_kind(&g, 0, TRANSLATION_COUNTING);
    const struct translation *t = translation_at(&g, 0);
    assert_int_equal(t->insns, 5);
    put(&g, &at, (struct rv_insn)ADDI(A0, A0, 8));
    uint64_t killed = stats(&g).killed;
    code_invalidate(g.code, g.start + CODE + CHANGED, g.start + CODE + CHANGED + 4);
    assert_int_equal(stats(&g).killed, killed + 3); /* the old one, and both that begin there */
    assert_ptr_equal(translation_at(&g, 0), t);
    assert_null(translation_at(&g, CHANGED));
    g.hart.x[A0] = 0;
    run_from(&g, 0);
    assert_int_equal(g.hart.x[A0], 10);
    stop(&g);
}

/* A hart that finds itself in an old one counts its entries, too, and then goes on in the new one. */
static void old_ones_lead_to_the_new_one(void **state)
{
    (void)state;
    struct guest g;
    struct hart *second = calloc(1, sizeof(*second));
    start(&g, "jit", "threshold:0,hot:0,quick:8", false);
    assert_int_equal(hart_init(second, g.code, 0, UINT64_C(1) << 47, NULL), 0);
    put_caller(&g);
    call(second, &g, 4, 1);
    call(&g.hart, &g, CALLER_ROUNDS, 1);
    const struct translation *t = translation_at(&g, FUNCTION);
    uint64_t units = stats(&g).units;
    call(second, &g, CALLER_ROUNDS, 1);
    assert_ptr_equal(translation_at(&g, FUNCTION), t);
    assert_ptr_equal(jump_of(&g, second)->entry, t->unit.entry);
    assert_int_equal(stats(&g).units, units);
    hart_release(second);
    free(second);
    stop(&g);
}

/* What nobody was told of is found when the unit is made anew, even if nothing can be made of it. */
static void changes_that_were_not_told(void **state)
{
    (void)state;
    static const struct rv_insn others[] = {ADDI(A0, A0, 5), EBREAK, CSRRS(A0, RV_CSR_INSTRET, 0)};
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        struct guest g;
        uint64_t at = CODE;
        start(&g, "jit", "threshold:0,hot:0,quick:3", false);
        g.changeable = true;
        PROGRAM(&g, ADDI(A0, A0, 1), JAL(T0, 4), ECALL);
        for (unsigned k = 0; k < 3; k++)
            run_from(&g, 0);
        put(&g, &at, others[i]);
        g.hart.pc = g.start + CODE;
        g.hart.x[A0] = 0;
        assert_int_equal(run(&g), others[i].op == RV_EBREAK ? EXIT_EBREAK : EXIT_ECALL);
        assert_int_equal(g.hart.pc - g.start, CODE + (others[i].op == RV_EBREAK ? 0 : 8));
        if (others[i].op == RV_ADDI)
            assert_int_equal(g.hart.x[A0], 5);
        code_fence(g.code);
        at = CODE;
        put(&g, &at, (struct rv_insn)ADDI(A0, A0, 7));
        code_fence(g.code);
        g.hart.x[A0] = 0;
        run_from(&g, 0);
        assert_int_equal(g.hart.x[A0], 7);
        stop(&g);
    }
}

/* ---- In words ---- */

static void quick_units_are_printed(void **state)
{
    (void)state;
    struct guest g;
    struct buf quick = {0}, later = {0};
    start(&g, "jit", "threshold:0,hot:0,quick:3", true);
    put_loop(&g);
    run_loop(&g, 1);
    code_print(g.code, CODE + LOOP, DUMP_GUEST | DUMP_IR | DUMP_HOST, &quick);
    run_loop(&g, 100);
    code_print(g.code, CODE + LOOP, DUMP_GUEST | DUMP_IR | DUMP_HOST, &later);
    buf_printf(&quick, "%c", 0);
    buf_printf(&later, "%c", 0);
    assert_non_null(strstr(quick.data, "guest: 4 instructions, quick\n"));
    assert_non_null(strstr(quick.data, "host: entry"));
    assert_null(strstr(later.data, "quick"));
    assert_true(later.length > quick.length); /* there is IR */
    buf_release(&quick);
    buf_release(&later);
    stop(&g);
}

/* ---- Faults ---- */

/* In the unit that was superseded: its own instructions are found, though another has its pc. */
static void faults_in_old_ones_are_exact(void **state)
{
    (void)state;
    struct guest g;
    struct hart *second = calloc(1, sizeof(*second));
    start(&g, "jit", "threshold:0,hot:0,quick:8", false);
    assert_int_equal(hart_init(second, g.code, 0, UINT64_C(1) << 47, NULL), 0);
    put_caller(&g);
    uint64_t at = CODE + FUNCTION;
    put(&g, &at, (struct rv_insn)ADDI(A0, A0, 1));
    put(&g, &at, (struct rv_insn)LUI(T3, 0x12345000));
    put(&g, &at, (struct rv_insn)ADDI(T3, T3, 0x678));
    put(&g, &at, (struct rv_insn)LW(A2, S0, 4));
    put(&g, &at, (struct rv_insn)ADDI(T3, T3, 1));
    put(&g, &at, (struct rv_insn)JALR(0, RA, 0));
    g.hart.x[S0] = second->x[S0] = g.start + DATA;
    call(second, &g, 4, 1);
    call(&g.hart, &g, CALLER_ROUNDS, 1);
    assert_ptr_not_equal(jump_of(&g, second)->entry, translation_at(&g, FUNCTION)->unit.entry);
    struct hart *const harts[] = {second, &g.hart};
    for (unsigned i = 0; i < 2; i++) {
        struct hart *h = harts[i];
        h->pc = g.start + CODE;
        h->x[A0] = h->x[T3] = 0;
        h->x[A1] = 7;
        h->x[A2] = 99;
        h->x[S0] = g.start + DATA + 2 * PAGE;
        h->x[A5] = g.start + CODE + FUNCTION;
        assert_int_equal(run_hart(h), EXIT_FAULT);
        assert_int_equal(h->pc - g.start, CODE + FUNCTION + 12);
        assert_int_equal(h->exit.address - g.start, DATA + 2 * PAGE + 4);
        assert_int_equal(h->exit.host_signal, SIGSEGV);
        assert_int_equal(h->x[T3], 0x12345678);
        assert_int_equal(h->x[A2], 99);
        assert_int_equal(h->x[A0], 1);
        assert_int_equal(h->x[RA] - g.start, CODE + 4);
    }
    hart_release(second);
    free(second);
    stop(&g);
}

/* Where another unit was known, so that this one was cut: its own instructions again, and no others. */
static void faults_in_cut_ones_are_exact(void **state)
{
    (void)state;
    struct guest g;
    start(&g, "jit", "threshold:0,hot:0", true);
    PROGRAM(&g, ADDI(A0, A0, 1), LW(A2, S0, 0), ADDI(T3, T3, 1), ADDI(T3, T3, 1), ADDI(T3, T3, 1), JAL(T0, 4),
            ECALL);
    g.hart.x[S0] = DATA;
    run_from(&g, 8);
    run_from(&g, 0);
    assert_int_equal(translation_at(&g, 0)->insns, 2);
    assert_true(translation_at(&g, 0)->cut);
    assert_kind(&g, 0, TRANSLATION_QUICK);
    g.hart.x[S0] = DATA + 2 * PAGE;
    g.hart.x[A0] = g.hart.x[T3] = 0;
    g.hart.x[A2] = 99;
    g.hart.pc = CODE;
    assert_int_equal(run(&g), EXIT_FAULT);
    assert_int_equal(g.hart.pc, CODE + 4);
    assert_int_equal(g.hart.exit.address, DATA + 2 * PAGE);
    assert_int_equal(g.hart.x[A0], 1);
    assert_int_equal(g.hart.x[A2], 99);
    assert_int_equal(g.hart.x[T3], 0);
    stop(&g);
}

enum { FIRST = 12, LATER_LOAD = 4, LATER_STORE = 32 };

/* From FIRST on through three pieces, of which the last comes first in memory. */
static void put_pieces(struct guest *g)
{
    PROGRAM(g, ADDI(T3, T3, 16), /* LATER_LOAD: */ LW(A2, S1, 0), JALR(0, A5, 0),
            /* FIRST: */ ADDI(A0, A0, 1), JAL(0, 12), EBREAK, EBREAK, ADDI(A0, A0, 2),
            /* LATER_STORE: */ SW(A0, S0, 4), JAL(0, -36), ECALL);
}

static void set_for_pieces(struct guest *g)
{
    struct hart *h = &g->hart;
    h->x[S0] = h->x[S1] = g->start + DATA;
    h->x[A0] = h->x[T3] = 0;
    h->x[A2] = 99;
    h->x[A5] = g->start + CODE + 40;
    h->pc = g->start + CODE + FIRST;
}

static void assert_fault(struct guest *g, uint64_t offset, uint64_t address)
{
    assert_int_equal(run(g), EXIT_FAULT);
    assert_int_equal(g->hart.pc - g->start, CODE + offset);
    assert_int_equal(g->hart.exit.address - g->start, address);
    assert_int_equal(g->hart.x[A0], 3);
    assert_int_equal(g->hart.x[A2], 99);
}

static void faults_in_later_pieces_are_exact(void **state)
{
    (void)state;
    for (unsigned based = 0; based < 2; based++) {
        struct guest g;
        start(&g, "jit", "threshold:0,hot:0", based);
        put_pieces(&g);
        set_for_pieces(&g);
        assert_int_equal(run(&g), EXIT_ECALL);
        assert_kind(&g, FIRST, TRANSLATION_QUICK);
        assert_int_equal(translation_at(&g, FIRST)->piece_count, 3);
        assert_int_equal(translation_at(&g, FIRST)->insns, 8);
        assert_int_equal(stats(&g).quick, 1);
        set_for_pieces(&g);
        g.hart.x[S0] = g.start + DATA + 2 * PAGE;
        assert_fault(&g, LATER_STORE, DATA + 2 * PAGE + 4);
        assert_int_equal(g.hart.x[T3], 0);
        set_for_pieces(&g);
        g.hart.x[S1] = g.start + DATA + 2 * PAGE;
        assert_fault(&g, LATER_LOAD, DATA + 2 * PAGE);
        assert_int_equal(g.hart.x[T3], 16);
        assert_int_equal(g.hart.exits[ENGINE_EXIT_FAULT], 2); /* it was not the interpreter */
        stop(&g);
    }
}

/* Whichever piece has it. */
static void changes_in_later_pieces_are_seen(void **state)
{
    (void)state;
    static const unsigned offsets[] = {FIRST, FIRST + 4 + 12, 0};
    for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
        struct guest g;
        start(&g, "jit", "threshold:0,hot:0", false);
        put_pieces(&g);
        set_for_pieces(&g);
        assert_int_equal(run(&g), EXIT_ECALL);
        uint64_t at = CODE + offsets[i];
        g.hart.x[A1] = 0;
        put(&g, &at, (struct rv_insn)ADDI(A1, A1, 77));
        code_invalidate(g.code, g.start + at - 4, g.start + at);
        assert_null(translation_at(&g, FIRST));
        set_for_pieces(&g);
        assert_int_equal(run(&g), EXIT_ECALL);
        assert_int_equal(g.hart.x[A1], 77);
        stop(&g);
    }
}

/* ---- Programs made by chance ---- */

enum { SEQUENCE = 40, CHUNK = 5, SLOTS = SEQUENCE + SEQUENCE / CHUNK, TAIL = SLOTS * 4 };

/* Where a program's instructions are: in chunks, each but the last with a jump to the next one behind it. */
struct layout {
    unsigned chunk; /* instructions */
    uint8_t order[SEQUENCE / CHUNK];
};

static void scatter(struct layout *l, bool scattered, struct rng *rng)
{
    *l = (struct layout){.chunk = scattered ? CHUNK : SEQUENCE};
    for (unsigned i = 0; i < SEQUENCE / l->chunk; i++) {
        unsigned k = rng_below(rng, i + 1);
        l->order[i] = l->order[k];
        l->order[k] = (uint8_t)i;
    }
}

/* The slot of the instruction, which may be the one behind the last. */
static unsigned slot_of(const struct layout *l, unsigned index)
{
    unsigned chunk = MIN(index, SEQUENCE - 1u) / l->chunk;
    return l->order[chunk] * (l->chunk + 1) + index - chunk * l->chunk;
}

static int32_t way(unsigned from, unsigned to)
{
    return 4 * ((int32_t)to - (int32_t)from);
}

static bool is_base(unsigned number)
{
    return number == S0 || number == T4;
}

/* Into the data, and to instructions that come later; jumps through registers are left out. */
static void tame(struct rng *rng, struct rv_insn *insn, const struct layout *l, unsigned index)
{
    struct rv_insn tamed = *insn;
    unsigned flags = rv_op_flags(insn->op);
    if (row_writes_x(insn->row) && is_base(insn->rd))
        tamed.rd = A2;
    if (flags & (RV_LOAD | RV_STORE))
        tamed.rs1 = rng_percent(rng, 50) ? S0 : T4;
    if (flags & (RV_BRANCH | RV_JUMP))
        tamed.imm = way(slot_of(l, index), slot_of(l, index + 1 + rng_below(rng, SEQUENCE - index)));
    if (insn->op == RV_JALR || !row_adjust(&tamed))
        tamed = (struct rv_insn)ADDI(0, 0, 0);
    *insn = tamed;
}

/* Every instruction takes four bytes, a short one with a nop. */
static void put_wide(struct guest *g, unsigned index, const struct rv_insn *insn)
{
    const uint16_t c_nop = 1;
    uint32_t word = rv_encode(insn);
    if ((word & 3) != 3)
        word = (word & 0xffff) | (uint32_t)c_nop << 16;
    assert_int_equal(host_copy(g->memory + CODE + 4 * index, &word, sizeof(word)), 0);
}

static bool is_for_quick(unsigned row)
{
    static const char *const rows[] = {
        "lui",   "auipc", "jal",   "beq",  "bne",  "blt",  "bge",  "bltu", "bgeu", "lb",
        "lh",    "lw",    "ld",    "lbu",  "lhu",  "lwu",  "sb",   "sh",   "sw",   "sd",
        "addi",  "slti",  "sltiu", "xori", "ori",  "andi", "slli", "srli", "srai", "addiw",
        "slliw", "srliw", "sraiw", "add",  "sub",  "mul",  "and",  "or",   "xor",  "sll",
        "srl",   "sra",   "slt",   "sltu", "addw", "subw", "mulw", "sllw", "srlw", "sraw"};
    struct rv_insn insn;
    struct rng rng = rng_make(1, row);
    row_random(row, &rng, &insn);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        if (strcmp(rv_op_name(insn.op), rows[i]) == 0)
            return true;
    return false;
}

static unsigned find_rows(uint16_t *rows)
{
    unsigned count = 0;
    for (unsigned row = 1; row < RV_ROW_COUNT; row++)
        if (is_for_quick(row))
            rows[count++] = (uint16_t)row;
    return count;
}

static void make_program(struct guest *g, struct rng *rng, const struct layout *l, const uint16_t *rows,
                         unsigned count)
{
    const unsigned last = slot_of(l, SEQUENCE), end = SEQUENCE + SEQUENCE / l->chunk;
    for (unsigned i = 0; i < SEQUENCE; i++) {
        struct rv_insn insn;
        unsigned slot = slot_of(l, i);
        row_random(rows[rng_below(rng, count)], rng, &insn);
        tame(rng, &insn, l, i);
        put_wide(g, slot, &insn);
        if (i % l->chunk == l->chunk - 1)
            put_wide(g, slot + 1, &JAL(0, way(slot + 1, slot_of(l, i + 1))));
    }
    put_wide(g, last, &JAL(T0, way(last, end)));
    put_wide(g, end, &ECALL);
}

static void fill_data(struct guest *g, uint64_t seed)
{
    struct rng rng = rng_make(seed, 1);
    for (unsigned i = 0; i < 2 * PAGE; i += 8) {
        uint64_t value = value_random(&rng, VALUE_INT);
        host_copy(g->memory + DATA + i, &value, sizeof(value));
    }
}

static void forget_program(struct guest *g)
{
    code_invalidate(g->code, g->start + CODE, g->start + CODE + TAIL + 8);
}

struct outcome {
    uint64_t x[32], pc;
    struct hart_exit exit;
    uint8_t memory[2 * PAGE];
};

static void note(struct guest *g, const uint64_t *x, uint64_t seed, unsigned slot, struct outcome *o)
{
    fill_data(g, seed);
    memcpy(g->hart.x, x, sizeof(o->x));
    g->hart.pc = g->start + CODE + 4 * slot;
    run(g);
    memcpy(o->x, g->hart.x, sizeof(o->x));
    o->pc = g->hart.pc;
    o->exit = g->hart.exit;
    host_copy(o->memory, g->memory + DATA, sizeof(o->memory));
}

static void show_program(const struct guest *g)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct rv_insn insn;
        uint32_t word;
        char text[64];
        host_copy(&word, g->memory + CODE + 4 * i, sizeof(word));
        rv_decode(word, &insn);
        rv_disasm(&insn, CODE + 4 * i, text, sizeof(text));
        print_error("%6x  %s\n", CODE + 4 * i, text);
    }
}

static void compare(const struct guest *g, const struct outcome *is, const struct outcome *right,
                    uint64_t seed)
{
    bool same = is->pc == right->pc && is->exit.kind == right->exit.kind;
    if (right->exit.kind == EXIT_FAULT)
        same &= is->exit.address == right->exit.address;
    for (unsigned i = 1; i < 32; i++)
        if (is->x[i] != right->x[i]) {
            print_error("x%u is %" PRIx64 ", not %" PRIx64 "\n", i, is->x[i], right->x[i]);
            same = false;
        }
    if (same && !memcmp(is->memory, right->memory, sizeof(is->memory)))
        return;
    show_program(g);
    fail_msg("seed %" PRIu64 ": exit %d at %" PRIx64 ", not %d at %" PRIx64, seed, is->exit.kind,
             is->pc - g->start, right->exit.kind, right->pc - g->start);
}

/* How often a quick unit of many pieces was there. */
static unsigned check_programs(const char *options, bool based, bool scattered)
{
    static struct outcome right, is;
    static const unsigned starts[] = {SEQUENCE / 2, 0, SEQUENCE / 4, 0, SEQUENCE / 2}; /* some cut others */
    uint16_t rows[RV_ROW_COUNT];
    unsigned count = find_rows(rows), faults = 0, many = 0;
    struct guest interp, jit;
    start(&interp, "interp", "threshold:0", based);
    start_in(&jit, interp.memory, "jit", options, based);
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        struct rng rng = rng_make(seed, 0);
        uint64_t x[32] = {0};
        for (unsigned i = 1; i < 32; i++)
            x[i] = value_random(&rng, VALUE_INT);
        x[S0] = interp.start + DATA + PAGE;
        /* Some accesses are behind the data, or end there. */
        x[T4] = interp.start + DATA + (rng_percent(&rng, 20) ? 2 * PAGE - rng_below(&rng, 2048) : PAGE);
        struct layout layout;
        scatter(&layout, scattered, &rng);
        make_program(&interp, &rng, &layout, rows, count);
        forget_program(&interp);
        forget_program(&jit);
        for (unsigned i = 0; i < ARRAY_SIZE(starts); i++) {
            unsigned slot = slot_of(&layout, starts[i]);
            note(&interp, x, seed, slot, &right);
            note(&jit, x, seed, slot, &is);
            compare(&jit, &is, &right, seed);
            faults += is.exit.kind == EXIT_FAULT;
            const struct translation *t = translation_at(&jit, 4 * slot);
            many += t && t->kind == TRANSLATION_QUICK && t->piece_count > 2;
        }
    }
    assert_in_range(faults, 250, 5000);
    assert_true(stats(&jit).quick > 3000);
    stop_keeping_memory(&jit);
    stop(&interp);
    return many;
}

static void programs_do_what_the_interpreter_does(void **state)
{
    (void)state;
    for (unsigned scattered = 0; scattered < 2; scattered++) {
        unsigned many = check_programs("threshold:0", false, scattered);
        check_programs("threshold:0", true, scattered);
        check_programs("threshold:0,insns:3,no-returns", false, scattered);
        check_programs("threshold:0,no-chain", true, scattered);
        check_programs("threshold:0,quick:2", false, scattered);
        assert_true(!scattered || many > 3000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_so_many_entries),
        cmocka_unit_test(links_lead_to_the_new_one),
        cmocka_unit_test(links_of_others_lead_to_the_new_one),
        cmocka_unit_test(counters_begin_anew),
        cmocka_unit_test(not_at_all),
        cmocka_unit_test(then_as_a_loop),
        cmocka_unit_test(jumps_are_followed),
        cmocka_unit_test(jumps_back_are_entries),
        cmocka_unit_test(others_are_not_quick),
        cmocka_unit_test(only_quick_ones),
        cmocka_unit_test(old_ones_die_with_their_code),
        cmocka_unit_test(old_ones_die_alone),
        cmocka_unit_test(changes_that_were_not_told),
        cmocka_unit_test(quick_units_are_printed),
        cmocka_unit_test(old_ones_lead_to_the_new_one),
        cmocka_unit_test(faults_in_old_ones_are_exact),
        cmocka_unit_test(faults_in_cut_ones_are_exact),
        cmocka_unit_test(faults_in_later_pieces_are_exact),
        cmocka_unit_test(changes_in_later_pieces_are_seen),
        cmocka_unit_test(programs_do_what_the_interpreter_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
