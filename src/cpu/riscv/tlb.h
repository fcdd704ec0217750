/* What a hart remembers of address translation.
 *
 *   context: (satp, mode, SUM, MXR) ──> array of entries          data accesses; hart.tlb points to the current array
 *            (satp, mode)           ──> array of code pages, id   fetches; the id tags the hart's jump cache
 *
 * A hart has a small pool of contexts, one for each that was used recently: a trap, a return, a write of satp or SUM
 * changes a pointer and drops nothing. A context whose pages are all global (the kernel's, while SUM is 0) serves
 * every address space.
 *
 * An entry is made for an inline look-up. An access of `size` bytes at `a` hits when
 *     tag == ((a + size - 1) & TLB_PAGE_MASK)        of entry tlb_index(a),
 * which is false for one that crosses a page (its end has another page number), for another page, for a right that is
 * not there, and for pages that are reached the slow way: their tags have TLB_SLOW. Then host address = a + addend.
 * All else is system_load() and its kin.
 *
 * Threads: the hart's own. Others ask for something by system_fence() and the like, and the hart does it itself.
 * Lifetime: tlb_init() ... tlb_release().
 * Source: The RISC-V Instruction Set Manual, volume II, "Supervisor Memory-Management Fence Instruction". */
#ifndef CPU_RISCV_TLB_H
#define CPU_RISCV_TLB_H

#include "cpu/riscv/mmu.h"

#include <stddef.h>

enum { TLB_PAGE_BITS = 12, TLB_BITS = 10, TLB_CODE_BITS = 8, TLB_CONTEXTS = 16, TLB_CODE_CONTEXTS = 8 };
#define TLB_ENTRIES      (1u << TLB_BITS)
#define TLB_CODE_ENTRIES (1u << TLB_CODE_BITS)
#define TLB_PAGE_MASK    (~((UINT64_C(1) << TLB_PAGE_BITS) - 1))

/* Tags: a page's gva, alone or with TLB_SLOW; or TLB_NONE. */
#define TLB_SLOW UINT64_C(1) /* the right is there, but there is more to do: a device, a page with code */
#define TLB_NONE UINT64_MAX

/* Low bits of tlb_entry.page and tlb_code.page. */
#define TLB_SIZE   UINT64_C(0x3f) /* log2 of the size of the page that was mapped */
#define TLB_GLOBAL UINT64_C(0x40)
#define TLB_MEMORY UINT64_C(0x80) /* `addend` is valid: RAM or ROM */

/* 32 bytes. A write tag implies the read tag. */
struct tlb_entry {
    uint64_t read, write; /* tags */
    uint64_t page;        /* gpa of the 4 KiB, and bits above; valid when one of the tags is */
    uint64_t addend;      /* hva - gva */
};

/* A page of memory that may be executed as a whole. */
struct tlb_code {
    uint64_t tag;     /* gva of the page, or TLB_NONE */
    uint64_t page;    /* as in tlb_entry */
    const void *host; /* hva of the page */
};

/* Of gvas. */
struct tlb_range {
    uint64_t first, last;
};

/* Ranges that hold all mappings larger than 4 KiB: SFENCE.VMA by address drops such a one as a whole. */
enum { TLB_RANGES = 4 };
struct tlb_ranges {
    struct tlb_range range[TLB_RANGES];
    unsigned count;
};

struct tlb_key {
    uint64_t satp; /* 0: no translation */
    uint8_t mode;  /* enum priv */
    bool sum, mxr;
};

struct tlb_context {
    struct tlb_key key;
    struct window *window; /* borrows: the host's mappings of what the entries knew; or NULL */
    bool local;    /* has entries that are not global */
    bool filled;   /* has entries */
    uint64_t used; /* when it last became the current one; 0: free */
    struct tlb_ranges large;
    struct tlb_entry entries[TLB_ENTRIES];
};

enum { TLB_FILTER_BITS = 12 };

struct tlb_code_context {
    struct tlb_key key; /* without SUM and MXR */
    bool local;
    uint64_t used;
    uint64_t id; /* a new one when something was dropped, never one of before; not 0 */
    struct tlb_ranges large;
    uint64_t
        filter[(1u << TLB_FILTER_BITS) / 64]; /* pages that have been in `entries` under this id, hashed */
    struct tlb_range around;                  /* all of these: a kernel's are far from its processes' */
    struct tlb_code entries[TLB_CODE_ENTRIES];
};

enum { TLB_RECENT = 16 };

struct tlb {
    struct tlb_context *data;                /* current */
    struct tlb_code_context *code;           /* current */
    struct tlb_context *recent[TLB_RECENT];  /* by mode, SUM and MXR: the last one, or NULL */
    struct tlb_code_context *recent_code[4]; /* by mode */
    struct tlb_context *contexts;            /* owned: TLB_CONTEXTS of them */
    struct tlb_code_context *codes;          /* owned: TLB_CODE_CONTEXTS of them */
    uint64_t clock, last_id;
};

static inline size_t tlb_index(uint64_t gva)
{
    return gva >> TLB_PAGE_BITS & (TLB_ENTRIES - 1);
}

static inline bool tlb_hits(uint64_t tag, uint64_t gva, unsigned size)
{
    return tag == ((gva + (size - 1)) & TLB_PAGE_MASK);
}

/* Is the right remembered for the page of the address, whichever way it is to be used? */
static inline bool tlb_knows(uint64_t tag, uint64_t gva)
{
    return tag != TLB_NONE && !((tag ^ gva) & TLB_PAGE_MASK);
}

/* -1 when there is no memory. */
int tlb_init(struct tlb *tlb);
void tlb_release(struct tlb *tlb);

/* The contexts that fit the hart's state are the current ones from now on. */
void tlb_set_context(struct tlb *tlb, const struct hart_sys *sys);

/* The current context gets an entry for the 4 KiB around `gva`, which are in `page`. */
void tlb_fill(struct tlb *tlb, uint64_t gva, const struct mmu_page *page, const struct tlb_entry *entry);
const struct tlb_code *tlb_fill_code(struct tlb *tlb, uint64_t gva, const struct mmu_page *page,
                                     const void *host);

static inline const struct tlb_code *tlb_find_code(const struct tlb *tlb, uint64_t gva)
{
    const struct tlb_code *c = &tlb->code->entries[gva >> TLB_PAGE_BITS & (TLB_CODE_ENTRIES - 1)];
    return c->tag == (gva & TLB_PAGE_MASK) ? c : NULL;
}

/* ---- Forgetting: tlb_set_context() has to follow ---- */

enum tlb_fence {
    TLB_FENCE_ADDRESS = 1, /* [start, start + size) alone */
    TLB_FENCE_ASID = 2,    /* one address space, global mappings apart */
};

/* SFENCE.VMA; `what` is a set of enum tlb_fence. */
void tlb_fence(struct tlb *tlb, unsigned what, uint64_t start, uint64_t size, uint64_t asid);

/* Everything, whether it came from a page table or not. */
void tlb_drop_all(struct tlb *tlb);

/* Write tags of memory of which `is_slow` says so become slow ones. */
void tlb_slow_writes(struct tlb *tlb, bool (*is_slow)(void *context, uint64_t gpa), void *context);

#endif
