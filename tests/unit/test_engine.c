/* The engines as their owner sees them: exact state at faults in translated code, compared with the interpreter; kicks
 * that arrive in every kind of loop; the return stack's limits; a fork with a full code cache; the options' syntax. */
#include "base/util.h"
#include "engine_fixture.h"
#include "host/copy.h"
#include "isa/riscv/tables.h"

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Faults ---- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static unsigned choose(uint64_t *seed, const uint8_t *from, unsigned count)
{
    return from[next_random(seed) % count];
}

/* An access between instructions whose results die on the way that does not fault. `plain`: all others are for quick
 * units, too. */
struct probe {
    bool plain;
    struct rv_insn access;
    uint64_t address;
    uint64_t seed;
};

static void put_probe(struct guest *g, const struct probe *p)
{
    const struct rv_insn access = p->access;
    if (p->plain)
        PROGRAM(g, ADDI(A0, A0, 5), ADDI(T5, T5, 7), INSN(MUL, .rd = A1, .rs1 = A0, .rs2 = T5),
                INSN(SUBW, .rd = S1, .rs1 = A1, .rs2 = A2), LUI(31, 0x12345000), ADDI(31, 31, -3), access,
                ADDI(A0, 0, 1), ADDI(A1, 0, 2), ADDI(T5, 0, 3), ADDI(S1, 0, 4), LUI(31, 0), JAL(T0, 4),
                ECALL);
    else
        PROGRAM(g, ADDI(A0, A0, 5), ADDI(T5, T5, 7), INSN(ADD, .rd = A1, .rs1 = A0, .rs2 = T5),
                INSN(FADD_D, .rd = 11, .rs1 = 10, .rs2 = 12), INSN(FADD_S, .rd = 28, .rs1 = 13, .rs2 = 14),
                INSN(FMV_X_D, .rd = S1, .rs1 = 11), LUI(31, 0x12345), access, ADDI(A0, 0, 1), ADDI(A1, 0, 2),
                ADDI(T5, 0, 3), ADDI(S1, 0, 4), LUI(31, 0), INSN(FMV_D_X, .rd = 11, .rs1 = 0),
                INSN(FMV_D_X, .rd = 28, .rs1 = 0), ECALL);
}

static void set_registers(struct guest *g, const struct probe *p)
{
    uint64_t seed = p->seed;
    struct hart *h = &g->hart;
    for (unsigned i = 1; i < 32; i++)
        h->x[i] = next_random(&seed);
    for (unsigned i = 0; i < 32; i++)
        h->f[i] = i % 2 ? next_random(&seed) : next_random(&seed) | UINT64_MAX << 32;
    h->x[p->access.rs1] =
        p->address + (p->address < MEMORY_SIZE ? g->start : 0) - (uint64_t)(int64_t)p->access.imm;
    hart_set_fcsr(h, 0);
    for (unsigned i = 0; i < 2 * PAGE; i += 8) {
        uint64_t word = next_random(&seed) & INT64_MAX;
        host_copy(g->memory + DATA + i, &word, sizeof(word));
    }
}

static void run_probe(struct guest *g, const struct probe *p)
{
    put_probe(g, p);
    set_registers(g, p);
    run(g);
}

static void describe(const struct probe *p, const char *options, char *text, size_t size)
{
    char insn[64];
    rv_disasm(&p->access, 0, insn, sizeof(insn));
    snprintf(text, size, "%s at %#" PRIx64 " (%s)", insn, p->address, options);
}

struct outcome {
    uint64_t x[32], f[32], pc;
    struct hart_exit exit;
    uint32_t fcsr;
    uint8_t memory[2 * PAGE];
};

static void note(const struct guest *g, struct outcome *o)
{
    memcpy(o->x, g->hart.x, sizeof(o->x));
    memcpy(o->f, g->hart.f, sizeof(o->f));
    o->pc = g->hart.pc - g->start;
    o->exit = g->hart.exit;
    o->fcsr = hart_fcsr(&g->hart);
    host_copy(o->memory, g->memory + DATA, sizeof(o->memory));
}

