/* mmap() and its kin. Each decides where and whether, lets the host do it, then writes it down:
 *
 *   check as Linux does -> lock -> nodes for the regions -> host call -> regions -> unlock -> tell the code
 *
 * The host replaces mappings atomically (MAP_FIXED), so another thread never sees a hole that is not one. */
#include "process/mm_internal.h"

#include "base/util.h"
#include "cpu/riscv/code.h"
#include "process/limits.h"

#include <stdlib.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* Flags that mean something else, or something unwanted, at the host: MAP_32BIT and MAP_ABOVE4G are x86's; the address
 * is chosen here; stacks grow by mm_grow(). */
#define GUEST_ONLY_FLAGS (0x40 | 0x80 | MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN)

#define PROT_ALL         (PROT_READ | PROT_WRITE | PROT_EXEC)
#define HUGE_PAGE        ((uint64_t)2 << 20)
#define HUGE_SHIFT       26

/* ---- Holes ---- */

/* Makes a range a hole for the host; the caller removes its regions. Returns 0 or -errno. */
static int vacate(struct mm *mm, uint64_t start, uint64_t end)
{
    start = MAX(start, mm->low);
    if (start >= end)
        return 0;
    void *at = mm_host(mm, start);
    if (!mm->reserved)
        return munmap(at, end - start) ? -errno : 0;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    return mmap(at, end - start, PROT_NONE, flags, -1, 0) == MAP_FAILED ? -errno : 0;
}

/* What is mapped in the range is so no longer. */
static void drop(struct mm *mm, uint64_t start, uint64_t end)
{
    regions_remove(&mm->regions, start, end);
    mm_guard_forget(mm, start, end);
}

int mm_unmap(struct mm *mm, uint64_t start, uint64_t end)
{
    const struct mm_region *first = regions_find(&mm->regions, start);
    if (!first || first->start >= end)
        return 0;
    if (!regions_reserve(&mm->regions, 2))
        return -ENOMEM;
    int status = vacate(mm, start, end);
    if (!status)
        drop(mm, start, end);
    return status;
}

void mm_recover(struct mm *mm, uint64_t start, uint64_t end)
{
    const struct mm_region *first = regions_find(&mm->regions, start);
    bool used = first && first->start < end;
    if (!used && !mm->reserved)
        return;
    if (!msync(mm_host(mm, start), end - start, MS_ASYNC))
        return;
    vacate(mm, start, end);
    drop(mm, start, end);
}

/* A hole of a guest without reservation may be taken only if the host agrees that it is one. */
static int placement(const struct mm *mm, uint64_t start, uint64_t end)
{
    return mm->reserved || !regions_free(&mm->regions, start, end) ? MAP_FIXED : MAP_FIXED_NOREPLACE;
}

static void lock_new(struct mm *mm, uint64_t start, uint64_t end)
{
    if (mm->lock_future)
        mlock2(mm_host(mm, start), end - start, mm->lock_future & MCL_ONFAULT ? MLOCK_ONFAULT : 0);
}

void mm_mapped(struct mm *mm, const struct mm_region *region)
{
    drop(mm, region->start, region->end);
    regions_insert(&mm->regions, region);
    mm_note_rights(mm, region);
    lock_new(mm, region->start, region->end);
}

/* ---- mmap ---- */

static uint64_t page_unit(int flags)
{
    unsigned shift = (unsigned)flags >> HUGE_SHIFT;
    if (!(flags & MAP_HUGETLB))
        return MM_PAGE;
    return shift ? (uint64_t)1 << shift : HUGE_PAGE;
}

/* Whole huge pages of memory are placed so that the host can use huge pages, as Linux does since 6.7. */
static uint64_t room_for(struct mm *mm, uint64_t hint, uint64_t length, int flags, uint64_t unit)
{
    if (unit == MM_PAGE && !hint && (flags & MAP_ANONYMOUS) && length % HUGE_PAGE == 0) {
        uint64_t at = mm_find_room(mm, 0, length, HUGE_PAGE);
        if (at)
            return at;
    }
    return mm_find_room(mm, hint, length, unit);
}

