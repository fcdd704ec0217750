/* Address translation: every rule of the walk, each level of Sv39, Sv48 and Sv57, every combination of permissions. */
#include "../diff/rng.h"
#include "base/util.h"
#include "cpu/riscv/mmu.h"
#include "cpu/riscv/pmp.h"
#include "isa/riscv/isa.h"
#include "sys_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { PAGE = 0x1000, OFFSET = 0x128 };

/* Tables lie one page after the other, the root first. */
#define TABLE(n)   (MEMORY_BASE + (uint64_t)(n)*PAGE)
#define TARGET     UINT64_C(0x123456000) /* a page of no interest */
#define PPN(gpa)   ((gpa) >> 12 << PTE_PPN_SHIFT)
#define LEAF_FLAGS (PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D)
#define ALL_RIGHTS (MMU_R | MMU_W | MMU_X)
#define TYPE(n)    ((uint64_t)(n) << 61)
#define SV(levels) ((uint64_t)(SATP_SV39 + (levels)-3) << SATP_MODE_SHIFT)

static struct owner owner;

static int setup(void **state)
{
    owner_init(&owner, UINT32_MAX);
    csr_write(&owner, RV_CSR_PMPADDR15, UINT64_MAX);
    csr_write(&owner, RV_CSR_PMPCFG2, UINT64_C(0x1f) << 56);
    csr_write(&owner, RV_CSR_MENVCFG, ENVCFG_PBMTE);
    *state = &owner;
    return 0;
}

/* A different index at each level, the highest bit clear. */
static uint64_t virtual_address(unsigned levels)
{
    uint64_t address = OFFSET;
    for (unsigned level = 0; level < levels; level++)
        address |= (uint64_t)(0x21 + level) << (12 + 9 * level);
    return address;
}

static uint64_t entry_address(unsigned levels, unsigned level)
{
    return TABLE(levels - 1 - level) + 8 * (uint64_t)(0x21 + level);
}

static uint64_t *entry(struct owner *o, unsigned levels, unsigned level)
{
    return owner_memory(o, entry_address(levels, level));
}

/* A path of pointers down to a leaf at `level`. Returns the leaf. */
static uint64_t *map(struct owner *o, unsigned levels, unsigned level, uint64_t leaf)
{
    memset(o->memory, 0, sizeof(o->memory));
    o->sys.satp = SV(levels) | TABLE(0) >> 12;
    for (unsigned l = levels - 1; l > level; l--)
        *entry(o, levels, l) = PTE_V | PPN(TABLE(levels - l));
    *entry(o, levels, level) = leaf;
    return entry(o, levels, level);
}

static uint64_t translate(struct owner *o, unsigned levels, enum mmu_access access, enum priv mode,
                          struct mmu_page *page)
{
    return mmu_translate(&o->sys, virtual_address(levels), access, mode, page);
}

static const enum mmu_access accesses[] = {MMU_FETCH, MMU_LOAD, MMU_STORE, MMU_BLOCK};

static void assert_page_fault(struct owner *o, unsigned levels, const char *what)
{
    static const uint64_t causes[] = {CAUSE_FETCH_PAGE, CAUSE_LOAD_PAGE, CAUSE_STORE_PAGE, CAUSE_STORE_PAGE};
    struct mmu_page page;
    for (size_t i = 0; i < ARRAY_SIZE(accesses); i++)
        if (translate(o, levels, accesses[i], PRIV_S, &page) != causes[i])
            fail_msg("%s: Sv with %u levels, access %zu", what, levels, i);
}

static void assert_access_fault(struct owner *o, unsigned levels)
{
    static const uint64_t causes[] = {CAUSE_FETCH_ACCESS, CAUSE_LOAD_ACCESS, CAUSE_STORE_ACCESS,
                                      CAUSE_STORE_ACCESS};
    struct mmu_page page;
    for (size_t i = 0; i < ARRAY_SIZE(accesses); i++)
        assert_int_equal(translate(o, levels, accesses[i], PRIV_S, &page), causes[i]);
}

/* ---- What is found ---- */

