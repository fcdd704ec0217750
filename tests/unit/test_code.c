/* Predecoded code: units are found, shared, killed when their code changes, and freed when nobody can be inside.
 * The guest is a few hand-encoded instructions in a memory of the test's own. */
#include "cpu/riscv/predecode.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define MEMORY_SIZE 0x10000u
#define CODE        0x1000u

struct guest {
    uint8_t *memory;
    struct code *code;
    struct hart hart;
    uint64_t executable_end;
    bool writable;
};

static bool executable(void *context, uint64_t address, uint64_t *end, bool *writable)
{
    struct guest *g = context;
    *end = g->executable_end;
    *writable = g->writable;
    return address >= CODE && address < g->executable_end;
}

static const struct code_ops ops = {.executable = executable};

static int setup(void **state)
{
    struct guest *g = calloc(1, sizeof(*g));
    g->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g->executable_end = MEMORY_SIZE;
    uint64_t base = (uint64_t)g->memory;
    assert_int_equal(code_new(&g->code, &ops, g, base, ~UINT64_C(0), NULL), 0);
    assert_int_equal(hart_init(&g->hart, g->code, base, MEMORY_SIZE, NULL), 0);
    g->hart.pc = CODE;
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct guest *g = *state;
    hart_release(&g->hart);
    code_free(g->code);
    munmap(g->memory, MEMORY_SIZE);
    free(g);
    return 0;
}

static void put(struct guest *g, uint64_t address, struct rv_insn insn)
{
    insn.row = insn.op;
    uint32_t word = rv_encode(&insn);
    memcpy(g->memory + address, &word, 4);
}

#define ADDI(d, s, i) ((struct rv_insn){.op = RV_ADDI, .rd = d, .rs1 = s, .imm = i})
#define BNE(a, b, i)  ((struct rv_insn){.op = RV_BNE, .rs1 = a, .rs2 = b, .imm = i})
#define JAL(d, i)     ((struct rv_insn){.op = RV_JAL, .rd = d, .imm = i})
#define JALR(d, s, i) ((struct rv_insn){.op = RV_JALR, .rd = d, .rs1 = s, .imm = i})
#define SW(v, s, i)   ((struct rv_insn){.op = RV_SW, .rs1 = s, .rs2 = v, .imm = i})
#define LUI(d, i)     ((struct rv_insn){.op = RV_LUI, .rd = d, .imm = i})
#define AUIPC(d, i)   ((struct rv_insn){.op = RV_AUIPC, .rd = d, .imm = i})
#define ECALL         ((struct rv_insn){.op = RV_ECALL})
#define FENCE_I       ((struct rv_insn){.op = RV_FENCE_I})

static void run(struct guest *g, enum exit_kind expected)
{
    interp_run(&g->hart);
    assert_int_equal(g->hart.exit.kind, expected);
}

static void counts_a_loop(void **state)
{
    struct guest *g = *state;
    put(g, CODE, ADDI(5, 0, 10));
    put(g, CODE + 4, ADDI(6, 6, 3));
    put(g, CODE + 8, ADDI(5, 5, -1));
    put(g, CODE + 12, BNE(5, 0, -8));
    put(g, CODE + 16, ECALL);
    run(g, EXIT_ECALL);
    assert_int_equal(g->hart.x[6], 30);
    assert_int_equal(g->hart.pc, CODE + 16);
    assert_int_equal(g->hart.instret, 1 + 10 * 3 + 1);
    assert_int_equal(code_stats(g->code).units, 2);
}

static void never_writes_x0(void **state)
{
    struct guest *g = *state;
    put(g, CODE, ADDI(0, 0, 7));
    put(g, CODE + 4, LUI(0, 0x1000));
    put(g, CODE + 8, AUIPC(0, 0));
    put(g, CODE + 12, JAL(0, 4));
    put(g, CODE + 16, ECALL);
    run(g, EXIT_ECALL);
    assert_int_equal(g->hart.x[0], 0);
}

static void fuses_constants(void **state)
{
    struct guest *g = *state;
    put(g, CODE, LUI(5, 0x12345000));
    put(g, CODE + 4, ADDI(5, 5, -1));
    put(g, CODE + 8, AUIPC(6, 0x1000));
    put(g, CODE + 12, ADDI(7, 6, 1)); /* another register: stays two */
    put(g, CODE + 16, ECALL);
    run(g, EXIT_ECALL);
    assert_int_equal(g->hart.x[5], 0x12344fff);
    assert_int_equal(g->hart.x[6], CODE + 8 + 0x1000);
    assert_int_equal(g->hart.x[7], CODE + 9 + 0x1000);
    assert_int_equal(g->hart.instret, 5);
}

static void stops_when_kicked(void **state)
{
    struct guest *g = *state;
    put(g, CODE, JAL(0, 0));
    hart_kick(&g->hart);
    run(g, EXIT_PENDING);
    assert_int_equal(g->hart.pc, CODE);
}

static void *kicker(void *hart)
{
    hart_kick(hart);
    return NULL;
}

static void is_kicked_by_another_thread(void **state)
{
    struct guest *g = *state;
    pthread_t thread;
    put(g, CODE, JAL(0, 0));
    pthread_create(&thread, NULL, kicker, &g->hart);
    run(g, EXIT_PENDING);
    pthread_join(thread, NULL);
}

