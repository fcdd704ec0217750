/* Accesses that the TLB does not answer.
 *
 *   gva ──TLB knows the page──> gpa ──> memory, or a device on the bus
 *    └────mmu_access()──────────┘ └──> an entry of the TLB, where it may be kept
 *
 * An access that crosses a page is two, and nothing is written before both are known to be allowed. */
#include "cpu/riscv/system_internal.h"

#include "base/util.h"
#include "host/sanitize.h"

#include <string.h>

enum { BLOCK_BYTES = 64 }; /* of caches: Zicbom, Zicboz */

#define PAGE_OFFSET (~TLB_PAGE_MASK)

/* Where an access leads. */
struct place {
    uint64_t gpa;
    uint8_t *host; /* NULL: to a device, or nowhere */
};

static bool may_keep(unsigned rights, enum mmu_access access)
{
    return rights & (access == MMU_STORE ? MMU_W : MMU_R);
}

/* Stores come here once before they get their tag: reading a page does not make it one that is written to. */
static void remember(struct system_hart *h, uint64_t gva, const struct mmu_page *page,
                     const struct gmem_block *block, unsigned rights)
{
    uint64_t tag = gva & TLB_PAGE_MASK;
    struct tlb_entry entry = {
        .read = rights & MMU_R ? tag | (block ? 0 : TLB_SLOW) : TLB_NONE,
        .write = (rights & (MMU_R | MMU_W)) == (MMU_R | MMU_W) ? tag | TLB_SLOW : TLB_NONE,
    };
    if (block) {
        entry.page = TLB_MEMORY;
        entry.addend = (uint64_t)block->host + (page->gpa - block->base) - gva;
    }
    tlb_fill(&h->tlb, gva, page, &entry);
}

/* Goes through translation and protection. The access does not cross a page. */
static bool walk(struct system_hart *h, uint64_t gva, unsigned size, enum mmu_access access,
                 struct place *place)
{
    struct mmu_page page;
    uint64_t cause = mmu_access(&h->sys, gva, size, access, &page);
    if (cause != MMU_OK)
        return system_fail(h, cause, gva);
    const struct gmem_block *block = gmem_find(h->system->config.memory, page.gpa);
    unsigned rights = mmu_page_rights(&h->sys, &page, mmu_mode(&h->sys, access));
    if (may_keep(rights, access))
        remember(h, gva, &page, block, rights);
    *place = (struct place){page.gpa, block ? block->host + (page.gpa - block->base) : NULL};
    return true;
}

static bool locate(struct system_hart *h, uint64_t gva, unsigned size, enum mmu_access access,
                   struct place *place)
{
    const struct tlb_entry *e = &h->hart.tlb[tlb_index(gva)];
    if (!tlb_knows(access == MMU_STORE ? e->write : e->read, gva))
        return walk(h, gva, size, access, place);
    place->gpa = (e->page & TLB_PAGE_MASK) | (gva & PAGE_OFFSET);
    place->host = e->page & TLB_MEMORY ? (uint8_t *)(gva + e->addend) : NULL;
    return true;
}

/* A store, or an atomic, may reach the place in memory from now on; the next ones do so by the TLB. */
static bool open_to_write(struct system_hart *h, uint64_t gva, const struct place *place)
{
    const struct gmem_block *block = gmem_find(h->system->config.memory, place->gpa);
    if (block->kind == GMEM_ROM)
        return system_fail(h, CAUSE_STORE_ACCESS, gva);
    system_code_write(h->system, block, place->gpa);
    struct tlb_entry *e = &h->hart.tlb[tlb_index(gva)];
    if (tlb_knows(e->write, gva))
        e->write &= ~TLB_SLOW;
    return true;
}

const struct gmem_block *system_open(struct system_hart *h, uint64_t gva, enum mmu_access access, uint64_t *gpa,
                                     bool *writable)
{
    struct place place;
    const struct tlb_entry *e = &h->hart.tlb[tlb_index(gva)];
    if (!locate(h, gva, 1, access, &place) || !place.host ||
        (access == MMU_STORE && !open_to_write(h, gva, &place)))
        return NULL;
    *gpa = place.gpa;
    *writable = tlb_hits(e->write, gva, 1);
    return tlb_hits(access == MMU_STORE ? e->write : e->read, gva, 1)
               ? gmem_find(h->system->config.memory, place.gpa)
               : NULL;
}

