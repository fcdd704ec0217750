/* Control and status registers: which there are, in which modes, what can be written into them, and what a write
 * tells. */
#include "base/util.h"
#include "isa/riscv/isa.h"
#include "sys_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define ALL UINT64_MAX

static struct owner owner;

static int setup(void **state)
{
    owner_init(&owner, UINT32_MAX);
    *state = &owner;
    return 0;
}

static bool is_legal(struct owner *o, enum priv mode, unsigned number, enum sys_csr_op op)
{
    uint64_t old;
    return !(owner_csr(o, mode, number, op, 0, &old) & SYS_ILLEGAL);
}

/* ---- Which there are ---- */

/* Every number that machine mode may read, with nothing missing and nothing more. */
static const uint16_t ranges[][2] = {
    {RV_CSR_FFLAGS, RV_CSR_FCSR},
    {RV_CSR_SSTATUS, RV_CSR_SSTATUS},
    {RV_CSR_SIE, RV_CSR_SCOUNTEREN},
    {RV_CSR_SENVCFG, RV_CSR_SENVCFG},
    {RV_CSR_SSTATEEN0, RV_CSR_SSTATEEN3},
    {RV_CSR_SSCRATCH, RV_CSR_SIP},
    {RV_CSR_STIMECMP, RV_CSR_STIMECMP},
    {RV_CSR_SISELECT, RV_CSR_SISELECT},
    {RV_CSR_STOPI, RV_CSR_STOPI},
    {RV_CSR_SATP, RV_CSR_SATP},
    {RV_CSR_MSTATUS, RV_CSR_MCOUNTEREN},
    {RV_CSR_MVIEN, RV_CSR_MENVCFG},
    {RV_CSR_MSTATEEN0, RV_CSR_MSTATEEN3},
    {RV_CSR_MCOUNTINHIBIT, RV_CSR_MCOUNTINHIBIT},
    {RV_CSR_MHPMEVENT3, RV_CSR_MHPMEVENT31},
    {RV_CSR_MSCRATCH, RV_CSR_MIP},
    {RV_CSR_MISELECT, RV_CSR_MISELECT},
    {RV_CSR_MTOPI, RV_CSR_MTOPI},
    {RV_CSR_PMPCFG0, RV_CSR_PMPCFG0},
    {RV_CSR_PMPCFG2, RV_CSR_PMPCFG2},
    {RV_CSR_PMPADDR0, RV_CSR_PMPADDR15},
    {RV_CSR_MSECCFG, RV_CSR_MSECCFG},
    {RV_CSR_TSELECT, RV_CSR_TINFO},
    {RV_CSR_MCYCLE, RV_CSR_MCYCLE},
    {RV_CSR_MINSTRET, RV_CSR_MHPMCOUNTER31},
    {RV_CSR_CYCLE, RV_CSR_HPMCOUNTER31},
    {RV_CSR_SCOUNTOVF, RV_CSR_SCOUNTOVF},
    {RV_CSR_MVENDORID, RV_CSR_MCONFIGPTR},
};

static bool is_listed(unsigned number)
{
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
        if (number >= ranges[i][0] && number <= ranges[i][1])
            return true;
    return false;
}

static void machine_mode_reads_what_there_is(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_MSTATUS, MSTATUS_FS);
    for (unsigned number = 0; number < 4096; number++)
        if (is_legal(o, PRIV_M, number, SYS_CSR_READ) != is_listed(number))
            fail_msg("0x%03x", number);
}

/* With everything switched on for the lower modes, the number alone decides. */
static void the_number_tells_mode_and_access(void **state)
{
    struct owner *o = *state;
    static const enum priv modes[] = {PRIV_U, PRIV_S, PRIV_M};
    for (unsigned number = 0; number < 4096; number++)
        for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
            enum priv mode = modes[m];
            owner_init(o, UINT32_MAX);
            csr_write(o, RV_CSR_MSTATUS, MSTATUS_FS);
            csr_write(o, RV_CSR_MCOUNTEREN, ALL);
            csr_write(o, RV_CSR_SCOUNTEREN, ALL);
            csr_write(o, RV_CSR_MENVCFG, ALL);
            for (unsigned i = 0; i < STATEEN_COUNT; i++)
                csr_write(o, RV_CSR_MSTATEEN0 + i, ALL);
            bool reads = is_listed(number) && mode >= (enum priv)(number >> 8 & 3);
            bool writes = reads && number >> 10 != 3;
            if (is_legal(o, mode, number, SYS_CSR_READ) != reads)
                fail_msg("0x%03x, mode %u: read", number, mode);
            /* Setting no bit is a write all the same. */
            if (number != RV_CSR_SEED && is_legal(o, mode, number, SYS_CSR_SET) != writes)
                fail_msg("0x%03x, mode %u: write", number, mode);
        }
}

