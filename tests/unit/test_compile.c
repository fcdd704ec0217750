/* Loops that are compiled beside the hart, whose code changes, goes away or is forked meanwhile.
 *
 *   loop:  lw   t0, 0(s0)           what is published
 *          addi t1, zero, VERSION   rewritten
 *          blt  t1, t0, stale
 *          addi t2, t2, -1
 *          addi t3, t3, 2
 *          bne  t2, zero, loop
 *          ebreak
 *   stale: ebreak
 *
 * A writer stores a new VERSION, announces the change and then publishes it: a hart that has seen the publication
 * must execute what was published. */
#include "cpu/riscv/engine.h"
#include "cpu/riscv/unit.h"
#include "host/copy.h"
#include "insns.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMORY_SIZE 0x10000u
#define LOOP        0x1000u
#define VERSION_AT  (LOOP + 4)
#define STOP        (LOOP + 24)
#define STALE       (LOOP + 28)
#define PUBLISHED   0xc000u

enum { X_DATA = 8, X_PUBLISHED = 5, X_VERSION = 6, X_LEFT = 7, X_SUM = 28 };

struct guest {
    uint8_t *memory;
    struct code *code;
    struct engine_options engine;
    atomic_bool unmapped, finished;
};

static bool executable(void *context, uint64_t address, uint64_t *end, bool *changeable)
{
    const struct guest *g = context;
    *end = PUBLISHED;
    *changeable = true;
    return address >= LOOP && address < PUBLISHED && !atomic_load(&g->unmapped);
}

/* Guest code is data to the sanitizers: written as the guest would, by a copy that they do not look into. */
static void put_word(struct guest *g, uint64_t address, uint32_t word)
{
    assert_int_equal(host_copy(g->memory + address, &word, sizeof(word)), 0);
}

static void put(struct guest *g, uint64_t address, struct rv_insn insn)
{
    put_word(g, address, rv_encode(&insn));
}

static void make_program(struct guest *g)
{
    put(g, LOOP, LW(X_PUBLISHED, X_DATA, 0));
    put(g, VERSION_AT, ADDI(X_VERSION, 0, 0));
    put(g, LOOP + 8, BLT(X_VERSION, X_PUBLISHED, (int)(STALE - LOOP - 8)));
    put(g, LOOP + 12, ADDI(X_LEFT, X_LEFT, -1));
    put(g, LOOP + 16, ADDI(X_SUM, X_SUM, 2));
    put(g, LOOP + 20, BNE(X_LEFT, 0, -20));
    put(g, STOP, EBREAK);
    put(g, STALE, EBREAK);
}

static int setup(void **state)
{
    static const struct code_ops ops = {.executable = executable};
    struct guest *g = calloc(1, sizeof(*g));
    g->engine = (struct engine_options)ENGINE_DEFAULTS;
    assert_true(engine_parse_options(&g->engine, *state));
    g->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(code_new(&g->code, &ops, g, (uint64_t)g->memory, ~UINT64_C(0), NULL), 0);
    assert_int_equal(code_set_engine(g->code, &g->engine, NULL), 0);
    make_program(g);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct guest *g = *state;
    code_free(g->code);
    munmap(g->memory, MEMORY_SIZE);
    free(g);
    return 0;
}

static _Thread_local struct hart *running;

static void on_signal(int number, siginfo_t *info, void *ucontext)
{
    bool own = number == SIGTRAP && engine_owns_trap(info, ucontext);
    if (own && running)
        engine_interrupt(running, ucontext);
    else if (!own && !host_copy_fault(ucontext) &&
             !(running && engine_fault(running, number, (uint64_t)info->si_addr, ucontext)))
        signal(number, SIG_DFL);
}

static void install_handlers(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigfillset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGTRAP, &action, NULL);
}

static struct hart *new_hart(struct guest *g)
{
    install_handlers(); /* cmocka has its own before each test */
    struct hart *hart = calloc(1, sizeof(*hart));
    if (!hart || hart_init(hart, g->code, (uint64_t)g->memory, MEMORY_SIZE, NULL))
        abort();
    return hart;
}

static void free_hart(struct hart *hart)
{
    hart_release(hart);
    free(hart);
}

