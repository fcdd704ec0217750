#include "process/mm_internal.h"

#include "base/error.h"
#include "base/util.h"
#include "cpu/riscv/code.h"
#include "host/copy.h"
#include "process/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/resource.h>

/* Linux's usual vm.mmap_min_addr, and where GNU ld starts riscv64 programs: nothing below is ever needed. */
#define LOWEST ((uint64_t)0x10000)

/* 2^18 pages, as Linux randomizes with 39 address bits. */
#define RANDOM_PAGES  ((uint64_t)1 << 18)

#define MIN_STACK     ((uint64_t)256 << 10)
#define USUAL_STACK   ((uint64_t)8 << 20)
#define MIN_STACK_GAP ((uint64_t)128 << 20)
#define MAX_BRK_SLACK ((uint64_t)32 << 20)
#define HUGE_PAGE     ((uint64_t)2 << 20)
#define GUARD         ((uint64_t)2 << 30)

/* ---- Life ---- */

static void *reserve_at(uint64_t address, uint64_t length, int flags)
{
    flags |= MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    return mmap((void *)address, length, PROT_NONE, flags, -1, 0);
}

/* Claims the guest's own addresses on the host: base 0. */
static bool reserve_low(struct mm *mm)
{
    void *want = (void *)mm->low, *got = reserve_at(mm->low, mm->limit - mm->low, MAP_FIXED_NOREPLACE);
    if (got != MAP_FAILED && got != want) /* a kernel that does not know MAP_FIXED_NOREPLACE */
        munmap(got, mm->limit - mm->low);
    return got == want;
}

/* Where a sanitizer holds the low addresses, the guest's lie elsewhere. Below them nothing is to be found: that is where small
 * negative addresses lead. */
static bool reserve_anywhere(struct mm *mm)
{
    void *got = reserve_at(0, GUARD + mm->limit + HUGE_PAGE, 0);
    if (got == MAP_FAILED)
        return false;
    uint64_t start = (uint64_t)got, guard = ALIGN_UP(start, HUGE_PAGE);
    mm->base = guard + GUARD;
    if (guard != start)
        munmap(got, guard - start);
    munmap((void *)(mm->base + mm->limit), start + HUGE_PAGE - guard);
    return true;
}

static bool address_space_limited(void)
{
    struct rlimit limit;
    return !getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY;
}

/* Is nothing of the monitor below the limit? Without /proc, its own program stands for all of it: what the host places by
 * itself is higher still. */
static bool low_is_free(const struct mm *mm)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned long lowest = (unsigned long)low_is_free;
    if (maps && fscanf(maps, "%lx", &lowest) != 1)
        lowest = 0;
    if (maps)
        fclose(maps);
    return lowest >= mm->limit;
}

/* The host's mmap_min_addr when it is an unusual one. */
static uint64_t host_lowest(void)
{
    FILE *file = fopen("/proc/sys/vm/mmap_min_addr", "re");
    unsigned long lowest = 0;
    if (file && fscanf(file, "%lu", &lowest) != 1)
        lowest = 0;
    if (file)
        fclose(file);
    return MAX(ALIGN_UP((uint64_t)lowest, MM_PAGE), LOWEST);
}

static int reserve(struct mm *mm, struct guise_error *err)
{
    mm->reserved = true;
    if (!address_space_limited()) {
        if (reserve_low(mm))
            return 0;
        if (errno == EPERM && (mm->low = host_lowest()) != LOWEST && reserve_low(mm))
            return 0;
        if (reserve_anywhere(mm))
            return 0;
        return error_set_errno(err, GUISE_E_SYSTEM, errno,
                               "cannot reserve %llu GiB of addresses for the guest",
                               (unsigned long long)(mm->limit >> 30));
    }
    /* A limit counts reserved addresses too. With base 0 the host never places anything below the guest's limit by
     * itself, so holes can be left as holes. */
    mm->reserved = false;
    if (low_is_free(mm))
        return 0;
    return error_set(
        err, GUISE_E_SYSTEM,
        "the limit on virtual memory leaves no room for the guest's addresses; raise it with \"ulimit "
        "-v unlimited\"");
}