static void each_level_may_be_a_leaf(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    for (unsigned levels = 3; levels <= 5; levels++)
        for (unsigned level = 0; level < levels; level++) {
            uint64_t size = (uint64_t)PAGE << 9 * level, base = 3 * size & (BIT(56) - 1);
            map(o, levels, level, LEAF_FLAGS | PPN(base));
            o->loads = 0;
            assert_int_equal(translate(o, levels, MMU_LOAD, PRIV_S, &page), MMU_OK);
            assert_int_equal(page.gpa, base | (virtual_address(levels) & (size - 1)));
            assert_int_equal(page.size, size);
            assert_int_equal(page.rights, ALL_RIGHTS);
            assert_int_equal(page.type, MMU_PMA);
            assert_false(page.global);
            assert_int_equal(o->loads, levels - level);
        }
}

static void bare_and_machine_mode_do_not_translate(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    o->sys.satp = 0;
    assert_int_equal(mmu_translate(&o->sys, 0x12345678, MMU_FETCH, PRIV_U, &page), MMU_OK);
    assert_int_equal(page.gpa, 0x12345678);
    assert_int_equal(page.rights, ALL_RIGHTS);
    o->sys.satp = SV(3);
    assert_int_equal(mmu_translate(&o->sys, BIT(56) - 1, MMU_LOAD, PRIV_M, &page), MMU_OK);
    assert_int_equal(page.gpa, BIT(56) - 1);
    /* Beyond the physical address space there is nothing. */
    assert_int_equal(mmu_translate(&o->sys, BIT(56), MMU_LOAD, PRIV_M, &page), CAUSE_LOAD_ACCESS);
    assert_int_equal(mmu_translate(&o->sys, UINT64_MAX, MMU_STORE, PRIV_M, &page), CAUSE_STORE_ACCESS);
    assert_int_equal(mmu_translate(&o->sys, BIT(63), MMU_FETCH, PRIV_M, &page), CAUSE_FETCH_ACCESS);
}

/* All copies of the highest translated bit. */
static void addresses_are_canonical(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    for (unsigned levels = 3; levels <= 5; levels++) {
        unsigned bits = 12 + 9 * levels;
        map(o, levels, 0, LEAF_FLAGS | PPN(TARGET));
        for (unsigned bit = bits - 1; bit < 64; bit++)
            assert_int_equal(
                mmu_translate(&o->sys, virtual_address(levels) ^ BIT(bit), MMU_LOAD, PRIV_S, &page),
                CAUSE_LOAD_PAGE);
        /* The upper half, by way of the last entry of the root. */
        *owner_memory(o, TABLE(0) + 8 * 511) = LEAF_FLAGS;
        assert_int_equal(mmu_translate(&o->sys, UINT64_MAX, MMU_LOAD, PRIV_S, &page), MMU_OK);
        assert_int_equal(mmu_translate(&o->sys, BIT(bits) - 1, MMU_LOAD, PRIV_S, &page), CAUSE_LOAD_PAGE);
    }
}

static void globality_comes_from_any_level(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    for (unsigned level = 0; level < 4; level++) {
        map(o, 4, 0, LEAF_FLAGS | PPN(TARGET));
        *entry(o, 4, level) |= PTE_G;
        assert_int_equal(translate(o, 4, MMU_LOAD, PRIV_S, &page), MMU_OK);
        assert_true(page.global);
    }
}

/* ---- What is invalid ---- */

static void entries_must_be_valid(void **state)
{
    struct owner *o = *state;
    for (unsigned levels = 3; levels <= 5; levels++)
        for (unsigned level = 0; level < levels; level++) {
            uint64_t *leaf = map(o, levels, level, 0);
            assert_page_fault(o, levels, "V");
            *leaf = (LEAF_FLAGS & ~PTE_V);
            assert_page_fault(o, levels, "V of a leaf");
            *leaf = PTE_V | PTE_W | PTE_A | PTE_D;
            assert_page_fault(o, levels, "W alone");
            *leaf = PTE_V | PTE_W | PTE_X | PTE_A | PTE_D;
            assert_page_fault(o, levels, "W and X");
        }
}

