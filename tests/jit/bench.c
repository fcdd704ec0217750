#include "bench.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/fpu.h"
#include "host/signal.h"
#include "random_unit.h"

/* Where paged memory has the window: in two pages. */
static const uint64_t paged_window = 0xffffffc000122000;

struct ir_slot wide_slots[WIDE_SLOTS];
const struct ir_machine wide_machine = {wide_slots, WIDE_SLOTS, WIDE_PINS};
static char wide_names[WIDE_SLOTS][8];

void bench_make_slots(void)
{
    for (unsigned i = 0; i < WIDE_SLOTS; i++) {
        bool fp = (i >= WIDE_INTEGER && i < WIDE_PINS) || (i >= WIDE_SLOTS - 5 && i < WIDE_SLOTS - 1);
        unsigned pin = i < WIDE_INTEGER ? i + 1 : i < WIDE_PINS ? i - WIDE_INTEGER + 1 : 0;
        snprintf(wide_names[i], sizeof(wide_names[i]), "%c%u", fp ? 'f' : 'x', i);
        wide_slots[i] = (struct ir_slot){wide_names[i], (int32_t)(8 * i), fp ? IR_F64 : IR_I64, (uint8_t)pin};
    }
}

static struct bench *running;

/* As an engine does. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *g = uc->uc_mcontext.gregs;
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    const uint8_t *pc = (const uint8_t *)g[REG_RIP];
    if (!running || pc < running->room.cold || pc >= running->room.cold + BENCH_ROOM) {
        signal(number, SIG_DFL);
        return;
    }
    for (unsigned i = 0; i < 16; i++) {
        running->fault.integer[i] = (uint64_t)g[order[i]];
        memcpy(&running->fault.fp[i], uc->uc_mcontext.fpregs->_xmm[i].element, sizeof(running->fault.fp[i]));
    }
    running->fault.pc = pc;
    running->fault.address = (uint64_t)info->si_addr;
    running->fault.host_signal = number;
    g[REG_RIP] = (greg_t)running->thunks.fault;
}

/* As an engine does it, but that entries are passed. */
static void on_trap(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *pc = (const uint8_t *)g[REG_RIP];
    const uint8_t *first = (const uint8_t *)running->room.hot - BENCH_ROOM; /* the thunks' */
    bool inside = pc >= first && pc < first + BENCH_ROOM, stops = pc == running->at_stop.at;
    if (stops)
        g[REG_RIP] = (greg_t)running->at_stop.out;
    host_context_set_step(context, inside && !stops);
}

static struct jit_page *page_of(struct bench *b, uint64_t address)
{
    return &b->pages[address / BENCH_PAGE % (1u << BENCH_PAGE_BITS)];
}

void bench_forget_pages(struct bench *b)
{
    for (unsigned i = 0; i < 1u << BENCH_PAGE_BITS; i++)
        b->pages[i] = (struct jit_page){JIT_PAGE_NONE, JIT_PAGE_NONE, 0, 0};
}

void bench_know_page(struct bench *b, uint64_t address, bool writable)
{
    uint64_t tag = address & ~(uint64_t)(BENCH_PAGE - 1);
    *page_of(b, address) =
        (struct jit_page){tag, writable ? tag : JIT_PAGE_NONE, 0, (uint64_t)b->window - b->guest_window};
}

bool bench_reaches(const struct bench *b, uint64_t address, unsigned size)
{
    uint64_t offset = address - b->guest_window;
    return offset < BENCH_WINDOW && offset % BENCH_PAGE + size <= BENCH_PAGE;
}

