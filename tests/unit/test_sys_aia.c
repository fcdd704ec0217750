/* The Advanced Interrupt Architecture of a hart: windows, claims, the order of interrupts, virtual interrupts, what machine
 * level lets the supervisor reach. */
#include "base/util.h"
#include "isa/riscv/isa.h"
#include "sys_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define ALL UINT64_MAX

static struct interrupt_file files[SYS_LEVELS];

static void set_line(void *sys, unsigned irq, bool level)
{
    sys_set_line(sys, irq, level);
}

static int setup(void **state)
{
    static struct owner owner;
    owner_init(&owner, UINT32_MAX);
    for (unsigned i = 0; i < SYS_LEVELS; i++)
        interrupt_file_init(&files[i],
                            (struct irq_line){set_line, &owner.sys, i == SYS_MACHINE ? IRQ_MEI : IRQ_SEI});
    sys_connect_files(&owner.sys, &files[SYS_MACHINE], &files[SYS_SUPERVISOR]);
    *state = &owner;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SYS_LEVELS; i++)
        interrupt_file_release(&files[i]);
    return 0;
}

static bool is_legal(struct owner *o, enum priv mode, unsigned number)
{
    uint64_t old;
    return !(owner_csr(o, mode, number, SYS_CSR_READ, 0, &old) & SYS_ILLEGAL);
}

static void window_write(struct owner *o, enum sys_level level, unsigned selection, uint64_t value)
{
    csr_write(o, level == SYS_MACHINE ? RV_CSR_MISELECT : RV_CSR_SISELECT, selection);
    csr_write(o, level == SYS_MACHINE ? RV_CSR_MIREG : RV_CSR_SIREG, value);
}

static uint64_t window_read(struct owner *o, enum sys_level level, unsigned selection)
{
    csr_write(o, level == SYS_MACHINE ? RV_CSR_MISELECT : RV_CSR_SISELECT, selection);
    return csr_read(o, level == SYS_MACHINE ? RV_CSR_MIREG : RV_CSR_SIREG);
}

/* All identities are enabled and delivered. */
static void open_file(struct owner *o, enum sys_level level)
{
    window_write(o, level, 0x70, 1);
    for (unsigned i = 0; i < 8; i += 2)
        window_write(o, level, 0xc0 + i, ALL);
}

static uint64_t swap(struct owner *o, enum priv mode, unsigned number, enum sys_csr_op op, uint64_t operand)
{
    uint64_t old = ALL;
    assert_false(owner_csr(o, mode, number, op, operand, &old) & SYS_ILLEGAL);
    return old;
}

/* ---- Windows ---- */

/* At this width registers with odd numbers are not there, reserved ones of a file are zero. */
static bool window_has(unsigned selection, bool file)
{
    if (selection >= 0x30 && selection < 0x40)
        return selection % 2 == 0;
    return file && selection >= 0x70 && selection < 0x100 && (selection < 0x80 || selection % 2 == 0);
}

static void windows_show_what_there_is(void **state)
{
    struct owner *o = *state;
    for (unsigned file = 0; file < 2; file++) {
        if (!file)
            sys_connect_files(&o->sys, NULL, NULL);
        for (unsigned selection = 0; selection <= 0x1ff; selection++) {
            csr_write(o, RV_CSR_MISELECT, selection);
            csr_write(o, RV_CSR_SISELECT, selection);
            assert_int_equal(csr_read(o, RV_CSR_SISELECT), selection);
            assert_int_equal(is_legal(o, PRIV_M, RV_CSR_MIREG), window_has(selection, file));
            assert_int_equal(is_legal(o, PRIV_M, RV_CSR_SIREG), window_has(selection, file));
            assert_false(is_legal(o, PRIV_U, RV_CSR_SIREG));
            assert_false(is_legal(o, PRIV_S, RV_CSR_MIREG));
        }
        assert_int_equal(is_legal(o, PRIV_M, RV_CSR_MTOPEI), file);
        assert_int_equal(is_legal(o, PRIV_M, RV_CSR_STOPEI), file);
        sys_connect_files(&o->sys, &files[SYS_MACHINE], &files[SYS_SUPERVISOR]);
    }
    csr_write(o, RV_CSR_MISELECT, ALL);
    assert_int_equal(csr_read(o, RV_CSR_MISELECT), 0x1ff);
}

