/* Code in the memory of a computer: which pages have some, and who writes to them. What watch.h is for a process VM
 * with the host's page protection, a byte for each page is here:
 *
 *   PAGE_CODE      stores go the slow way, which makes the page open: its code is compared at fences, or dropped
 *   PAGE_WRITTEN   some hart may have a tag in its TLB with which it stores to the page unheard
 *
 * A page gets PAGE_CODE first, and is watched if it does not have PAGE_WRITTEN; a hart sets PAGE_WRITTEN first, and
 * keeps a tag if there is no PAGE_CODE then. So one of both hears of the other. Where code is made of a page that has
 * been written to, the page stays open until each hart has gone through its TLBs (a sweep), which is done for many
 * pages at once; a hart that executes nothing meanwhile does it before it goes on.
 *
 * Devices mark what they have written (bus/gmem.h); fences look at these marks.
 *
 * Threads: code_ops are called with the code's lock held. */
#include "cpu/riscv/system_internal.h"

#include "base/util.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE_CODE = 1, PAGE_WRITTEN = 2 };

/* Pages that wait for a sweep: one costs about as much as comparing the code of so many pages a few times. */
enum { SWEEP_PAGES = 16 };

/* ---- Pages ---- */

static _Atomic uint8_t *state_of(const struct system *s, const struct gmem_block *block, uint64_t gpa)
{
    return &s->pages[block - s->config.memory->blocks][(gpa - block->base) / SYSTEM_PAGE];
}

static _Atomic uint8_t *state_at(const struct system *s, uint64_t gpa)
{
    const struct gmem_block *block = gmem_find(s->config.memory, gpa);
    return block ? state_of(s, block, gpa) : NULL;
}

static bool has_code(void *context, uint64_t gpa)
{
    const _Atomic uint8_t *state = state_at(context, gpa);
    return state && atomic_load(state) & PAGE_CODE;
}

static void pages_add(struct system_pages *p, uint64_t page)
{
    if (p->count == p->room) {
        size_t room = p->room ? 2 * p->room : 64;
        uint64_t *larger = realloc(p->page, room * sizeof(p->page[0]));
        if (!larger)
            return; /* the page is compared at each fence: slower, and right */
        p->page = larger;
        p->room = room;
    }
    p->page[p->count++] = page;
}

static void pages_remove(struct system_pages *p, uint64_t page)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->page[i] == page)
            p->page[i--] = p->page[--p->count];
}