/* A jit_helper. The registers it finds are not those of the unit any more when it comes back. */
static bool help(void *state_register, const void *at)
{
    struct bench *b = running;
    struct jit_access *a = &((struct cpu *)state_register)->state.access;
    uint64_t offset = a->address - b->guest_window, value = 0;
    unsigned size = ir_access_size(a->op, a->type);
    b->helped++;
    if (a->op == IR_HOST) {
        a->value = bench_reaches(b, a->address, (unsigned)a->value) ? (uint64_t)b->window - b->guest_window
                                                                    : JIT_PAGE_NONE;
        return true;
    }
    if (offset > BENCH_WINDOW - size) {
        memcpy(b->fault.integer, b->cpu->state.saved, sizeof(b->fault.integer));
        memcpy(b->fault.fp, b->cpu->state.saved + ARRAY_SIZE(b->fault.integer), sizeof(b->fault.fp));
        b->fault.pc = at;
        b->fault.address = 0;
        return false;
    }
    if (a->op >= IR_ST8 && a->op <= IR_STF) {
        memcpy(b->window + offset, &a->value, size);
    } else if (a->op == IR_ZERO) {
        memset(b->window + offset, 0, size);
    } else if (a->op >= IR_AXCHG) {
        a->value = (uint64_t)(b->window + offset);
    } else {
        memcpy(&value, b->window + offset, size);
        a->value = ir_loaded(a->op, value);
    }
    if (b->helped % 2)
        bench_know_page(b, a->address, b->helped % 4 == 1);
    __asm__ volatile("" ::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                           "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory");
    return true;
}

void bench_catch_faults(void)
{
    static uint8_t stack[64 << 10];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof(stack)}, NULL);
    const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    const struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGTRAP, &trap, NULL);
}

static void *map(size_t size, int protection)
{
    void *at = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    return at;
}

void bench_init(struct bench *b, const struct ir_machine *machine, struct jit_modes modes, bool paged)
{
    *b = (struct bench){.ir = calloc(1, sizeof(struct ir)), .copy = calloc(1, sizeof(struct ir))};
    b->machine = (struct jit_machine){.ir = *machine,
                                      .state = offsetof(struct cpu, state),
                                      .pending = offsetof(struct cpu, pending),
                                      .calls = unit_calls,
                                      .page_bits = paged ? BENCH_PAGE_BITS : 0,
                                      .pages = offsetof(struct cpu, pages),
                                      .bias = offsetof(struct cpu, bias),
                                      .helper = help};
    b->cpu = calloc(1, sizeof(*b->cpu));
    uint8_t *code = map(BENCH_ROOM, PROT_READ | PROT_WRITE | PROT_EXEC);
    b->room = (struct jit_room){code, code + BENCH_ROOM, 0};
    struct jit_room rest = b->room;
    jit_make_thunks(&b->machine, modes, &rest, &b->thunks);
    b->room.cold = rest.cold;
    assert_int_equal(jit_assembler_new(&b->as, &b->machine, modes), 0);
    b->stack = map(BENCH_STACK, PROT_READ | PROT_WRITE);
    b->window = map(2 * BENCH_WINDOW, PROT_NONE);
    assert_int_equal(mprotect(b->window, BENCH_WINDOW, PROT_READ | PROT_WRITE), 0);
    b->guest_window = paged ? paged_window : (uint64_t)b->window;
    b->cpu->pages = b->pages;
    b->cpu->state.far = b->far;
    b->far[0].pc = 2; /* 0 would be found there */
    bench_forget_pages(b);
    uint64_t *bottom = (uint64_t *)(void *)(b->stack + BENCH_STACK) - 4;
    *bottom = (uint64_t)b->thunks.underflow;
    b->cpu->state.jumps[0].pc = 2; /* here, too */
    b->cpu->state.return_base = b->cpu->state.return_sp = bottom;
}

void bench_release(struct bench *b)
{
    munmap(b->window, 2 * BENCH_WINDOW);
    munmap(b->stack, BENCH_STACK);
    munmap(b->room.hot - BENCH_ROOM, BENCH_ROOM);
    jit_assembler_free(b->as);
    free(b->cpu);
    free(b->ir);
    free(b->copy);
}

unsigned bench_run(struct bench *b, const struct jit_result *unit)
{
    b->fault.pc = NULL;
    b->at_stop = unit->stop;
    b->cpu->pending = b->stop;
    running = b;
    fpu_enter(FPU_NEAREST);
    unsigned reason = b->thunks.enter(b->cpu, unit->entry);
    b->flags = fpu_leave();
    running = NULL;
    return reason;
}