static void reports_fetch_faults(void **state)
{
    struct guest *g = *state;
    put(g, CODE, JALR(1, 0, 0x10));
    run(g, EXIT_FETCH);
    assert_int_equal(g->hart.pc, 0x10);
    assert_int_equal(g->hart.exit.address, 0x10);
    assert_int_equal(g->hart.x[1], CODE + 4);

    /* Half an instruction at the end of executable memory: the fault is on the page behind it. */
    g->executable_end = CODE + 6;
    put(g, CODE + 4, ADDI(5, 5, 1));
    g->hart.pc = CODE + 4;
    run(g, EXIT_FETCH);
    assert_int_equal(g->hart.pc, CODE + 4);
    assert_int_equal(g->hart.exit.address, CODE + 6);
}

static void reports_out_of_range(void **state)
{
    struct guest *g = *state;
    put(g, CODE, ADDI(5, 0, -1));
    put(g, CODE + 4, SW(5, 5, 0));
    run(g, EXIT_FAULT);
    assert_int_equal(g->hart.pc, CODE + 4);
    assert_int_equal(g->hart.exit.address, UINT64_MAX);
    assert_int_equal(g->hart.instret, 1);
}

static void reports_illegal(void **state)
{
    struct guest *g = *state;
    put(g, CODE, ADDI(5, 0, 1));
    memset(g->memory + CODE + 4, 0, 4);
    run(g, EXIT_ILLEGAL);
    assert_int_equal(g->hart.pc, CODE + 4);
}

/* The loop's own unit changes while its links lead to it. */
static void invalidation_is_seen(void **state)
{
    struct guest *g = *state;
    put(g, CODE, ADDI(5, 0, 1));
    put(g, CODE + 4, JAL(0, 0x100));
    put(g, CODE + 0x104, ECALL);
    run(g, EXIT_ECALL);
    put(g, CODE + 0x104, ADDI(5, 0, 2));
    put(g, CODE + 0x108, ECALL);
    g->hart.pc = CODE;
    run(g, EXIT_ECALL);
    assert_int_equal(g->hart.x[5], 1); /* trusted until told */
    code_invalidate(g->code, CODE + 0x104, CODE + 0x108);
    g->hart.pc = CODE;
    run(g, EXIT_ECALL);
    assert_int_equal(g->hart.x[5], 2);
    assert_int_equal(code_stats(g->code).killed, 1);
}

static void invalidation_reaches_back(void **state)
{
    struct guest *g = *state;
    uint64_t start = CODE + 0xff8; /* a unit that runs into the next page */
    put(g, start, ADDI(5, 0, 1));
    put(g, start + 4, ADDI(6, 0, 1));
    put(g, start + 8, ADDI(7, 0, 1));
    put(g, start + 12, ECALL);
    g->hart.pc = start;
    run(g, EXIT_ECALL);
    put(g, start + 8, ADDI(7, 0, 2));
    code_invalidate(g->code, CODE + 0x1000, CODE + 0x2000);
    g->hart.pc = start;
    run(g, EXIT_ECALL);
    assert_int_equal(g->hart.x[7], 2);
}

static void fence_finds_changes(void **state)
{
    struct guest *g = *state;
    g->writable = true;
    put(g, CODE, FENCE_I);
    put(g, CODE + 4, ADDI(5, 0, 1));
    put(g, CODE + 8, ECALL);
    run(g, EXIT_ECALL);
    put(g, CODE + 4, ADDI(5, 0, 2));
    g->hart.pc = CODE;
    run(g, EXIT_ECALL);
    assert_int_equal(g->hart.x[5], 2);
    assert_true(code_stats(g->code).killed >= 1);
}

/* Fills memory with so many short units, again and again, that everything is dropped several times. */
static void flushes_when_full(void **state)
{
    struct guest *g = *state;
    for (uint64_t at = CODE; at < MEMORY_SIZE - 8; at += 4)
        put(g, at, JAL(0, 4));
    put(g, MEMORY_SIZE - 8, ADDI(5, 5, 1));
    put(g, MEMORY_SIZE - 4, ECALL);
    unsigned rounds = 0;
    while (code_stats(g->code).flushes < 2 && rounds < 1000) {
        g->hart.pc = CODE;
        do {
            g->hart.pending = 0;
            interp_run(&g->hart);
        } while (g->hart.exit.kind == EXIT_PENDING);
        assert_int_equal(g->hart.exit.kind, EXIT_ECALL);
        code_invalidate(g->code, CODE, MEMORY_SIZE);
        rounds++;
    }
    assert_int_equal(code_stats(g->code).flushes, 2);
    assert_int_equal(g->hart.x[5], rounds);
}

static void hints_need_no_extension(void **state)
{
    (void)state;
    struct draft *d = calloc(1, sizeof(*d));
    const uint32_t words[] = {0x0100000f /* pause */, 0x00000073 /* ecall */};
    assert_true(predecode(d, (const uint8_t *)words, 8, CODE, UINT64_C(1) << RV_EXT_I));
    assert_ptr_equal(d->cells[0].handler, interp_table()->handlers[RV_PAUSE]);
    const uint32_t mul = 0x02000033;
    assert_true(predecode(d, (const uint8_t *)&mul, 4, CODE, UINT64_C(1) << RV_EXT_I));
    assert_ptr_equal(d->cells[0].handler, interp_table()->handlers[RV_INVALID]);
    free(d);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(counts_a_loop),
        TEST(never_writes_x0),
        TEST(fuses_constants),
        TEST(stops_when_kicked),
        TEST(is_kicked_by_another_thread),
        TEST(reports_fetch_faults),
        TEST(reports_out_of_range),
        TEST(reports_illegal),
        TEST(invalidation_is_seen),
        TEST(invalidation_reaches_back),
        TEST(fence_finds_changes),
        TEST(flushes_when_full),
        cmocka_unit_test(hints_need_no_extension),
    };
    return cmocka_run_group_tests_name("code", tests, NULL, NULL);
}
