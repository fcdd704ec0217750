#include "cpu/riscv/watch.h"

#include "base/util.h"
#include "cpu/riscv/code.h"

#include <stdlib.h>
#include <time.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  (UINT64_C(1) << PAGE_SHIFT)

/* A fence compares an open page in about a fifth of the time that one more fault and protection take: after so many
 * without a change, watching it is the better bet, and never much worse than the best. */
#define QUIET_FENCES 5

/* A page whose stores and code alternate so often, and so quickly, is left open: each turn costs a fault and new
 * code. */
#define MAX_FAULTS 400
#define FAULT_GAP  (UINT64_C(10) * 1000 * 1000) /* ns */

/* From so many pages on that are compared at every fence, it is quicker to go through all code once. */
#define MANY_REFUSED (WATCH_BUCKETS / 2)

/* A flush that names more says nothing of where its writer writes. */
#define MAX_ANNOUNCED (UINT64_C(1) << 22)

void watch_init(struct watch *w, const struct code_ops *ops, void *context, struct code *code)
{
    *w = (struct watch){.ops = ops, .context = context, .code = code};
}

/* ---- Records ---- */

static struct watch_page **bucket(struct watch *w, uint64_t number)
{
    return &w->buckets[number % WATCH_BUCKETS];
}

static struct watch_page *find(struct watch *w, uint64_t number)
{
    struct watch_page *p = *bucket(w, number);
    while (p && p->number != number)
        p = p->next;
    return p;
}

static struct watch_page *get(struct watch *w, uint64_t number)
{
    struct watch_page *p = find(w, number);
    if (p)
        return p;
    p = calloc(1, sizeof(*p));
    if (!p) {
        w->blind = true;
        return NULL;
    }
    struct watch_page **list = bucket(w, number);
    p->number = number;
    p->next = *list;
    *list = p;
    atomic_fetch_add_explicit(&w->pages, 1, memory_order_relaxed);
    return p;
}

static void open_add(struct watch *w, struct watch_page *p)
{
    if (p->open_link)
        return;
    struct watch_page **list = p->refused ? &w->refused : &w->open;
    w->refused_count += p->refused;
    p->quiet = 0;
    p->open_next = *list;
    p->open_link = list;
    if (p->open_next)
        p->open_next->open_link = &p->open_next;
    *list = p;
}

static void open_remove(struct watch *w, struct watch_page *p)
{
    if (!p->open_link)
        return;
    w->refused_count -= p->refused;
    *p->open_link = p->open_next;
    if (p->open_next)
        p->open_next->open_link = p->open_link;
    p->open_link = NULL;
}

/* Frees the records of a bucket whose pages are in [first, beyond) and not watched. */
static void forget_in(struct watch *w, struct watch_page **at, uint64_t first, uint64_t beyond)
{
    while (*at) {
        struct watch_page *p = *at;
        if (p->watched || p->number < first || p->number >= beyond) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        open_remove(w, p);
        free(p);
        atomic_fetch_sub_explicit(&w->pages, 1, memory_order_relaxed);
    }
}

void watch_forget(struct watch *w, uint64_t start, uint64_t end)
{
    uint64_t first = ALIGN_UP(start, PAGE_SIZE) >> PAGE_SHIFT, beyond = end >> PAGE_SHIFT;
    for (uint64_t i = 0; first + i < beyond && i < WATCH_BUCKETS && watch_any(w); i++)
        forget_in(w, bucket(w, first + i), first, beyond);
}

void watch_release(struct watch *w)
{
    for (unsigned i = 0; i < WATCH_BUCKETS; i++)
        while (w->buckets[i]) {
            struct watch_page *p = w->buckets[i];
            w->buckets[i] = p->next;
            free(p);
        }
}

/* ---- Protection ---- */

/* Stores are heard of from now on, if they can be; else the page is open. */
static bool protect(struct watch *w, struct watch_page *p)
{
    bool for_ever = p->refused && !w->ops->settled;
    open_remove(w, p);
    p->watched = !for_ever && p->faults < MAX_FAULTS && w->ops->protect &&
                 w->ops->protect(w->context, p->number << PAGE_SHIFT);
    p->refused = !p->watched;
    w->watched += p->watched;
    if (p->refused)
        open_add(w, p);
    return p->watched;
}

/* Stores to the page do not fault any more. */
static void expose(struct watch *w, struct watch_page *p)
{
    uint64_t start = p->number << PAGE_SHIFT;
    p->watched = false;
    w->watched--;
    open_add(w, p);
    if (!p->announced)
        code_drop(w->code, start, start + PAGE_SIZE);
}

static void expose_in(struct watch *w, struct watch_page *p, uint64_t first, uint64_t beyond)
{
    for (; p; p = p->next)
        if (p->watched && p->number >= first && p->number < beyond)
            expose(w, p);
}

/* May the guest write there? */
static bool unprotect(struct watch *w, uint64_t number)
{
    uint64_t start = 0, end = 0;
    bool writable = w->ops->unprotect(w->context, number << PAGE_SHIFT, &start, &end);
    uint64_t first = start >> PAGE_SHIFT, beyond = end >> PAGE_SHIFT;
    for (uint64_t i = 0; first + i < beyond && i < WATCH_BUCKETS; i++)
        expose_in(w, *bucket(w, first + i), first, beyond);
    return writable;
}