/* Where the guest's mapping goes: an address or -errno. */
static int64_t choose_address(struct mm *mm, uint64_t address, uint64_t length, int flags, uint64_t unit)
{
    if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
        uint64_t at = room_for(mm, address, length, flags, unit);
        return at ? (int64_t)at : -ENOMEM;
    }
    if (!mm_range_ok(mm, address, length))
        return -ENOMEM;
    if (address % MM_PAGE)
        return -EINVAL;
    if (address < mm->low)
        return -EPERM;
    const struct mm_region *next = regions_find(&mm->regions, address);
    if ((flags & MAP_FIXED_NOREPLACE) && next && next->start < address + length)
        return -EEXIST;
    return (int64_t)address;
}

struct mapping {
    uint64_t length;
    int prot, flags, fd;
    uint64_t offset;
    const char *name;
};

/* At the host. Returns 0 or -errno. */
static int map_host(struct mm *mm, uint64_t start, const struct mapping *m)
{
    uint64_t end = start + m->length;
    int flags = (m->flags & ~GUEST_ONLY_FLAGS) | placement(mm, start, end);
    void *at = mm_host(mm, start);
    void *got = mmap(at, m->length, mm_host_prot(m->prot), flags, m->fd, (off_t)m->offset);
    if (got == at)
        return 0;
    int error = errno;
    mm_recover(mm, start, end);
    return error == EEXIST ? -ENOMEM : -error;
}

static int64_t map_at(struct mm *mm, uint64_t start, const struct mapping *m)
{
    struct mm_region region = {.start = start,
                               .end = start + m->length,
                               .prot = m->prot & PROT_ALL,
                               .shared = (m->flags & MAP_TYPE) != MAP_PRIVATE,
                               .growsdown = m->flags & MAP_GROWSDOWN,
                               .file = !(m->flags & MAP_ANONYMOUS),
                               .name = m->name};
    if (!mm_may_map(mm, &region))
        return -ENOMEM;
    int status = map_host(mm, start, m);
    if (status == -ENOMEM && mm_yield_to_limit(mm))
        status = mm_may_map(mm, &region) ? map_host(mm, start, m) : -ENOMEM;
    if (status)
        return status;
    mm_mapped(mm, &region);
    return (int64_t)start;
}

int64_t mm_mmap(struct mm *mm, uint64_t address, uint64_t length, int prot, int flags, int fd,
                uint64_t offset)
{
    uint64_t unit = page_unit(flags);
    if (offset % MM_PAGE || !length)
        return -EINVAL;
    if (length > mm->limit || unit > mm->limit)
        return -ENOMEM;
    if ((flags & MAP_GROWSDOWN) && (flags & (MAP_TYPE | MAP_ANONYMOUS)) != (MAP_PRIVATE | MAP_ANONYMOUS))
        return -EINVAL;
    struct mapping m = {ALIGN_UP(length, unit), prot, flags, fd, offset, NULL};
    mm_lock_change(mm, address, address + (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) ? m.length : 0));
    int64_t at = choose_address(mm, address, m.length, flags, unit);
    bool executable = false;
    if (at >= 0) {
        executable = (prot & PROT_EXEC) || mm_any_executable(mm, (uint64_t)at, (uint64_t)at + m.length);
        at = regions_reserve(&mm->regions, 3) ? map_at(mm, (uint64_t)at, &m) : -ENOMEM;
    }
    mm_unlock_changed(mm, executable && at >= 0, (uint64_t)at, (uint64_t)at + m.length);
    return at;
}

int64_t mm_munmap(struct mm *mm, uint64_t address, uint64_t length)
{
    if (address % MM_PAGE || !length || !mm_range_ok(mm, address, length))
        return -EINVAL;
    uint64_t end = address + ALIGN_UP(length, MM_PAGE);
    mm_lock_change(mm, address, end);
    bool executable = mm_any_executable(mm, address, end);
    int status = mm_unmap(mm, address, end);
    mm_unlock_changed(mm, executable, address, end);
    return status;
}

/* ---- mprotect ---- */