bool system_locate(struct system_hart *h, uint64_t gva, enum mmu_access access, const uint8_t **host)
{
    struct place place;
    bool found = locate(h, gva, 1, access, &place);
    *host = found ? place.host : NULL;
    return found;
}

static bool crosses(uint64_t gva, unsigned size)
{
    return (gva ^ (gva + (size - 1))) & TLB_PAGE_MASK;
}

/* Guest memory, as it is: any alignment, at most 8 bytes. */
HOST_GUEST_ACCESS static uint64_t read_memory(const uint8_t *host, unsigned size)
{
    typedef uint16_t __attribute__((may_alias, aligned(1))) u16;
    typedef uint32_t __attribute__((may_alias, aligned(1))) u32;
    typedef uint64_t __attribute__((may_alias, aligned(1))) u64;
    switch (size) {
    case 1: return *(const volatile uint8_t *)host;
    case 2: return *(const volatile u16 *)host;
    case 4: return *(const volatile u32 *)host;
    case 8: return *(const volatile u64 *)host;
    default: break;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)((const volatile uint8_t *)host)[i] << 8 * i;
    return value;
}

HOST_GUEST_ACCESS static void write_memory(uint8_t *host, unsigned size, uint64_t value)
{
    typedef uint16_t __attribute__((may_alias, aligned(1))) u16;
    typedef uint32_t __attribute__((may_alias, aligned(1))) u32;
    typedef uint64_t __attribute__((may_alias, aligned(1))) u64;
    switch (size) {
    case 1: *(volatile uint8_t *)host = (uint8_t)value; return;
    case 2: *(volatile u16 *)host = (uint16_t)value; return;
    case 4: *(volatile u32 *)host = (uint32_t)value; return;
    case 8: *(volatile u64 *)host = value; return;
    default: break;
    }
    for (unsigned i = 0; i < size; i++)
        ((volatile uint8_t *)host)[i] = (uint8_t)(value >> 8 * i);
}

static bool device(struct system_hart *h, uint64_t gva, enum mmu_access access, struct bus_access *a)
{
    return bus_access(h->system->config.bus, a) == BUS_OK || system_fail(h, mmu_access_fault(access), gva);
}

/* ---- Loads ---- */

static bool load_part(struct system_hart *h, uint64_t gva, unsigned size, uint64_t *value)
{
    struct place place;
    if (!locate(h, gva, size, MMU_LOAD, &place))
        return false;
    if (likely(place.host)) {
        *value = read_memory(place.host, size);
        return true;
    }
    struct bus_access a = {.address = place.gpa, .size = (uint8_t)size};
    bool done = device(h, gva, MMU_LOAD, &a);
    *value = a.value;
    return done;
}

/* No device has a register that crosses a page. */
static bool locate_memory(struct system_hart *h, uint64_t gva, unsigned size, enum mmu_access access,
                          struct place *place)
{
    return locate(h, gva, size, access, place) &&
           (place->host || system_fail(h, mmu_access_fault(access), gva));
}

static bool load_crossing(struct system_hart *h, uint64_t gva, unsigned size, uint64_t *value)
{
    struct place low, high;
    unsigned first = (unsigned)(-gva & PAGE_OFFSET);
    if (!locate_memory(h, gva, first, MMU_LOAD, &low) ||
        !locate_memory(h, gva + first, size - first, MMU_LOAD, &high))
        return false;
    *value = read_memory(low.host, first) | read_memory(high.host, size - first) << 8 * first;
    return true;
}

bool system_load(struct system_hart *h, uint64_t gva, unsigned size, uint64_t *value)
{
    return unlikely(crosses(gva, size)) ? load_crossing(h, gva, size, value) : load_part(h, gva, size, value);
}

/* ---- Stores ---- */

