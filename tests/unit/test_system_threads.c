/* Harts of a computer at the same time: atomics, fences of others, kicks, sleep, code that another hart has written.
 * Built with -fsanitize=thread, too, it shows missing order. */
#include "system_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

enum { HARTS = 4, TIMEOUT = 100 /* seconds, for the whole program */ };

#define LD(d, s, i) INSN(LD, .rd = d, .rs1 = s, .imm = i)
#define SD(v, s, i) INSN(SD, .rs1 = s, .rs2 = v, .imm = i)
#define FAR         UINT64_C(0x3000000000)

static int setup(void **state)
{
    struct machine *m = malloc(sizeof(*m));
    *state = m;
    alarm(TIMEOUT);
    return machine_init(m, HARTS);
}

static int teardown(void **state)
{
    machine_release(*state);
    free(*state);
    return 0;
}

/* ---- Threads that run harts until they are told to end ---- */

struct runner {
    pthread_t thread;
    struct system_hart *h;
    _Atomic bool end;
    _Atomic unsigned kicks;
    unsigned calls, sleeps; /* how it came back, too */
};

static void *run_hart(void *object)
{
    struct runner *r = object;
    system_enter_thread(r->h);
    while (!atomic_load(&r->end)) {
        system_hart_run(r->h);
        switch (r->h->hart.exit.kind) {
        case EXIT_PENDING: r->kicks++; break;
        case EXIT_WFI:
            r->sleeps++;
            r->kicks += system_hart_sleep(r->h, false);
            break;
        default:
            r->calls++;
            r->h->hart.pc += 4;
            break;
        }
    }
    system_leave_thread(r->h);
    return NULL;
}

static void begin(struct runner *r, struct system_hart *h)
{
    *r = (struct runner){.h = h};
    assert_int_equal(pthread_create(&r->thread, NULL, run_hart, r), 0);
}

static void end(struct runner *r)
{
    atomic_store(&r->end, true);
    system_hart_kick(r->h);
    pthread_join(r->thread, NULL);
}

/* Runs the hart until its next ECALL. */
static void *run_once(void *object)
{
    run(object);
    return NULL;
}

/* ---- Atomics ---- */

/* Each hart adds to two words, by AMO and by LR/SC, through mappings of its own. */
static void test_counters(void **state)
{
    enum { ROUNDS = 20000 };
    struct machine *m = *state;
    pthread_t threads[HARTS];
    PUT(m, PROGRAM, INSN(AMOADD_D, .rd = 0, .rs1 = T0, .rs2 = A1), INSN(LR_D, .rd = A2, .rs1 = T1),
        ADDI(A2, A2, 1), INSN(SC_D, .rd = A3, .rs1 = T1, .rs2 = A2), BNE(A3, 0, -12), ADDI(A0, A0, -1),
        BNE(A0, 0, -24), ECALL);
    for (unsigned i = 0; i < HARTS; i++) {
        struct system_hart *h = system_hart(m->system, i);
        map(m, FAR + i * PAGE, DATA, LEAF);
        start(m, h, PROGRAM, true);
        h->hart.x[A0] = ROUNDS;
        h->hart.x[A1] = 1;
        h->hart.x[T0] = FAR + i * PAGE;
        h->hart.x[T1] = FAR + i * PAGE + 64;
        pthread_create(&threads[i], NULL, run_once, h);
    }
    for (unsigned i = 0; i < HARTS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(peek(m, DATA), HARTS * ROUNDS);
    assert_int_equal(peek(m, DATA + 64), HARTS * ROUNDS);
}

/* ---- Fences ---- */

/* A hart copies what it finds in a page to where the test sees it, again and again. */
static void start_copying(struct machine *m, struct runner *r, unsigned index)
{
    struct system_hart *h = system_hart(m->system, index);
    start(m, h, PROGRAM, true);
    h->hart.x[T0] = FAR;
    h->hart.x[T1] = DATA + 64 * index;
    begin(r, h);
}

static void wait_for_copy(const struct machine *m, unsigned index)
{
    poke(m, DATA + 64 * index, 0);
    while (!peek(m, DATA + 64 * index))
        sched_yield();
}

/* After a remote fence no hart finds what was there before. */
static void test_remote_sfence(void **state)
{
    enum { ROUNDS = 150 };
    struct machine *m = *state;
    struct runner runners[HARTS];
    start(m, m->hart, PROGRAM, true);
    PUT(m, PROGRAM, LD(A0, T0, 0), SD(A0, T1, 0), BEQ(0, 0, -8));
    for (uint64_t i = 0; i < ROUNDS; i++)
        poke(m, DATA + (1 + i) * PAGE, i + 1);
    map(m, FAR, DATA + PAGE, LEAF);
    for (unsigned i = 1; i < HARTS; i++)
        start_copying(m, &runners[i], i);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        map(m, FAR, DATA + (1 + i) * PAGE, LEAF);
        switch (i % 3) {
        case 0: system_fence(m->hart, 14, SYSTEM_SFENCE_VMA, 0, UINT64_MAX, 0); break;
        case 1: system_fence(m->hart, 14, SYSTEM_SFENCE_VMA, FAR, PAGE, 0); break;
        default: system_fence(m->hart, 14, SYSTEM_SFENCE_VMA_ASID, FAR, PAGE, 0); break;
        }
        for (unsigned k = 1; k < HARTS; k++) {
            wait_for_copy(m, k);
            assert_int_equal(peek(m, DATA + 64 * k), i + 1);
        }
    }
    for (unsigned i = 1; i < HARTS; i++)
        end(&runners[i]);
}