static void missing_extensions_have_no_registers(void **state)
{
    struct owner *o = *state;
    static const struct {
        uint32_t feature;
        uint16_t number;
    } rows[] = {
        {SYS_SSTC, RV_CSR_STIMECMP},       {SYS_SSCOFPMF, RV_CSR_SCOUNTOVF},
        {SYS_SMSTATEEN, RV_CSR_MSTATEEN0}, {SYS_SMSTATEEN, RV_CSR_MSTATEEN3},
        {SYS_SMSTATEEN, RV_CSR_SSTATEEN0}, {SYS_ZKR, RV_CSR_MSECCFG},
        {SYS_SMAIA, RV_CSR_MISELECT},      {SYS_SMAIA, RV_CSR_MTOPI},
        {SYS_SMAIA, RV_CSR_MVIEN},         {SYS_SMAIA, RV_CSR_MVIP},
        {SYS_SSAIA, RV_CSR_SISELECT},      {SYS_SSAIA, RV_CSR_STOPI},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        owner_init(o, UINT32_MAX & ~rows[i].feature);
        assert_false(is_legal(o, PRIV_M, rows[i].number, SYS_CSR_READ));
        owner_init(o, rows[i].feature);
        assert_true(is_legal(o, PRIV_M, rows[i].number, SYS_CSR_READ));
    }
    owner_init(o, UINT32_MAX & ~(uint32_t)SYS_ZKR);
    assert_false(is_legal(o, PRIV_M, RV_CSR_SEED, SYS_CSR_WRITE));
}

/* ---- What can be written ---- */

struct warl {
    uint16_t number;
    uint64_t before, written, after;
};

#define STATUS_ON UINT64_C(0xa00000000) /* UXL and SXL */

