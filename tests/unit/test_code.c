/* Predecoded code: units are found, shared, killed when their code changes, and freed when nobody can be inside.
 * The guest is a few hand-encoded instructions in a memory of the test's own. */
#include "cpu/riscv/predecode.h"
#include "host/copy.h"
#include "insns.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMORY_SIZE 0x10000u
#define CODE        0x1000u

struct guest {
    uint8_t *memory;
    struct code *code;
    struct hart hart;
    uint64_t executable_end;
    uint64_t border; /* between two executable ranges, or 0 */
    bool writable;
};

static bool executable(void *context, uint64_t address, uint64_t *end, bool *writable)
{
    struct guest *g = context;
    *end = address < g->border ? g->border : g->executable_end;
    *writable = g->writable;
    return address >= CODE && address < g->executable_end;
}

static const struct code_ops ops = {.executable = executable};

static void guest_start(struct guest *g, uint64_t extensions)
{
    uint64_t base = (uint64_t)g->memory;
    assert_int_equal(code_new(&g->code, &ops, g, base, extensions, NULL), 0);
    assert_int_equal(hart_init(&g->hart, g->code, base, MEMORY_SIZE, NULL), 0);
    g->hart.pc = CODE;
}

static void guest_stop(struct guest *g)
{
    hart_release(&g->hart);
    code_free(g->code);
}

static int setup(void **state)
{
    struct guest *g = calloc(1, sizeof(*g));
    g->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g->executable_end = MEMORY_SIZE;
    guest_start(g, ~UINT64_C(0));
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct guest *g = *state;
    guest_stop(g);
    munmap(g->memory, MEMORY_SIZE);
    free(g);
    return 0;
}

/* Copies that a sanitizer does not look into: what the guest's threads do to its memory is the guest's affair. */
static uint32_t peek(const struct guest *g, uint64_t address)
{
    uint32_t word = 0;
    host_copy(&word, g->memory + address, sizeof(word));
    return word;
}

static void poke(struct guest *g, uint64_t address, uint32_t word)
{
    host_copy(g->memory + address, &word, sizeof(word));
}

static void put(struct guest *g, uint64_t address, struct rv_insn insn)
{
    poke(g, address, rv_encode(&insn));
}

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
    assert_int_equal(g->hart.exit.host_signal, SIGSEGV);
}

/* An instruction may begin in one executable range and end in the next. */
static void fetches_across_a_border(void **state)
{
    struct guest *g = *state;
    g->border = CODE + 0x1000;
    put(g, g->border - 2, ADDI(5, 5, 1));
    put(g, g->border + 2, ECALL);
    g->hart.pc = g->border - 2;
    run(g, EXIT_ECALL);
    assert_int_equal(g->hart.x[5], 1);
    assert_int_equal(g->hart.pc, g->border + 2);
}

static void on_fault(int number, siginfo_t *info, void *ucontext)
{
    (void)info;
    if (!host_copy_fault(ucontext))
        signal(number, SIG_DFL);
}

