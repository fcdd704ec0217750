/* Direct code: user code that is entered often reads and writes guest memory through a window (window.h), without look-ups.
 *
 *   counts its entries ──often──> direct <──> the host faults ──> the page gets into the window
 *                                   │                        └──> there is no such page, or it is no plain memory: interpreted
 *                                   └──too many faults──> looks up again, for good
 *
 * A fault costs a hundred look-ups. So each takes of an allowance that grows with time: code for which it is gone is not direct
 * any more. What a fault at an access that is not to be had this way takes is more, for it will be seen again.
 *
 * An address beyond the window leaves the code before it is accessed; so do all in contexts without a window. */
#include "cpu/riscv/system_internal.h"

#include "base/util.h"
#include "cpu/riscv/hot.h"
#include "cpu/riscv/translate.h"
#include "host/segment.h"
#include "host/signal.h"

#include <time.h>

/* Microseconds of faults that may follow each other; the part of the time (1 / that) that faults may take; what they cost. */
enum { BURST = 32000, SHARE = 10, COST_FILL = 16, COST_REFUSED = 64 };

void direct_set_context(struct system_hart *h)
{
    const struct window *w = h->tlb.data->window;
    h->hart.window = w ? (uint64_t)w->base : 0;
    h->hart.window_limit = w ? WINDOW_BYTES : 0;
}

void direct_enter(struct system_hart *h)
{
    struct system_direct *d = &h->direct;
    if (h->hart.window && h->hart.window != d->gs)
        host_set_gs(d->gs = h->hart.window);
}

void direct_enter_thread(struct system_hart *h)
{
    h->direct.gs = 0;
}

/* ---- The allowance ---- */

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Tests: all code is direct at once, and stays so. */
static bool is_always(const struct system_hart *h)
{
    return code_engine(h->hart.code)->hot == 1;
}

/* May faults of this cost go on? */
static bool afford(struct system_hart *h, int64_t cost)
{
    struct system_direct *d = &h->direct;
    if (is_always(h))
        return true;
    int64_t now = now_us();
    int64_t earned = (now - d->since) / SHARE;
    if (earned) {
        d->allowance = MIN(d->allowance + earned, (int64_t)BURST);
        d->since = now;
    }
    d->allowance -= cost;
    if (d->allowance >= 0)
        return true;
    d->allowance = 0;
    return false;
}

/* ---- Becoming direct, and ceasing to be ---- */

/* The hart's context has a window, or gets one. */
static bool has_window(struct system_hart *h)
{
    if (h->hart.window)
        return true;
    if (!h->tlb.data->key.satp || !windows_take(&h->windows, h->tlb.data))
        return false;
    direct_set_context(h);
    return true;
}

bool direct_may_be(const struct system_hart *h)
{
    return h->sys.mode == PRIV_U || is_always(h);
}

void direct_heat(struct system_hart *h, uint64_t gpa)
{
    struct code *code = h->hart.code;
    hot_count(&h->hart, gpa, code_engine(code)->hot);
    if (has_window(h))
        code_make_direct(code, gpa);
    else
        code_cool(code, gpa);
}

/* The instruction at hart.pc, of direct code, is to be executed another way. */
static void refuse(struct system_hart *h)
{
    h->direct.refused++;
    if (!afford(h, COST_REFUSED))
        code_make_paged(h->hart.code, h->hart.pc - h->hart.bias);
}

bool direct_outside(struct system_hart *h)
{
    if (!h->hart.window && has_window(h))
        return true;
    refuse(h);
    return false;
}

/* ---- Faults ---- */

/* In the host's signal handler, from translated code: the hart is in no C function. */
bool direct_fault(struct system_hart *h, uint64_t address, void *ucontext)
{
    uint64_t gpa, gva = address - h->hart.window;
    bool writable;
    const void *pc = (const void *)host_context_pc(ucontext);
    if (!h->hart.window || gva >= WINDOW_BYTES || !translator_holds(code_translator(h->hart.code), pc) ||
        !afford(h, COST_FILL))
        return false;
    enum mmu_access access = host_context_writes(ucontext) ? MMU_STORE : MMU_LOAD;
    const struct gmem_block *block = system_open(h, gva, access, &gpa, &writable);
    h->direct.filled += block != NULL;
    return block && window_map(h->tlb.data->window, gva, block, gpa, writable);
}

bool direct_refused(struct system_hart *h)
{
    uint64_t gva = h->hart.fault.address - h->hart.window;
    if (!h->hart.window || gva + WINDOW_GUARD >= WINDOW_BYTES + 2 * WINDOW_GUARD)
        return false;
    refuse(h);
    return true;
}