static const struct warl warl[] = {
    {RV_CSR_MSTATUS, 0, ALL, UINT64_C(0x8000000a007e79aa)},
    {RV_CSR_MSTATUS, ALL, 0, STATUS_ON},
    {RV_CSR_MSTATUS, MSTATUS_MPP, UINT64_C(2) << 11, STATUS_ON | MSTATUS_MPP},
    {RV_CSR_MSTATUS, BIT(11), UINT64_C(2) << 11, STATUS_ON | BIT(11)},
    {RV_CSR_MSTATUS, MSTATUS_MPP, BIT(11), STATUS_ON | BIT(11)},
    {RV_CSR_MSTATUS, 0, BIT(13), STATUS_ON | BIT(13)},
    {RV_CSR_MSTATUS, 0, BIT(14), STATUS_ON | BIT(14)},
    {RV_CSR_MSTATUS, 0, MSTATUS_FS, STATUS_ON | MSTATUS_FS | MSTATUS_SD},
    {RV_CSR_SSTATUS, 0, ALL, UINT64_C(0x80000002000c6122)},
    {RV_CSR_MISA, 0, 0, UINT64_C(0x8000000000140120)},
    {RV_CSR_MISA, 0, ALL, UINT64_C(0x8000000000140120)},
    {RV_CSR_MEDELEG, 0, ALL, 0xb3fe},
    {RV_CSR_MIDELEG, 0, ALL, 0x2222},
    {RV_CSR_MIE, 0, ALL, 0x2aaa},
    {RV_CSR_MIP, 0, ALL, 0x2222},
    {RV_CSR_MTVEC, 0, ALL - 2, ALL - 2},
    {RV_CSR_MTVEC, 0x1000, 0x2002, 0x1000},
    {RV_CSR_MTVEC, 0x1001, 0x2003, 0x1001},
    {RV_CSR_STVEC, 0, 0x123456789abc0001, 0x123456789abc0001},
    {RV_CSR_STVEC, 4, ALL, 4},
    {RV_CSR_MEPC, 0, ALL, ALL - 1},
    {RV_CSR_SEPC, 0, ALL, ALL - 1},
    {RV_CSR_MCAUSE, 0, ALL, ALL},
    {RV_CSR_SCAUSE, 0, ALL, ALL},
    {RV_CSR_MTVAL, 0, ALL, ALL},
    {RV_CSR_STVAL, 0, ALL, ALL},
    {RV_CSR_MSCRATCH, 0, ALL, ALL},
    {RV_CSR_SSCRATCH, 0, ALL, ALL},
    {RV_CSR_MCOUNTEREN, 0, ALL, UINT32_MAX},
    {RV_CSR_SCOUNTEREN, 0, ALL, UINT32_MAX},
    {RV_CSR_MCOUNTINHIBIT, 0, ALL, UINT32_MAX - 2},
    {RV_CSR_MENVCFG, 0, ALL, UINT64_C(0xe0000000000000f1)},
    {RV_CSR_MENVCFG, ENVCFG_CBIE_FLUSH, ENVCFG_CBIE_RESERVED, ENVCFG_CBIE_FLUSH},
    {RV_CSR_MENVCFG, ALL, ENVCFG_CBIE_RESERVED | 1, ENVCFG_CBIE | 1},
    {RV_CSR_SENVCFG, 0, ALL, 0xf1},
    {RV_CSR_SENVCFG, 0, ENVCFG_CBIE_RESERVED, 0},
    {RV_CSR_MSTATEEN0, 0, ALL, UINT64_C(0xd800000000000000)},
    {RV_CSR_MSTATEEN2, 0, ALL, BIT(63)},
    {RV_CSR_SSTATEEN0, 0, ALL, 0},
    {RV_CSR_MSECCFG, 0, ALL, 0x300},
    {RV_CSR_STIMECMP, 0, 0x123456789abcdef0, 0x123456789abcdef0},
    {RV_CSR_SATP, 0, BIT(63) | 1, BIT(63) | 1},
    {RV_CSR_SATP, 0, UINT64_C(9) << 60 | SATP_ASID | SATP_PPN, UINT64_C(9) << 60 | SATP_ASID | SATP_PPN},
    {RV_CSR_SATP, 0, UINT64_C(10) << 60, UINT64_C(10) << 60},
    {RV_CSR_SATP, BIT(63) | 5, UINT64_C(11) << 60 | 9, BIT(63) | 5},
    {RV_CSR_SATP, BIT(63) | 5, UINT64_C(1) << 60 | 9, BIT(63) | 5},
    {RV_CSR_SATP, BIT(63) | 5, UINT64_C(7) << 60 | 9, BIT(63) | 5},
    {RV_CSR_SATP, BIT(63) | 5, 0, 0},
    {RV_CSR_MHPMEVENT3, 0, ALL, EVENT_OF | EVENT_MINH | EVENT_SINH | EVENT_UINH},
    {RV_CSR_MHPMEVENT31, 0, EVENT_CYCLES, EVENT_CYCLES},
    {RV_CSR_MHPMEVENT5, EVENT_RETIRED, 3, 0},
    {RV_CSR_MHPMCOUNTER31, 0, ALL, ALL},
    {RV_CSR_TSELECT, 0, ALL, 0},
    {RV_CSR_TDATA1, 0, ALL, 0},
    {RV_CSR_TINFO, 0, 0, 1},
    {RV_CSR_PMPADDR0, 0, ALL, PMPADDR_BITS},
    {RV_CSR_PMPCFG2, 0, 0x0001027f1b190605, 0x0001001f1b190405},
};

static void fields_take_what_is_legal(void **state)
{
    struct owner *o = *state;
    for (size_t i = 0; i < ARRAY_SIZE(warl); i++) {
        owner_init(o, UINT32_MAX);
        csr_write(o, warl[i].number, warl[i].before);
        csr_write(o, warl[i].number, warl[i].written);
        uint64_t after = csr_read(o, warl[i].number);
        if (after != warl[i].after)
            fail_msg("row %zu, 0x%03x: 0x%llx", i, warl[i].number, (unsigned long long)after);
    }
}