static void run(struct hart *hart)
{
    running = hart;
    engine_enter_thread(hart);
    hart_fpu_enter(hart);
    do {
        atomic_store(&hart->pending, 0);
        engine_run(hart);
    } while (hart->exit.kind == EXIT_PENDING);
    hart_fpu_leave(hart);
    engine_leave_thread(hart);
    running = NULL;
}

/* Goes round so many times; did it see nothing stale? */
static bool go_round(struct hart *hart, uint64_t rounds)
{
    hart->pc = LOOP;
    hart->x[X_DATA] = PUBLISHED;
    hart->x[X_LEFT] = rounds;
    hart->x[X_SUM] = 0;
    run(hart);
    return hart->exit.kind == EXIT_EBREAK && hart->pc == STOP && hart->x[X_SUM] == 2 * rounds;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Goes round until the thread was asked, and no further. */
static void ask(struct guest *g, struct hart *hart)
{
    uint64_t before = code_engine_stats(g->code).asked;
    for (unsigned i = 0; i < 1000 && code_engine_stats(g->code).asked == before; i++)
        assert_true(go_round(hart, 20));
    assert_int_equal(code_engine_stats(g->code).asked, before + 1);
}

/* Goes round until there are so many loops, and as many requests that were dropped, or more. */
static void settle(struct guest *g, struct hart *hart, uint64_t loops, uint64_t dropped)
{
    struct engine_stats s = code_engine_stats(g->code);
    for (unsigned i = 0; i < 2000 && (s.loops < loops || s.dropped < dropped); i++) {
        assert_true(go_round(hart, 1000));
        nap();
        s = code_engine_stats(g->code);
    }
    assert_int_equal(s.loops, loops);
    assert_in_range(s.dropped, dropped, s.asked);
}

static void rewrite(struct guest *g, int version)
{
    put(g, VERSION_AT, ADDI(X_VERSION, 0, version));
    if (version % 2)
        code_invalidate(g->code, VERSION_AT, VERSION_AT + 4);
    else
        code_fence(g->code);
    put_word(g, PUBLISHED, (uint32_t)version);
}

static void makes_a_loop(void **state)
{
    struct guest *g = *state;
    struct hart *hart = new_hart(g);
    ask(g, hart);
    settle(g, hart, 1, 0);
    assert_true(go_round(hart, 100000));
    struct engine_stats s = code_engine_stats(g->code);
    assert_int_equal(s.asked, 1);
    assert_true(s.thread_ns > 0 && s.thread_ns < s.compile_ns);
    free_hart(hart);
}

static void drops_code_that_has_changed(void **state)
{
    struct guest *g = *state;
    struct hart *hart = new_hart(g);
    for (int version = 1; version <= 20; version++) {
        ask(g, hart);
        rewrite(g, version);
        assert_true(go_round(hart, 20)); /* the same pc is warm again when the loop of before comes */
        settle(g, hart, (uint64_t)version, (uint64_t)version);
        code_invalidate(g->code, LOOP, PUBLISHED); /* the loop goes */
    }
    free_hart(hart);
}

/* The bytes are still there for who reads them, but not for execution. */
static void drops_code_that_is_gone(void **state)
{
    struct guest *g = *state;
    struct hart *hart = new_hart(g);
    ask(g, hart);
    atomic_store(&g->unmapped, true);
    code_invalidate(g->code, LOOP, PUBLISHED);
    for (unsigned i = 0; i < 10; i++) {
        assert_false(go_round(hart, 1000));
        assert_int_equal(hart->exit.kind, EXIT_FETCH);
        nap();
    }
    assert_int_equal(code_engine_stats(g->code).loops, 0);
    atomic_store(&g->unmapped, false);
    settle(g, hart, 1, 1);
    free_hart(hart);
}

static void hart_makes_it_where_there_is_no_thread(void **state)
{
    struct guest *g = *state;
    struct hart *hart = new_hart(g);
    code_pause_thread(g->code);
    for (unsigned i = 0; i < 100; i++)
        assert_true(go_round(hart, 20));
    struct engine_stats s = code_engine_stats(g->code);
    assert_int_equal(s.loops, 1);
    assert_int_equal(s.asked, 0);
    code_resume_thread(g->code);
    free_hart(hart);
}

/* In the child the request is forgotten, and made again. */
static void child_asks_anew(void **state)
{
    struct guest *g = *state;
    for (unsigned i = 0; i < 100; i++) {
        struct hart *hart = new_hart(g);
        rewrite(g, 1 + (int)i);
        ask(g, hart);
        code_fork_prepare(g->code);
        pid_t pid = fork();
        code_fork_done(g->code, pid == 0);
        if (pid == 0) {
            engine_fork_child(hart);
            uint64_t loops = code_engine_stats(g->code).loops;
            for (unsigned k = 0; k < 2000 && code_engine_stats(g->code).loops == loops; k++) {
                if (!go_round(hart, 1000))
                    _exit(1);
                nap();
            }
            code_pause_thread(g->code);
            _exit(code_engine_stats(g->code).loops == loops ? 2 : 0);
        }
        int status;
        assert_true(go_round(hart, 1000));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        free_hart(hart);
    }
}

static uint32_t published(const struct guest *g)
{
    uint32_t version = 0;
    (void)host_copy(&version, g->memory + PUBLISHED, sizeof(version));
    return version;
}

/* A round that was begun before the publication may be one of before; one that is begun later may not. */
static bool goes_right(const struct guest *g, struct hart *hart)
{
    uint32_t known = published(g);
    return go_round(hart, 300) || (hart->pc == STALE && hart->x[X_VERSION] >= known);
}

static void *runner(void *guest)
{
    struct guest *g = guest;
    bool ok = true;
    while (ok && !atomic_load(&g->finished)) {
        struct hart *hart = new_hart(g);
        for (unsigned i = 0; i < 100 && ok; i++)
            ok = goes_right(g, hart);
        free_hart(hart);
    }
    return ok ? g : NULL;
}

static void harts_see_what_is_published(void **state)
{
    enum { RUNNERS = 3, VERSIONS = 400 };
    struct guest *g = *state;
    pthread_t threads[RUNNERS];
    for (unsigned i = 0; i < RUNNERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, runner, g), 0);
    for (int version = 1; version <= VERSIONS; version++) {
        rewrite(g, version);
        if (version % 16 == 0) {
            code_pause_thread(g->code);
            code_resume_thread(g->code);
        }
        if (version % 8)
            nap();
    }
    atomic_store(&g->finished, true);
    for (unsigned i = 0; i < RUNNERS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_non_null(result);
    }
    struct engine_stats s = code_engine_stats(g->code);
    print_message("loops %lu asked %lu dropped %lu killed %lu\n", s.loops, s.asked, s.dropped, s.killed);
    assert_true(s.loops > 10 && s.asked > 10 && s.dropped > 0);
}

