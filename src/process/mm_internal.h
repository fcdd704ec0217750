/* What the files of the address space share: mm.c (life, placement, look-ups), mm_map.c (mmap and its kin),
 * mm_advise.c (madvise, mincore, msync, mlock), mm_shm.c, mm_print.c, mm_guard.c (write protection for the code).
 * Threads: functions named here want mm->lock held. */
#ifndef PROCESS_MM_INTERNAL_H
#define PROCESS_MM_INTERNAL_H

#include "process/mm.h"
#include "process/regions.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#define MM_NAMES 16

struct mm {
    pthread_mutex_t lock;
    uint64_t base, limit;
    uint64_t low;    /* addresses below cannot be mapped: the host's mmap_min_addr */
    bool reserved;   /* holes are PROT_NONE mappings of the host; else they are holes there too */
    bool limited;    /* RLIMIT_AS or RLIMIT_DATA may be finite: mm_may_grow() looks */
    int lock_future; /* MCL_FUTURE, MCL_ONFAULT: new mappings are locked */
    struct regions regions;
    struct mm_layout layout;
    uint64_t brk_start, brk;
    struct code *code;
    char *names[MM_NAMES];
    uint64_t *guarded, *given; /* owned; mm_guard.c: a bit for each page, or NULL */
    uint64_t guarded_count, guard_low, guard_high;
    uint64_t given_low, given_high;
    bool guard_none;
    struct mm_span wx;
};

static inline void *mm_host(const struct mm *mm, uint64_t gva)
{
    return (void *)(mm->base + gva);
}

/* A host call's result as the guest gets it. */
static inline int64_t mm_result(long result)
{
    return result < 0 ? -errno : result;
}

/* What the host must allow for the guest's `prot`: instructions are read, and RISC-V has no write-only pages. */
static inline int mm_host_prot(int prot)
{
    return (prot & (PROT_READ | PROT_EXEC | PROT_WRITE) ? PROT_READ : 0) | (prot & PROT_WRITE);
}

/* [start, end) rounded out to pages lies within what a guest may map. */
static inline bool mm_range_ok(const struct mm *mm, uint64_t start, uint64_t length)
{
    return length <= mm->limit && start <= mm->limit - length;
}

/* Is any of the range executable for the guest? */
bool mm_any_executable(const struct mm *mm, uint64_t start, uint64_t end);

/* The end of the mapped range that starts at `start`, at most `end`; `start` itself when that is a hole. */
uint64_t mm_mapped_until(const struct mm *mm, uint64_t start, uint64_t end);

/* Begins a change of what is mapped in the range or, of a move, in both: takes the lock. While it is held, the host
 * has the guest's own rights there. */
void mm_lock_change(struct mm *mm, uint64_t start, uint64_t end);
void mm_lock_move(struct mm *mm, uint64_t start, uint64_t end, uint64_t to, uint64_t to_end);

/* The guest has these rights from now on. */
void mm_note_rights(struct mm *mm, const struct mm_region *region);

/* Other memory is there from now on, or none: what system calls have written to is not known of it. */
void mm_guard_forget(struct mm *mm, uint64_t start, uint64_t end);

void mm_guard_release(struct mm *mm);

/* Ends a change: releases the lock, then tells the code if executable memory was touched. */
void mm_unlock_changed(struct mm *mm, bool executable, uint64_t start, uint64_t end);

/* Unmaps a range: host and regions. Returns 0 or -errno. */
int mm_unmap(struct mm *mm, uint64_t start, uint64_t end);

/* After a host call that replaces mappings has failed midway: what is gone at the host goes from the regions too. */
void mm_recover(struct mm *mm, uint64_t start, uint64_t end);

/* A range was mapped at the host: the regions learn of it (regions_reserve(3) was done before). */
void mm_mapped(struct mm *mm, const struct mm_region *region);

/* Room for a new mapping; 0: none. */
uint64_t mm_find_room(struct mm *mm, uint64_t hint, uint64_t length, uint64_t align);

/* Does RLIMIT_AS, or RLIMIT_DATA, allow so many more bytes? */
bool mm_may_grow(const struct mm *mm, unsigned resource, uint64_t added);

/* Both limits for a new mapping, which replaces what is in its range. */
bool mm_may_map(const struct mm *mm, const struct mm_region *region);

/* Does RLIMIT_DATA count it? */
static inline bool mm_is_data(const struct mm_region *region)
{
    return (region->prot & PROT_WRITE) && !region->shared && !region->growsdown;
}

/* The host's RLIMIT_AS was made finite by someone else while addresses are reserved, so it allows nothing any more: gives
 * the reservation up. True when there is a point in trying again. */
bool mm_yield_to_limit(struct mm *mm);

/* Gives the reserved but unused addresses back to the host where that can be: each hole is a mapping that it has too
 * few of. */
void mm_yield_holes(struct mm *mm);

/* The one copy of a name in the mm; NULL when memory is short. */
const char *mm_intern(struct mm *mm, const char *name);

#endif