static int protect_piece(struct mm *mm, struct mm_region *piece, int prot)
{
    struct mm_region after = *piece;
    after.prot = prot;
    if (!regions_reserve(&mm->regions, 3) || (mm_is_data(&after) && !mm_is_data(piece) &&
                                              !mm_may_grow(mm, RLIMIT_DATA, piece->end - piece->start)))
        return -ENOMEM;
    if (mm_host_prot(piece->prot) != mm_host_prot(prot) &&
        mprotect(mm_host(mm, piece->start), piece->end - piece->start, mm_host_prot(prot)))
        return -errno;
    regions_remove(&mm->regions, piece->start, piece->end);
    regions_insert(&mm->regions, &after);
    mm_note_rights(mm, &after);
    return 0;
}

/* From the start to the first hole or error, as Linux does. */
static int protect(struct mm *mm, uint64_t start, uint64_t end, int prot, bool *executable)
{
    *executable = prot & PROT_EXEC;
    while (start < end) {
        const struct mm_region *r = regions_find(&mm->regions, start);
        if (!r || r->start > start)
            return -ENOMEM;
        struct mm_region piece = *r;
        piece.start = start;
        piece.end = MIN(r->end, end);
        *executable |= piece.prot & PROT_EXEC;
        start = piece.end;
        int status = protect_piece(mm, &piece, prot);
        if (status)
            return status;
    }
    return 0;
}

int64_t mm_mprotect(struct mm *mm, uint64_t address, uint64_t length, int prot)
{
    const int down = PROT_GROWSDOWN, up = PROT_GROWSUP, sem = 8;
    if ((prot & down) && (prot & up))
        return -EINVAL;
    if (address % MM_PAGE)
        return -EINVAL;
    if (!length)
        return 0;
    if (!mm_range_ok(mm, address, length))
        return -ENOMEM;
    if (prot & ~(PROT_ALL | sem | down | up))
        return -EINVAL;
    uint64_t end = address + ALIGN_UP(length, MM_PAGE);
    mm_lock_change(mm, address, end);
    int status = 0;
    bool executable = false;
    const struct mm_region *r = regions_find(&mm->regions, address);
    if (!r || r->start >= end)
        status = -ENOMEM;
    else if ((prot & up) || ((prot & down) && !r->growsdown))
        status = -EINVAL;
    else if (prot & down)
        address = r->start;
    if (!status)
        status = protect(mm, address, end, prot & PROT_ALL, &executable);
    mm_unlock_changed(mm, executable, address, end);
    return status;
}

/* ---- mremap ---- */

struct move {
    uint64_t old, old_length, to, length;
    bool keep; /* the old mapping stays: MREMAP_DONTUNMAP, or a length of 0 that doubles a shared one */
};

/* Notes the moved regions at their new place, and what follows the last as part of it. */
static void move_regions(struct mm *mm, const struct move *m, struct mm_region *pieces, size_t count)
{
    if (!m->keep)
        drop(mm, m->old, m->old + m->old_length);
    drop(mm, m->to, m->to + m->length);
    for (size_t i = 0; i < count; i++) {
        struct mm_region *p = &pieces[i];
        p->start = MAX(p->start, m->old) - m->old + m->to;
        p->end = i + 1 < count ? p->end - m->old + m->to : m->to + m->length;
        p->attached = 0;
        regions_insert(&mm->regions, p);
        mm_note_rights(mm, p);
    }
    lock_new(mm, m->to, m->to + m->length);
}

/* The regions of a moved range, in order; `count` gets their number. Returns owned, NULL when memory is short. */
static struct mm_region *collect(struct mm *mm, uint64_t start, uint64_t end, size_t *count)
{
    size_t n = 0, capacity = 4;
    struct mm_region *list = malloc(capacity * sizeof(*list));
    const struct mm_region *r;
    for (; list && start < end && (r = regions_find(&mm->regions, start)); start = r->end) {
        if (n == capacity) {
            capacity *= 2;
            struct mm_region *more = reallocarray(list, capacity, sizeof(*list));
            if (!more)
                free(list);
            list = more;
        }
        if (list)
            list[n++] = *r;
    }
    *count = n;
    return list;
}

static int64_t move(struct mm *mm, const struct move *m)
{
    size_t count;
    struct mm_region *pieces = collect(mm, m->old, m->old + MAX(m->old_length, MM_PAGE), &count);
    if (!pieces || !regions_reserve(&mm->regions, count + 4)) {
        free(pieces);
        return -ENOMEM;
    }
    int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (m->keep && m->old_length ? MREMAP_DONTUNMAP : 0);
    int64_t result = (int64_t)m->to;
    if (mremap(mm_host(mm, m->old), m->old_length, m->length, flags, mm_host(mm, m->to)) == MAP_FAILED) {
        result = -errno;
        mm_recover(mm, m->to, m->to + m->length);
    } else {
        if (!m->keep)
            vacate(mm, m->old, m->old + m->old_length);
        move_regions(mm, m, pieces, count);
    }
    free(pieces);
    return result;
}

