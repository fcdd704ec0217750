/* Predecoded and translated code under fire: harts run functions while another thread rewrites them, in code caches of a
 * chunk or two, so that units are killed, dropped and freed all the time. Built with -fsanitize=thread, too, it shows missing order.
 *
 *   function k:  addi a0, zero, VERSION      main:  for each k:  lw a1, published[k]
 *                jal zero, common_return                         jal ra, function k   (or a jump through a register)
 *                                                                blt a0, a1, stale
 *                                                   ebreak
 *
 * The writer stores a new VERSION, announces the change and then publishes it: a hart that has seen the publication must
 * execute what was published. */
#include "cpu/riscv/engine.h"
#include "cpu/riscv/unit.h"
#include "host/copy.h"
#include "insns.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMORY_SIZE 0x10000u
#define MAIN        0x1000u
#define FUNCTIONS   0x4000u
#define PUBLISHED   0xc000u
#define STRIDE      0x50u /* from one function to the next: two or more in a page's units */
#define COUNT       64u
#define VERSIONS    1900 /* what an immediate can hold */
#define RETURN      (FUNCTIONS + COUNT * STRIDE)

enum { X_RA = 1, X_DATA = 8, X_BASE = 9, X_RESULT = 10, X_PUBLISHED = 11 };

struct guest {
    uint8_t *memory;
    struct code *code;
    struct engine_options engine;
    uint64_t stale, stop; /* pcs of main's ends */
    uint64_t per_round;   /* instructions from its start to `stop` */
    atomic_bool finished;
};

static bool executable(void *context, uint64_t address, uint64_t *end, bool *changeable)
{
    (void)context;
    *end = PUBLISHED;
    *changeable = true;
    return address >= MAIN && address < PUBLISHED;
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

static uint64_t function(unsigned k)
{
    return FUNCTIONS + k * STRIDE;
}

static void make_program(struct guest *g)
{
    uint64_t at = MAIN, calls[COUNT];
    for (unsigned k = 0; k < COUNT; k++) {
        put(g, at, LW(X_PUBLISHED, X_DATA, (int)(4 * k)));
        at += 4;
        if (k % 2) {
            put(g, at, ADDI(X_RA, X_BASE, (int)(k * STRIDE / 4)));
            put(g, at + 4, INSN(SH2ADD, .rd = X_RA, .rs1 = X_RA, .rs2 = 0));
            put(g, at + 8, JALR(X_RA, X_RA, 0));
            at += 8;
        } else {
            put(g, at, JAL(X_RA, (int)(function(k) - at)));
        }
        calls[k] = at + 4;
        at += 8;
        put(g, function(k), ADDI(X_RESULT, 0, 0));
        put(g, function(k) + 4, JAL(0, (int)(RETURN - function(k) - 4)));
    }
    put(g, RETURN, JALR(0, X_RA, 0));
    g->stop = at;
    g->stale = at + 4;
    put(g, g->stop, EBREAK);
    put(g, g->stale, EBREAK);
    for (unsigned k = 0; k < COUNT; k++)
        put(g, calls[k], BLT(X_RESULT, X_PUBLISHED, (int)(g->stale - calls[k])));
    g->per_round = COUNT / 2 * (3 + 3) + COUNT / 2 * (5 + 3);
}

/* Engine and options, as one text: "jit threshold:0". */
static int setup(void **state)
{
    /* One chunk is never too much, so two are the least that lets harts that share it get anywhere. */
    static const struct code_ops ops = {.executable = executable, .max_bytes = 100000};
    struct guest *g = calloc(1, sizeof(*g));
    char kind[16] = "", options[100] = "";
    sscanf(*state, "%15s %99s", kind, options);
    g->engine = (struct engine_options)ENGINE_DEFAULTS;
    assert_true(engine_parse_kind(&g->engine, kind) &&
                (!*options || engine_parse_options(&g->engine, options)));
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

static struct hart *new_hart(struct guest *g)
{
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

static _Thread_local struct hart *running;

/* An entry of a unit that has died faults, and the hart leaves from there. */
static void on_signal(int number, siginfo_t *info, void *ucontext)
{
    if (number == SIGTRAP && running && engine_owns_trap(info, ucontext))
        engine_interrupt(running, ucontext);
    else if (!host_copy_fault(ucontext) &&
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

/* As an owner does it: a kick means nothing by itself. */
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

static bool run_main(const struct guest *g, struct hart *hart)
{
    uint64_t before = hart->instret;
    hart->pc = MAIN;
    hart->x[X_DATA] = PUBLISHED;
    hart->x[X_BASE] = FUNCTIONS / 4;
    run(hart);
    return hart->exit.kind == EXIT_EBREAK && hart->pc == g->stop &&
           (hart_translates(hart) || hart->instret - before == g->per_round);
}

/* Runs main until the writer has finished; every now and then with a new hart. */
static void *runner(void *guest)
{
    struct guest *g = guest;
    bool ok = true;
    while (ok && !atomic_load(&g->finished)) {
        struct hart *hart = new_hart(g);
        for (unsigned i = 0; i < 200 && ok; i++)
            ok = run_main(g, hart);
        free_hart(hart);
    }
    return ok ? g : NULL;
}

static void rewrite(struct guest *g, unsigned k, int version)
{
    put(g, function(k), ADDI(X_RESULT, 0, version));
    if (k % 8)
        code_invalidate(g->code, function(k), function(k) + 4);
    else
        code_fence(g->code);
    put_word(g, PUBLISHED + 4 * k, (uint32_t)version);
}

/* A fork in the middle: the child has one thread, and goes on alone with the code that all of them had. */
static void fork_and_run(struct guest *g, struct hart *hart)
{
    code_fork_prepare(g->code);
    pid_t pid = fork();
    code_fork_done(g->code, pid == 0);
    if (pid == 0) {
        bool ok = true;
        for (int i = 0; i < 100 && ok; i++) {
            ok = run_main(g, hart);
            code_invalidate(g->code, MAIN, PUBLISHED);
        }
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void harts_see_what_is_published(void **state)
{
    enum { RUNNERS = 3, FORKS = 8 };
    struct guest *g = *state;
    pthread_t threads[RUNNERS];
    struct hart *hart = new_hart(g);
    install_handlers();
    for (unsigned i = 0; i < RUNNERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, runner, g), 0);
    unsigned seed = 1;
    for (int version = 1; version <= VERSIONS; version++) {
        for (unsigned n = 0; n < 8; n++) {
            seed = seed * 1103515245 + 12345;
            rewrite(g, seed >> 16 & (COUNT - 1), version);
        }
        if (version % (VERSIONS / FORKS) == 0)
            fork_and_run(g, hart);
        if (version % 16 == 0)
            assert_true(run_main(g, hart));
    }
    atomic_store(&g->finished, true);
    for (unsigned i = 0; i < RUNNERS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_non_null(result);
    }
    free_hart(hart);
    assert_true(code_stats(g->code).flushes > 10);
}

#define UNDER(engine)                                                                                        \
    {                                                                                                        \
        "harts_see_what_is_published: " engine, harts_see_what_is_published, setup, teardown, (void *)engine \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNDER("interp"),
        UNDER("jit threshold:2"),
        UNDER("jit threshold:0,cache:1,quick:2"),
        UNDER("jit threshold:1,cache:600000,random:3,no-returns,quick:0"),
    };
    return cmocka_run_group_tests_name("code_threads", tests, NULL, NULL);
}