static void compare_values(const char *text, const char *kind, const uint64_t *values, const uint64_t *right)
{
    for (unsigned i = 0; i < 32; i++)
        if (values[i] != right[i])
            fail_msg("%s: %s%u is %#" PRIx64 ", not %#" PRIx64, text, kind, i, values[i], right[i]);
}

static void compare(const struct outcome *is, const struct outcome *right, const struct probe *p,
                    const char *options)
{
    char text[200];
    describe(p, options, text, sizeof(text));
    if (is->exit.kind != right->exit.kind)
        fail_msg("%s: exit %d, not %d", text, is->exit.kind, right->exit.kind);
    if (is->pc != right->pc)
        fail_msg("%s: pc %#" PRIx64 ", not %#" PRIx64, text, is->pc, right->pc);
    if (right->exit.kind == EXIT_FAULT &&
        (is->exit.address != right->exit.address || is->exit.host_signal != right->exit.host_signal))
        fail_msg("%s: fault at %#" PRIx64 ", not %#" PRIx64, text, is->exit.address, right->exit.address);
    compare_values(text, "x", is->x, right->x);
    compare_values(text, "f", is->f, right->f);
    if (is->fcsr != right->fcsr)
        fail_msg("%s: fcsr is %#x, not %#x", text, is->fcsr, right->fcsr);
    for (unsigned i = 0; i < sizeof(is->memory); i++)
        if (is->memory[i] != right->memory[i])
            fail_msg("%s: memory at %#x is %#x, not %#x", text, DATA + i, is->memory[i], right->memory[i]);
}

static bool accesses_memory(unsigned op)
{
    return (rv_op_flags(op) & (RV_LOAD | RV_STORE)) != 0;
}

static void probe_access(struct guest *interp, struct guest *jit, struct probe *p, const char *options)
{
    static const uint8_t bases[] = {S0, T3, A5, T4}, results[] = {A4, A2, T3, S0, 0, 6},
                         values[] = {A2, T5, A0, S0};
    struct outcome right, is;
    for (unsigned i = 0; i < 6; i++) {
        p->seed = next_random(&p->seed);
        p->access.rs1 = (uint8_t)choose(&p->seed, bases, ARRAY_SIZE(bases));
        p->access.rd = (uint8_t)choose(&p->seed, results, ARRAY_SIZE(results));
        p->access.rs2 = (uint8_t)choose(&p->seed, values, ARRAY_SIZE(values));
        p->access.imm = (int32_t)(next_random(&p->seed) % 4096) - 2048;
        uint32_t word = rv_encode(&p->access);
        rv_decode(word, &p->access); /* operands that the row has not are gone */
        run_probe(interp, p);
        note(interp, &right);
        run_probe(jit, p);
        note(jit, &is);
        compare(&is, &right, p, options);
    }
}

struct faults {
    unsigned all, quick; /* in translated code; units of that kind */
};

/* Addresses beyond the guest's are only checked where guest addresses are the host's. */
static void check_faults(const char *options, bool based, bool plain, struct faults *faults)
{
    const uint64_t hole = DATA + 2 * PAGE,
                   addresses[] = {DATA + 16,         DATA + PAGE - 1,  hole,           hole + 8,
                                  hole - 1,          hole - 2,         hole - 3,       hole - 4,
                                  hole - 7,          READ_ONLY,        READ_ONLY + 48, UINT64_C(1) << 47,
                                  UINT64_C(1) << 63, UINT64_MAX << 47, UINT64_MAX - 63};
    struct guest interp, jit;
    start(&interp, "interp", "threshold:0", based);
    start_in(&jit, interp.memory, "jit", options, based);
    struct probe p = {.plain = plain, .seed = 88172645463325252};
    for (unsigned op = 1; op < RV_OP_COUNT; op++) {
        if (!accesses_memory(op))
            continue;
        for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
            if (based && addresses[i] >= MEMORY_SIZE)
                continue;
            p.access = (struct rv_insn){.op = (uint16_t)op, .row = (uint16_t)op, .length = 4};
            p.address = addresses[i];
            probe_access(&interp, &jit, &p, options);
        }
    }
    faults->all += (unsigned)jit.hart.exits[ENGINE_EXIT_FAULT];
    faults->quick += (unsigned)code_engine_stats(jit.code).quick;
    stop_keeping_memory(&jit);
    stop(&interp);
}