static void missing_extensions_have_no_fields(void **state)
{
    struct owner *o = *state;
    static const struct {
        uint32_t feature;
        uint16_t number;
        uint64_t fields;
    } rows[] = {
        {SYS_SSTC, RV_CSR_MENVCFG, ENVCFG_STCE},
        {SYS_SVADU, RV_CSR_MENVCFG, ENVCFG_ADUE},
        {SYS_SVPBMT, RV_CSR_MENVCFG, ENVCFG_PBMTE},
        {SYS_ZICBOM, RV_CSR_MENVCFG, ENVCFG_CBIE | ENVCFG_CBCFE},
        {SYS_ZICBOM, RV_CSR_SENVCFG, ENVCFG_CBIE | ENVCFG_CBCFE},
        {SYS_ZICBOZ, RV_CSR_MENVCFG, ENVCFG_CBZE},
        {SYS_ZICBOZ, RV_CSR_SENVCFG, ENVCFG_CBZE},
        {SYS_SSCOFPMF, RV_CSR_MIE, BIT(IRQ_LCOFI)},
        {SYS_SSCOFPMF, RV_CSR_MIP, BIT(IRQ_LCOFI)},
        {SYS_SSCOFPMF, RV_CSR_MIDELEG, BIT(IRQ_LCOFI)},
        {SYS_SSCOFPMF, RV_CSR_MHPMEVENT3, EVENT_OF | EVENT_MINH | EVENT_SINH | EVENT_UINH},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        owner_init(o, UINT32_MAX);
        csr_write(o, rows[i].number, ALL);
        uint64_t with = csr_read(o, rows[i].number);
        owner_init(o, UINT32_MAX & ~rows[i].feature);
        csr_write(o, rows[i].number, ALL);
        assert_int_equal(with & ~csr_read(o, rows[i].number), rows[i].fields);
    }
}

/* Without F there is no FS and no fcsr; VS goes with V. */
static void letters_decide_about_extension_state(void **state)
{
    struct owner *o = *state;
    o->sys.config.misa = MISA_LETTER('I') | MISA_LETTER('V');
    csr_write(o, RV_CSR_MSTATUS, MSTATUS_FS | MSTATUS_VS);
    assert_int_equal(csr_read(o, RV_CSR_MSTATUS), STATUS_ON | MSTATUS_VS | MSTATUS_SD);
    assert_false(is_legal(o, PRIV_M, RV_CSR_FCSR, SYS_CSR_READ));
}

static void satp_modes_end_with_the_largest(void **state)
{
    struct owner *o = *state;
    o->sys.config.satp_mode = SATP_SV39;
    csr_write(o, RV_CSR_SATP, UINT64_C(9) << 60);
    assert_int_equal(csr_read(o, RV_CSR_SATP), 0);
    csr_write(o, RV_CSR_SATP, UINT64_C(8) << 60);
    assert_int_equal(csr_read(o, RV_CSR_SATP), UINT64_C(8) << 60);
    o->sys.config.satp_mode = SATP_BARE;
    csr_write(o, RV_CSR_SATP, UINT64_C(8) << 60 | 1);
    assert_int_equal(csr_read(o, RV_CSR_SATP), UINT64_C(8) << 60);
}

static void set_and_clear_name_bits(void **state)
{
    struct owner *o = *state;
    uint64_t old;
    csr_write(o, RV_CSR_MSCRATCH, 0xf0);
    owner_csr(o, PRIV_M, RV_CSR_MSCRATCH, SYS_CSR_SET, 0x0f, &old);
    assert_int_equal(old, 0xf0);
    owner_csr(o, PRIV_M, RV_CSR_MSCRATCH, SYS_CSR_CLEAR, 0x18, &old);
    assert_int_equal(old, 0xff);
    assert_int_equal(csr_read(o, RV_CSR_MSCRATCH), 0xe7);
}