int system_code_init(struct system *s)
{
    const struct gmem *memory = s->config.memory;
    for (unsigned i = 0; i < memory->count; i++) {
        void *pages = mmap(NULL, memory->blocks[i].length / SYSTEM_PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (pages == MAP_FAILED)
            return -1;
        s->pages[i] = pages;
    }
    return 0;
}

void system_code_release(struct system *s)
{
    const struct gmem *memory = s->config.memory;
    for (unsigned i = 0; i < memory->count; i++)
        if (s->pages[i])
            munmap((void *)s->pages[i], memory->blocks[i].length / SYSTEM_PAGE);
    free(s->refused.page);
    free(s->sweeping.page);
}

/* ---- Writes ---- */

/* What is written by way of a kept tag is not marked again: who takes these marks has to take the tags away first. */
static void mark(const struct gmem_block *block, uint64_t gpa)
{
    const uint8_t watchers = GMEM_WATCH_SAVE | GMEM_WATCH_DISPLAY;
    _Atomic uint8_t *dirty = &block->dirty[(gpa - block->base) / SYSTEM_PAGE];
    if ((atomic_load_explicit(dirty, memory_order_relaxed) & watchers) != watchers)
        atomic_fetch_or_explicit(dirty, watchers, memory_order_release);
}

void system_code_write(struct system *s, const struct gmem_block *block, uint64_t gpa)
{
    _Atomic uint8_t *state = state_of(s, block, gpa);
    mark(block, gpa);
    if (!(atomic_load_explicit(state, memory_order_relaxed) & PAGE_WRITTEN))
        atomic_fetch_or(state, PAGE_WRITTEN);
    while (unlikely(atomic_load(state) & PAGE_CODE)) {
        code_write_fault(s->code, gpa);
        atomic_fetch_or(state, PAGE_WRITTEN);
    }
}

/* ---- struct code_ops ---- */

static bool executable(void *context, uint64_t gpa, uint64_t *end, bool *changeable)
{
    const struct system *s = context;
    *end = (gpa | (SYSTEM_PAGE - 1)) + 1;
    *changeable = true;
    return gmem_find(s->config.memory, gpa);
}

static const void *host_of(void *context, uint64_t gpa)
{
    const struct system *s = context;
    const struct gmem_block *block = gmem_find(s->config.memory, gpa);
    return block->host + (gpa - block->base);
}

/* Devices' marks of before are of no interest: bytes are read after this. */
static bool protect(void *context, uint64_t page)
{
    struct system *s = context;
    _Atomic uint8_t *state = state_at(s, page);
    const struct gmem_block *block = gmem_find(s->config.memory, page);
    atomic_fetch_and(&block->dirty[(page - block->base) / SYSTEM_PAGE], (uint8_t)~GMEM_WATCH_CODE);
    if (!(atomic_fetch_or(state, PAGE_CODE) & PAGE_WRITTEN))
        return true;
    pages_add(&s->refused, page);
    return false;
}

static bool unprotect(void *context, uint64_t page, uint64_t *start, uint64_t *end)
{
    struct system *s = context;
    pages_remove(&s->refused, page);
    pages_remove(&s->sweeping, page);
    atomic_fetch_and(state_at(s, page), (uint8_t)~PAGE_CODE);
    *start = page;
    *end = page + SYSTEM_PAGE;
    return true;
}

static bool written(void *context, uint64_t page)
{
    const struct system *s = context;
    const struct gmem_block *block = gmem_find(s->config.memory, page);
    _Atomic uint8_t *dirty = &block->dirty[(page - block->base) / SYSTEM_PAGE];
    return atomic_load_explicit(dirty, memory_order_acquire) & GMEM_WATCH_CODE &&
           atomic_fetch_and(dirty, (uint8_t)~GMEM_WATCH_CODE);
}

/* ---- Sweeps ---- */

void system_code_sweep(struct system_hart *h)
{
    uint64_t sweep = atomic_load(&h->system->sweep);
    tlb_slow_writes(&h->tlb, has_code, h->system);
    atomic_store(&h->swept, sweep);
}

/* Every hart goes through its TLBs: running ones soon, others before they run. */
static void begin_sweep(struct system *s)
{
    struct system_pages none = s->sweeping;
    s->sweeping = s->refused;
    s->refused = none;
    atomic_fetch_add(&s->sweep, 1);
    for (unsigned i = 0; i < s->config.harts; i++) {
        atomic_fetch_or(&s->harts[i]->wants, SYSTEM_WANT_SWEEP);
        engine_kick(&s->harts[i]->hart);
    }
}

static bool is_swept(const struct system *s)
{
    uint64_t sweep = atomic_load(&s->sweep);
    for (unsigned i = 0; i < s->config.harts; i++)
        if (atomic_load(&s->harts[i]->swept) != sweep && system_is_inside(s->harts[i]))
            return false;
    return true;
}

/* No tag is left with which a page of the sweep could be written to: none was kept since it got PAGE_CODE. */
static uint64_t settled(void *context)
{
    struct system *s = context;
    if (!s->sweeping.count && s->refused.count >= SWEEP_PAGES)
        begin_sweep(s);
    if (!s->sweeping.count || !is_swept(s))
        return UINT64_MAX;
    uint64_t page = s->sweeping.page[--s->sweeping.count];
    atomic_fetch_and(state_at(s, page), (uint8_t)~PAGE_WRITTEN);
    return page;
}

const struct code_ops system_code_ops = {
    .executable = executable,
    .host = host_of,
    .protect = protect,
    .unprotect = unprotect,
    .written = written,
    .settled = settled,
};