struct fencer {
    pthread_t thread;
    struct system_hart *h;
};

/* Harts that, when the guest asks, fence all others: at the same time, and for each other. */
static void *run_fencer(void *object)
{
    enum { ROUNDS = 400 };
    struct fencer *f = object;
    system_enter_thread(f->h);
    for (unsigned i = 0; i < ROUNDS; i++) {
        system_hart_run(f->h);
        assert_int_equal(f->h->hart.exit.kind, EXIT_ECALL);
        f->h->hart.pc += 4;
        system_fence(f->h, UINT64_MAX, i % 2 ? SYSTEM_FENCE_I : SYSTEM_SFENCE_VMA, RAM, (i % 5) * PAGE, 0);
    }
    system_leave_thread(f->h);
    return NULL;
}

static void test_fences_of_each_other(void **state)
{
    struct machine *m = *state;
    struct fencer fencers[HARTS];
    PUT(m, PROGRAM, ADDI(A0, A0, 1), ECALL, BEQ(0, 0, -8));
    for (unsigned i = 0; i < HARTS; i++) {
        fencers[i].h = system_hart(m->system, i);
        start(m, fencers[i].h, PROGRAM, true);
    }
    for (unsigned i = 0; i < HARTS; i++)
        pthread_create(&fencers[i].thread, NULL, run_fencer, &fencers[i]);
    for (unsigned i = 0; i < HARTS; i++)
        pthread_join(fencers[i].thread, NULL);
}

/* ---- Code ---- */

#define FUNCTIONS (DATA + 0x100000)

/* Harts call functions in many pages and say what they return; the test's hart writes new ones, fences, and publishes
 * the number before which nothing may be returned any more. */
static void test_code_of_others(void **state)
{
    enum { PAGES = 24, ROUNDS = 80 };
    struct machine *m = *state;
    struct runner runners[HARTS];
    struct system_hart *writer = m->hart;
    /* for each page: a1 = published; call; if (a0 < a1) stale += 1 */
    PUT(m, PROGRAM, LUI(T2, 1), ADDI(S0, 0, PAGES), ADDI(T0, S1, 0), LD(A1, T1, 0), JALR(X_RA, T0, 0),
        BEQ(0, 0, 0x20));
    PUT(m, PROGRAM + 0x34, BLT(A0, A1, 0x1c), INSN(ADD, .rd = T0, .rs1 = T0, .rs2 = T2), ADDI(S0, S0, -1),
        BNE(S0, 0, -0x34), INSN(ADDI, .rd = A2, .rs1 = A2, .imm = 1), BEQ(0, 0, -0x44), ADDI(0, 0, 0),
        ADDI(A3, A3, 1), BEQ(0, 0, -0x4c));
    PUT(m, PROGRAM + 0x800, SW(A1, T0, 0), ECALL);
    for (unsigned i = 0; i < PAGES; i++)
        PUT(m, FUNCTIONS + i * PAGE, ADDI(A0, 0, 0), JALR(0, X_RA, 0));
    start(m, writer, PROGRAM + 0x800, true);
    for (unsigned i = 1; i < HARTS; i++) {
        struct system_hart *h = system_hart(m->system, i);
        start(m, h, PROGRAM, true);
        h->hart.x[S1] = FUNCTIONS;
        h->hart.x[T1] = DATA;
        begin(&runners[i], h);
    }
    for (int round = 1; round <= ROUNDS; round++) {
        for (unsigned i = 0; i < PAGES; i++) {
            struct rv_insn insn = ADDI(A0, 0, round);
            writer->hart.x[A1] = rv_encode(&insn);
            writer->hart.x[T0] = FUNCTIONS + i * PAGE;
            run_from(writer, PROGRAM + 0x800);
        }
        system_fence(writer, UINT64_MAX, SYSTEM_FENCE_I, 0, 0, 0);
        poke(m, DATA, (uint64_t)round);
        if (round % 16 == 0)
            usleep(2000);
    }
    for (unsigned i = 1; i < HARTS; i++) {
        end(&runners[i]);
        assert_int_equal(runners[i].h->hart.x[A3], 0);     /* stale */
        assert_int_not_equal(runners[i].h->hart.x[A2], 0); /* rounds */
        assert_int_equal(runners[i].calls, 0);
    }
}