static void identity(void **state)
{
    struct owner *o = *state;
    assert_int_equal(csr_read(o, RV_CSR_MHARTID), 7);
    assert_int_equal(csr_read(o, RV_CSR_MIMPID), 99);
    assert_int_equal(csr_read(o, RV_CSR_MVENDORID), 0);
    assert_int_equal(csr_read(o, RV_CSR_MARCHID), 0);
    assert_int_equal(csr_read(o, RV_CSR_MCONFIGPTR), 0);
}

/* ---- Views ---- */

static void sstatus_is_a_view(void **state)
{
    struct owner *o = *state;
    uint64_t old;
    csr_write(o, RV_CSR_MSTATUS, ALL);
    owner_csr(o, PRIV_S, RV_CSR_SSTATUS, SYS_CSR_WRITE, 0, &old);
    assert_int_equal(old, 0x80000002000c6122);
    assert_int_equal(csr_read(o, RV_CSR_MSTATUS), UINT64_C(0xa00721888));
}

static void sie_shows_what_is_delegated(void **state)
{
    struct owner *o = *state;
    uint64_t old;
    csr_write(o, RV_CSR_MIE, 0xaaa);
    csr_write(o, RV_CSR_MIDELEG, 0x22);
    owner_csr(o, PRIV_S, RV_CSR_SIE, SYS_CSR_WRITE, 0x220, &old);
    assert_int_equal(old, 0x22);
    assert_int_equal(csr_read(o, RV_CSR_MIE), 0xaa8);
}

static void sip_writes_ssip_and_lcofip(void **state)
{
    struct owner *o = *state;
    uint64_t old;
    csr_write(o, RV_CSR_MIDELEG, 0x2222);
    owner_csr(o, PRIV_S, RV_CSR_SIP, SYS_CSR_WRITE, ALL, &old);
    assert_int_equal(csr_read(o, RV_CSR_MIP), 0x2002);
    csr_write(o, RV_CSR_MIP, ALL);
    owner_csr(o, PRIV_S, RV_CSR_SIP, SYS_CSR_WRITE, 0, &old);
    assert_int_equal(old, 0x2222);
    assert_int_equal(csr_read(o, RV_CSR_MIP), 0x220);
    csr_write(o, RV_CSR_MIDELEG, 0x200);
    owner_csr(o, PRIV_S, RV_CSR_SIP, SYS_CSR_SET, ALL, &old);
    assert_int_equal(old, 0x200);
    assert_int_equal(csr_read(o, RV_CSR_MIP), 0x220);
}

/* The manual's example: the signal of the interrupt controller is read, but never written back. */
static void seip_is_written_apart_from_the_line(void **state)
{
    struct owner *o = *state;
    uint64_t old;
    sys_set_line(&o->sys, IRQ_SEI, true);
    owner_csr(o, PRIV_M, RV_CSR_MIP, SYS_CSR_SET, BIT(IRQ_SSI), &old);
    assert_int_equal(old, BIT(IRQ_SEI));
    owner_csr(o, PRIV_M, RV_CSR_MIP, SYS_CSR_CLEAR, BIT(IRQ_SEI), &old);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_SEI) | BIT(IRQ_SSI));
    sys_set_line(&o->sys, IRQ_SEI, false);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_SSI));
    owner_csr(o, PRIV_M, RV_CSR_MIP, SYS_CSR_SET, BIT(IRQ_SEI), &old);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_SSI) | BIT(IRQ_SEI));
}

static void machine_lines_are_read_only(void **state)
{
    struct owner *o = *state;
    static const unsigned lines[] = {IRQ_MSI, IRQ_MTI, IRQ_MEI};
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        sys_set_line(&o->sys, lines[i], true);
        csr_write(o, RV_CSR_MIP, 0);
        assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(lines[i]));
        sys_set_line(&o->sys, lines[i], false);
        csr_write(o, RV_CSR_MIP, BIT(lines[i]));
        assert_int_equal(csr_read(o, RV_CSR_MIP), 0);
    }
}

/* ---- Who may ---- */