static void faults_are_exact(void **state)
{
    (void)state;
    static const char *const modes[] = {"threshold:0", "threshold:0,few-registers",
                                        "threshold:0,baseline,random:3",
                                        "threshold:0,random:5,few-registers,no-returns"};
    struct faults faults = {0, 0};
    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
        check_faults(modes[i], false, false, &faults);
        check_faults(modes[i], true, false, &faults);
    }
    assert_in_range(faults.all, 1000, UINT32_MAX);
}

static void faults_in_quick_units_are_exact(void **state)
{
    (void)state;
    static const char *const modes[] = {"threshold:0,quick:0", "threshold:0", "threshold:0,quick:1"};
    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
        struct faults faults = {0, 0};
        check_faults(modes[i], false, true, &faults);
        check_faults(modes[i], true, true, &faults);
        assert_in_range(faults.all, 1000, UINT32_MAX);
        assert_in_range(faults.quick, i ? 1000 : 0, i ? UINT32_MAX : 0);
    }
}

/* ---- Kicks ---- */

static void *kick_soon(void *hart)
{
    usleep(20000);
    engine_kick(hart);
    return NULL;
}

/* Runs what never ends by itself. A kick that is not heard ends the test by its alarm. */
static void check_kick(struct guest *g, uint64_t low, uint64_t high)
{
    pthread_t thread;
    for (unsigned i = 0; i < 3; i++) {
        g->hart.pending = 0;
        pthread_create(&thread, NULL, kick_soon, &g->hart);
        running = &g->hart;
        alarm(20);
        engine_enter_thread(&g->hart);
        hart_fpu_enter(&g->hart);
        engine_run(&g->hart);
        hart_fpu_leave(&g->hart);
        engine_leave_thread(&g->hart);
        alarm(0);
        pthread_join(thread, NULL);
        assert_int_equal(g->hart.exit.kind, EXIT_PENDING);
        assert_in_range(g->hart.pc - g->start, low, high);
    }
}

static const char *const kick_modes[] = {"threshold:0",
                                         "threshold:3",
                                         "threshold:0,no-returns",
                                         "threshold:0,insns:1",
                                         "threshold:0,quick:0,few-registers,random:9",
                                         "threshold:0,quick:0",
                                         "threshold:0,quick:1",
                                         "threshold:0,quick:2,no-chain"};

#define CHECK_KICKS(registers, ...)                            \
    for (unsigned i_ = 0; i_ < ARRAY_SIZE(kick_modes); i_++) { \
        struct guest g;                                        \
        start(&g, "jit", kick_modes[i_], false);               \
        PROGRAM(&g, __VA_ARGS__);                              \
        registers;                                             \
        check_kick(&g, CODE, CODE + 0x100);                    \
        stop(&g);                                              \
    }

static void kicks_reach_jumps(void **state)
{
    (void)state;
    CHECK_KICKS(, JAL(0, 0));
    CHECK_KICKS(, ADDI(A0, A0, 1), BEQ(0, 0, -4));
    CHECK_KICKS(, JAL(0, 12), ADDI(A0, A0, 1), JAL(0, 8), JAL(0, -8),
                JAL(0, -16)); /* forward, back, forward, back */
    CHECK_KICKS(, BNE(A0, A1, 8), JAL(0, 8), JAL(0, -8), BEQ(0, 0, -12));
    CHECK_KICKS(, ADDI(A0, A0, 1), BEQ(A0, 0, 12), BLT(0, 0, 8), JAL(0, -12), JAL(0, -16));
}