static void registers_of_a_file_take_what_is_legal(void **state)
{
    struct owner *o = *state;
    static const struct {
        unsigned selection;
        uint64_t written, after;
    } rows[] = {
        {0x70, ALL, 1},       {0x70, 0x40000000, 0}, {0x71, ALL, 0},   {0x72, 255, 255}, {0x73, ALL, 0},
        {0x7f, ALL, 0},       {0x80, ALL, ALL - 1},  {0x86, ALL, ALL}, {0x88, ALL, 0},   {0xbe, ALL, 0},
        {0xc0, ALL, ALL - 1}, {0xc6, ALL, ALL},      {0xc8, ALL, 0},   {0xfe, ALL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (enum sys_level level = 0; level < SYS_LEVELS; level++) {
            window_write(o, level, rows[i].selection, rows[i].written);
            if (window_read(o, level, rows[i].selection) != rows[i].after)
                fail_msg("0x%x, level %u", rows[i].selection, level);
        }
}

/* Of interrupts that the level may enable, but for its external one; without an IMSIC of none. */
static void priorities_are_of_what_may_be_enabled(void **state)
{
    struct owner *o = *state;
    const uint64_t bytes_m[] = {0xff00ff00ff00ff00, 0x0000ff000000ff00};
    for (unsigned i = 0; i < 8; i++) {
        window_write(o, SYS_MACHINE, 0x30 + 2 * i, ALL);
        assert_int_equal(window_read(o, SYS_MACHINE, 0x30 + 2 * i), i < 2 ? bytes_m[i] : 0);
    }
    window_write(o, SYS_SUPERVISOR, 0x30, ALL);
    assert_int_equal(window_read(o, SYS_SUPERVISOR, 0x30), 0);
    csr_write(o, RV_CSR_MIDELEG, BIT(IRQ_STI) | BIT(IRQ_SEI));
    csr_write(o, RV_CSR_MVIEN, BIT(IRQ_SSI) | BIT(IRQ_LCOFI));
    window_write(o, SYS_SUPERVISOR, 0x30, ALL);
    window_write(o, SYS_SUPERVISOR, 0x32, ALL);
    assert_int_equal(window_read(o, SYS_SUPERVISOR, 0x30), 0x0000ff000000ff00);
    assert_int_equal(window_read(o, SYS_SUPERVISOR, 0x32), 0x0000ff0000000000);
    sys_connect_files(&o->sys, NULL, NULL);
    assert_int_equal(window_read(o, SYS_MACHINE, 0x30), 0);
}

/* ---- Claims ---- */

static void claims_take_what_was_read(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_MSTATEEN0, STATEEN_IMSIC);
    open_file(o, SYS_SUPERVISOR);
    interrupt_file_send(&files[SYS_SUPERVISOR], 200);
    interrupt_file_send(&files[SYS_SUPERVISOR], 3);
    assert_int_equal(swap(o, PRIV_S, RV_CSR_STOPEI, SYS_CSR_READ, 0), 3 << 16 | 3);
    assert_int_equal(swap(o, PRIV_S, RV_CSR_STOPEI, SYS_CSR_WRITE, 0), 3 << 16 | 3);
    assert_int_equal(swap(o, PRIV_S, RV_CSR_STOPEI, SYS_CSR_SET, 0),
                     200 << 16 | 200); /* a write all the same */
    assert_int_equal(swap(o, PRIV_S, RV_CSR_STOPEI, SYS_CSR_WRITE, ALL), 0);
    assert_int_equal(window_read(o, SYS_SUPERVISOR, 0x80), 0);
}

static void delivery_and_threshold_decide_the_line(void **state)
{
    struct owner *o = *state;
    open_file(o, SYS_SUPERVISOR);
    interrupt_file_send(&files[SYS_SUPERVISOR], 70);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_SEI));
    window_write(o, SYS_SUPERVISOR, 0x72, 70);
    assert_int_equal(csr_read(o, RV_CSR_MIP), 0);
    assert_int_equal(csr_read(o, RV_CSR_STOPEI), 0);
    window_write(o, SYS_SUPERVISOR, 0x72, 71);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_SEI));
    window_write(o, SYS_SUPERVISOR, 0x70, 0);
    assert_int_equal(csr_read(o, RV_CSR_MIP), 0);
    assert_int_equal(csr_read(o, RV_CSR_STOPEI), 70 << 16 | 70); /* delivery has no say here */
    window_write(o, SYS_SUPERVISOR, 0x70, 1);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_SEI));
    window_write(o, SYS_SUPERVISOR, 0xc2, ~BIT(70 - 64));
    assert_int_equal(csr_read(o, RV_CSR_MIP), 0);
}

