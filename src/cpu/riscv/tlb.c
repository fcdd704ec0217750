#include "cpu/riscv/tlb.h"

#include "base/util.h"
#include "cpu/riscv/window.h"

#include <stdlib.h>
#include <string.h>

int tlb_init(struct tlb *t)
{
    *t = (struct tlb){.contexts = calloc(TLB_CONTEXTS, sizeof(struct tlb_context)),
                      .codes = calloc(TLB_CODE_CONTEXTS, sizeof(struct tlb_code_context))};
    if (t->contexts && t->codes)
        return 0;
    tlb_release(t);
    return -1;
}

void tlb_release(struct tlb *t)
{
    free(t->contexts);
    free(t->codes);
    *t = (struct tlb){0};
}

/* ---- Contexts ---- */

static struct tlb_key key_of(const struct hart_sys *sys, enum priv mode)
{
    bool on = mmu_is_on(sys, mode);
    return (struct tlb_key){
        .satp = on ? sys->satp : 0,
        .mode = (uint8_t)mode,
        .sum = on && mode == PRIV_S && sys->mstatus & MSTATUS_SUM,
        .mxr = on && sys->mstatus & MSTATUS_MXR,
    };
}

static bool same_kind(const struct tlb_key *a, const struct tlb_key *b)
{
    return a->mode == b->mode && a->sum == b->sum && a->mxr == b->mxr &&
           a->satp >> SATP_MODE_SHIFT == b->satp >> SATP_MODE_SHIFT;
}

/* Is what was found under `have` right for `wanted`? A global mapping is in all address spaces. */
static bool serves(const struct tlb_key *have, bool local, const struct tlb_key *wanted)
{
    return same_kind(have, wanted) && (have->satp == wanted->satp || !local);
}

static void clear(struct tlb_context *c)
{
    c->local = c->filled = false;
    c->large.count = 0;
    memset(c->entries, 0xff, sizeof(c->entries)); /* TLB_NONE */
}

static void renew(struct tlb *t, struct tlb_code_context *c)
{
    c->id = ++t->last_id;
    c->local = false;
    c->large.count = 0;
    c->around = (struct tlb_range){UINT64_MAX, 0};
    memset(c->filter, 0, sizeof(c->filter));
    memset(c->entries, 0xff, sizeof(c->entries)); /* TLB_NONE */
}

/* The context of this very address space, else one that will do, else the one that was used least recently. */
static struct tlb_context *find_data(struct tlb *t, const struct tlb_key *key)
{
    struct tlb_context *oldest = t->contexts, *shared = NULL;
    for (struct tlb_context *c = t->contexts; c < t->contexts + TLB_CONTEXTS; c++) {
        if (c->used && serves(&c->key, c->local, key)) {
            if (c->key.satp == key->satp)
                return c;
            shared = c;
        }
        if (c->used < oldest->used)
            oldest = c;
    }
    if (shared)
        return shared;
    if (oldest->window)
        window_free(oldest->window);
    clear(oldest);
    return oldest;
}

static struct tlb_code_context *find_code(struct tlb *t, const struct tlb_key *key)
{
    struct tlb_code_context *oldest = t->codes, *shared = NULL;
    for (struct tlb_code_context *c = t->codes; c < t->codes + TLB_CODE_CONTEXTS; c++) {
        if (c->used && serves(&c->key, c->local, key)) {
            if (c->key.satp == key->satp)
                return c;
            shared = c;
        }
        if (c->used < oldest->used)
            oldest = c;
    }
    if (shared)
        return shared;
    renew(t, oldest);
    return oldest;
}

static bool is_of(const struct tlb_key *have, const struct tlb_key *wanted)
{
    return same_kind(have, wanted) && have->satp == wanted->satp;
}

static void set_data(struct tlb *t, const struct tlb_key *key)
{
    struct tlb_context **recent = &t->recent[key->mode | key->sum << 2 | key->mxr << 3];
    if (!*recent || !is_of(&(*recent)->key, key))
        *recent = find_data(t, key);
    t->data = *recent;
    t->data->key = *key;
    t->data->used = ++t->clock;
}

static void set_code(struct tlb *t, const struct tlb_key *key)
{
    struct tlb_code_context **recent = &t->recent_code[key->mode];
    if (!*recent || !is_of(&(*recent)->key, key))
        *recent = find_code(t, key);
    t->code = *recent;
    t->code->key = *key;
    t->code->used = ++t->clock;
}