static bool store_part(struct system_hart *h, uint64_t gva, unsigned size, uint64_t value)
{
    struct place place;
    if (!locate(h, gva, size, MMU_STORE, &place))
        return false;
    if (likely(place.host)) {
        if (!open_to_write(h, gva, &place))
            return false;
        write_memory(place.host, size, value);
        return true;
    }
    uint64_t mask = size < 8 ? BIT(8 * size) - 1 : UINT64_MAX;
    struct bus_access a = {
        .address = place.gpa, .value = value & mask, .size = (uint8_t)size, .is_write = true};
    return device(h, gva, MMU_STORE, &a);
}

static bool store_crossing(struct system_hart *h, uint64_t gva, unsigned size, uint64_t value)
{
    struct place low, high;
    unsigned first = (unsigned)(-gva & PAGE_OFFSET);
    if (!locate_memory(h, gva, first, MMU_STORE, &low) || !open_to_write(h, gva, &low) ||
        !locate_memory(h, gva + first, size - first, MMU_STORE, &high) ||
        !open_to_write(h, gva + first, &high))
        return false;
    write_memory(low.host, first, value);
    write_memory(high.host, size - first, value >> 8 * first);
    return true;
}

bool system_store(struct system_hart *h, uint64_t gva, unsigned size, uint64_t value)
{
    return unlikely(crosses(gva, size)) ? store_crossing(h, gva, size, value)
                                        : store_part(h, gva, size, value);
}

/* ---- Spans ---- */

bool system_reach(struct system_hart *h, uint64_t gva, unsigned size, enum mmu_access access,
                  uint64_t *addend)
{
    struct place place;
    if (!locate(h, gva, size, access, &place) || !place.host ||
        (access == MMU_STORE && !open_to_write(h, gva, &place)))
        return false;
    const struct tlb_entry *e = &h->hart.tlb[tlb_index(gva)];
    *addend = e->addend;
    return tlb_hits(access == MMU_STORE ? e->write : e->read, gva, size);
}

/* ---- Atomics, cache blocks ---- */

static uint64_t misaligned_cause(enum mmu_access access)
{
    return access == MMU_LOAD ? CAUSE_LOAD_MISALIGNED : CAUSE_STORE_MISALIGNED;
}

void *system_atomic(struct system_hart *h, uint64_t gva, unsigned size, enum mmu_access access)
{
    struct place place;
    bool found = gva & (size - 1) ? system_fail(h, misaligned_cause(access), gva)
                                  : locate_memory(h, gva, size, access, &place);
    if (found && access == MMU_STORE)
        found = open_to_write(h, gva, &place);
    return found ? place.host : NULL;
}

HOST_GUEST_ACCESS static void zero_block(uint8_t *host)
{
    for (unsigned i = 0; i < BLOCK_BYTES; i += 8)
        *(volatile uint64_t *)(host + i) = 0;
}

/* The trap's value is the address as it stands in the register. */
static bool zero(struct system_hart *h, uint64_t gva)
{
    struct place place;
    uint64_t block = gva & ~(uint64_t)(BLOCK_BYTES - 1);
    bool done = locate_memory(h, block, BLOCK_BYTES, MMU_STORE, &place) && open_to_write(h, block, &place);
    if (done)
        zero_block(place.host);
    else
        h->trap.value = gva;
    return done;
}

static bool is_legal(const struct hart_sys *sys, unsigned row)
{
    switch (row) {
    case RV_CBO_ZERO: return sys_cbo_zero_legal(sys);
    case RV_CBO_INVAL: return sys_cbo_inval(sys) != SYS_CBO_ILLEGAL;
    default: return sys_cbo_clean_legal(sys);
    }
}

/* Host caches are coherent: where nothing is to be zeroed, what is left is the check of the address. */
bool system_cache_block(struct system_hart *h, unsigned row, uint64_t gva)
{
    struct mmu_page page;
    if (!is_legal(&h->sys, row))
        return system_fail(h, CAUSE_ILLEGAL, 0);
    if (row == RV_CBO_ZERO)
        return zero(h, gva);
    uint64_t block = gva & ~(uint64_t)(BLOCK_BYTES - 1);
    uint64_t cause = mmu_access(&h->sys, block, BLOCK_BYTES, MMU_BLOCK, &page);
    return cause == MMU_OK || system_fail(h, cause, gva);
}