/* ---- Order ---- */

static void interrupts_go_by_priority(void **state)
{
    struct owner *o = *state;
    static const struct {
        uint64_t pending;    /* of M: all that is not delegated */
        unsigned identity;   /* of the machine's file; 0: none */
        uint64_t priorities; /* of interrupts 1, 3, 5, 7, 9, 13, a byte each, the lowest first */
        uint64_t topi;
    } rows[] = {
        {0, 0, 0, 0},
        {BIT(IRQ_SSI), 0, 0, IRQ_SSI << 16 | 255},
        {BIT(IRQ_SSI) | BIT(IRQ_MSI), 0, 0, IRQ_MSI << 16 | 255},
        {BIT(IRQ_SEI) | BIT(IRQ_SSI) | BIT(IRQ_STI) | BIT(IRQ_LCOFI), 0, 0, IRQ_SEI << 16 | 255},
        {BIT(IRQ_LCOFI) | BIT(IRQ_STI), 0, 0, IRQ_STI << 16 | 255},
        {BIT(IRQ_MSI), 9, 0, IRQ_MEI << 16 | 9},
        {BIT(IRQ_MSI), 9, 0x0800, IRQ_MSI << 16 | 8},
        {BIT(IRQ_MSI), 9, 0x0900, IRQ_MEI << 16 | 9},
        {BIT(IRQ_MSI), 9, 0x0a00, IRQ_MEI << 16 | 9},
        {BIT(IRQ_MSI), 255, 0xff00, IRQ_MEI << 16 | 255},
        {BIT(IRQ_MTI) | BIT(IRQ_MSI), 0, 0x05000600, IRQ_MTI << 16 | 5},
        {BIT(IRQ_LCOFI) | BIT(IRQ_MSI), 0, UINT64_C(0x010000000200), IRQ_LCOFI << 16 | 1},
        {BIT(IRQ_SEI) | BIT(IRQ_STI), 0, 0x0700070000, IRQ_SEI << 16 | 7},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t p = rows[i].priorities;
        setup(state);
        open_file(o, SYS_MACHINE);
        csr_write(o, RV_CSR_MIE, ALL);
        for (unsigned k = 0; k < 6; k++)
            o->sys.aia[SYS_MACHINE].priority[(uint8_t[]){1, 3, 5, 7, 9, 13}[k]] = (uint8_t)(p >> 8 * k);
        csr_write(o, RV_CSR_MIP, rows[i].pending);
        sys_set_line(&o->sys, IRQ_MSI, rows[i].pending & BIT(IRQ_MSI));
        sys_set_line(&o->sys, IRQ_MTI, rows[i].pending & BIT(IRQ_MTI));
        interrupt_file_send(&files[SYS_MACHINE], rows[i].identity);
        o->sys.mode = PRIV_S;
        uint64_t cause = sys_interrupt(&o->sys), topi = csr_read(o, RV_CSR_MTOPI);
        if (topi != rows[i].topi || cause != (topi ? CAUSE_INTERRUPT | topi >> 16 : 0))
            fail_msg("row %zu: 0x%llx, cause 0x%llx", i, (unsigned long long)topi, (unsigned long long)cause);
    }
}

/* Software's SEI has no identity: it goes after all that have a number. */
static void an_external_interrupt_of_software_comes_late(void **state)
{
    struct owner *o = *state;
    open_file(o, SYS_SUPERVISOR);
    csr_write(o, RV_CSR_MIDELEG, ALL);
    csr_write(o, RV_CSR_MIE, ALL);
    csr_write(o, RV_CSR_MIP, BIT(IRQ_SEI) | BIT(IRQ_SSI));
    assert_int_equal(csr_read(o, RV_CSR_STOPI), IRQ_SEI << 16 | 255);
    window_write(o, SYS_SUPERVISOR, 0x30, 255 << 8);
    assert_int_equal(csr_read(o, RV_CSR_STOPI), IRQ_SSI << 16 | 255);
    interrupt_file_send(&files[SYS_SUPERVISOR], 254);
    assert_int_equal(csr_read(o, RV_CSR_STOPI), IRQ_SEI << 16 | 254);
}