void tlb_set_context(struct tlb *t, const struct hart_sys *sys)
{
    struct tlb_key data = key_of(sys, mmu_mode(sys, MMU_LOAD)), code = key_of(sys, mmu_mode(sys, MMU_FETCH));
    code.sum = code.mxr = false;
    set_data(t, &data);
    set_code(t, &code);
}

/* ---- Ranges ---- */

static bool overlap(struct tlb_range a, struct tlb_range b)
{
    return a.first <= b.last && b.first <= a.last;
}

static bool overlaps_any(const struct tlb_ranges *r, struct tlb_range range)
{
    for (unsigned i = 0; i < r->count; i++)
        if (overlap(r->range[i], range))
            return true;
    return false;
}

/* By how much `a` grows when it takes `b` in. */
static uint64_t growth(struct tlb_range a, struct tlb_range b)
{
    return (b.first < a.first ? a.first - b.first : 0) + (b.last > a.last ? b.last - a.last : 0);
}

/* Where there is no room, the range that grows least takes it in. */
static void ranges_add(struct tlb_ranges *r, struct tlb_range range)
{
    unsigned best = 0;
    for (unsigned i = 1; i < r->count; i++)
        if (growth(r->range[i], range) < growth(r->range[best], range))
            best = i;
    if (r->count && (r->count == TLB_RANGES || !growth(r->range[best], range))) {
        r->range[best].first = MIN(r->range[best].first, range.first);
        r->range[best].last = MAX(r->range[best].last, range.last);
    } else {
        r->range[r->count++] = range;
    }
}

/* The whole mapping of `size` bytes around an address. */
static struct tlb_range mapping_around(uint64_t gva, uint64_t size)
{
    return (struct tlb_range){gva & ~(size - 1), gva | (size - 1)};
}

/* ---- Filling ---- */

static uint64_t describe(const struct mmu_page *page)
{
    return (page->gpa & TLB_PAGE_MASK) | (uint64_t)__builtin_ctzll(page->size) |
           (page->global ? TLB_GLOBAL : 0);
}

static bool is_large(uint64_t page)
{
    return (page & TLB_SIZE) > TLB_PAGE_BITS;
}

void tlb_fill(struct tlb *t, uint64_t gva, const struct mmu_page *page, const struct tlb_entry *entry)
{
    struct tlb_context *c = t->data;
    struct tlb_entry *e = &c->entries[tlb_index(gva)];
    *e = *entry;
    e->page = describe(page) | (entry->page & TLB_MEMORY);
    c->filled = true;
    c->local |= !page->global;
    if (c->key.satp && is_large(e->page))
        ranges_add(&c->large, mapping_around(gva, page->size));
}

static uint64_t filter_hash(uint64_t gva)
{
    uint64_t number = gva >> TLB_PAGE_BITS;
    return (number ^ number >> TLB_FILTER_BITS) & ((1u << TLB_FILTER_BITS) - 1);
}

const struct tlb_code *tlb_fill_code(struct tlb *t, uint64_t gva, const struct mmu_page *page,
                                     const void *host)
{
    struct tlb_code_context *c = t->code;
    struct tlb_code *e = &c->entries[gva >> TLB_PAGE_BITS & (TLB_CODE_ENTRIES - 1)];
    *e = (struct tlb_code){gva & TLB_PAGE_MASK, describe(page) | TLB_MEMORY, host};
    c->local |= !page->global;
    c->filter[filter_hash(gva) / 64] |= BIT(filter_hash(gva) % 64);
    c->around = (struct tlb_range){MIN(c->around.first, gva & TLB_PAGE_MASK),
                                   MAX(c->around.last, gva | ~TLB_PAGE_MASK)};
    if (c->key.satp && is_large(e->page))
        ranges_add(&c->large, mapping_around(gva, page->size));
    return e;
}

/* ---- Forgetting ---- */

/* Beyond so many pages, going through all entries is quicker than looking each page up. */
enum { MANY_PAGES = 64 };

struct fence {
    bool by_address, by_asid;
    struct tlb_range range;
    uint64_t asid;
};