static void kicks_reach_calls(void **state)
{
    (void)state;
    CHECK_KICKS(, JAL(RA, 0)); /* calls that never return */
    CHECK_KICKS(, JAL(RA, 8), ECALL, JAL(RA, 8), ECALL, JAL(RA, -16));
    CHECK_KICKS(g.hart.x[A5] = g.start + CODE, ADDI(A0, A0, 1), JALR(RA, A5, 0));
    CHECK_KICKS(, JAL(RA, 12), ADDI(A0, A0, 1), JAL(0, -8), ADDI(A1, A1, 1),
                JALR(0, RA, 0)); /* and those that do */
}

/* The way back is a return: what it returns to was the first to be translated, and went back itself before it
 * called. */
static void kicks_reach_calls_from_below(void **state)
{
    (void)state;
    CHECK_KICKS(g.hart.pc += 4, JAL(RA, 8), JAL(0, -4), JALR(0, RA, 0));
    CHECK_KICKS(g.hart.pc += 12, ADDI(A0, A0, 1), JAL(RA, 16), JAL(0, 4), JAL(0, -12), ECALL, JALR(0, RA, 0));
    CHECK_KICKS(g.hart.pc += 4;
                g.hart.x[A5] = g.start + CODE + 8, JALR(RA, A5, 0), JAL(0, -4), JALR(0, RA, 0));
}

/* Most of the time is not spent in units' code, or an instruction is a loop of its own. */
static void kicks_reach_functions(void **state)
{
    (void)state;
    CHECK_KICKS(, INSN(FCLASS_D, .rd = A0, .rs1 = A0), INSN(CLMUL, .rd = A0, .rs1 = A0, .rs2 = A1),
                JAL(0, -8));
}

/* An atomic that is a loop of the host's is left, though each of its rounds fails. */
static void kicks_reach_contended_atomics(void **state)
{
    (void)state;
    static const uint16_t rows[] = {RV_AMOOR_W, RV_AMOMAX_W};
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct rv_insn atomic = {
            .op = rows[i], .row = rows[i], .length = 4, .rd = A0, .rs1 = A1, .rs2 = A2};
        CHECK_KICKS(g.hart.x[A1] = g.start + DATA; contended = (void *)(g.memory + DATA), atomic, JAL(0, -4));
        contended = NULL;
    }
}

static void kicks_reach_returns(void **state)
{
    (void)state;
    CHECK_KICKS(g.hart.x[RA] = g.start + CODE, JALR(0, RA, 0));
    CHECK_KICKS(g.hart.x[A5] = g.start + CODE, ADDI(RA, A5, 8), JALR(0, RA, 0), ADDI(RA, A5, 0),
                JALR(0, RA, 0));
}

static void kicks_reach_computed_jumps(void **state)
{
    (void)state;
    CHECK_KICKS(g.hart.x[A5] = g.start + CODE, JALR(0, A5, 0));
    CHECK_KICKS(g.hart.x[T0] = g.start + CODE, JALR(0, T0, 8), JALR(0, T0, 0), JALR(0, T0, 4));
    CHECK_KICKS(g.hart.x[T0] = g.start + CODE, JALR(T0, T0, 0), ADDI(T0, T0, -4),
                JALR(0, T0, 0)); /* whose target is in the register that it writes */
}

/* ---- The return stack ---- */

static const char *const stack_modes[] = {"threshold:0",
                                          "threshold:5",
                                          "threshold:0,no-returns",
                                          "threshold:0,insns:1",
                                          "threshold:0,cache:1",
                                          "threshold:0,quick:0",
                                          "threshold:0,quick:0,no-returns",
                                          "threshold:0,quick:2",
                                          "threshold:0,quick:1,cache:1"};

