/* What a hart remembers of translation: contexts, and what each kind of SFENCE.VMA drops, and keeps. */
#include "cpu/riscv/tlb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PAGE   UINT64_C(4096)
#define LARGE  (UINT64_C(2) << 20)
#define KERNEL UINT64_C(0xffffffc000000000)
#define USER   UINT64_C(0x10000)

static struct hart_sys sys;
static struct tlb tlb;

static int setup(void **state)
{
    (void)state;
    memset(&sys, 0, sizeof(sys));
    return tlb_init(&tlb);
}

static int teardown(void **state)
{
    (void)state;
    tlb_release(&tlb);
    return 0;
}

static void enter(enum priv mode, uint64_t asid, uint64_t status)
{
    sys.mode = (uint8_t)mode;
    sys.satp = (uint64_t)SATP_SV39 << SATP_MODE_SHIFT | asid << SATP_ASID_SHIFT | (0x1000 + asid);
    sys.mstatus = status;
    tlb_set_context(&tlb, &sys);
}

static void fill(uint64_t gva, uint64_t gpa, uint64_t size, bool global)
{
    const struct mmu_page page = {.gpa = gpa, .size = size, .rights = MMU_R | MMU_W, .global = global};
    const struct tlb_entry entry = {.read = gva & TLB_PAGE_MASK, .write = TLB_NONE, .page = TLB_MEMORY};
    tlb_fill(&tlb, gva, &page, &entry);
}

/* Is there an entry, and for this gpa? */
static bool has(uint64_t gva, uint64_t gpa)
{
    const struct tlb_entry *e = &tlb.data->entries[tlb_index(gva)];
    return tlb_hits(e->read, gva, 1) && (e->page & TLB_PAGE_MASK) == (gpa & TLB_PAGE_MASK);
}

static void test_hits(void **state)
{
    (void)state;
    uint64_t tag = UINT64_C(0x12345000);
    assert_true(tlb_hits(tag, 0x12345000, 8));
    assert_true(tlb_hits(tag, 0x12345ff8, 8));
    assert_true(tlb_hits(tag, 0x12345ff7, 8)); /* misaligned, inside */
    assert_false(tlb_hits(tag, 0x12345ff9, 8));
    assert_false(tlb_hits(tag, 0x12344ffc, 8) &&
                 tlb_index(0x12344ffc) == tlb_index(tag)); /* its end is there */
    assert_false(tlb_hits(tag | TLB_SLOW, 0x12345000, 1));
    assert_true(tlb_knows(tag | TLB_SLOW, 0x12345000));
    assert_false(tlb_hits(TLB_NONE, UINT64_MAX, 1));
    assert_false(tlb_knows(TLB_NONE, UINT64_MAX));
}

/* Each context has its own; nothing is lost by going away and coming back. */
static void test_contexts(void **state)
{
    (void)state;
    enter(PRIV_U, 1, 0);
    fill(USER, PAGE, PAGE, false);
    enter(PRIV_S, 1, 0);
    assert_false(has(USER, PAGE));
    enter(PRIV_S, 1, MSTATUS_SUM);
    assert_false(has(USER, PAGE));
    fill(USER, PAGE, PAGE, false);
    enter(PRIV_U, 2, 0);
    assert_false(has(USER, PAGE));
    fill(USER, 2 * PAGE, PAGE, false);
    enter(PRIV_U, 1, 0);
    assert_true(has(USER, PAGE));
    enter(PRIV_M, 1, MSTATUS_MPRV | (uint64_t)PRIV_U << MSTATUS_MPP_SHIFT);
    assert_true(has(USER, PAGE));
    enter(PRIV_M, 1, 0);
    assert_false(has(USER, PAGE));
    enter(PRIV_U, 2, 0);
    assert_true(has(USER, 2 * PAGE));
}

/* More contexts than there is room for: those that were used last are there. */
static void test_many_contexts(void **state)
{
    (void)state;
    for (uint64_t asid = 1; asid <= 2 * TLB_CONTEXTS; asid++) {
        enter(PRIV_U, asid, 0);
        fill(USER, asid * PAGE, PAGE, false);
        if (asid > 1)
            enter(PRIV_U, 1, 0); /* used all the time */
        assert_true(has(USER, PAGE));
    }
    enter(PRIV_U, 2 * TLB_CONTEXTS, 0);
    assert_true(has(USER, 2 * TLB_CONTEXTS * PAGE));
    enter(PRIV_U, 2, 0);
    assert_false(has(USER, 2 * PAGE));
}

/* Global mappings are those of every address space, for data and for code. */
static void test_globals(void **state)
{
    (void)state;
    const struct mmu_page page = {.gpa = PAGE, .size = PAGE, .rights = MMU_X, .global = true};
    enter(PRIV_S, 1, 0);
    fill(KERNEL, PAGE, PAGE, true);
    tlb_fill_code(&tlb, KERNEL, &page, NULL);
    uint64_t id = tlb.code->id;
    enter(PRIV_S, 2, 0);
    assert_true(has(KERNEL, PAGE));
    assert_int_equal(tlb.code->id, id);
    fill(USER, PAGE, PAGE, false); /* one that is not: an address space of its own */
    enter(PRIV_S, 3, 0);
    assert_false(has(KERNEL, PAGE));
    assert_false(has(USER, PAGE));
    enter(PRIV_S, 2, 0);
    assert_true(has(USER, PAGE));
}

static void fence(unsigned what, uint64_t address, uint64_t asid)
{
    tlb_fence(&tlb, what, address, 1, asid);
    tlb_set_context(&tlb, &sys);
}

