/* Windows: guest address spaces in the monitor's own, for hot user code.
 *
 *   gva 0                                                    WINDOW_BYTES
 *    |--------page-----page page-------------page--------------|      guest page tables
 *   base                                                      base + WINDOW_BYTES
 *    |--------page-----page page-------------page--------------|      the host's, of the same memory
 *  guard                                                      guard
 *
 * A window belongs to a data context of the hart's TLB and has some of the pages that the context has been asked for, with the
 * rights that it knows (readable, writable without being heard of). So code that adds the window's base to its addresses needs no
 * look-up: what is not there faults. It is a cache as the TLB is, and is dropped where that is.
 *
 * Threads: the hart's own. Lifetime: windows_init() ... windows_release().
 * Source: mmap(2). */
#ifndef CPU_RISCV_WINDOW_H
#define CPU_RISCV_WINDOW_H

#include "bus/gmem.h"

#include <stdbool.h>
#include <stdint.h>

/* The user half of Sv39. Code asks for this alone, and may add less than WINDOW_GUARD to what it has asked for. */
#define WINDOW_BITS  38
#define WINDOW_BYTES (UINT64_C(1) << WINDOW_BITS)
#define WINDOW_GUARD (UINT64_C(1) << 20)

enum { WINDOW_PAGE_BITS = 12, WINDOW_COUNT = 4, WINDOW_PLACE_BITS = 14 };
#define WINDOW_PLACES (1u << WINDOW_PLACE_BITS)

struct window_page {
    uint64_t gva; /* 1: none */
    uint64_t gpa; /* | 1: writable */
};

struct window {
    struct windows *all;
    struct tlb_context *owner; /* NULL: free */
    uint8_t *base;             /* NULL: nothing is reserved yet */
    uint64_t used;             /* when it last got a page */
    unsigned count;            /* pages */
    struct window_page *pages; /* owned: WINDOW_PLACES of them */
};

struct windows {
    struct window window[WINDOW_COUNT];
    uint64_t clock;
    unsigned count, most; /* pages, of all */
};

/* All harts have the same share of what the host allows a process. */
void windows_init(struct windows *w, unsigned harts);
void windows_release(struct windows *w);

/* The context gets a window, perhaps of another one that has not used its own for long. NULL: the host has no room for it. */
struct window *windows_take(struct windows *w, struct tlb_context *owner);

/* The window has a page of the block from now on; false: the host refuses. */
bool window_map(struct window *w, uint64_t gva, const struct gmem_block *block, uint64_t gpa, bool writable);

/* Forgetting: what lies in [first, last]; everything; everything, and the owner with it; writes to the memory of which `is_slow`
 * says so. */
void window_drop(struct window *w, uint64_t first, uint64_t last);
void window_clear(struct window *w);
void window_free(struct window *w);
void window_slow_writes(struct window *w, bool (*is_slow)(void *context, uint64_t gpa), void *context);

#endif