/* a1 = a0 + ... + 1, by recursion: deeper than the return stack is. */
static void recursion_is_unlimited(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(stack_modes); i++) {
        struct guest g;
        start(&g, "jit", stack_modes[i], i % 2);
        PROGRAM(&g, JAL(RA, 8), ECALL, BEQ(A0, 0, 36), ADDI(SP, SP, -16),
                INSN(SD, .rs1 = SP, .rs2 = RA, .imm = 0), INSN(SD, .rs1 = SP, .rs2 = A0, .imm = 8),
                ADDI(A0, A0, -1), JAL(RA, -20), INSN(LD, .rd = RA, .rs1 = SP, .imm = 0),
                INSN(LD, .rd = A0, .rs1 = SP, .imm = 8), ADDI(SP, SP, 16),
                INSN(ADD, .rd = A1, .rs1 = A1, .rs2 = A0), JALR(0, RA, 0));
        for (unsigned round = 0; round < 3; round++) {
            const uint64_t depth = 1000000;
            g.hart.pc = g.start + CODE;
            g.hart.x[A0] = depth;
            g.hart.x[A1] = 0;
            g.hart.x[SP] = g.start + STACK_END;
            assert_int_equal(run(&g), EXIT_ECALL);
            assert_int_equal(g.hart.pc - g.start, CODE + 4);
            assert_int_equal(g.hart.x[A1], depth * (depth + 1) / 2);
            assert_int_equal(g.hart.x[SP], g.start + STACK_END);
        }
        stop(&g);
    }
}

/* An access of the guest's to where the return stack would overflow is a fault as any other. */
static void the_guard_is_not_special(void **state)
{
    (void)state;
    struct guest g;
    start(&g, "jit", "threshold:0", false);
    PROGRAM(&g, INSN(LD, .rd = A1, .rs1 = A0, .imm = 0), ECALL);
    g.hart.pc = g.start + CODE;
    g.hart.x[A0] = (uint64_t)g.hart.host.mapping;
    alarm(20);
    assert_int_equal(run(&g), EXIT_FAULT);
    alarm(0);
    assert_int_equal(g.hart.exit.address, g.hart.x[A0]);
    stop(&g);
}

/* Each round calls as deep as a1 says, and jumps out of all of it as longjmp() does. */
static void frames_can_be_left(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(stack_modes); i++) {
        struct guest g;
        start(&g, "jit", stack_modes[i], i % 2);
        PROGRAM(&g, AUIPC(S0, 0), ADDI(S0, S0, 24), ADDI(A1, A0, 0), JAL(RA, 24), ECALL, ECALL,
                /* 24, landing: */ ADDI(A0, A0, -1), BNE(A0, 0, -20), ECALL,
                /* 36, dive: */ ADDI(A1, A1, -1), BEQ(A1, 0, 8), JAL(RA, -8), JALR(0, S0, 0));
        g.hart.x[A0] = 1500;
        assert_int_equal(run(&g), EXIT_ECALL);
        assert_int_equal(g.hart.pc - g.start, CODE + 32);
        assert_int_equal(g.hart.x[A0], 0);
        stop(&g);
    }
}

/* ---- Forks ---- */

/* Many short units: more than the smallest cache holds. */
static void run_many_units(struct guest *g)
{
    g->hart.pc = g->start + CODE;
    g->hart.x[A0] = 0;
    assert_int_equal(run(g), EXIT_ECALL);
    assert_int_equal(g->hart.x[A0], (DATA - CODE) / 8);
}

static void put_many_units(struct guest *g)
{
    uint64_t at = CODE;
    while (at < DATA - 8) {
        put(g, &at, ADDI(A0, A0, 1));
        put(g, &at, JAL(A2, 4));
    }
    put(g, &at, ADDI(A0, A0, 1));
    put(g, &at, ECALL);
}

/* At whatever moment: also when the cache is about to evict, and while a chunk waits for harts to come out of it. */
static void child_of_a_full_cache_goes_on(void **state)
{
    (void)state;
    static const char *const modes[] = {"threshold:0,cache:1,insns:2,quick:0",
                                        "threshold:0,cache:1,insns:2,quick:1"};
    for (unsigned i = 0; i < 16; i++) {
        unsigned delay = i / 2;
        struct guest g;
        start(&g, "jit", modes[i % 2], false);
        put_many_units(&g);
        for (unsigned n = 0; n < delay; n++)
            run_many_units(&g);
        code_fork_prepare(g.code);
        pid_t pid = fork();
        code_fork_done(g.code, pid == 0);
        run_many_units(&g);
        run_many_units(&g);
        if (pid == 0)
            _exit(0);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        stop(&g);
    }
}