static uint64_t random_pages(const struct mm_layout *layout, uint64_t random, unsigned shift, uint64_t pages)
{
    return layout->randomized ? (random >> shift) % pages * MM_PAGE : 0;
}

/* What to map for the main stack. All that it may become costs nothing before it is used, so "unlimited" is a generous
 * size; but where a limit counts it, it grows from the usual size on. */
static uint64_t choose_stack(const struct mm *mm)
{
    uint64_t most = mm->limited ? USUAL_STACK : mm->limit / 64;
    return ALIGN_DOWN(MAX(MIN(limit_now(RLIMIT_STACK), most), MIN_STACK), MM_PAGE);
}

/* As arch_pick_mmap_layout(): the stack on top, a gap for its growth, mappings downwards from there. */
static void choose_layout(struct mm *mm)
{
    struct mm_layout *layout = &mm->layout;
    uint64_t random = 0;
    int persona = personality(0xffffffff);
    layout->randomized = (persona < 0 || !(persona & ADDR_NO_RANDOMIZE)) &&
                         getrandom(&random, sizeof(random), GRND_NONBLOCK) == sizeof(random);
    layout->stack_size = choose_stack(mm);
    layout->stack_top = mm->limit - MM_PAGE - random_pages(layout, random, 0, RANDOM_PAGES);
    uint64_t room = MIN(limit_now(RLIMIT_STACK), mm->limit / 64);
    uint64_t gap = MAX(room + MM_GUARD, MIN_STACK_GAP);
    layout->high =
        ALIGN_DOWN(layout->stack_top - gap, MM_PAGE) - random_pages(layout, random, 18, RANDOM_PAGES);
    layout->low = mm->low;
    layout->program = ALIGN_DOWN(mm->limit / 3 * 2, MM_PAGE) + random_pages(layout, random, 36, RANDOM_PAGES);
    layout->brk_slack = random_pages(layout, random, 51, MAX_BRK_SLACK / MM_PAGE);
}

int mm_new(struct mm **out, unsigned bits, struct guise_error *err)
{
    if (bits < 39 || bits > 46)
        return error_set(err, GUISE_E_CONFIG, "an address space has 39 to 46 bits, not %u", bits);
    struct mm *mm = calloc(1, sizeof(*mm));
    if (!mm)
        return error_set(err, GUISE_E_NOMEM, "no memory for an address space");
    mm->limit = (uint64_t)1 << (bits - 1);
    mm->low = LOWEST;
    mm->guard_low = mm->given_low = UINT64_MAX;
    atomic_init(&mm->wx.low, UINT64_MAX);
    pthread_mutex_init(&mm->lock, NULL);
    mm->limited = limit_now(RLIMIT_AS) != RLIM_INFINITY || limit_now(RLIMIT_DATA) != RLIM_INFINITY;
    int status = reserve(mm, err);
    if (status) {
        free(mm);
        return status;
    }
    choose_layout(mm);
    *out = mm;
    return 0;
}

void mm_free(struct mm *mm)
{
    if (!mm)
        return;
    if (mm->base)
        munmap((void *)(mm->base - GUARD), GUARD + mm->limit);
    else
        munmap((void *)mm->low, mm->limit - mm->low);
    regions_release(&mm->regions);
    mm_guard_release(mm);
    for (size_t i = 0; i < MM_NAMES; i++)
        free(mm->names[i]);
    pthread_mutex_destroy(&mm->lock);
    free(mm);
}

void mm_fork_prepare(struct mm *mm)
{
    pthread_mutex_lock(&mm->lock);
}

void mm_fork_done(struct mm *mm)
{
    pthread_mutex_unlock(&mm->lock);
}

