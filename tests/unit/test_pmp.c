/* Physical memory protection, compared with a byte by byte reading of the manual. */
#include "../diff/rng.h"
#include "base/util.h"
#include "cpu/riscv/pmp.h"
#include "isa/riscv/isa.h"
#include "sys_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { ALL = PMP_R | PMP_W | PMP_X };

static struct owner owner;

static int setup(void **state)
{
    owner_init(&owner, UINT32_MAX);
    *state = &owner;
    return 0;
}

static void set_entry(struct owner *o, unsigned i, uint8_t cfg, uint64_t address)
{
    o->sys.pmpcfg[i] = cfg;
    o->sys.pmpaddr[i] = address;
}

/* ---- Reference ---- */

static bool byte_matches(const struct hart_sys *sys, unsigned i, uint64_t byte)
{
    uint64_t word = byte >> 2, address = sys->pmpaddr[i];
    unsigned size = 1; /* words */
    switch (sys->pmpcfg[i] & PMP_A) {
    case PMP_A_TOR: return word < address && word >= (i ? sys->pmpaddr[i - 1] : 0);
    case PMP_A_NA4: return word == address;
    case PMP_A_NAPOT:
        for (uint64_t bits = address; bits & 1; bits >>= 1)
            size *= 2;
        return word / (2 * size) == address / (2 * size);
    default: return false;
    }
}

static unsigned expected_rights(const struct hart_sys *sys, uint64_t gpa, unsigned size, enum priv mode)
{
    for (unsigned i = 0; i < PMP_COUNT; i++) {
        unsigned matching = 0;
        for (unsigned byte = 0; byte < size; byte++)
            matching += byte_matches(sys, i, gpa + byte);
        if (matching == 0)
            continue;
        if (matching < size)
            return 0;
        return mode == PRIV_M && !(sys->pmpcfg[i] & PMP_L) ? ALL : sys->pmpcfg[i] & ALL;
    }
    return mode == PRIV_M ? ALL : 0;
}

static void random_entries(struct hart_sys *sys, struct rng *rng)
{
    for (unsigned i = 0; i < PMP_COUNT; i++) {
        sys->pmpcfg[i] = (uint8_t)(rng_next(rng) & (PMP_L | PMP_A | ALL));
        sys->pmpaddr[i] = 0x400 + rng_below(rng, 32);
        if (rng_percent(rng, 50))
            sys->pmpaddr[i] |= BIT(rng_below(rng, 5)) - 1;
        if (rng_percent(rng, 70))
            sys->pmpcfg[i] &= (uint8_t)~PMP_A;
    }
}

static void rights_are_those_of_the_manual(void **state)
{
    struct owner *o = *state;
    struct rng rng = rng_make(1, 0);
    static const enum priv modes[] = {PRIV_U, PRIV_S, PRIV_M};
    for (unsigned round = 0; round < 300; round++) {
        random_entries(&o->sys, &rng);
        for (uint64_t gpa = 0xff0; gpa < 0x1090; gpa++)
            for (unsigned size = 1; size <= 8; size *= 2)
                for (size_t m = 0; m < ARRAY_SIZE(modes); m++)
                    assert_int_equal(pmp_rights(&o->sys, gpa, size, modes[m]),
                                     expected_rights(&o->sys, gpa, size, modes[m]));
    }
}

/* Uniform means that no access within has other rights than the whole. */
static void uniform_ranges_have_one_answer(void **state)
{
    struct owner *o = *state;
    struct rng rng = rng_make(2, 0);
    unsigned uniform = 0;
    for (unsigned round = 0; round < 3000; round++) {
        random_entries(&o->sys, &rng);
        uint64_t start = 0x1000 + 16 * rng_below(&rng, 8);
        unsigned whole = pmp_rights(&o->sys, start, 16, PRIV_S);
        bool same = true;
        for (uint64_t gpa = start; gpa < start + 16; gpa++)
            same = same && expected_rights(&o->sys, gpa, 1, PRIV_S) == whole;
        if (pmp_is_uniform(&o->sys, start, 16)) {
            assert_true(same);
            uniform++;
        }
    }
    assert_in_range(uniform, 300, 2999);
}

/* ---- Corners ---- */