static void the_last_level_is_no_pointer(void **state)
{
    struct owner *o = *state;
    for (unsigned levels = 3; levels <= 5; levels++) {
        map(o, levels, 0, PTE_V | PPN(TABLE(0)));
        assert_page_fault(o, levels, "pointer");
    }
}

static void pointers_have_reserved_bits(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    const uint64_t reserved = PTE_U | PTE_A | PTE_D | UINT64_C(0x3ff) << 54;
    for (unsigned levels = 3; levels <= 5; levels++)
        for (unsigned level = 1; level < levels; level++)
            for (unsigned bit = 0; bit < 64; bit++) {
                map(o, levels, 0, LEAF_FLAGS | PPN(TARGET));
                if (reserved & BIT(bit)) {
                    *entry(o, levels, level) |= BIT(bit);
                    assert_page_fault(o, levels, "reserved bit of a pointer");
                } else if (bit == 5 || bit == 8 || bit == 9) { /* G, for software */
                    *entry(o, levels, level) |= BIT(bit);
                    assert_int_equal(translate(o, levels, MMU_LOAD, PRIV_S, &page), MMU_OK);
                }
            }
}

static void leaves_have_reserved_bits(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    for (unsigned levels = 3; levels <= 5; levels++)
        for (unsigned level = 0; level < levels; level++) {
            for (unsigned bit = 54; bit <= 60; bit++) {
                map(o, levels, level, LEAF_FLAGS | BIT(bit));
                assert_page_fault(o, levels, "reserved bit of a leaf");
            }
            for (unsigned bit = 8; bit <= 9; bit++) {
                map(o, levels, level, LEAF_FLAGS | BIT(bit));
                assert_int_equal(translate(o, levels, MMU_LOAD, PRIV_S, &page), MMU_OK);
            }
        }
}

static void superpages_are_aligned(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    for (unsigned levels = 3; levels <= 5; levels++)
        for (unsigned level = 1; level < levels; level++)
            for (unsigned bit = 0; bit < 44; bit++) {
                map(o, levels, level, LEAF_FLAGS | BIT(PTE_PPN_SHIFT + bit));
                if (bit < 9 * level)
                    assert_page_fault(o, levels, "misaligned superpage");
                else
                    assert_int_equal(translate(o, levels, MMU_LOAD, PRIV_S, &page), MMU_OK);
            }
}

static void memory_types_need_pbmte(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    for (unsigned type = 0; type < 4; type++)
        for (unsigned level = 0; level < 4; level++) {
            map(o, 4, level, LEAF_FLAGS | TYPE(type));
            csr_write(o, RV_CSR_MENVCFG, ENVCFG_PBMTE);
            if (type == 3) {
                assert_page_fault(o, 4, "reserved memory type");
            } else {
                assert_int_equal(translate(o, 4, MMU_LOAD, PRIV_S, &page), MMU_OK);
                assert_int_equal(page.type, type);
            }
            csr_write(o, RV_CSR_MENVCFG, 0);
            if (type)
                assert_page_fault(o, 4, "memory type without PBMTE");
        }
}

static void napot_is_64_kib(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    for (uint64_t low = 0; low < 16; low++) {
        map(o, 3, 0, LEAF_FLAGS | PTE_N | PPN(UINT64_C(0x1230000)) | low << PTE_PPN_SHIFT);
        if (low != 8) {
            assert_page_fault(o, 3, "reserved encoding of a NAPOT page");
            continue;
        }
        assert_int_equal(translate(o, 3, MMU_LOAD, PRIV_S, &page), MMU_OK);
        assert_int_equal(page.size, 0x10000);
        assert_int_equal(page.gpa, 0x1230000 | (virtual_address(3) & 0xffff));
    }
    for (unsigned level = 1; level < 3; level++) {
        map(o, 3, level, LEAF_FLAGS | PTE_N);
        assert_page_fault(o, 3, "NAPOT superpage");
    }
    o->sys.config.features &= ~(uint32_t)SYS_SVNAPOT;
    map(o, 3, 0, LEAF_FLAGS | PTE_N | UINT64_C(8) << PTE_PPN_SHIFT);
    assert_page_fault(o, 3, "N without Svnapot");
}