/* ---- Kicks and sleep ---- */

static void test_kicks(void **state)
{
    enum { ROUNDS = 2000 };
    struct machine *m = *state;
    struct runner r;
    start(m, m->hart, PROGRAM, false);
    PUT(m, PROGRAM, ADDI(A0, A0, 1), BEQ(0, 0, -4));
    begin(&r, m->hart);
    for (unsigned i = 0; i < ROUNDS; i++) {
        system_hart_kick(m->hart);
        if (i % 64 == 0)
            usleep(1000);
    }
    end(&r);
    assert_in_range(r.kicks, 2, ROUNDS + 1);
    assert_int_equal(r.calls, 0);
}

/* Code that never ends by itself leads through every kind of jump, back in its page and over to another one. */
static void put_endless(struct machine *m, unsigned shape)
{
    const uint64_t other = PROGRAM + PAGE;
    switch (shape) {
    case 0: PUT(m, PROGRAM, JAL(X_RA, 0)); break; /* calls itself */
    case 1: PUT(m, PROGRAM, AUIPC(X_RA, 0), JALR(X_RA, X_RA, 0)); break;
    case 2: PUT(m, PROGRAM, AUIPC(T0, 0), JALR(0, T0, 0)); break;
    case 3: /* calls that return; the way back is a jump */
        PUT(m, PROGRAM, JAL(X_RA, 12), ADDI(A0, A0, 1), JAL(0, -8), JALR(0, X_RA, 0));
        break;
    case 4: /* a call that returns to before it */
        PUT(m, PROGRAM, JAL(X_RA, 8), JAL(0, 0), ADDI(X_RA, X_RA, -4), JALR(0, X_RA, 0));
        break;
    case 5: /* from page to page */
        PUT(m, PROGRAM, JAL(0, PAGE));
        PUT(m, other, JAL(0, -(int)PAGE));
        break;
    case 6: /* calls of the other page */
        PUT(m, PROGRAM, JAL(X_RA, PAGE), BEQ(0, 0, -4));
        PUT(m, other, JALR(0, X_RA, 0));
        break;
    case 7: /* each page calls the other and nobody returns */
        PUT(m, PROGRAM, JAL(X_RA, PAGE));
        PUT(m, other, JAL(X_RA, -(int)PAGE));
        break;
    case 8: PUT(m, PROGRAM, LR_W(A0, T1), SC_W(A1, A0, T1), BEQ(0, 0, -8)); break;
    case 9: /* accesses that no TLB answers */ PUT(m, PROGRAM, LD(A0, T2, 0), BEQ(0, 0, -4)); break;
    case 10: PUT(m, PROGRAM, CSRRS(A0, RV_CSR_SSCRATCH, 0), BEQ(0, 0, -4)); break;
    case 11: /* from a unit back into itself, where a span is refused, and from the translation without spans to the unit */
        PUT(m, PROGRAM, JAL(0, 16), LD(A0, T2, 0), LD(A1, T2, 0), JAL(0, 8), FENCE_I, JAL(0, -16));
        break;
    default: PUT(m, PROGRAM, FENCE_I, BEQ(0, 0, -4)); break;
    }
}

static void test_kicks_of_all_code(void **state)
{
    enum { SHAPES = 13, KICKS = 20 };
    struct machine *m = *state;
    for (unsigned shape = 0; shape < SHAPES; shape++) {
        struct runner r;
        start(m, m->hart, PROGRAM, false);
        put_endless(m, shape);
        m->hart->hart.x[T1] = DATA;
        m->hart->hart.x[T2] = DEVICE;
        begin(&r, m->hart);
        for (unsigned i = 0; i < KICKS; i++) {
            unsigned before = atomic_load(&r.kicks);
            usleep(200);
            system_hart_kick(m->hart);
            while (atomic_load(&r.kicks) == before)
                sched_yield();
        }
        end(&r);
        assert_int_equal(r.calls, 0);
    }
}

struct hammer {
    _Atomic uint64_t *word;
    _Atomic bool end;
};

static void *hammer(void *object)
{
    struct hammer *h = object;
    while (!atomic_load_explicit(&h->end, memory_order_relaxed))
        atomic_fetch_xor(h->word, 0x5555);
    return NULL;
}