static void give_up_reservation(struct mm *mm)
{
    uint64_t hole = mm->low;
    for (const struct mm_region *r; (r = regions_find(&mm->regions, hole)); hole = r->end)
        if (r->start > hole)
            munmap(mm_host(mm, hole), r->start - hole);
    if (hole < mm->limit)
        munmap(mm_host(mm, hole), mm->limit - hole);
    mm->reserved = false;
}

void mm_yield_holes(struct mm *mm)
{
    if (mm->reserved && !mm->base)
        give_up_reservation(mm);
}

bool mm_unreserve(struct mm *mm)
{
    if (mm->base)
        return false;
    pthread_mutex_lock(&mm->lock);
    if (mm->reserved)
        give_up_reservation(mm);
    pthread_mutex_unlock(&mm->lock);
    return true;
}

/* ---- Limits ---- */

void mm_watch_limits(struct mm *mm)
{
    pthread_mutex_lock(&mm->lock);
    mm->limited = true;
    pthread_mutex_unlock(&mm->lock);
}

bool mm_yield_to_limit(struct mm *mm)
{
    if (mm->base || !mm->reserved || !address_space_limited())
        return false;
    give_up_reservation(mm);
    mm->limited = true;
    return true;
}

/* Bytes of the guest's mappings within a range, of data alone or of all. */
static uint64_t mapped_bytes(const struct mm *mm, uint64_t start, uint64_t end, bool data)
{
    uint64_t bytes = 0;
    const struct mm_region *r;
    for (uint64_t at = start; at < end && (r = regions_find(&mm->regions, at)) && r->start < end; at = r->end)
        if (!data || mm_is_data(r))
            bytes += MIN(r->end, end) - MAX(r->start, at);
    return bytes;
}

bool mm_may_grow(const struct mm *mm, unsigned resource, uint64_t added)
{
    if (likely(!mm->limited))
        return true;
    uint64_t limit = limit_now(resource);
    return limit == RLIM_INFINITY ||
           mapped_bytes(mm, 0, mm->limit, resource == RLIMIT_DATA) + added <= ALIGN_DOWN(limit, MM_PAGE);
}

bool mm_may_map(const struct mm *mm, const struct mm_region *region)
{
    if (likely(!mm->limited))
        return true;
    uint64_t added = region->end - region->start - mapped_bytes(mm, region->start, region->end, false);
    return mm_may_grow(mm, RLIMIT_AS, added) && (!mm_is_data(region) || mm_may_grow(mm, RLIMIT_DATA, added));
}

/* ---- What is where ---- */

uint64_t mm_base(const struct mm *mm)
{
    return mm->base;
}

uint64_t mm_limit(const struct mm *mm)
{
    return mm->limit;
}

const struct mm_layout *mm_layout(const struct mm *mm)
{
    return &mm->layout;
}

void mm_set_code(struct mm *mm, struct code *code)
{
    mm->code = code;
}

bool mm_find(struct mm *mm, uint64_t address, struct mm_region *region)
{
    pthread_mutex_lock(&mm->lock);
    const struct mm_region *r = regions_find(&mm->regions, address);
    if (r)
        *region = *r;
    pthread_mutex_unlock(&mm->lock);
    return r;
}

bool mm_check(struct mm *mm, uint64_t address, uint64_t length, int prot)
{
    if (!mm_range_ok(mm, address, length))
        return false;
    uint64_t at = address, end = address + length;
    pthread_mutex_lock(&mm->lock);
    while (at < end) {
        const struct mm_region *r = regions_find(&mm->regions, at);
        if (!r || r->start > at || (prot & ~(r->prot | mm_host_prot(r->prot))))
            break;
        at = r->end;
    }
    pthread_mutex_unlock(&mm->lock);
    return at >= end;
}