/* ---- Permissions ---- */

static bool expected_allowed(uint64_t pte, enum mmu_access access, enum priv mode, bool sum, bool mxr)
{
    bool readable = pte & PTE_R || (mxr && pte & PTE_X), writable = pte & PTE_W;
    if (mode == PRIV_U && !(pte & PTE_U))
        return false;
    if (mode == PRIV_S && pte & PTE_U && (!sum || access == MMU_FETCH))
        return false;
    switch (access) {
    case MMU_FETCH: return pte & PTE_X;
    case MMU_LOAD: return readable;
    case MMU_STORE: return writable;
    default: return readable || writable;
    }
}

/* Every leaf, access, mode, SUM and MXR; A and D are set. */
static void permissions_are_those_of_the_manual(void **state)
{
    struct owner *o = *state;
    for (uint64_t flags = 0; flags < 32; flags += 2) {
        uint64_t pte = LEAF_FLAGS ^ flags; /* R, W, X, U */
        bool write_only = (pte & (PTE_R | PTE_W)) == PTE_W, pointer = !(pte & (PTE_R | PTE_W | PTE_X));
        if (write_only || pointer)
            continue;
        map(o, 3, 0, pte | PPN(TARGET));
        for (unsigned bits = 0; bits < 8; bits++) {
            enum priv mode = bits & 1 ? PRIV_S : PRIV_U;
            bool sum = bits & 2, mxr = bits & 4;
            struct mmu_page page;
            uint8_t rights = 0;
            o->sys.mstatus = (sum ? MSTATUS_SUM : 0) | (mxr ? MSTATUS_MXR : 0);
            rights |= expected_allowed(pte, MMU_FETCH, mode, sum, mxr) ? MMU_X : 0;
            rights |= expected_allowed(pte, MMU_LOAD, mode, sum, mxr) ? MMU_R : 0;
            rights |= expected_allowed(pte, MMU_STORE, mode, sum, mxr) ? MMU_W : 0;
            for (size_t i = 0; i < ARRAY_SIZE(accesses); i++) {
                bool allowed = expected_allowed(pte, accesses[i], mode, sum, mxr);
                uint64_t cause = translate(o, 3, accesses[i], mode, &page);
                assert_int_equal(cause, allowed ? MMU_OK : mmu_page_fault(accesses[i]));
                if (allowed)
                    assert_int_equal(page.rights, rights);
            }
        }
    }
}

static void mprv_is_for_data(void **state)
{
    struct owner *o = *state;
    struct hart_sys *sys = &o->sys;
    static const struct {
        uint64_t status;
        enum priv mode, data;
    } rows[] = {
        {0, PRIV_M, PRIV_M},
        {MSTATUS_MPRV, PRIV_M, PRIV_U},
        {MSTATUS_MPRV | BIT(MSTATUS_MPP_SHIFT), PRIV_M, PRIV_S},
        {MSTATUS_MPRV | MSTATUS_MPP, PRIV_M, PRIV_M},
        {BIT(MSTATUS_MPP_SHIFT), PRIV_M, PRIV_M},
        {0, PRIV_S, PRIV_S},
        {MSTATUS_MPP, PRIV_U, PRIV_U},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        sys->mstatus = rows[i].status;
        sys->mode = (uint8_t)rows[i].mode;
        assert_int_equal(mmu_mode(sys, MMU_FETCH), rows[i].mode);
        assert_int_equal(mmu_mode(sys, MMU_LOAD), rows[i].data);
        assert_int_equal(mmu_mode(sys, MMU_STORE), rows[i].data);
        assert_int_equal(mmu_mode(sys, MMU_BLOCK), rows[i].data);
    }
    /* MXR and SUM count with it, too. */
    struct mmu_page page;
    map(o, 3, 0, PTE_V | PTE_X | PTE_U | PTE_A | PPN(TARGET));
    sys->mode = PRIV_M;
    sys->mstatus = MSTATUS_MPRV | BIT(MSTATUS_MPP_SHIFT) | MSTATUS_MXR;
    assert_int_equal(mmu_access(sys, virtual_address(3), 8, MMU_LOAD, &page), CAUSE_LOAD_PAGE);
    sys->mstatus |= MSTATUS_SUM;
    assert_int_equal(mmu_access(sys, virtual_address(3), 8, MMU_LOAD, &page), MMU_OK);
}

