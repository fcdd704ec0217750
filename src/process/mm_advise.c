/* The calls that leave the map as it is. Each is passed on for the mapped parts of its range alone, because what is a
 * hole for the guest may be a reservation for the host. */
#include "process/mm_internal.h"

#include "base/util.h"

#include <sys/syscall.h>
#include <unistd.h>

/* ---- Walking a range ---- */

/* What to do with a mapped piece: 0, or -errno to stop. */
typedef int64_t piece_fn(struct mm *mm, const struct mm_region *piece, int argument);

enum on_hole { HOLE_GOES_ON, HOLE_STOPS };

/* Calls `visit` for each mapped piece of the range, in order. -ENOMEM when there was a hole. */
static int64_t walk(struct mm *mm, uint64_t start, uint64_t end, enum on_hole on_hole, piece_fn *visit,
                    int argument)
{
    int64_t status = 0;
    while (start < end) {
        const struct mm_region *r = regions_find(&mm->regions, start);
        if (!r || r->start > start)
            status = -ENOMEM;
        if (!r || r->start >= end || (status && on_hole == HOLE_STOPS))
            return status;
        struct mm_region piece = *r;
        piece.start = MAX(r->start, start);
        piece.end = MIN(r->end, end);
        int64_t failed = visit(mm, &piece, argument);
        if (failed)
            return failed;
        start = piece.end;
    }
    return status;
}

/* ---- madvise ---- */

static int64_t advise_piece(struct mm *mm, const struct mm_region *piece, int advice)
{
    return mm_result(madvise(mm_host(mm, piece->start), piece->end - piece->start, advice));
}

static bool advice_changes_content(int advice)
{
    return advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED || advice == MADV_REMOVE ||
           advice == MADV_FREE;
}

int64_t mm_madvise(struct mm *mm, uint64_t address, uint64_t length, int advice)
{
    if (address % MM_PAGE)
        return -EINVAL;
    if (!length)
        return mm_result(madvise(NULL, 0, advice));
    if (length > mm->limit)
        return ALIGN_UP(length, MM_PAGE) + address < address ? -EINVAL : -ENOMEM;
    if (address >= mm->limit)
        return -ENOMEM;
    uint64_t end = address + ALIGN_UP(length, MM_PAGE);
    if (advice == MADV_WIPEONFORK) /* a child's code is to be compared */
        mm_give(mm, address, end - address);
    mm_lock_change(mm, address, end);
    bool executable = advice_changes_content(advice) && mm_any_executable(mm, address, end);
    int64_t status = walk(mm, address, end, HOLE_GOES_ON, advise_piece, advice);
    mm_unlock_changed(mm, executable, address, end);
    /* An unknown advice is an error whatever the range; in a hole nobody has asked the host yet. */
    return status == -ENOMEM && madvise(NULL, 0, advice) ? -EINVAL : status;
}

/* ---- mincore ---- */

int64_t mm_mincore(struct mm *mm, uint64_t address, uint64_t length, uint64_t vector)
{
    if (address % MM_PAGE)
        return -EINVAL;
    if (!mm_range_ok(mm, address, length))
        return -ENOMEM;
    uint64_t end = address + ALIGN_UP(length, MM_PAGE);
    if (!mm_range_ok(mm, vector, (end - address) / MM_PAGE))
        return -EFAULT;
    mm_give(mm, vector, (end - address) / MM_PAGE);
    pthread_mutex_lock(&mm->lock);
    uint64_t mapped = mm_mapped_until(mm, address, end);
    int64_t status = 0;
    if (mapped > address)
        status = mm_result(mincore(mm_host(mm, address), mapped - address, mm_host(mm, vector)));
    pthread_mutex_unlock(&mm->lock);
    return !status && mapped < end ? -ENOMEM : status;
}

/* ---- msync ---- */

static int64_t sync_piece(struct mm *mm, const struct mm_region *piece, int flags)
{
    return mm_result(msync(mm_host(mm, piece->start), piece->end - piece->start, flags));
}

int64_t mm_msync(struct mm *mm, uint64_t address, uint64_t length, int flags)
{
    if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) || address % MM_PAGE ||
        ((flags & MS_ASYNC) && (flags & MS_SYNC)))
        return -EINVAL;
    if (!mm_range_ok(mm, address, length))
        return -ENOMEM;
    pthread_mutex_lock(&mm->lock);
    int64_t status = walk(mm, address, address + ALIGN_UP(length, MM_PAGE), HOLE_GOES_ON, sync_piece, flags);
    pthread_mutex_unlock(&mm->lock);
    return status;
}

/* ---- mlock ---- */

static int64_t lock_piece(struct mm *mm, const struct mm_region *piece, int flags)
{
    return mm_result(mlock2(mm_host(mm, piece->start), piece->end - piece->start, (unsigned)flags));
}

static int64_t unlock_piece(struct mm *mm, const struct mm_region *piece, int unused)
{
    (void)unused;
    /* Not by libc's munlock(), which does nothing in builds with sanitizers. */
    return mm_result(syscall(SYS_munlock, mm_host(mm, piece->start), piece->end - piece->start));
}

static int64_t lock_range(struct mm *mm, uint64_t address, uint64_t length, piece_fn *visit, int flags)
{
    uint64_t start = ALIGN_DOWN(address, MM_PAGE);
    if (length > mm->limit)
        return address + length < address ? -EINVAL : -ENOMEM;
    if (length && address >= mm->limit)
        return -ENOMEM;
    uint64_t end = ALIGN_UP(address + length, MM_PAGE);
    pthread_mutex_lock(&mm->lock);
    int64_t status = length ? walk(mm, start, end, HOLE_STOPS, visit, flags) : 0;
    pthread_mutex_unlock(&mm->lock);
    return status;
}

int64_t mm_mlock(struct mm *mm, uint64_t address, uint64_t length, int flags)
{
    return (unsigned)flags & ~MLOCK_ONFAULT ? -EINVAL : lock_range(mm, address, length, lock_piece, flags);
}

int64_t mm_munlock(struct mm *mm, uint64_t address, uint64_t length)
{
    return lock_range(mm, address, length, unlock_piece, 0);
}

/* Stacks are mapped at full size but grow for Linux: their unused pages are not brought in. */
static int64_t lock_now(struct mm *mm, const struct mm_region *piece, int flags)
{
    return lock_piece(mm, piece, flags & MCL_ONFAULT || piece->growsdown ? MLOCK_ONFAULT : 0);
}

int64_t mm_mlockall(struct mm *mm, int flags)
{
    if (!flags || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags == MCL_ONFAULT)
        return -EINVAL;
    /* Asked for the guest's mappings only: the host's call would count the reservation and lock the monitor too. */
    pthread_mutex_lock(&mm->lock);
    int64_t status = 0;
    for (const struct mm_region *r = regions_find(&mm->regions, 0); r && (flags & MCL_CURRENT) && !status;
         r = regions_find(&mm->regions, r->end))
        status = lock_now(mm, r, flags);
    if (status != -EPERM)
        mm->lock_future = flags & MCL_FUTURE ? flags : 0;
    pthread_mutex_unlock(&mm->lock);
    return status;
}

int64_t mm_munlockall(struct mm *mm)
{
    pthread_mutex_lock(&mm->lock);
    mm->lock_future = 0;
    for (const struct mm_region *r = regions_find(&mm->regions, 0); r; r = regions_find(&mm->regions, r->end))
        unlock_piece(mm, r, 0);
    pthread_mutex_unlock(&mm->lock);
    return 0;
}