static bool concerns(const struct fence *f, const struct tlb_key *key)
{
    return key->satp && (!f->by_asid || (key->satp & SATP_ASID) >> SATP_ASID_SHIFT == f->asid);
}

static bool is_many(const struct fence *f)
{
    return (f->range.last - f->range.first) >> TLB_PAGE_BITS >= MANY_PAGES;
}

/* Some page of the entry's mapping is in the range. */
static void drop_if(const struct fence *f, struct tlb_entry *e)
{
    uint64_t tag = e->read != TLB_NONE ? e->read : e->write;
    if (tag == TLB_NONE || (f->by_asid && e->page & TLB_GLOBAL))
        return;
    if (!f->by_address || overlap(mapping_around(tag & TLB_PAGE_MASK, BIT(e->page & TLB_SIZE)), f->range))
        e->read = e->write = TLB_NONE;
}

static void fence_data(const struct fence *f, struct tlb_context *c)
{
    bool all = !f->by_address || overlaps_any(&c->large, f->range);
    if (c->window)
        window_drop(c->window, all ? 0 : f->range.first, all ? UINT64_MAX : f->range.last);
    if (!f->by_address && !f->by_asid) {
        clear(c);
        return;
    }
    if (all || is_many(f)) {
        for (unsigned i = 0; i < TLB_ENTRIES; i++)
            drop_if(f, &c->entries[i]);
        return;
    }
    for (uint64_t at = f->range.first; at - f->range.first <= f->range.last - f->range.first;
         at += BIT(TLB_PAGE_BITS))
        drop_if(f, &c->entries[tlb_index(at)]);
}

/* Was a page of the range fetched from, under this id? */
static bool may_hold(const struct tlb_code_context *c, const struct fence *f)
{
    if (c->around.first > c->around.last)
        return false;
    if (!f->by_address || overlaps_any(&c->large, f->range))
        return true;
    if (!overlap(c->around, f->range))
        return false;
    if (is_many(f))
        return true;
    for (uint64_t at = f->range.first; at - f->range.first <= f->range.last - f->range.first;
         at += BIT(TLB_PAGE_BITS))
        if (c->filter[filter_hash(at) / 64] >> filter_hash(at) % 64 & 1)
            return true;
    return false;
}

void tlb_fence(struct tlb *t, unsigned what, uint64_t start, uint64_t size, uint64_t asid)
{
    uint64_t first = start & TLB_PAGE_MASK, last = (start + size - 1) | ~TLB_PAGE_MASK;
    struct fence f = {.by_address = what & TLB_FENCE_ADDRESS,
                      .by_asid = what & TLB_FENCE_ASID,
                      .range = {first, last < first ? UINT64_MAX : last},
                      .asid = asid & (SATP_ASID >> SATP_ASID_SHIFT)};
    for (struct tlb_context *c = t->contexts; c < t->contexts + TLB_CONTEXTS; c++)
        if (c->used && c->filled && concerns(&f, &c->key) && (c->local || !f.by_asid))
            fence_data(&f, c);
    for (struct tlb_code_context *c = t->codes; c < t->codes + TLB_CODE_CONTEXTS; c++)
        if (c->used && concerns(&f, &c->key) && (c->local || !f.by_asid) && may_hold(c, &f))
            renew(t, c);
}

void tlb_drop_all(struct tlb *t)
{
    for (struct tlb_context *c = t->contexts; c < t->contexts + TLB_CONTEXTS; c++) {
        if (c->window)
            window_clear(c->window);
        c->used = 0;
    }
    for (struct tlb_code_context *c = t->codes; c < t->codes + TLB_CODE_CONTEXTS; c++)
        c->used = 0;
    memset(t->recent, 0, sizeof(t->recent));
    memset(t->recent_code, 0, sizeof(t->recent_code));
}

void tlb_slow_writes(struct tlb *t, bool (*is_slow)(void *context, uint64_t gpa), void *context)
{
    for (struct tlb_context *c = t->contexts; c < t->contexts + TLB_CONTEXTS; c++) {
        if (c->window)
            window_slow_writes(c->window, is_slow, context);
        for (unsigned i = 0; c->used && i < TLB_ENTRIES; i++) {
            struct tlb_entry *e = &c->entries[i];
            if (e->write != TLB_NONE && is_slow(context, e->page & TLB_PAGE_MASK))
                e->write |= TLB_SLOW;
        }
    }
}