/* ---- A and D ---- */

static void svade_leaves_them_to_software(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    const uint64_t bare = LEAF_FLAGS & ~(PTE_A | PTE_D);
    uint64_t *leaf = map(o, 3, 0, bare | PPN(TARGET));
    assert_page_fault(o, 3, "A is clear");
    *leaf |= PTE_D;
    assert_page_fault(o, 3, "D without A");
    *leaf = bare | PTE_A | PPN(TARGET);
    assert_int_equal(translate(o, 3, MMU_LOAD, PRIV_S, &page), MMU_OK);
    assert_int_equal(page.rights, MMU_R | MMU_X); /* a store has to look again */
    assert_int_equal(translate(o, 3, MMU_FETCH, PRIV_S, &page), MMU_OK);
    assert_int_equal(translate(o, 3, MMU_BLOCK, PRIV_S, &page), MMU_OK);
    assert_int_equal(translate(o, 3, MMU_STORE, PRIV_S, &page), CAUSE_STORE_PAGE);
    assert_int_equal(o->swaps, 0);
}

static void svadu_sets_them(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    const uint64_t bare = (LEAF_FLAGS & ~(PTE_A | PTE_D)) | PPN(TARGET) | TYPE(1) | BIT(8);
    csr_write(o, RV_CSR_MENVCFG, ENVCFG_ADUE | ENVCFG_PBMTE);
    for (size_t i = 0; i < ARRAY_SIZE(accesses); i++) {
        bool stores = accesses[i] == MMU_STORE;
        uint64_t *leaf = map(o, 3, 0, bare);
        o->swaps = 0;
        assert_int_equal(translate(o, 3, accesses[i], PRIV_S, &page), MMU_OK);
        assert_int_equal(*leaf, bare | PTE_A | (stores ? PTE_D : 0));
        assert_int_equal(page.rights, stores ? ALL_RIGHTS : MMU_R | MMU_X);
        assert_int_equal(translate(o, 3, accesses[i], PRIV_S, &page), MMU_OK);
        assert_int_equal(o->swaps, 1); /* the second time there is nothing to do */
    }
}

static void what_is_not_allowed_sets_nothing(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    csr_write(o, RV_CSR_MENVCFG, ENVCFG_ADUE);
    uint64_t *leaf = map(o, 3, 0, PTE_V | PTE_R | PPN(TARGET));
    assert_int_equal(translate(o, 3, MMU_STORE, PRIV_S, &page), CAUSE_STORE_PAGE);
    assert_int_equal(translate(o, 3, MMU_LOAD, PRIV_U, &page), CAUSE_LOAD_PAGE);
    assert_int_equal(*leaf, PTE_V | PTE_R | PPN(TARGET));
}

/* Another hart changes the entry between the look and the update: it is looked at again. */
static void updates_are_atomic(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    const uint64_t bare = PTE_V | PTE_R | PTE_W;
    csr_write(o, RV_CSR_MENVCFG, ENVCFG_ADUE);

    uint64_t *leaf = map(o, 3, 0, bare | PPN(TARGET));
    o->interfere = bare | PPN(TARGET + PAGE);
    assert_int_equal(translate(o, 3, MMU_STORE, PRIV_S, &page), MMU_OK);
    assert_int_equal(page.gpa, TARGET + PAGE + OFFSET);
    assert_int_equal(*leaf, bare | PTE_A | PTE_D | PPN(TARGET + PAGE));

    map(o, 3, 0, bare | PPN(TARGET));
    o->interfere = PTE_V | PTE_R | PPN(TARGET);
    assert_int_equal(translate(o, 3, MMU_STORE, PRIV_S, &page), CAUSE_STORE_PAGE);
    assert_int_equal(*leaf, PTE_V | PTE_R | PPN(TARGET));

    map(o, 3, 0, bare | PPN(TARGET));
    o->interfere = BIT(1); /* no longer valid */
    assert_int_equal(translate(o, 3, MMU_LOAD, PRIV_S, &page), CAUSE_LOAD_PAGE);

    /* A superpage becomes a table. */
    leaf = map(o, 3, 1, bare);
    *entry(o, 3, 0) = LEAF_FLAGS | PPN(TARGET);
    o->interfere = PTE_V | PPN(TABLE(2));
    assert_int_equal(translate(o, 3, MMU_STORE, PRIV_S, &page), MMU_OK);
    assert_int_equal(page.gpa, TARGET + OFFSET);
    assert_int_equal(*leaf, PTE_V | PPN(TABLE(2)));
}