static void floating_point_registers_need_fs(void **state)
{
    struct owner *o = *state;
    uint64_t old;
    for (unsigned number = RV_CSR_FFLAGS; number <= RV_CSR_FCSR; number++) {
        csr_write(o, RV_CSR_MSTATUS, 0);
        assert_false(is_legal(o, PRIV_M, number, SYS_CSR_READ));
        assert_false(is_legal(o, PRIV_U, number, SYS_CSR_WRITE));
        csr_write(o, RV_CSR_MSTATUS, BIT(13));
        assert_true(is_legal(o, PRIV_U, number, SYS_CSR_READ));
        assert_int_equal(o->sys.mstatus & MSTATUS_FS, BIT(13));
        assert_true(is_legal(o, PRIV_U, number, SYS_CSR_SET));
        assert_int_equal(o->sys.mstatus & MSTATUS_FS, MSTATUS_FS);
    }
    owner_csr(o, PRIV_U, RV_CSR_FCSR, SYS_CSR_WRITE, 0x1ff, &old);
    assert_int_equal(o->fcsr, 0xff);
    owner_csr(o, PRIV_U, RV_CSR_FRM, SYS_CSR_WRITE, 0x0a, &old);
    assert_int_equal(old, 7);
    assert_int_equal(o->fcsr, 0x5f);
    owner_csr(o, PRIV_U, RV_CSR_FFLAGS, SYS_CSR_CLEAR, 0x1e, &old);
    assert_int_equal(old, 0x1f);
    assert_int_equal(o->fcsr, 0x41);
}

static void tvm_closes_satp(void **state)
{
    struct owner *o = *state;
    assert_true(is_legal(o, PRIV_S, RV_CSR_SATP, SYS_CSR_READ));
    csr_write(o, RV_CSR_MSTATUS, MSTATUS_TVM);
    assert_false(is_legal(o, PRIV_S, RV_CSR_SATP, SYS_CSR_READ));
    assert_false(is_legal(o, PRIV_S, RV_CSR_SATP, SYS_CSR_WRITE));
    assert_true(is_legal(o, PRIV_M, RV_CSR_SATP, SYS_CSR_WRITE));
}

static void counters_are_enabled_level_by_level(void **state)
{
    struct owner *o = *state;
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        for (unsigned enables = 0; enables < 4; enables++) {
            csr_write(o, RV_CSR_MCOUNTEREN, enables & 1 ? BIT(i) : ~BIT(i));
            csr_write(o, RV_CSR_SCOUNTEREN, enables & 2 ? BIT(i) : ~BIT(i));
            assert_true(is_legal(o, PRIV_M, RV_CSR_CYCLE + i, SYS_CSR_READ));
            assert_int_equal(is_legal(o, PRIV_S, RV_CSR_CYCLE + i, SYS_CSR_READ), enables & 1);
            assert_int_equal(is_legal(o, PRIV_U, RV_CSR_CYCLE + i, SYS_CSR_READ), enables == 3);
        }
}

static void stimecmp_needs_stce_and_tm(void **state)
{
    struct owner *o = *state;
    for (unsigned on = 0; on < 4; on++) {
        csr_write(o, RV_CSR_MENVCFG, on & 1 ? ENVCFG_STCE : 0);
        csr_write(o, RV_CSR_MCOUNTEREN, on & 2 ? BIT(COUNTER_TM) : ~BIT(COUNTER_TM));
        assert_int_equal(is_legal(o, PRIV_S, RV_CSR_STIMECMP, SYS_CSR_WRITE), on == 3);
        assert_true(is_legal(o, PRIV_M, RV_CSR_STIMECMP, SYS_CSR_WRITE));
    }
}

static void stateen_closes_senvcfg_and_sstateen(void **state)
{
    struct owner *o = *state;
    assert_false(is_legal(o, PRIV_S, RV_CSR_SENVCFG, SYS_CSR_READ));
    assert_true(is_legal(o, PRIV_M, RV_CSR_SENVCFG, SYS_CSR_READ));
    csr_write(o, RV_CSR_MSTATEEN0, STATEEN_ENVCFG);
    assert_true(is_legal(o, PRIV_S, RV_CSR_SENVCFG, SYS_CSR_READ));
    for (unsigned i = 0; i < STATEEN_COUNT; i++) {
        assert_false(is_legal(o, PRIV_S, RV_CSR_SSTATEEN0 + i, SYS_CSR_READ));
        csr_write(o, RV_CSR_MSTATEEN0 + i, STATEEN_SE);
        assert_true(is_legal(o, PRIV_S, RV_CSR_SSTATEEN0 + i, SYS_CSR_WRITE));
    }
    owner_init(o, 0);
    assert_true(is_legal(o, PRIV_S, RV_CSR_SENVCFG, SYS_CSR_READ));
}