bool mm_executable(void *context, uint64_t address, uint64_t *end, bool *changeable)
{
    struct mm_region r;
    if (!mm_find(context, address, &r) || r.start > address || !(r.prot & PROT_EXEC))
        return false;
    *end = r.end;
    *changeable = (r.prot & PROT_WRITE) || r.shared;
    return true;
}

uint64_t mm_size(struct mm *mm)
{
    pthread_mutex_lock(&mm->lock);
    uint64_t size = mapped_bytes(mm, 0, mm->limit, false);
    pthread_mutex_unlock(&mm->lock);
    return size;
}

int mm_read(const struct mm *mm, void *to, uint64_t address, uint64_t size)
{
    return mm_range_ok(mm, address, size) && !host_copy(to, mm_host(mm, address), size) ? 0 : -EFAULT;
}

int mm_write(const struct mm *mm, uint64_t address, const void *from, uint64_t size)
{
    return mm_range_ok(mm, address, size) && !host_copy(mm_host(mm, address), from, size) ? 0 : -EFAULT;
}

bool mm_any_executable(const struct mm *mm, uint64_t start, uint64_t end)
{
    const struct mm_region *r;
    for (uint64_t at = start; at < end && (r = regions_find(&mm->regions, at)) && r->start < end; at = r->end)
        if (r->prot & PROT_EXEC)
            return true;
    return false;
}

uint64_t mm_mapped_until(const struct mm *mm, uint64_t start, uint64_t end)
{
    const struct mm_region *r;
    while (start < end && (r = regions_find(&mm->regions, start)) && r->start <= start)
        start = r->end;
    return MIN(start, end);
}

void mm_unlock_changed(struct mm *mm, bool executable, uint64_t start, uint64_t end)
{
    pthread_mutex_unlock(&mm->lock);
    if (executable && mm->code)
        code_invalidate(mm->code, start, end);
}

/* ---- Room ---- */

uint64_t mm_find_room(struct mm *mm, uint64_t hint, uint64_t length, uint64_t align)
{
    hint = ALIGN_UP(hint, align);
    if (hint && hint < mm->low)
        hint = ALIGN_UP(mm->low, align);
    if (hint && mm_range_ok(mm, hint, length) && regions_free(&mm->regions, hint, hint + length))
        return hint;
    uint64_t slack = align - MM_PAGE;
    if (length > UINT64_MAX - slack)
        return 0;
    uint64_t at = regions_gap(&mm->regions, mm->layout.low, mm->layout.high, length + slack);
    if (!at)
        at = regions_gap(&mm->regions, mm->low, mm->limit, length + slack);
    return ALIGN_UP(at, align);
}

uint64_t mm_place(struct mm *mm, uint64_t hint, uint64_t length, uint64_t align)
{
    pthread_mutex_lock(&mm->lock);
    uint64_t at = mm_find_room(mm, hint, length, MAX(align, MM_PAGE));
    pthread_mutex_unlock(&mm->lock);
    return at;
}

/* ---- Names ---- */

const char *mm_intern(struct mm *mm, const char *name)
{
    for (size_t i = 0; i < MM_NAMES; i++) {
        if (!mm->names[i])
            mm->names[i] = strdup(name);
        if (!mm->names[i] || !strcmp(mm->names[i], name))
            return mm->names[i];
    }
    return NULL;
}

void mm_name(struct mm *mm, uint64_t start, uint64_t end, const char *name)
{
    pthread_mutex_lock(&mm->lock);
    const char *known = mm_intern(mm, name);
    const struct mm_region *r;
    for (uint64_t at = start; at < end && (r = regions_find(&mm->regions, at)) && r->start < end;) {
        struct mm_region piece = *r;
        piece.start = MAX(piece.start, at);
        piece.end = MIN(piece.end, end);
        piece.name = known;
        at = piece.end;
        if (!regions_reserve(&mm->regions, 3))
            break;
        regions_remove(&mm->regions, piece.start, piece.end);
        regions_insert(&mm->regions, &piece);
    }
    pthread_mutex_unlock(&mm->lock);
}