static void corners(void **state)
{
    struct owner *o = *state;
    const struct hart_sys *sys = &o->sys;
    /* Nothing is open to the lower modes, everything to machine mode. */
    assert_int_equal(pmp_rights(sys, 0, 8, PRIV_S), 0);
    assert_int_equal(pmp_rights(sys, 0, 8, PRIV_M), ALL);
    /* All ones: everything. */
    set_entry(o, 15, PMP_A_NAPOT | PMP_R, PMPADDR_BITS);
    assert_int_equal(pmp_rights(sys, 0, 8, PRIV_U), PMP_R);
    assert_int_equal(pmp_rights(sys, (BIT(56) - 8), 8, PRIV_U), PMP_R);
    assert_true(pmp_is_uniform(sys, 0, BIT(56)));
    /* TOR from zero, and one that is empty because its bounds meet or cross. */
    set_entry(o, 0, PMP_A_TOR | PMP_X, 0x400);
    assert_int_equal(pmp_rights(sys, 0xffc, 4, PRIV_U), PMP_X);
    assert_int_equal(pmp_rights(sys, 0x1000, 4, PRIV_U), PMP_R);
    assert_int_equal(pmp_rights(sys, 0xffc, 8, PRIV_U), 0);
    assert_int_equal(pmp_rights(sys, 0xffc, 8, PRIV_M), 0);
    set_entry(o, 0, PMP_A_TOR | PMP_L, 0);
    assert_int_equal(pmp_rights(sys, 0, 4, PRIV_M), ALL);
    set_entry(o, 1, PMP_A_TOR | PMP_W | PMP_R, 0);
    assert_int_equal(pmp_rights(sys, 0, 4, PRIV_U), PMP_R);
    /* The manual's example: four bytes matched of eight. */
    set_entry(o, 2, PMP_A_NA4 | ALL, 0xc >> 2);
    assert_int_equal(pmp_rights(sys, 8, 8, PRIV_U), 0);
    assert_int_equal(pmp_rights(sys, 0xc, 4, PRIV_U), ALL);
    /* A lock holds machine mode to the rights. */
    set_entry(o, 2, PMP_A_NA4 | PMP_L | PMP_R, 0xc >> 2);
    assert_int_equal(pmp_rights(sys, 0xc, 4, PRIV_M), PMP_R);
}

static void locked_entries_stay(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_PMPADDR0, 1);
    csr_write(o, RV_CSR_PMPADDR0 + 1, 2);
    csr_write(o, RV_CSR_PMPADDR0 + 2, 3);
    csr_write(o, RV_CSR_PMPCFG0, (PMP_L | PMP_A_TOR | PMP_R) << 8 | PMP_R);
    csr_write(o, RV_CSR_PMPCFG0, UINT64_C(0x1f1f1f));
    assert_int_equal(csr_read(o, RV_CSR_PMPCFG0), UINT64_C(0x1f891f));
    for (unsigned i = 0; i < 3; i++)
        csr_write(o, RV_CSR_PMPADDR0 + i, 100);
    assert_int_equal(csr_read(o, RV_CSR_PMPADDR0), 1); /* the lower bound of a locked range */
    assert_int_equal(csr_read(o, RV_CSR_PMPADDR0 + 1), 2);
    assert_int_equal(csr_read(o, RV_CSR_PMPADDR0 + 2), 100);
    /* OFF is locked as well, but leaves its lower bound free. */
    csr_write(o, RV_CSR_PMPCFG2, UINT64_C(0x80) << 56);
    csr_write(o, RV_CSR_PMPADDR15, 5);
    csr_write(o, RV_CSR_PMPADDR0 + 14, 5);
    assert_int_equal(csr_read(o, RV_CSR_PMPADDR15), 0);
    assert_int_equal(csr_read(o, RV_CSR_PMPADDR0 + 14), 5);
    assert_int_equal(csr_read(o, RV_CSR_PMPCFG2), UINT64_C(0x80) << 56);
}

static void configurations_become_legal(void **state)
{
    struct owner *o = *state;
    for (unsigned cfg = 0; cfg < 256; cfg++) {
        owner_init(o, UINT32_MAX);
        csr_write(o, RV_CSR_PMPCFG2, (uint64_t)cfg << 24);
        unsigned legal = cfg & 0x9f;
        if ((legal & (PMP_R | PMP_W)) == PMP_W)
            legal &= ~(unsigned)PMP_W;
        assert_int_equal(csr_read(o, RV_CSR_PMPCFG2), (uint64_t)legal << 24);
        assert_int_equal(o->sys.pmpcfg[11], legal);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(rights_are_those_of_the_manual),
        TEST(uniform_ranges_have_one_answer),
        TEST(corners),
        TEST(locked_entries_stay),
        TEST(configurations_become_legal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