static void *go_for_ever(void *guest)
{
    struct hart *hart = new_hart(guest);
    bool stopped = !go_round(hart, UINT64_MAX) && hart->exit.kind == EXIT_EBREAK && hart->pc == VERSION_AT;
    free_hart(hart);
    return stopped ? guest : NULL;
}

/* Who is in a loop whose code changes leaves it. */
static void hart_leaves_a_loop_that_changes(void **state)
{
    struct guest *g = *state;
    for (uint64_t i = 1; i <= 20; i++) {
        pthread_t thread;
        void *result;
        make_program(g);
        code_invalidate(g->code, LOOP, PUBLISHED);
        assert_int_equal(pthread_create(&thread, NULL, go_for_ever, g), 0);
        while (code_engine_stats(g->code).loops < i)
            nap();
        nap();
        put(g, VERSION_AT, EBREAK);
        code_invalidate(g->code, VERSION_AT, VERSION_AT + 4);
        pthread_join(thread, &result);
        assert_non_null(result);
    }
}

int main(void)
{
#define TEST(name, options)                             \
    {                                                   \
#name, name, setup, teardown, (void *)(options) \
    }
    const char *options = "threads:2,threshold:0,quick:0,hot:500",
               *at_once = "threads:2,threshold:1,quick:0,hot:1";
    const struct CMUnitTest tests[] = {
        TEST(makes_a_loop, options),
        TEST(drops_code_that_has_changed, options),
        TEST(drops_code_that_is_gone, options),
        TEST(hart_makes_it_where_there_is_no_thread, options),
        TEST(child_asks_anew, options),
        TEST(hart_leaves_a_loop_that_changes, options),
        TEST(hart_leaves_a_loop_that_changes, "threads:0"),
        TEST(harts_see_what_is_published, at_once),
        TEST(harts_see_what_is_published, "threads:2,threshold:1,quick:1,hot:20,random:5,cache:9000000"),
    };
    return cmocka_run_group_tests_name("compile", tests, NULL, NULL);
}