/* ---- Options ---- */

static void kinds_are_read(void **state)
{
    (void)state;
    struct engine_options o = ENGINE_DEFAULTS;
    assert_true(engine_parse_kind(&o, "jit"));
    assert_int_equal(o.kind, ENGINE_JIT);
    assert_true(engine_parse_kind(&o, "lockstep"));
    assert_int_equal(o.kind, ENGINE_LOCKSTEP);
    assert_true(engine_parse_kind(&o, "interp"));
    assert_int_equal(o.kind, ENGINE_INTERP);
    assert_false(engine_parse_kind(&o, ""));
    assert_false(engine_parse_kind(&o, "ji"));
    assert_false(engine_parse_kind(&o, "jit "));
}

static void options_are_read(void **state)
{
    (void)state;
    struct engine_options o = ENGINE_DEFAULTS;
    assert_true(engine_parse_options(&o, "random:7,threshold:0,insns:256,cache:0x20000"));
    assert_int_equal(o.quick, 65536);
    assert_int_equal(o.modes.random, 7);
    assert_int_equal(o.threshold, 0);
    assert_int_equal(o.max_insns, ENGINE_MAX_INSNS);
    assert_int_equal(o.cache_bytes, 0x20000);
    assert_false(o.modes.few_registers || o.modes.no_returns || o.modes.no_chain || o.modes.baseline);
    assert_true(engine_parse_options(&o, "quick:7"));
    assert_int_equal(o.quick, 7);
    assert_true(engine_parse_options(&o, "quick:0"));
    assert_int_equal(o.quick, 0);
    assert_true(engine_parse_options(&o, "few-registers"));
    assert_true(engine_parse_options(&o, "no-returns,no-chain,baseline"));
    assert_true(o.modes.few_registers && o.modes.no_returns && o.modes.no_chain && o.modes.baseline);
    static const char *const wrong[] = {"",
                                        "few",
                                        "few-registers:1",
                                        "random",
                                        "random:",
                                        "random:x",
                                        "random:1x",
                                        "random:-1",
                                        "insns:0",
                                        "insns:257",
                                        "cache:-1",
                                        "cache:1073741825",
                                        "threshold:4294967296",
                                        "quick",
                                        "quick:",
                                        "quick:-1",
                                        "quick:2147483648",
                                        ",",
                                        "baseline,",
                                        ",baseline",
                                        "baseline baseline",
                                        "random: 1",
                                        "random:+1"};
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
        if (engine_parse_options(&o, wrong[i]))
            fail_msg("\"%s\" is taken for options", wrong[i]);
}

static void dumps_are_read(void **state)
{
    (void)state;
    struct engine_options o = ENGINE_DEFAULTS;
    assert_true(engine_parse_dump(&o, "guest,host"));
    assert_int_equal(o.dump, DUMP_GUEST | DUMP_HOST);
    assert_true(engine_parse_dump(&o, "ir"));
    assert_int_equal(o.dump, DUMP_GUEST | DUMP_IR | DUMP_HOST);
    assert_false(engine_parse_dump(&o, "all"));
    assert_false(engine_parse_dump(&o, "guest,"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_read),
        cmocka_unit_test(options_are_read),
        cmocka_unit_test(dumps_are_read),
        cmocka_unit_test(faults_are_exact),
        cmocka_unit_test(faults_in_quick_units_are_exact),
        cmocka_unit_test(kicks_reach_jumps),
        cmocka_unit_test(kicks_reach_calls),
        cmocka_unit_test(kicks_reach_calls_from_below),
        cmocka_unit_test(kicks_reach_functions),
        cmocka_unit_test(kicks_reach_contended_atomics),
        cmocka_unit_test(kicks_reach_returns),
        cmocka_unit_test(kicks_reach_computed_jumps),
        cmocka_unit_test(recursion_is_unlimited),
        cmocka_unit_test(the_guard_is_not_special),
        cmocka_unit_test(frames_can_be_left),
        cmocka_unit_test(child_of_a_full_cache_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