static void seed_is_read_by_writing(void **state)
{
    struct owner *o = *state;
    uint64_t old;
    static const struct {
        enum priv mode;
        uint64_t needs;
    } rows[] = {{PRIV_M, 0}, {PRIV_S, MSECCFG_SSEED}, {PRIV_U, MSECCFG_USEED}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (uint64_t on = 0; on <= 0x300; on += 0x100) {
            csr_write(o, RV_CSR_MSECCFG, on);
            bool legal = (on & rows[i].needs) == rows[i].needs;
            assert_int_equal(is_legal(o, rows[i].mode, RV_CSR_SEED, SYS_CSR_WRITE), legal);
            assert_false(is_legal(o, rows[i].mode, RV_CSR_SEED, SYS_CSR_READ));
        }
    owner_csr(o, PRIV_M, RV_CSR_SEED, SYS_CSR_WRITE, 0, &old);
    assert_int_equal(old, SEED_ES16 | 0xbeef);
    o->no_entropy = true;
    owner_csr(o, PRIV_M, RV_CSR_SEED, SYS_CSR_WRITE, 0, &old);
    assert_int_equal(old, SEED_WAIT);
}

/* ---- What a write tells ---- */

static void writes_tell_what_changed(void **state)
{
    struct owner *o = *state;
    static const struct {
        uint16_t number;
        uint64_t before, written;
        unsigned effects;
    } rows[] = {
        {RV_CSR_MSTATUS, 0, MSTATUS_TW | MSTATUS_TVM | MSTATUS_SPP | MSTATUS_MPP, 0},
        {RV_CSR_MSTATUS, 0, MSTATUS_MPRV, SYS_CONTEXT},
        {RV_CSR_MSTATUS, MSTATUS_MPRV, MSTATUS_MPRV | MSTATUS_MPP, SYS_CONTEXT},
        {RV_CSR_MSTATUS, MSTATUS_MPRV, MSTATUS_MPRV, 0},
        {RV_CSR_MSTATUS, 0, BIT(13), SYS_FP},
        {RV_CSR_MSTATUS, BIT(13), BIT(14), 0},
        {RV_CSR_SSTATUS, BIT(13), 0, SYS_FP},
        {RV_CSR_SSTATUS, 0, MSTATUS_SUM, SYS_CONTEXT},
        {RV_CSR_SSTATUS, MSTATUS_MXR, 0, SYS_CONTEXT},
        {RV_CSR_SATP, 0, BIT(63), SYS_CONTEXT},
        {RV_CSR_SATP, 0, UINT64_C(3) << 60, 0},
        {RV_CSR_PMPCFG0, 0, 0x1f, SYS_STALE},
        {RV_CSR_PMPADDR3, 0, 1, SYS_STALE},
        {RV_CSR_MENVCFG, 0, ENVCFG_ADUE, SYS_STALE},
        {RV_CSR_MENVCFG, ENVCFG_PBMTE, 0, SYS_STALE},
        {RV_CSR_MENVCFG, 0, ENVCFG_CBZE, SYS_ENVIRONMENT},
        {RV_CSR_MENVCFG, 0, ENVCFG_FIOM, 0},
        {RV_CSR_MENVCFG, 0, ENVCFG_STCE, SYS_TIMER},
        {RV_CSR_SENVCFG, 0, ENVCFG_CBCFE, SYS_ENVIRONMENT},
        {RV_CSR_SENVCFG, 0, ENVCFG_FIOM, 0},
        {RV_CSR_STIMECMP, 0, ALL, SYS_TIMER},
        {RV_CSR_MSCRATCH, 0, 1, 0},
        {RV_CSR_MTVEC, 0, 0x1000, 0},
        {RV_CSR_MEDELEG, 0, ALL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        owner_init(o, UINT32_MAX);
        csr_write(o, rows[i].number, rows[i].before);
        unsigned effects = csr_write(o, rows[i].number, rows[i].written);
        if (effects != rows[i].effects)
            fail_msg("row %zu: 0x%x", i, effects);
    }
}

/* Whatever lets one through says so, and only then. */
static void writes_tell_an_interrupt(void **state)
{
    struct owner *o = *state;
    static const struct {
        uint16_t number;
        uint64_t value;
    } steps[] = {{RV_CSR_MIE, 0x222}, {RV_CSR_MIP, 0x2}, {RV_CSR_MSTATUS, MSTATUS_MIE}};
    for (size_t last = 0; last < ARRAY_SIZE(steps); last++) {
        owner_init(o, UINT32_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
            if (i != last)
                assert_int_equal(csr_write(o, steps[i].number, steps[i].value), 0);
        assert_int_equal(csr_write(o, steps[last].number, steps[last].value), SYS_INTERRUPT);
        assert_int_equal(csr_write(o, RV_CSR_MIDELEG, 0x2), 0);
        assert_int_equal(csr_write(o, RV_CSR_MIDELEG, 0), SYS_INTERRUPT);
    }
    uint64_t old;
    csr_write(o, RV_CSR_MIDELEG, 0x2);
    assert_int_equal(owner_csr(o, PRIV_S, RV_CSR_SSTATUS, SYS_CSR_SET, MSTATUS_SIE, &old), SYS_INTERRUPT);
    assert_int_equal(owner_csr(o, PRIV_S, RV_CSR_SIE, SYS_CSR_CLEAR, 0x2, &old), 0);
    assert_int_equal(owner_csr(o, PRIV_S, RV_CSR_SIE, SYS_CSR_SET, 0x2, &old), SYS_INTERRUPT);
    assert_int_equal(owner_csr(o, PRIV_S, RV_CSR_SIP, SYS_CSR_CLEAR, 0x2, &old), 0);
    assert_int_equal(owner_csr(o, PRIV_S, RV_CSR_SIP, SYS_CSR_SET, 0x2, &old), SYS_INTERRUPT);
}

static void reset_keeps_lines_and_identity(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_MSTATUS, ALL);
    csr_write(o, RV_CSR_PMPCFG0, 0x9f);
    csr_write(o, RV_CSR_MENVCFG, ALL);
    sys_set_line(&o->sys, IRQ_MEI, true);
    o->sys.mode = PRIV_U;
    sys_reset(&o->sys);
    assert_int_equal(o->sys.mode, PRIV_M);
    assert_int_equal(csr_read(o, RV_CSR_MSTATUS), STATUS_ON);
    assert_int_equal(csr_read(o, RV_CSR_PMPCFG0), 0);
    assert_int_equal(csr_read(o, RV_CSR_MENVCFG), 0);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_MEI));
    assert_int_equal(csr_read(o, RV_CSR_MHARTID), 7);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(machine_mode_reads_what_there_is),
        TEST(the_number_tells_mode_and_access),
        TEST(missing_extensions_have_no_registers),
        TEST(fields_take_what_is_legal),
        TEST(missing_extensions_have_no_fields),
        TEST(letters_decide_about_extension_state),
        TEST(satp_modes_end_with_the_largest),
        TEST(set_and_clear_name_bits),
        TEST(identity),
        TEST(sstatus_is_a_view),
        TEST(sie_shows_what_is_delegated),
        TEST(sip_writes_ssip_and_lcofip),
        TEST(seip_is_written_apart_from_the_line),
        TEST(machine_lines_are_read_only),
        TEST(floating_point_registers_need_fs),
        TEST(tvm_closes_satp),
        TEST(counters_are_enabled_level_by_level),
        TEST(stimecmp_needs_stce_and_tm),
        TEST(stateen_closes_senvcfg_and_sstateen),
        TEST(seed_is_read_by_writing),
        TEST(writes_tell_what_changed),
        TEST(writes_tell_an_interrupt),
        TEST(reset_keeps_lines_and_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
