/* Which pages of guest memory may change under the code that was made from them, and who would tell. Private to
 * cpu/riscv.
 *
 *                   code is made                       a store faults
 *   no record ──────────────────────> watched ──────────────────────────> open
 *                                        ^                                 │  compared at every fence
 *                                        └─────────────────────────────────┘
 *                                          code is made again, or nothing was found changed for some fences
 *
 * A watched page is write-protected, so the first store to it is heard of, whether a fence follows or not; what a
 * fence has to compare is the open pages alone. A page becomes open, not to be watched again, where a store cannot
 * be heard of (memory with other mappings, memory that system calls write to) and where stores and code alternate
 * for ever.
 *
 * What becomes of the page's code at the first store depends on what is known of the writer. One that names what it
 * has written, as Linux's riscv_flush_icache() does, will do it again: the code stays until then, and what was not
 * changed needs no new translation. Of one that has never done it for this page nothing is expected: the code is
 * dropped.
 *
 * Threads: the code's lock is held around all of it, but for watch_any(). Lifetime: watch_init() ...
 * watch_release(). */
#ifndef CPU_RISCV_WATCH_H
#define CPU_RISCV_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct code;
struct code_ops;

#define WATCH_BUCKETS 1024u

struct watch_page {
    uint64_t number;
    struct watch_page *next;                   /* in the bucket */
    struct watch_page *open_next, **open_link; /* in a list of open pages; NULL: not open */
    bool watched;
    bool refused;        /* cannot be watched, or not to advantage */
    bool announced;      /* a flush has named it */
    uint8_t quiet;       /* fences since it was found changed */
    uint16_t faults;     /* in a row */
    uint64_t last_fault; /* ns */
};

struct watch {
    const struct code_ops *ops;
    void *context;     /* of the ops */
    struct code *code; /* borrows */
    struct watch_page *buckets[WATCH_BUCKETS];
    struct watch_page *open, *refused; /* the open pages: those that may be watched again, and the others */
    uint64_t refused_count;
    _Atomic uint64_t pages; /* that have a record */
    uint64_t watched;       /* of those */
    uint64_t faults;
    bool blind; /* memory for a record was short: fences compare everything */
};

/* What there is of code made from bytes that may change. */
enum watch_state { WATCH_EMPTY, WATCH_SAME, WATCH_CHANGED };

/* Borrows all. */
void watch_init(struct watch *watch, const struct code_ops *ops, void *context, struct code *code);
void watch_release(struct watch *watch);

/* Code is being made from these bytes, which are executable and of which some may change. True: only from now on
 * would a store be heard of, so they must be read again. */
bool watch_add(struct watch *watch, uint64_t start, uint64_t end);

/* Code is about to be made from the page: what was made from its bytes before they changed goes first. */
void watch_refresh(struct watch *watch, uint64_t address);

/* A flush names the range: its writer tells of what it writes there. */
void watch_announce(struct watch *watch, uint64_t start, uint64_t end);

/* From now on no code is left that was made from other bytes than are there. `announces`: it was asked for with
 * FENCE.I, whose users cannot name what they have written. */
void watch_fence(struct watch *watch, bool announces);

/* A store to the address has faulted. True: on account of the watch, and it can be done again. */
bool watch_fault(struct watch *watch, uint64_t address);

/* The pages are to have their own rights again; stores to them will not be heard of. */
void watch_open(struct watch *watch, uint64_t start, uint64_t end);

/* The range has another mapping or other rights now, and no code is left: what is known of the pages that are wholly
 * inside is of no use any more. */
void watch_forget(struct watch *watch, uint64_t start, uint64_t end);

/* Can there be a page that a fault concerns? Any thread, without the lock. */
static inline bool watch_any(const struct watch *watch)
{
    return atomic_load_explicit(&watch->pages, memory_order_relaxed);
}

/* ---- What it needs of code.c ---- */

/* Drops code that overlaps the range and may change: all of it, or that whose bytes are others now; says what there
 * was. */
void code_drop(struct code *code, uint64_t start, uint64_t end);
enum watch_state code_compare(struct code *code, uint64_t start, uint64_t end);

#endif