/* A page of a file that has become shorter. */
static void reports_unreadable_code(void **state)
{
    struct guest *g = *state;
    const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction old;
    int fd = memfd_create("code", 0);
    sigaction(SIGBUS, &action, &old);
    void *page = mmap(g->memory + CODE + 0x1000, 0x1000, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    g->hart.pc = CODE + 0x1000;
    run(g, EXIT_FETCH);
    assert_int_equal(g->hart.exit.host_signal, SIGBUS);
    assert_int_equal(g->hart.exit.address, CODE + 0x1000);

    const uint16_t half = 0x0013; /* of an addi */
    memcpy(g->memory + CODE + 0xffe, &half, sizeof(half));
    g->hart.pc = CODE + 0xffe;
    run(g, EXIT_FETCH);
    assert_int_equal(g->hart.pc, CODE + 0xffe);
    assert_int_equal(g->hart.exit.host_signal, SIGBUS);
    assert_int_equal(g->hart.exit.address, CODE + 0x1000);
    sigaction(SIGBUS, &old, NULL);
    close(fd);
}

/* As hardware does, whatever a signal frame or an ELF header has put into pc. */
static void ignores_the_lowest_bit_of_pc(void **state)
{
    struct guest *g = *state;
    put(g, CODE, ADDI(5, 0, 1));
    put(g, CODE + 4, ECALL);
    g->hart.pc = CODE + 1;
    run(g, EXIT_ECALL);
    assert_int_equal(g->hart.x[5], 1);
    assert_int_equal(g->hart.pc, CODE + 4);
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

/* What a signal handler or a system call did in between must not be taken for the value that LR saw. */
static void exits_end_reservations(void **state)
{
    struct guest *g = *state;
    g->hart.x[8] = 0x8000;
    put(g, CODE, LR_W(5, 8));
    put(g, CODE + 4, SC_W(6, 5, 8));
    put(g, CODE + 8, LR_W(5, 8));
    put(g, CODE + 12, ECALL);
    put(g, CODE + 16, SC_W(7, 5, 8));
    put(g, CODE + 20, ECALL);
    run(g, EXIT_ECALL);
    g->hart.pc += 4;
    run(g, EXIT_ECALL);
    assert_int_equal(g->hart.x[6], 0);
    assert_int_equal(g->hart.x[7], 1);
}

/* Instructions are counted up to the one that stops, and the counters agree with that. */
static void counts_exactly(void **state)
{
    struct guest *g = *state;
    put(g, CODE, LUI(5, 0x1000));
    put(g, CODE + 4, ADDI(5, 5, 1)); /* one cell with the first */
    put(g, CODE + 8, CSRRS(6, RV_CSR_INSTRET, 0));
    put(g, CODE + 12, JAL(0, 8));
    put(g, CODE + 20, CSRRS(7, RV_CSR_INSTRET, 0));
    put(g, CODE + 24, CSRRW(0, RV_CSR_INSTRET, 0)); /* read-only */
    run(g, EXIT_ILLEGAL);
    assert_int_equal(g->hart.x[6], 2);
    assert_int_equal(g->hart.x[7], 4);
    assert_int_equal(g->hart.instret, 5);
    assert_int_equal(g->hart.pc, CODE + 24);
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

static void *spin(void *guest)
{
    interp_run(&((struct guest *)guest)->hart);
    return NULL;
}

/* A hart waits for a flag inside the unit that is being changed: once the change has been announced, it must not execute
 * what it had decoded before. */
static void invalidation_is_seen_inside_a_unit(void **state)
{
    struct guest *g = *state;
    const uint64_t flag = 0x8000, turns = 0x8004;
    pthread_t thread;
    g->hart.x[8] = flag;
    put(g, CODE, ADDI(6, 6, 1));
    put(g, CODE + 4, SW(6, 8, 4));
    put(g, CODE + 8, LW(5, 8, 0));
    put(g, CODE + 12, BEQ(5, 0, -12));
    put(g, CODE + 16, ADDI(7, 0, 1));
    put(g, CODE + 20, ECALL);
    pthread_create(&thread, NULL, spin, g);
    while (peek(g, turns) < 1000)
        sched_yield();
    put(g, CODE + 16, ADDI(7, 0, 2));
    code_invalidate(g->code, CODE + 16, CODE + 20);
    poke(g, flag, 1);
    pthread_join(thread, NULL);
    assert_int_equal(g->hart.x[7], 2);
    assert_int_equal(g->hart.instret, 4 * peek(g, turns) + 2);
}

/* In the child of a fork the other harts have no thread: what they were in may be freed. */
static void forgets_harts_without_a_thread(void **state)
{
    struct guest *g = *state;
    struct hart other;
    assert_int_equal(hart_init(&other, g->code, (uint64_t)g->memory, MEMORY_SIZE, NULL), 0);
    code_enter(g->code, &other);
    code_fork_prepare(g->code);
    code_fork_done(g->code, true);
    assert_int_equal(other.epoch, 0);
    hart_release(&other);
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
    d->interp = interp_table();
    const uint32_t words[] = {0x0100000f /* pause */, 0x00000073 /* ecall */};
    assert_true(predecode(d, (const uint8_t *)words, 8, CODE, UINT64_C(1) << RV_EXT_I));
    assert_ptr_equal(d->cells[0].handler, interp_table()->handlers[RV_PAUSE]);
    const uint32_t mul = 0x02000033;
    assert_true(predecode(d, (const uint8_t *)&mul, 4, CODE, UINT64_C(1) << RV_EXT_I));
    assert_ptr_equal(d->cells[0].handler, interp_table()->handlers[RV_INVALID]);
    free(d);
}

/* Without C no instruction has two bytes, without F there is no fcsr. */
static void obeys_missing_extensions(void **state)
{
    struct guest *g = *state;
    static const uint16_t compressed[] = {0x0001 /* nop */, 0x900a /* ntl.p1 */, 0x4501 /* li a0, 0 */};
    const uint64_t base = UINT64_C(1) << RV_EXT_I | UINT64_C(1) << RV_EXT_ZICSR;
    guest_stop(g);
    guest_start(g, base);
    for (size_t i = 0; i < sizeof(compressed) / sizeof(compressed[0]); i++) {
        memcpy(g->memory + CODE + 16 * i, &compressed[i], 2);
        g->hart.pc = CODE + 16 * i;
        run(g, EXIT_ILLEGAL);
        assert_int_equal(g->hart.pc, CODE + 16 * i);
    }
    put(g, CODE + 0x100, CSRRS(5, RV_CSR_FCSR, 0));
    put(g, CODE + 0x200, CSRRS(5, RV_CSR_TIME, 0));
    put(g, CODE + 0x204, ECALL);
    g->hart.pc = CODE + 0x100;
    run(g, EXIT_ILLEGAL);
    assert_int_equal(g->hart.pc, CODE + 0x100);
    g->hart.pc = CODE + 0x200;
    run(g, EXIT_ECALL);
    guest_stop(g);
    guest_start(g, base | UINT64_C(1) << RV_EXT_F);
    g->hart.pc = CODE + 0x100;
    put(g, CODE + 0x104, ECALL);
    run(g, EXIT_ECALL);
}

/* What a process VM has: all but the privileged extensions. */
static void privileged_instructions_are_illegal(void **state)
{
    struct guest *g = *state;
    guest_stop(g);
    guest_start(g, (UINT64_C(1) << RV_EXT_PROGRAM_COUNT) - 1);
    unsigned found = 0;
    for (unsigned row = RV_INVALID + 1; row < RV_OP_COUNT; row++) {
        if (rv_op_ext(row) < RV_EXT_PROGRAM_COUNT)
            continue;
        uint64_t pc = CODE + 16 * found++;
        put(g, pc, (struct rv_insn){.op = (uint16_t)row, .row = (uint16_t)row});
        g->hart.pc = pc;
        run(g, EXIT_ILLEGAL);
        assert_int_equal(g->hart.pc, pc);
    }
    assert_int_equal(found, 7);
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
        TEST(fetches_across_a_border),
        TEST(reports_unreadable_code),
        TEST(ignores_the_lowest_bit_of_pc),
        TEST(reports_out_of_range),
        TEST(reports_illegal),
        TEST(exits_end_reservations),
        TEST(counts_exactly),
        TEST(invalidation_is_seen),
        TEST(invalidation_reaches_back),
        TEST(fence_finds_changes),
        TEST(invalidation_is_seen_inside_a_unit),
        TEST(forgets_harts_without_a_thread),
        TEST(flushes_when_full),
        TEST(obeys_missing_extensions),
        TEST(privileged_instructions_are_illegal),
        cmocka_unit_test(hints_need_no_extension),
    };
    return cmocka_run_group_tests_name("code", tests, NULL, NULL);
}
