/* The pages of a window are in a table with open addressing: linear probing, without tombstones. */
#include "cpu/riscv/window.h"

#include "base/util.h"
#include "cpu/riscv/tlb.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Each page may be a mapping of its own, with another one between it and the next: Linux allows a process 65530. */
enum { WINDOW_PAGE = 1 << WINDOW_PAGE_BITS, ALL_PAGES = 24000 };
#define WINDOW_NONE     UINT64_C(1) /* no page's gva */
#define WINDOW_WRITABLE UINT64_C(1)

/* ---- The host's side ---- */

static const int nothing = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

static bool map_nothing(const struct window *w, uint64_t gva, uint64_t bytes)
{
    return mmap(w->base + gva, bytes, PROT_NONE, nothing | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static bool map_page(const struct window *w, uint64_t gva, const struct gmem_block *block, uint64_t gpa,
                     bool writable)
{
    int rights = PROT_READ | (writable ? PROT_WRITE : 0), flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
    return mmap(w->base + gva, WINDOW_PAGE, rights, flags, block->fd, (off_t)(gpa - block->base)) !=
           MAP_FAILED;
}

/* ---- The table ---- */

static unsigned home_of(uint64_t gva)
{
    const uint64_t golden = UINT64_C(0x9e3779b97f4a7c15);
    return (unsigned)((gva >> WINDOW_PAGE_BITS) * golden >> (64 - WINDOW_PLACE_BITS));
}

static unsigned next(unsigned i)
{
    return (i + 1) % WINDOW_PLACES;
}

/* Where the page is, or would be. */
static struct window_page *find(const struct window *w, uint64_t gva)
{
    unsigned i = home_of(gva);
    while (w->pages[i].gva != gva && w->pages[i].gva != WINDOW_NONE)
        i = next(i);
    return &w->pages[i];
}

/* Those behind it move up, as far as they may. */
static void take_out(struct window *w, struct window_page *page)
{
    unsigned hole = (unsigned)(page - w->pages);
    for (unsigned i = next(hole); w->pages[i].gva != WINDOW_NONE; i = next(i)) {
        unsigned home = home_of(w->pages[i].gva);
        if ((i - home) % WINDOW_PLACES < (i - hole) % WINDOW_PLACES)
            continue;
        w->pages[hole] = w->pages[i];
        hole = i;
    }
    w->pages[hole].gva = WINDOW_NONE;
    w->count--;
    w->all->count--;
}

static void take_out_all(struct window *w)
{
    for (unsigned i = 0; i < WINDOW_PLACES; i++)
        w->pages[i].gva = WINDOW_NONE;
    w->all->count -= w->count;
    w->count = 0;
}

/* ---- Forgetting ---- */

void window_clear(struct window *w)
{
    if (!w->count)
        return;
    if (!map_nothing(w, 0, WINDOW_BYTES))
        abort(); /* what is there may not be seen any more */
    take_out_all(w);
}

static bool is_in(const struct window_page *page, uint64_t first, uint64_t last)
{
    return page->gva != WINDOW_NONE && page->gva >= first && page->gva <= last;
}

/* Takes out the pages of the range and finds where the first and the last of them were. */
static void take_out_range(struct window *w, uint64_t first, uint64_t last, uint64_t *low, uint64_t *high)
{
    *low = UINT64_MAX;
    *high = 0;
    bool is_short = (last - first) / WINDOW_PAGE < WINDOW_PLACES;
    unsigned i = 0;
    for (uint64_t gva = first; is_short ? gva <= last : i < WINDOW_PLACES; gva += WINDOW_PAGE) {
        struct window_page *page = is_short ? find(w, gva) : &w->pages[i];
        if (!is_in(page, first, last)) {
            i++;
            continue;
        }
        *low = MIN(*low, page->gva);
        *high = MAX(*high, page->gva);
        take_out(w, page); /* another one may be there now */
    }
}

/* One call of the host's, whatever lies between the pages. Where it takes more mappings than the host has, all of them do not. */
void window_drop(struct window *w, uint64_t first, uint64_t last)
{
    uint64_t low, high;
    if (!w->count || first >= WINDOW_BYTES)
        return;
    take_out_range(w, first & ~(uint64_t)(WINDOW_PAGE - 1), MIN(last, WINDOW_BYTES - 1), &low, &high);
    if (low > high || map_nothing(w, low, high - low + WINDOW_PAGE))
        return;
    if (!map_nothing(w, 0, WINDOW_BYTES))
        abort();
    take_out_all(w);
}

void window_slow_writes(struct window *w, bool (*is_slow)(void *context, uint64_t gpa), void *context)
{
    for (unsigned i = 0; w->count && i < WINDOW_PLACES;) {
        const struct window_page *page = &w->pages[i];
        if (page->gva != WINDOW_NONE && page->gpa & WINDOW_WRITABLE &&
            is_slow(context, page->gpa & ~WINDOW_WRITABLE))
            window_drop(w, page->gva, page->gva); /* another one may be there now */
        else
            i++;
    }
}

/* ---- Whose they are ---- */

static bool reserve(struct windows *all, struct window *w)
{
    if (w->base)
        return true;
    w->pages = malloc(WINDOW_PLACES * sizeof(w->pages[0]));
    void *at = w->pages ? mmap(NULL, WINDOW_BYTES + 2 * WINDOW_GUARD, PROT_NONE, nothing, -1, 0) : MAP_FAILED;
    if (at == MAP_FAILED) {
        free(w->pages);
        w->pages = NULL;
        return false;
    }
    w->base = (uint8_t *)at + WINDOW_GUARD;
    w->all = all;
    take_out_all(w);
    return true;
}

void window_free(struct window *w)
{
    window_clear(w);
    if (w->owner)
        w->owner->window = NULL;
    w->owner = NULL;
}

struct window *windows_take(struct windows *all, struct tlb_context *owner)
{
    struct window *oldest = all->window;
    for (struct window *w = all->window; w < all->window + WINDOW_COUNT; w++)
        if (!w->owner || (oldest->owner && w->used < oldest->used))
            oldest = w;
    if (!reserve(all, oldest))
        return NULL;
    window_free(oldest);
    oldest->owner = owner;
    oldest->used = ++all->clock;
    owner->window = oldest;
    return oldest;
}

static void make_room(struct windows *all)
{
    for (struct window *w = all->window; w < all->window + WINDOW_COUNT; w++)
        if (w->base)
            window_clear(w);
}

bool window_map(struct window *w, uint64_t gva, const struct gmem_block *block, uint64_t gpa, bool writable)
{
    gva &= ~(uint64_t)(WINDOW_PAGE - 1);
    gpa &= ~(uint64_t)(WINDOW_PAGE - 1);
    w->used = ++w->all->clock;
    if (w->all->count >= w->all->most || w->count >= WINDOW_PLACES / 2)
        make_room(w->all);
    if (!map_page(w, gva, block, gpa, writable))
        return false;
    struct window_page *page = find(w, gva);
    w->count += page->gva == WINDOW_NONE;
    w->all->count += page->gva == WINDOW_NONE;
    *page = (struct window_page){gva, gpa | (writable ? WINDOW_WRITABLE : 0)};
    return true;
}

void windows_init(struct windows *all, unsigned harts)
{
    *all = (struct windows){.most = ALL_PAGES / harts};
}

void windows_release(struct windows *all)
{
    for (struct window *w = all->window; w < all->window + WINDOW_COUNT; w++) {
        if (w->base)
            munmap(w->base - WINDOW_GUARD, WINDOW_BYTES + 2 * WINDOW_GUARD);
        free(w->pages);
    }
}
