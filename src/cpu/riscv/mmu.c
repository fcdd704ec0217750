#include "cpu/riscv/mmu.h"

#include "cpu/riscv/pmp.h"
#include "cpu/riscv/sys_internal.h"

enum { PAGE_BITS = 12, INDEX_BITS = 9, PTE_SIZE = 8, NAPOT_BITS = 4 };

#define PHYSICAL_BITS 56
#define NAPOT_64K     UINT64_C(8) /* the low PPN bits of a page of 64 KiB; all else is reserved */

/* One step of a walk. */
struct walk {
    struct hart_sys *sys;
    uint64_t address;
    enum mmu_access access;
    enum priv mode;
    unsigned level; /* 0 is the last */
    uint64_t gpa;   /* of the entry */
    uint64_t pte;
    bool global;
};

uint64_t mmu_access_fault(enum mmu_access access)
{
    static const uint8_t causes[] = {CAUSE_FETCH_ACCESS, CAUSE_LOAD_ACCESS, CAUSE_STORE_ACCESS,
                                     CAUSE_STORE_ACCESS};
    return causes[access];
}

uint64_t mmu_page_fault(enum mmu_access access)
{
    static const uint8_t causes[] = {CAUSE_FETCH_PAGE, CAUSE_LOAD_PAGE, CAUSE_STORE_PAGE, CAUSE_STORE_PAGE};
    return causes[access];
}

enum priv mmu_mode(const struct hart_sys *sys, enum mmu_access access)
{
    if (access != MMU_FETCH && sys->mstatus & MSTATUS_MPRV)
        return (enum priv)((sys->mstatus & MSTATUS_MPP) >> MSTATUS_MPP_SHIFT);
    return (enum priv)sys->mode;
}

/* Sv39 has 3, Sv48 4, Sv57 5. */
static unsigned level_count(const struct hart_sys *sys)
{
    return 3 + (unsigned)(sys->satp >> SATP_MODE_SHIFT) - SATP_SV39;
}

/* The bits above the translated ones must be copies of the highest of those. */
static bool is_canonical(uint64_t address, unsigned levels)
{
    unsigned unused = 64 - (PAGE_BITS + INDEX_BITS * levels);
    return (uint64_t)((int64_t)(address << unused) >> unused) == address;
}

static unsigned level_shift(unsigned level)
{
    return PAGE_BITS + INDEX_BITS * level;
}

static uint64_t pte_address(uint64_t pte)
{
    return (pte >> PTE_PPN_SHIFT & SATP_PPN) << PAGE_BITS;
}

static bool is_leaf(uint64_t pte)
{
    return pte & (PTE_R | PTE_X);
}

static bool is_napot(uint64_t pte)
{
    return pte & PTE_N;
}

/* "Any bits or encodings that are reserved for future standard use." */
static bool is_reserved(const struct walk *w)
{
    uint64_t pte = w->pte, reserved = PTE_RESERVED;
    if (!(w->sys->menvcfg & ENVCFG_PBMTE) || !is_leaf(pte))
        reserved |= PTE_PBMT;
    if (!sys_has(w->sys, SYS_SVNAPOT) || !is_leaf(pte) || w->level)
        reserved |= PTE_N;
    if (!is_leaf(pte))
        reserved |= PTE_D | PTE_A | PTE_U;
    bool reserved_type = (pte & PTE_PBMT) == PTE_PBMT;
    bool reserved_napot = is_napot(pte) && (pte >> PTE_PPN_SHIFT & (BIT(NAPOT_BITS) - 1)) != NAPOT_64K;
    return pte & reserved || reserved_type || reserved_napot;
}

static bool is_valid(const struct walk *w)
{
    bool write_only = (w->pte & (PTE_R | PTE_W)) == PTE_W;
    return w->pte & PTE_V && !write_only && !is_reserved(w);
}

static bool is_misaligned(const struct walk *w)
{
    return pte_address(w->pte) & (BIT(level_shift(w->level)) - 1);
}

/* What the leaf allows in this mode, A and D bits apart. */
static unsigned leaf_rights(const struct walk *w)
{
    const struct hart_sys *sys = w->sys;
    bool user = w->pte & PTE_U;
    unsigned rights =
        (w->pte & PTE_R ? MMU_R : 0) | (w->pte & PTE_W ? MMU_W : 0) | (w->pte & PTE_X ? MMU_X : 0);
    if (rights & MMU_X && sys->mstatus & MSTATUS_MXR)
        rights |= MMU_R;
    if (w->mode == PRIV_U)
        return user ? rights : 0;
    if (user) /* never executed by the supervisor */
        return sys->mstatus & MSTATUS_SUM ? rights & ~(unsigned)MMU_X : 0;
    return rights;
}

static bool allows(unsigned rights, enum mmu_access access)
{
    static const uint8_t any_of[] = {MMU_X, MMU_R, MMU_W, MMU_R | MMU_W};
    return rights & any_of[access];
}

/* Reads the entry at this level. */
static bool load_pte(struct walk *w, uint64_t table)
{
    struct hart_sys *sys = w->sys;
    w->gpa = table + (w->address >> level_shift(w->level) & (BIT(INDEX_BITS) - 1)) * PTE_SIZE;
    return pmp_rights(sys, w->gpa, PTE_SIZE, PRIV_S) & PMP_R && sys->ops->load64(sys, w->gpa, &w->pte);
}