/* Into the hole behind the mapping. With a base of its own the hole must stay reserved at every moment, because the
 * host might put something of the monitor there: then the mapping moves instead. */
static bool grow_in_place(struct mm *mm, uint64_t old, uint64_t old_length, uint64_t length)
{
    uint64_t end = old + old_length, new_end = old + length;
    if (mm->base || !mm_range_ok(mm, old, length) || !regions_free(&mm->regions, end, new_end) ||
        !regions_reserve(&mm->regions, 3))
        return false;
    struct mm_region added = *regions_find(&mm->regions, end - 1);
    if (mm->reserved)
        munmap(mm_host(mm, end), new_end - end);
    if (mremap(mm_host(mm, old), old_length, length, 0) == MAP_FAILED) {
        vacate(mm, end, new_end);
        return false;
    }
    added.start = end;
    added.end = new_end;
    mm_mapped(mm, &added);
    return true;
}

static int64_t shrink(struct mm *mm, uint64_t old, uint64_t old_length, uint64_t length)
{
    if (old_length == length)
        return (int64_t)old;
    if (!mm_range_ok(mm, old, old_length))
        return -EINVAL;
    int status = mm_unmap(mm, old + length, old + old_length);
    return status ? status : (int64_t)old;
}

/* Do the limits allow what a move adds? */
static bool move_fits(const struct mm *mm, const struct mm_region *r, const struct move *m)
{
    uint64_t freed = m->keep ? 0 : MIN(m->old_length, m->length), added = m->length - freed;
    return mm_may_grow(mm, RLIMIT_AS, added) && (!mm_is_data(r) || mm_may_grow(mm, RLIMIT_DATA, added));
}

/* May these bytes grow or move? */
static int movable(const struct mm *mm, const struct mm_region *r, const struct move *m)
{
    uint64_t end = m->old + m->old_length;
    if (!m->old_length && !r->shared)
        return -EINVAL;
    if (m->old_length && (!mm_range_ok(mm, m->old, m->old_length) || mm_mapped_until(mm, m->old, end) != end))
        return -EFAULT;
    return move_fits(mm, r, m) ? 0 : -ENOMEM;
}

static int64_t move_to(struct mm *mm, const struct mm_region *r, struct move *m, bool fixed)
{
    if (m->to % MM_PAGE || !mm_range_ok(mm, m->to, m->length))
        return -EINVAL;
    if (m->old < m->to + m->length && m->to < m->old + m->old_length)
        return -EINVAL;
    if (fixed && m->to < mm->low)
        return -EPERM;
    int status = movable(mm, r, m);
    if (!status && fixed)
        status = mm_unmap(mm, m->to, m->to + m->length);
    if (!status && m->old_length > m->length) {
        status = mm_unmap(mm, m->old + m->length, m->old + m->old_length);
        m->old_length = m->length;
    }
    if (!status && !fixed && !(m->to = mm_find_room(mm, m->to, m->length, MM_PAGE)))
        status = -ENOMEM;
    return status ? status : move(mm, m);
}

static int64_t resize(struct mm *mm, const struct mm_region *r, struct move *m, bool may_move)
{
    if (m->old_length >= m->length)
        return shrink(mm, m->old, m->old_length, m->length);
    int status = movable(mm, r, m);
    if (status)
        return status;
    if (m->old_length && grow_in_place(mm, m->old, m->old_length, m->length))
        return (int64_t)m->old;
    if (!may_move || !(m->to = mm_find_room(mm, 0, m->length, MM_PAGE)))
        return -ENOMEM;
    return move(mm, m);
}