static void without_an_imsic_all_priorities_are_one(void **state)
{
    struct owner *o = *state;
    sys_connect_files(&o->sys, NULL, NULL);
    csr_write(o, RV_CSR_MIDELEG, BIT(IRQ_SEI) | BIT(IRQ_SSI));
    csr_write(o, RV_CSR_MIE, ALL);
    csr_write(o, RV_CSR_MIP, BIT(IRQ_SEI) | BIT(IRQ_SSI) | BIT(IRQ_LCOFI));
    assert_int_equal(csr_read(o, RV_CSR_STOPI), IRQ_SEI << 16 | 1);
    assert_int_equal(csr_read(o, RV_CSR_MTOPI), IRQ_LCOFI << 16 | 1);
}

/* ---- Virtual interrupts ---- */

static void sip_and_sie_follow_mideleg_and_mvien(void **state)
{
    struct owner *o = *state;
    for (unsigned irq = 1; irq <= 13; irq += 4) {
        if (irq == IRQ_STI)
            continue;
        for (unsigned deleg = 0; deleg < 2; deleg++)
            for (unsigned virtual = 0; virtual < 2; virtual ++) {
                setup(state);
                csr_write(o, RV_CSR_MIDELEG, deleg ? BIT(irq) : 0);
                csr_write(o, RV_CSR_MVIEN, virtual ? BIT(irq) : 0);
                csr_write(o, RV_CSR_SIE, ALL);
                assert_int_equal(csr_read(o, RV_CSR_SIE), deleg || virtual ? BIT(irq) : 0);
                assert_int_equal(csr_read(o, RV_CSR_MIE), deleg ? BIT(irq) : 0);
                csr_write(o, RV_CSR_MVIP, 0);
                csr_write(o, RV_CSR_MIP, BIT(irq));
                bool shown = deleg && !(irq == IRQ_SEI && virtual); /* SEI is not software's in mip then */
                assert_int_equal(csr_read(o, RV_CSR_SIP), shown ? BIT(irq) : 0);
                csr_write(o, RV_CSR_MIP, 0);
                csr_write(o, RV_CSR_MVIP, BIT(irq));
                bool alias = !virtual && irq != IRQ_LCOFI;
                assert_int_equal(csr_read(o, RV_CSR_MVIP), BIT(irq));
                assert_int_equal(csr_read(o, RV_CSR_MIP), alias ? BIT(irq) : 0);
                assert_int_equal(csr_read(o, RV_CSR_SIP), (deleg ? alias : virtual) ? BIT(irq) : 0);
            }
    }
}

static void virtual_interrupts_trap_to_the_supervisor(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_STVEC, 0x4000);
    csr_write(o, RV_CSR_MVIEN, BIT(IRQ_SSI));
    csr_write(o, RV_CSR_SIE, BIT(IRQ_SSI));
    csr_write(o, RV_CSR_MVIP, BIT(IRQ_SSI));
    o->sys.mode = PRIV_M;
    csr_write(o, RV_CSR_MSTATUS, MSTATUS_MIE | MSTATUS_SIE);
    assert_int_equal(sys_interrupt(&o->sys), 0);
    assert_true(sys_wakes(&o->sys));
    assert_int_equal(csr_read(o, RV_CSR_STOPI), IRQ_SSI << 16 | 255);
    assert_int_equal(csr_read(o, RV_CSR_MTOPI), 0);
    o->sys.mode = PRIV_U;
    assert_int_equal(sys_trap(&o->sys, sys_interrupt(&o->sys), 0, 0x8000), 0x4000);
    assert_int_equal(o->sys.mode, PRIV_S);
    assert_int_equal(o->sys.scause, CAUSE_INTERRUPT | IRQ_SSI);
    uint64_t old;
    owner_csr(o, PRIV_S, RV_CSR_SIP, SYS_CSR_CLEAR, BIT(IRQ_SSI), &old);
    assert_int_equal(old, BIT(IRQ_SSI));
    assert_int_equal(csr_read(o, RV_CSR_MVIP), 0);
    assert_false(sys_wakes(&o->sys));
}