/* Down to the leaf. */
static uint64_t find_leaf(struct walk *w, uint64_t table)
{
    for (;;) {
        if (!load_pte(w, table))
            return mmu_access_fault(w->access);
        if (!is_valid(w))
            return mmu_page_fault(w->access);
        w->global |= w->pte & PTE_G;
        if (is_leaf(w->pte))
            return is_misaligned(w) ? mmu_page_fault(w->access) : MMU_OK;
        if (!w->level--)
            return mmu_page_fault(w->access);
        table = pte_address(w->pte);
    }
}

static uint64_t wanted_bits(const struct walk *w)
{
    return PTE_A | (w->access == MMU_STORE ? PTE_D : 0);
}

/* Sets A and D in memory. SYS_CAS_OTHER: somebody changed the entry. */
static enum sys_cas update_leaf(struct walk *w)
{
    struct hart_sys *sys = w->sys;
    uint64_t updated = w->pte | wanted_bits(w);
    if (!(pmp_rights(sys, w->gpa, PTE_SIZE, PRIV_S) & PMP_W))
        return SYS_CAS_FAULT;
    enum sys_cas outcome = sys->ops->cas64(sys, w->gpa, w->pte, updated);
    if (outcome == SYS_CAS_DONE)
        w->pte = updated;
    return outcome;
}

/* Checks the leaf and brings its A and D bits up to date. `again`: look at the entry once more. */
static uint64_t check_leaf(struct walk *w, bool *again)
{
    *again = false;
    if (!allows(leaf_rights(w), w->access))
        return mmu_page_fault(w->access);
    if ((w->pte & wanted_bits(w)) == wanted_bits(w))
        return MMU_OK;
    if (!(w->sys->menvcfg & ENVCFG_ADUE))
        return mmu_page_fault(w->access);
    enum sys_cas outcome = update_leaf(w);
    *again = outcome == SYS_CAS_OTHER;
    return outcome == SYS_CAS_FAULT ? mmu_access_fault(w->access) : MMU_OK;
}

static void describe_leaf(const struct walk *w, struct mmu_page *page)
{
    unsigned shift = level_shift(w->level) + (is_napot(w->pte) ? NAPOT_BITS : 0);
    unsigned rights = leaf_rights(w);
    page->size = BIT(shift);
    page->gpa = merge(pte_address(w->pte), w->address, page->size - 1);
    page->rights = (uint8_t)(w->pte & PTE_D ? rights : rights & ~(unsigned)MMU_W);
    page->type = (uint8_t)((w->pte & PTE_PBMT) >> __builtin_ctzll(PTE_PBMT));
    page->global = w->global;
}

static uint64_t walk(struct walk *w, struct mmu_page *page)
{
    uint64_t table = (w->sys->satp & SATP_PPN) << PAGE_BITS;
    bool again;
    uint64_t cause = find_leaf(w, table);
    while (cause == MMU_OK) {
        cause = check_leaf(w, &again);
        if (cause != MMU_OK)
            break;
        if (!again) {
            describe_leaf(w, page);
            break;
        }
        cause = find_leaf(w, w->gpa & ~(BIT(PAGE_BITS) - 1)); /* "return to step 2": at this level */
    }
    return cause;
}

/* Without translation. What lies above the physical address space is nowhere. */
static uint64_t identity(uint64_t address, enum mmu_access access, struct mmu_page *page)
{
    *page = (struct mmu_page){
        .gpa = address, .size = BIT(PHYSICAL_BITS), .rights = MMU_R | MMU_W | MMU_X, .global = true};
    return address >> PHYSICAL_BITS ? mmu_access_fault(access) : MMU_OK;
}

uint64_t mmu_translate(struct hart_sys *sys, uint64_t address, enum mmu_access access, enum priv mode,
                       struct mmu_page *page)
{
    if (!mmu_is_on(sys, mode))
        return identity(address, access, page);
    unsigned levels = level_count(sys);
    if (!is_canonical(address, levels))
        return mmu_page_fault(access);
    struct walk w = {.sys = sys, .address = address, .access = access, .mode = mode, .level = levels - 1};
    return walk(&w, page);
}

static unsigned pmp_to_mmu(unsigned pmp)
{
    return (pmp & PMP_R ? MMU_R : 0) | (pmp & PMP_W ? MMU_W : 0) | (pmp & PMP_X ? MMU_X : 0);
}

uint64_t mmu_access(struct hart_sys *sys, uint64_t address, unsigned size, enum mmu_access access,
                    struct mmu_page *page)
{
    enum priv mode = mmu_mode(sys, access);
    uint64_t cause = mmu_translate(sys, address, access, mode, page);
    if (cause == MMU_OK && !allows(pmp_to_mmu(pmp_rights(sys, page->gpa, size, mode)), access))
        cause = mmu_access_fault(access);
    return cause;
}

unsigned mmu_page_rights(const struct hart_sys *sys, const struct mmu_page *page, enum priv mode)
{
    uint64_t start = page->gpa & ~(BIT(PAGE_BITS) - 1), size = BIT(PAGE_BITS);
    if (!pmp_is_uniform(sys, start, size))
        return 0;
    return page->rights & pmp_to_mmu(pmp_rights(sys, start, size, mode));
}
