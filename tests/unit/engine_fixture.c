#include "engine_fixture.h"

#include "base/util.h"
#include "host/copy.h"
#include "isa/riscv/tables.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

struct hart *running;
_Atomic uint32_t *contended;

static void on_fault(int number, siginfo_t *info, void *ucontext)
{
    if (host_copy_fault(ucontext) ||
        (running && engine_fault(running, number, (uint64_t)info->si_addr, ucontext)))
        return;
    signal(number, SIG_DFL);
}

static void on_trap(int number, siginfo_t *info, void *ucontext)
{
    (void)number;
    if (running && engine_owns_trap(info, ucontext))
        engine_interrupt(running, ucontext);
    if (contended)
        atomic_fetch_xor(contended, 0x5555);
}

void install_handler(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    action.sa_sigaction = on_trap;
    action.sa_flags |= SA_RESTART;
    sigaction(SIGTRAP, &action, NULL);
}

static bool executable(void *context, uint64_t address, uint64_t *end, bool *changeable)
{
    const struct guest *g = context;
    *end = g->start + DATA;
    *changeable = g->changeable;
    return address - g->start >= CODE && address - g->start < DATA;
}

static const struct code_ops ops = {.executable = executable};

static uint8_t *map_memory(void)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint8_t *memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    mprotect(memory + DATA + 2 * PAGE, PAGE, PROT_NONE);
    mprotect(memory + READ_ONLY, PAGE, PROT_READ);
    return memory;
}

void start_in(struct guest *g, uint8_t *memory, const char *engine, const char *options, bool based)
{
    *g = (struct guest){.memory = memory, .options = ENGINE_DEFAULTS};
    install_handler();
    assert_true(engine_parse_kind(&g->options, engine));
    assert_true(engine_parse_options(&g->options, options));
    uint64_t base = based ? (uint64_t)g->memory : 0;
    g->start = based ? 0 : (uint64_t)g->memory;
    assert_int_equal(code_new(&g->code, &ops, g, base, ~UINT64_C(0), NULL), 0);
    assert_int_equal(code_set_engine(g->code, &g->options, NULL), 0);
    memset(&g->hart, 0, sizeof(g->hart));
    uint64_t limit = based ? MEMORY_SIZE : UINT64_C(1) << 47;
    assert_int_equal(hart_init(&g->hart, g->code, base, limit, NULL), 0);
}

void stop_keeping_memory(struct guest *g)
{
    hart_release(&g->hart);
    code_free(g->code);
}

void start(struct guest *g, const char *engine, const char *options, bool based)
{
    start_in(g, map_memory(), engine, options, based);
}

void stop(struct guest *g)
{
    stop_keeping_memory(g);
    munmap(g->memory, MEMORY_SIZE);
}

void put(struct guest *g, uint64_t *at, struct rv_insn insn)
{
    uint32_t word = rv_encode(&insn);
    assert_int_equal(host_copy(g->memory + *at, &word, sizeof(word)), 0);
    *at += sizeof(word);
}

void put_all(struct guest *g, const struct rv_insn *insns, unsigned count)
{
    uint64_t at = CODE;
    for (unsigned i = 0; i < count; i++)
        put(g, &at, insns[i]);
    code_invalidate(g->code, g->start + CODE, g->start + at);
    g->hart.pc = g->start + CODE;
}
enum exit_kind run_hart(struct hart *hart)
{
    running = hart;
    engine_enter_thread(hart);
    hart_fpu_enter(hart);
    do {
        hart->pending = 0;
        engine_run(hart);
    } while (hart->exit.kind == EXIT_PENDING);
    hart_fpu_leave(hart);
    engine_leave_thread(hart);
    running = NULL;
    return hart->exit.kind;
}

enum exit_kind run(struct guest *g)
{
    return run_hart(&g->hart);
}