/* ---- Memory and protection of the table ---- */

static void tables_must_be_in_memory(void **state)
{
    struct owner *o = *state;
    for (unsigned levels = 3; levels <= 5; levels++) {
        map(o, levels, 0, LEAF_FLAGS | PPN(TARGET));
        o->sys.satp = SV(levels) | TARGET >> 12;
        assert_access_fault(o, levels);
        for (unsigned level = 1; level < levels; level++) {
            map(o, levels, 0, LEAF_FLAGS | PPN(TARGET));
            *entry(o, levels, level) = PTE_V | PPN(TARGET);
            assert_access_fault(o, levels);
        }
    }
}

/* Entry 0 of the PMP over the eight bytes of a page-table entry. */
static void protect(struct owner *o, uint64_t gpa, uint8_t rights)
{
    o->sys.pmpaddr[0] = gpa >> 2; /* the lowest bit is clear: eight bytes */
    o->sys.pmpcfg[0] = (uint8_t)(PMP_A_NAPOT | rights);
}

static void tables_are_protected(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    for (unsigned levels = 3; levels <= 5; levels++)
        for (unsigned level = 0; level < levels; level++) {
            map(o, levels, 0, LEAF_FLAGS | PPN(TARGET));
            protect(o, entry_address(levels, level), PMP_X);
            assert_access_fault(o, levels);
            protect(o, entry_address(levels, level), PMP_R);
            assert_int_equal(translate(o, levels, MMU_STORE, PRIV_S, &page), MMU_OK);
        }
    /* Without the right to write, A and D cannot be set. */
    csr_write(o, RV_CSR_MENVCFG, ENVCFG_ADUE);
    uint64_t *leaf = map(o, 3, 0, (LEAF_FLAGS & ~PTE_D) | PPN(TARGET));
    protect(o, entry_address(3, 0), PMP_R);
    assert_int_equal(translate(o, 3, MMU_LOAD, PRIV_S, &page), MMU_OK);
    assert_int_equal(translate(o, 3, MMU_STORE, PRIV_S, &page), CAUSE_STORE_ACCESS);
    *leaf &= ~PTE_A;
    assert_access_fault(o, 3);
    assert_int_equal(o->swaps, 0);
}

static void accesses_are_protected(void **state)
{
    struct owner *o = *state;
    struct hart_sys *sys = &o->sys;
    struct mmu_page page;
    sys->mode = PRIV_S;
    map(o, 3, 0, LEAF_FLAGS | PPN(TARGET));
    for (unsigned rights = 0; rights < 8; rights++) {
        const bool allowed[] = {rights & PMP_X, rights & PMP_R, rights & PMP_W, rights & (PMP_R | PMP_W)};
        protect(o, TARGET + OFFSET, (uint8_t)rights);
        for (size_t i = 0; i < ARRAY_SIZE(accesses); i++)
            assert_int_equal(mmu_access(sys, virtual_address(3), 4, accesses[i], &page),
                             allowed[i] ? MMU_OK : mmu_access_fault(accesses[i]));
    }
    /* Half of the bytes in the entry, half outside. */
    protect(o, TARGET + OFFSET, PMP_R | PMP_W | PMP_X);
    assert_int_equal(mmu_access(sys, virtual_address(3) + 4, 8, MMU_LOAD, &page), CAUSE_LOAD_ACCESS);
    /* The page table speaks first. */
    map(o, 3, 0, (LEAF_FLAGS & ~PTE_W) | PPN(TARGET));
    protect(o, TARGET + OFFSET, 0);
    assert_int_equal(mmu_access(sys, virtual_address(3), 4, MMU_STORE, &page), CAUSE_STORE_PAGE);
}