int64_t mm_mremap(struct mm *mm, uint64_t old, uint64_t old_length, uint64_t new_length, int flags,
                  uint64_t new_address)
{
    bool fixed = flags & MREMAP_FIXED, may_move = flags & MREMAP_MAYMOVE, keep = flags & MREMAP_DONTUNMAP;
    if (flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP) || ((fixed || keep) && !may_move) ||
        old % MM_PAGE || !new_length || old_length > mm->limit)
        return -EINVAL;
    if (new_length > mm->limit)
        return fixed ? -EINVAL : -ENOMEM;
    struct move m = {.old = old,
                     .old_length = ALIGN_UP(old_length, MM_PAGE),
                     .to = fixed || keep ? new_address : 0,
                     .length = ALIGN_UP(new_length, MM_PAGE),
                     .keep = keep || !old_length};
    if (keep && m.old_length != m.length)
        return -EINVAL;
    uint64_t touched = MAX(m.old_length, m.length);
    mm_lock_move(mm, old, old + touched, m.to, m.to + m.length);
    int64_t result = -EFAULT;
    bool executable = false;
    const struct mm_region *r = regions_find(&mm->regions, old);
    if (r && r->start <= old) {
        executable = mm_any_executable(mm, old, old + touched) ||
                     (m.to && mm_any_executable(mm, m.to, m.to + m.length));
        result = fixed || keep ? move_to(mm, r, &m, fixed) : resize(mm, r, &m, may_move);
    }
    mm_unlock_changed(mm, executable, old, old + touched);
    if (executable && m.to && mm->code && mm_range_ok(mm, m.to, m.length))
        code_invalidate(mm->code, m.to, m.to + m.length);
    return result;
}

/* ---- Heap and stacks ---- */

void mm_set_brk(struct mm *mm, uint64_t start)
{
    pthread_mutex_lock(&mm->lock);
    mm->brk_start = mm->brk = start;
    pthread_mutex_unlock(&mm->lock);
}

static bool grow_brk(struct mm *mm, uint64_t from, uint64_t to)
{
    if (from < mm->low || to > mm->limit || !regions_free(&mm->regions, from, to + MM_PAGE) ||
        !regions_reserve(&mm->regions, 3))
        return false;
    struct mapping m = {to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0,         mm_intern(mm, "[heap]")};
    return map_at(mm, from, &m) >= 0;
}

static uint64_t brk_now(struct mm *mm)
{
    pthread_mutex_lock(&mm->lock);
    uint64_t brk = mm->brk;
    pthread_mutex_unlock(&mm->lock);
    return brk;
}

int64_t mm_brk(struct mm *mm, uint64_t address)
{
    mm_lock_change(mm, address, brk_now(mm));
    uint64_t from = ALIGN_UP(mm->brk, MM_PAGE), to = ALIGN_UP(MIN(address, mm->limit), MM_PAGE);
    bool executable = false;
    bool ok =
        address >= mm->brk_start && address <= mm->limit && address - mm->brk_start <= limit_now(RLIMIT_DATA);
    if (ok && to > from) {
        ok = grow_brk(mm, from, to);
    } else if (ok && to < from) {
        executable = mm_any_executable(mm, to, from);
        ok = !mm_unmap(mm, to, from);
    }
    if (ok)
        mm->brk = address;
    int64_t result = (int64_t)mm->brk;
    mm_unlock_changed(mm, executable, to, from);
    return result;
}

/* Down to `page`, where nothing but its own guard gap is in the way. */
static bool grow_down(struct mm *mm, const struct mm_region *r, uint64_t page)
{
    struct mm_region added = *r;
    added.start = page;
    added.end = r->start;
    const struct mapping m = {
        added.end - page, r->prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, NULL};
    if (regions_find(&mm->regions, page - MM_GUARD) != r || !mm_may_map(mm, &added) || map_host(mm, page, &m))
        return false;
    mm_mapped(mm, &added);
    return true;
}

bool mm_grow(struct mm *mm, uint64_t address)
{
    uint64_t page = ALIGN_DOWN(address, MM_PAGE);
    pthread_mutex_lock(&mm->lock);
    const struct mm_region *r = regions_find(&mm->regions, page);
    bool ok = r && r->start > page && r->growsdown && page >= mm->low + MM_GUARD &&
              r->end - page <= limit_now(RLIMIT_STACK) && regions_reserve(&mm->regions, 3) &&
              grow_down(mm, r, page);
    pthread_mutex_unlock(&mm->lock);
    return ok;
}