/* The hart is kicked out of a loop with an atomic that others get in the way of. */
static void test_kicks_at_atomics(void **state)
{
    struct machine *m = *state;
    struct hammer h = {.word = gmem_slice(&m->memory, DATA, sizeof(uint64_t), GMEM_WRITE)};
    struct runner r;
    pthread_t thread;
    start(m, m->hart, PROGRAM, false);
    PUT(m, PROGRAM, ADDI(A1, T0, 0), INSN(AMOMAX_D, .rd = A0, .rs1 = A1, .rs2 = A2), ADDI(A1, 0, 0),
        BEQ(0, 0, -12));
    m->hart->hart.x[T0] = DATA;
    pthread_create(&thread, NULL, hammer, &h);
    begin(&r, m->hart);
    for (unsigned i = 0; i < 200; i++) {
        system_hart_kick(m->hart);
        usleep(100);
    }
    end(&r);
    atomic_store(&h.end, true);
    pthread_join(thread, NULL);
    assert_int_equal(r.calls, 0); /* no trap: its addresses were right */
}

/* A hart waits for the interrupt of another in turn: a wake-up that is lost would be the end. */
static void test_wakes(void **state)
{
    enum { ROUNDS = 3000 };
    struct machine *m = *state;
    struct runner r;
    struct system_hart *h = m->hart;
    /* The handler counts and clears SSI; A1 tells the test. */
    PUT(m, HANDLER, INSN(CSRRCI, .rd = 0, .rs1 = 2, .imm = RV_CSR_SIP), ADDI(A1, A1, 1), SD(A1, T0, 0),
        INSN(SRET, .rd = 0));
    PUT(m, PROGRAM, INSN(WFI, .rd = 0), BEQ(0, 0, -4));
    start(m, h, PROGRAM, false);
    h->sys.mie = BIT(IRQ_SSI) | BIT(IRQ_SEI);
    h->sys.mstatus |= MSTATUS_SIE;
    h->hart.x[T0] = DATA;
    begin(&r, h);
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        system_hart_raise_ssi(h);
        while (peek(m, DATA) < i)
            sched_yield();
        if (i % 8 == 0)
            usleep(50); /* asleep, sometimes */
    }
    end(&r);
    assert_int_equal(peek(m, DATA), ROUNDS);
}

/* A line wakes, a level that falls again does not interrupt. The timer wakes by system_hart_poll(). */
static void test_line_and_timer(void **state)
{
    struct machine *m = *state;
    struct runner r;
    struct system_hart *h = m->hart;
    PUT(m, HANDLER, INSN(CSRRS, .rd = A0, .rs1 = 0, .imm = RV_CSR_SCAUSE), SD(A0, T0, 0), ADDI(A1, 0, -1),
        CSRRW(0, RV_CSR_STIMECMP, A1), INSN(CSRRCI, .rd = 0, .rs1 = 0, .imm = RV_CSR_SIE),
        CSRRW(0, RV_CSR_SIE, A2), SD(A0, T0, 8), INSN(SRET, .rd = 0));
    PUT(m, PROGRAM, CSRRW(0, RV_CSR_STIMECMP, A3), INSN(WFI, .rd = 0), BEQ(0, 0, -4));
    start(m, h, PROGRAM, false);
    h->sys.mie = BIT(IRQ_STI);
    h->sys.mstatus |= MSTATUS_SIE;
    h->hart.x[T0] = DATA;
    h->hart.x[A2] = 0;
    h->hart.x[A3] = 5000;
    atomic_store(&m->deadline, 0);
    begin(&r, h);
    while (atomic_load(&m->deadline) != 5000)
        sched_yield();
    usleep(1000);
    assert_int_equal(peek(m, DATA), 0);
    atomic_store(&m->time, 5000);
    system_hart_poll(h);
    while (peek(m, DATA) != (CAUSE_INTERRUPT | IRQ_STI))
        sched_yield();
    while (peek(m, DATA + 8) != (CAUSE_INTERRUPT | IRQ_STI)) /* the handler has switched it off */
        sched_yield();
    assert_int_equal(atomic_load(&m->deadline), UINT64_MAX);
    end(&r);
    h->sys.mie = BIT(IRQ_SEI);
    begin(&r, h);
    system_hart_set_line(h, BIT(IRQ_SEI), true);
    while (peek(m, DATA) != (CAUSE_INTERRUPT | IRQ_SEI))
        sched_yield();
    system_hart_set_line(h, BIT(IRQ_SEI), false);
    end(&r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_counters),         TEST(test_remote_sfence), TEST(test_fences_of_each_other),
        TEST(test_code_of_others),   TEST(test_kicks),         TEST(test_kicks_of_all_code),
        TEST(test_kicks_at_atomics), TEST(test_wakes),         TEST(test_line_and_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