static void rights_to_remember(void **state)
{
    struct owner *o = *state;
    struct mmu_page page;
    map(o, 3, 1, LEAF_FLAGS); /* two MiB at 0 */
    assert_int_equal(translate(o, 3, MMU_LOAD, PRIV_S, &page), MMU_OK);
    assert_int_equal(mmu_page_rights(&o->sys, &page, PRIV_S), ALL_RIGHTS);
    protect(o, page.gpa & ~UINT64_C(7), PMP_R | PMP_W);
    assert_int_equal(mmu_page_rights(&o->sys, &page, PRIV_S), 0); /* divided */
    o->sys.pmpaddr[0] = (page.gpa >> 12 << 10) | 0x1ff;           /* the whole page */
    assert_int_equal(mmu_page_rights(&o->sys, &page, PRIV_S), MMU_R | MMU_W);
    assert_int_equal(mmu_page_rights(&o->sys, &page, PRIV_M), ALL_RIGHTS);
    map(o, 3, 1, LEAF_FLAGS & ~PTE_D);
    assert_int_equal(translate(o, 3, MMU_LOAD, PRIV_S, &page), MMU_OK);
    assert_int_equal(mmu_page_rights(&o->sys, &page, PRIV_S), MMU_R);
}

/* Random tables never make the walk read outside of memory, and give the same answer twice. */
static void random_tables(void **state)
{
    struct owner *o = *state;
    struct rng rng = rng_make(3, 0);
    unsigned found = 0;
    csr_write(o, RV_CSR_MENVCFG, ENVCFG_ADUE | ENVCFG_PBMTE);
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(o->memory); i++) {
            uint64_t ppn = (MEMORY_BASE >> 12) + rng_below(&rng, MEMORY_SIZE >> 12);
            uint64_t flags = rng_next(&rng) & 0x3ff &
                             ~(rng_percent(&rng, 70) ? PTE_R | PTE_W | PTE_X | PTE_U | PTE_A | PTE_D : 0);
            o->memory[i] = ppn << PTE_PPN_SHIFT | flags | PTE_V;
        }
        for (unsigned i = 0; i < 2000; i++) {
            struct mmu_page first, second;
            o->sys.satp = SV(3 + rng_below(&rng, 3)) | MEMORY_BASE >> 12;
            uint64_t address = rng_next(&rng) >> 26;
            enum mmu_access access = accesses[rng_below(&rng, 4)];
            uint64_t cause = mmu_translate(&o->sys, address, access, PRIV_S, &first);
            assert_int_equal(mmu_translate(&o->sys, address, access, PRIV_S, &second), cause);
            if (cause != MMU_OK)
                continue;
            found++;
            assert_int_equal(first.gpa, second.gpa);
            assert_int_equal(first.rights, second.rights);
            assert_int_equal(first.gpa & (PAGE - 1), address & (PAGE - 1));
        }
    }
    assert_true(found > 1000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(each_level_may_be_a_leaf),
        TEST(bare_and_machine_mode_do_not_translate),
        TEST(addresses_are_canonical),
        TEST(globality_comes_from_any_level),
        TEST(entries_must_be_valid),
        TEST(the_last_level_is_no_pointer),
        TEST(pointers_have_reserved_bits),
        TEST(leaves_have_reserved_bits),
        TEST(superpages_are_aligned),
        TEST(memory_types_need_pbmte),
        TEST(napot_is_64_kib),
        TEST(permissions_are_those_of_the_manual),
        TEST(mprv_is_for_data),
        TEST(svade_leaves_them_to_software),
        TEST(svadu_sets_them),
        TEST(what_is_not_allowed_sets_nothing),
        TEST(updates_are_atomic),
        TEST(tables_must_be_in_memory),
        TEST(tables_are_protected),
        TEST(accesses_are_protected),
        TEST(rights_to_remember),
        TEST(random_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