static enum watch_state compare(struct watch *w, const struct watch_page *p)
{
    uint64_t start = p->number << PAGE_SHIFT;
    return code_compare(w->code, start, start + PAGE_SIZE);
}

/* ---- Code is made ---- */

static bool is_changeable(const struct watch *w, uint64_t address)
{
    uint64_t end;
    bool changeable;
    return w->ops->executable(w->context, address, &end, &changeable) && changeable;
}

/* A page whose writer tells of its stores stays open for a while: it may be in the middle of them. */
static bool add_page(struct watch *w, uint64_t address)
{
    struct watch_page *p = find(w, address >> PAGE_SHIFT);
    if (likely(p && (p->watched || (p->open_link && (p->announced || p->refused)))))
        return false;
    return is_changeable(w, address) && (p = get(w, address >> PAGE_SHIFT)) && protect(w, p);
}

bool watch_add(struct watch *w, uint64_t start, uint64_t end)
{
    bool added = false;
    for (uint64_t at = start; at < end; at = (at | (PAGE_SIZE - 1)) + 1)
        added |= add_page(w, at);
    return added;
}

void watch_refresh(struct watch *w, uint64_t address)
{
    const struct watch_page *p = find(w, address >> PAGE_SHIFT);
    if (p && p->open_link)
        compare(w, p);
}

/* ---- Code has changed ---- */

void watch_announce(struct watch *w, uint64_t start, uint64_t end)
{
    if (start >= end || end - start > MAX_ANNOUNCED)
        return;
    for (uint64_t at = start; at < end; at = (at | (PAGE_SIZE - 1)) + 1) {
        struct watch_page *p = find(w, at >> PAGE_SHIFT);
        if (!p && is_changeable(w, at))
            p = get(w, at >> PAGE_SHIFT);
        if (p)
            p->announced = true;
    }
}

static void fence_page(struct watch *w, struct watch_page *p, bool announces)
{
    p->announced |= announces;
    if (!p->refused && p->quiet >= QUIET_FENCES)
        protect(w, p); /* first: what is compared below must not change unheard */
    enum watch_state state = compare(w, p);
    if (state == WATCH_EMPTY)
        open_remove(w, p);
    else if (state == WATCH_CHANGED)
        p->quiet = 0;
    else if (p->quiet < QUIET_FENCES)
        p->quiet++;
}

static void fence_pages(struct watch *w, struct watch_page *p, bool announces)
{
    for (struct watch_page *next; p; p = next) {
        next = p->open_next;
        fence_page(w, p, announces);
    }
}

/* A page that could not be watched when it should have been may be some time soon. */
static void stop_refusing(struct watch *w, struct watch_page *p)
{
    if (!p->open_link || !p->refused)
        return;
    open_remove(w, p);
    p->refused = false;
    open_add(w, p);
}

/* Those that may be now. */
static void retry_settled(struct watch *w)
{
    for (uint64_t page; w->ops->settled && (page = w->ops->settled(w->context)) != UINT64_MAX;) {
        struct watch_page *p = find(w, page >> PAGE_SHIFT);
        if (!p || !p->open_link || !p->refused)
            continue;
        stop_refusing(w, p);
        p->quiet = QUIET_FENCES;
    }
}

/* Watched pages that were written to without a fault. */
static void find_written(struct watch *w)
{
    if (!w->ops->written || !w->ops->any_written(w->context))
        return;
    for (unsigned i = 0; i < WATCH_BUCKETS; i++)
        for (struct watch_page *p = w->buckets[i]; p; p = p->next)
            if (p->watched && w->ops->written(w->context, p->number << PAGE_SHIFT))
                unprotect(w, p->number);
}

void watch_fence(struct watch *w, bool announces)
{
    retry_settled(w);
    find_written(w);
    if (unlikely(w->blind || w->refused_count >= MANY_REFUSED))
        code_compare(w->code, 0, UINT64_MAX);
    else
        fence_pages(w, w->refused, announces);
    fence_pages(w, w->open, announces);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void count_fault(struct watch *w, struct watch_page *p)
{
    uint64_t now = now_ns();
    p->faults = now - p->last_fault > FAULT_GAP ? 0 : (uint16_t)(p->faults + 1);
    p->last_fault = now;
    w->faults++;
}

bool watch_fault(struct watch *w, uint64_t address)
{
    struct watch_page *p = find(w, address >> PAGE_SHIFT);
    if (!p)
        return false;
    if (p->watched)
        count_fault(w, p);
    else if (w->ops->settled)
        stop_refusing(w, p);        /* unprotect() ends the wait for it */
    return unprotect(w, p->number); /* another thread may have been faster, and have done it */
}

static void open_in(struct watch *w, const struct watch_page *p, uint64_t first, uint64_t last)
{
    for (; p; p = p->next)
        if (p->watched && p->number >= first && p->number <= last)
            unprotect(w, p->number);
}

void watch_open(struct watch *w, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    uint64_t first = start >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;
    uint64_t buckets = MIN(last - first + 1, (uint64_t)WATCH_BUCKETS);
    for (uint64_t i = 0; i < buckets; i++)
        open_in(w, *bucket(w, first + i), first, last);
}