static void test_fence(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 4; what++) {
        bool by_address = what & TLB_FENCE_ADDRESS, by_asid = what & TLB_FENCE_ASID;
        enter(PRIV_U, 1, 0);
        fill(USER, PAGE, PAGE, false);
        fill(USER + PAGE, 2 * PAGE, PAGE, false);
        fill(USER + 2 * PAGE, 3 * PAGE, PAGE, true);
        enter(PRIV_U, 2, 0);
        fill(USER, 4 * PAGE, PAGE, false);
        fence(what, USER + 0x123, 1);
        assert_int_equal(has(USER, 4 * PAGE), by_asid);
        enter(PRIV_U, 1, 0);
        assert_false(has(USER, PAGE));
        assert_int_equal(has(USER + PAGE, 2 * PAGE), by_address);
        assert_int_equal(has(USER + 2 * PAGE, 3 * PAGE), by_address || by_asid);
        fence(TLB_FENCE_ADDRESS, USER + 2 * PAGE, 0); /* a global mapping, too */
        assert_false(has(USER + 2 * PAGE, 3 * PAGE));
        tlb_drop_all(&tlb);
    }
}

/* A large mapping goes as a whole, whichever of its addresses is named; others stay. */
static void test_fence_large(void **state)
{
    enum { COUNT = 12 /* more than there are ranges */, PIECES = 3 };
    uint64_t gva[COUNT][PIECES], gpa[COUNT][PIECES];
    (void)state;
    enter(PRIV_S, 1, 0);
    for (uint64_t i = 0; i < COUNT; i++)
        for (uint64_t k = 0; k < PIECES; k++) {
            uint64_t offset = (32 * i + 9 * k) * PAGE; /* entries of their own */
            gva[i][k] = KERNEL + 5 * i * LARGE + offset;
            gpa[i][k] = i * LARGE + offset;
            fill(gva[i][k], gpa[i][k], LARGE, true);
        }
    fill(USER, PAGE, PAGE, false);
    fence(TLB_FENCE_ADDRESS, KERNEL + 15 * LARGE + 300 * PAGE, 0);
    for (uint64_t i = 0; i < COUNT; i++)
        for (uint64_t k = 0; k < PIECES; k++)
            assert_int_equal(has(gva[i][k], gpa[i][k]), i != 3);
    tlb_fence(&tlb, TLB_FENCE_ADDRESS, KERNEL, 100 * LARGE, 0);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_false(has(gva[i][0], gpa[i][0]));
    assert_true(has(USER, PAGE));
}

/* The id of code changes when a page goes that was fetched from, and only then. */
static void test_code_ids(void **state)
{
    (void)state;
    const struct mmu_page page = {.gpa = PAGE, .size = PAGE, .rights = MMU_X};
    enter(PRIV_U, 1, 0);
    tlb_fill_code(&tlb, USER, &page, NULL);
    uint64_t id = tlb.code->id;
    fence(TLB_FENCE_ADDRESS, USER + PAGE, 0);
    assert_int_equal(tlb.code->id, id);
    assert_non_null(tlb_find_code(&tlb, USER));
    for (uint64_t i = 1; i < 10000; i++)
        fence(TLB_FENCE_ADDRESS, USER + i * PAGE, 0);
    assert_int_equal(tlb.code->id, id);
    enter(PRIV_U, 2, 0);
    assert_int_not_equal(tlb.code->id, id);
    fence(TLB_FENCE_ASID, 0, 2);
    enter(PRIV_U, 1, 0);
    assert_int_equal(tlb.code->id, id);
    enter(PRIV_U, 1, MSTATUS_MXR); /* of no concern to fetches */
    assert_int_equal(tlb.code->id, id);
    fence(TLB_FENCE_ADDRESS, USER, 0);
    assert_int_not_equal(tlb.code->id, id);
    assert_null(tlb_find_code(&tlb, USER));
    /* An entry that another one has replaced is remembered nevertheless: units were found by it. */
    tlb_fill_code(&tlb, USER, &page, NULL);
    tlb_fill_code(&tlb, USER + TLB_CODE_ENTRIES * PAGE, &page, NULL);
    id = tlb.code->id;
    fence(TLB_FENCE_ADDRESS, USER, 0);
    assert_int_not_equal(tlb.code->id, id);
}

static bool is_second(void *context, uint64_t gpa)
{
    (void)context;
    return gpa == 2 * PAGE;
}

static void test_slow_writes(void **state)
{
    (void)state;
    enter(PRIV_U, 1, 0);
    for (uint64_t i = 1; i <= 2; i++) {
        const struct mmu_page page = {.gpa = i * PAGE, .size = PAGE, .rights = MMU_R | MMU_W};
        const struct tlb_entry entry = {
            .read = USER + i * PAGE, .write = USER + i * PAGE, .page = TLB_MEMORY};
        tlb_fill(&tlb, USER + i * PAGE, &page, &entry);
    }
    tlb_slow_writes(&tlb, is_second, NULL);
    assert_true(tlb_hits(tlb.data->entries[tlb_index(USER + PAGE)].write, USER + PAGE, 8));
    assert_false(tlb_hits(tlb.data->entries[tlb_index(USER + 2 * PAGE)].write, USER + 2 * PAGE, 8));
    assert_true(tlb_knows(tlb.data->entries[tlb_index(USER + 2 * PAGE)].write, USER + 2 * PAGE));
    assert_true(has(USER + 2 * PAGE, 2 * PAGE));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_hits),  TEST(test_contexts),    TEST(test_many_contexts), TEST(test_globals),
        TEST(test_fence), TEST(test_fence_large), TEST(test_code_ids),      TEST(test_slow_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