/* The real one of the same number is machine level's. */
static void filtered_interrupts_trap_to_machine_level(void **state)
{
    struct owner *o = *state;
    open_file(o, SYS_SUPERVISOR);
    csr_write(o, RV_CSR_MVIEN, BIT(IRQ_SEI));
    csr_write(o, RV_CSR_SIE, BIT(IRQ_SEI));
    csr_write(o, RV_CSR_MIE, BIT(IRQ_SEI));
    interrupt_file_send(&files[SYS_SUPERVISOR], 5);
    o->sys.mode = PRIV_S;
    uint64_t cause = sys_interrupt(&o->sys);
    assert_int_equal(cause, CAUSE_INTERRUPT | IRQ_SEI);
    sys_trap(&o->sys, cause, 0, 0);
    assert_int_equal(o->sys.mode, PRIV_M);
    csr_write(o, RV_CSR_SISELECT, 0x80);
    assert_false(is_legal(o, PRIV_S, RV_CSR_SIREG));
    assert_false(is_legal(o, PRIV_S, RV_CSR_STOPEI));
    assert_true(is_legal(o, PRIV_M, RV_CSR_STOPEI));
    csr_write(o, RV_CSR_MVIP, BIT(IRQ_SEI));
    csr_write(o, RV_CSR_MVIEN, 0); /* the bit stays, and is mip's again */
    assert_int_equal(swap(o, PRIV_M, RV_CSR_STOPEI, SYS_CSR_WRITE, 0), 5 << 16 | 5);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_SEI));
}

static void mvip_has_the_timer_as_mip_has_it(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_MVIP, ALL);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_SSI) | BIT(IRQ_STI) | BIT(IRQ_SEI));
    assert_int_equal(csr_read(o, RV_CSR_MVIP), BIT(IRQ_SSI) | BIT(IRQ_STI) | BIT(IRQ_SEI) | BIT(IRQ_LCOFI));
    csr_write(o, RV_CSR_MENVCFG, ENVCFG_STCE);
    csr_write(o, RV_CSR_MVIP, ALL);
    assert_false(csr_read(o, RV_CSR_MVIP) & BIT(IRQ_STI));
    csr_write(o, RV_CSR_MVIEN, ALL);
    assert_int_equal(csr_read(o, RV_CSR_MVIEN), BIT(IRQ_SSI) | BIT(IRQ_SEI) | BIT(IRQ_LCOFI));
}

/* ---- Smstateen ---- */

static void machine_level_may_close_it(void **state)
{
    struct owner *o = *state;
    static const struct {
        uint64_t bits;
        bool select, priority, file, topei, topi;
    } rows[] = {
        {STATEEN_CSRIND | STATEEN_AIA | STATEEN_IMSIC, true, true, true, true, true},
        {STATEEN_AIA | STATEEN_IMSIC, false, false, false, true, true},
        {STATEEN_CSRIND | STATEEN_IMSIC, true, false, true, true, false},
        {STATEEN_CSRIND | STATEEN_AIA, true, true, false, false, true},
        {0, false, false, false, false, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        csr_write(o, RV_CSR_MSTATEEN0, rows[i].bits);
        assert_int_equal(csr_read(o, RV_CSR_MSTATEEN0), rows[i].bits);
        assert_int_equal(is_legal(o, PRIV_S, RV_CSR_SISELECT), rows[i].select);
        csr_write(o, RV_CSR_SISELECT, 0x30);
        assert_int_equal(is_legal(o, PRIV_S, RV_CSR_SIREG), rows[i].priority);
        csr_write(o, RV_CSR_SISELECT, 0x70);
        assert_int_equal(is_legal(o, PRIV_S, RV_CSR_SIREG), rows[i].file);
        assert_int_equal(is_legal(o, PRIV_S, RV_CSR_STOPEI), rows[i].topei);
        assert_int_equal(is_legal(o, PRIV_S, RV_CSR_STOPI), rows[i].topi);
        assert_true(is_legal(o, PRIV_M, RV_CSR_SIREG));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(windows_show_what_there_is, setup, teardown),
        cmocka_unit_test_setup_teardown(registers_of_a_file_take_what_is_legal, setup, teardown),
        cmocka_unit_test_setup_teardown(priorities_are_of_what_may_be_enabled, setup, teardown),
        cmocka_unit_test_setup_teardown(claims_take_what_was_read, setup, teardown),
        cmocka_unit_test_setup_teardown(delivery_and_threshold_decide_the_line, setup, teardown),
        cmocka_unit_test_setup_teardown(interrupts_go_by_priority, setup, teardown),
        cmocka_unit_test_setup_teardown(an_external_interrupt_of_software_comes_late, setup, teardown),
        cmocka_unit_test_setup_teardown(without_an_imsic_all_priorities_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(sip_and_sie_follow_mideleg_and_mvien, setup, teardown),
        cmocka_unit_test_setup_teardown(virtual_interrupts_trap_to_the_supervisor, setup, teardown),
        cmocka_unit_test_setup_teardown(filtered_interrupts_trap_to_machine_level, setup, teardown),
        cmocka_unit_test_setup_teardown(mvip_has_the_timer_as_mip_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(machine_level_may_close_it, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
