/* Traps and returns, interrupts and their order, instructions that are legal in some modes, timer and counters. */
#include "base/util.h"
#include "isa/riscv/isa.h"
#include "sys_fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct owner owner;

static int setup(void **state)
{
    owner_init(&owner, UINT32_MAX);
    *state = &owner;
    return 0;
}

#define MPP(mode) ((uint64_t)(mode) << MSTATUS_MPP_SHIFT)

static const enum priv modes[] = {PRIV_U, PRIV_S, PRIV_M};

/* ---- Entering and leaving ---- */

static void traps_save_and_switch(void **state)
{
    struct owner *o = *state;
    static const struct {
        enum priv from, to;
        bool delegated;
        uint64_t before, after; /* mstatus */
    } rows[] = {
        {PRIV_U, PRIV_M, false, MSTATUS_MIE | MSTATUS_SIE, MSTATUS_SIE | MSTATUS_MPIE},
        {PRIV_S, PRIV_M, false, MSTATUS_MPP, MPP(PRIV_S)},
        {PRIV_M, PRIV_M, false, MSTATUS_MIE, MSTATUS_MPIE | MPP(PRIV_M)},
        {PRIV_M, PRIV_M, true, MSTATUS_MPIE, MPP(PRIV_M)}, /* never downwards */
        {PRIV_U, PRIV_S, true, MSTATUS_SIE | MSTATUS_MIE | MSTATUS_SPP, MSTATUS_SPIE | MSTATUS_MIE},
        {PRIV_S, PRIV_S, true, MSTATUS_SPIE | MSTATUS_MPP, MSTATUS_SPP | MSTATUS_MPP},
        {PRIV_S, PRIV_S, true, MSTATUS_SIE | MSTATUS_MPRV, MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_MPRV},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct hart_sys *sys = &o->sys;
        owner_init(o, UINT32_MAX);
        sys->mstatus = rows[i].before;
        sys->medeleg = rows[i].delegated ? BIT(CAUSE_LOAD_PAGE) : ~BIT(CAUSE_LOAD_PAGE);
        sys->mtvec = 0x1001;
        sys->stvec = 0x2001;
        sys->mode = (uint8_t)rows[i].from;
        bool machine = rows[i].to == PRIV_M;
        assert_int_equal(sys_trap(sys, CAUSE_LOAD_PAGE, 0xabc, 0x80000004), machine ? 0x1000 : 0x2000);
        assert_int_equal(sys->mode, rows[i].to);
        assert_int_equal(sys->mstatus, rows[i].after);
        assert_int_equal(sys->mcause, machine ? CAUSE_LOAD_PAGE : 0);
        assert_int_equal(sys->mepc, machine ? 0x80000004 : 0);
        assert_int_equal(sys->mtval, machine ? 0xabc : 0);
        assert_int_equal(sys->scause, machine ? 0 : CAUSE_LOAD_PAGE);
        assert_int_equal(sys->sepc, machine ? 0 : 0x80000004);
        assert_int_equal(sys->stval, machine ? 0 : 0xabc);
    }
}

static void each_cause_is_delegated_for_itself(void **state)
{
    struct owner *o = *state;
    for (unsigned cause = 0; cause < 16; cause++)
        for (unsigned interrupt = 0; interrupt < 2; interrupt++) {
            o->sys.medeleg = interrupt ? 0 : BIT(cause);
            o->sys.mideleg = interrupt ? BIT(cause) : 0;
            o->sys.mode = PRIV_U;
            sys_trap(&o->sys, cause | (interrupt ? CAUSE_INTERRUPT : 0), 0, 0);
            assert_int_equal(o->sys.mode, PRIV_S);
            o->sys.mode = PRIV_U;
            sys_trap(&o->sys, cause | (interrupt ? 0 : CAUSE_INTERRUPT), 0, 0);
            assert_int_equal(o->sys.mode, PRIV_M);
        }
}

static void interrupts_have_vectors(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_MTVEC, 0x1001);
    assert_int_equal(sys_trap(&o->sys, CAUSE_INTERRUPT | IRQ_MEI, 0, 0), 0x1000 + 44);
    assert_int_equal(sys_trap(&o->sys, CAUSE_ECALL_M, 0, 0), 0x1000);
    csr_write(o, RV_CSR_MTVEC, 0x1000);
    assert_int_equal(sys_trap(&o->sys, CAUSE_INTERRUPT | IRQ_MEI, 0, 0), 0x1000);
    csr_write(o, RV_CSR_STVEC, 0xffffffff00000001);
    csr_write(o, RV_CSR_MIDELEG, BIT(IRQ_STI));
    o->sys.mode = PRIV_S;
    assert_int_equal(sys_trap(&o->sys, CAUSE_INTERRUPT | IRQ_STI, 0, 0), 0xffffffff00000014);
}

static void ecall_has_a_cause_for_each_mode(void **state)
{
    struct owner *o = *state;
    static const uint64_t causes[] = {8, 9, 11};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        o->sys.mode = (uint8_t)modes[i];
        assert_int_equal(sys_ecall_cause(&o->sys), causes[i]);
    }
}

static void mret_goes_back(void **state)
{
    struct owner *o = *state;
    static const struct {
        enum priv to;
        uint64_t before, after;
    } rows[] = {
        {PRIV_M, MPP(PRIV_M) | MSTATUS_MPIE | MSTATUS_MPRV, MSTATUS_MPIE | MSTATUS_MIE | MSTATUS_MPRV},
        {PRIV_S, MPP(PRIV_S) | MSTATUS_MIE | MSTATUS_MPRV, MSTATUS_MPIE},
        {PRIV_U, MSTATUS_MPIE | MSTATUS_SPP | MSTATUS_SIE,
         MSTATUS_MPIE | MSTATUS_MIE | MSTATUS_SPP | MSTATUS_SIE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t pc = 0;
        o->sys.mode = PRIV_M;
        o->sys.mstatus = rows[i].before;
        o->sys.mepc = 0x1002;
        assert_int_equal(sys_mret(&o->sys, &pc), SYS_CONTEXT);
        assert_int_equal(pc, 0x1002);
        assert_int_equal(o->sys.mode, rows[i].to);
        assert_int_equal(o->sys.mstatus, rows[i].after);
    }
    for (unsigned mode = PRIV_U; mode <= PRIV_S; mode++) {
        uint64_t pc = 1;
        o->sys.mode = (uint8_t)mode;
        assert_int_equal(sys_mret(&o->sys, &pc), SYS_ILLEGAL);
        assert_int_equal(pc, 1);
    }
}

static void sret_goes_back(void **state)
{
    struct owner *o = *state;
    static const struct {
        enum priv from, to;
        uint64_t before, after;
    } rows[] = {
        {PRIV_S, PRIV_S, MSTATUS_SPP | MSTATUS_SPIE, MSTATUS_SPIE | MSTATUS_SIE},
        {PRIV_S, PRIV_U, MSTATUS_SIE | MSTATUS_MPP, MSTATUS_SPIE | MSTATUS_MPP},
        {PRIV_M, PRIV_S, MSTATUS_SPP | MSTATUS_MPRV | MSTATUS_TSR, MSTATUS_SPIE | MSTATUS_TSR},
        {PRIV_M, PRIV_U, MSTATUS_MPRV | MSTATUS_MIE, MSTATUS_SPIE | MSTATUS_MIE},
    };
    uint64_t pc = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        o->sys.mode = (uint8_t)rows[i].from;
        o->sys.mstatus = rows[i].before;
        o->sys.sepc = 0x2002;
        assert_int_equal(sys_sret(&o->sys, &pc), SYS_CONTEXT);
        assert_int_equal(pc, 0x2002);
        assert_int_equal(o->sys.mode, rows[i].to);
        assert_int_equal(o->sys.mstatus, rows[i].after);
    }
    o->sys.mode = PRIV_U;
    assert_int_equal(sys_sret(&o->sys, &pc), SYS_ILLEGAL);
    o->sys.mode = PRIV_S;
    o->sys.mstatus = MSTATUS_TSR;
    assert_int_equal(sys_sret(&o->sys, &pc), SYS_ILLEGAL);
    assert_int_equal(o->sys.mode, PRIV_S);
}

static void a_return_tells_an_interrupt(void **state)
{
    struct owner *o = *state;
    uint64_t pc;
    csr_write(o, RV_CSR_MIE, BIT(IRQ_SSI));
    csr_write(o, RV_CSR_MIP, BIT(IRQ_SSI));
    csr_write(o, RV_CSR_MSTATUS, MSTATUS_MPIE | MPP(PRIV_M));
    assert_int_equal(sys_mret(&o->sys, &pc), SYS_CONTEXT | SYS_INTERRUPT);
}

/* ---- Legal in some modes ---- */

static void some_instructions_are_closed_by_mstatus(void **state)
{
    struct owner *o = *state;
    static const struct {
        bool (*legal)(const struct hart_sys *);
        uint64_t closed_by;
    } rows[] = {{sys_wfi_legal, MSTATUS_TW}, {sys_sfence_legal, MSTATUS_TVM}, {sys_sfence_parts_legal, 0}};
    const uint64_t all = MSTATUS_TW | MSTATUS_TVM | MSTATUS_TSR;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        o->sys.mstatus = all;
        o->sys.mode = PRIV_M;
        assert_true(rows[i].legal(&o->sys));
        o->sys.mode = PRIV_S;
        assert_int_equal(rows[i].legal(&o->sys), rows[i].closed_by == 0);
        o->sys.mstatus = all & ~rows[i].closed_by;
        assert_true(rows[i].legal(&o->sys));
        o->sys.mode = PRIV_U;
        assert_false(rows[i].legal(&o->sys));
    }
}

static void cache_blocks_need_the_environment(void **state)
{
    struct owner *o = *state;
    static const enum sys_cbo_inval meanings[] = {SYS_CBO_ILLEGAL, SYS_CBO_FLUSH, SYS_CBO_ILLEGAL,
                                                  SYS_CBO_INVAL};
    for (uint64_t m = 0; m < 16; m++)
        for (uint64_t s = 0; s < 16; s++) {
            if ((m & 3) == 2 || (s & 3) == 2)
                continue; /* reserved */
            csr_write(o, RV_CSR_MENVCFG, m << 4);
            csr_write(o, RV_CSR_SENVCFG, s << 4);
            const uint64_t enabled[] = {[PRIV_U] = m & s, [PRIV_S] = m, [PRIV_M] = 15};
            for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
                uint64_t e = enabled[modes[i]];
                o->sys.mode = (uint8_t)modes[i];
                assert_int_equal(sys_cbo_inval(&o->sys), meanings[e & 3]);
                assert_int_equal(sys_cbo_clean_legal(&o->sys), e >> 2 & 1);
                assert_int_equal(sys_cbo_zero_legal(&o->sys), e >> 3 & 1);
            }
        }
}

/* ---- Interrupts ---- */

static const unsigned order[] = {IRQ_MEI, IRQ_MSI, IRQ_MTI, IRQ_SEI, IRQ_SSI, IRQ_STI, IRQ_LCOFI};

/* Subset number `index` of the first `count` in the order. */
static uint64_t subset(unsigned index, const unsigned *from, unsigned count)
{
    uint64_t set = 0;
    for (unsigned i = 0; i < count; i++)
        if (index >> i & 1)
            set |= BIT(from[i]);
    return set;
}

/* What the manual says, the other way round: try each cause in its order, those for machine mode first. */
static uint64_t expected_interrupt(enum priv mode, bool mie, bool sie, uint64_t pending, uint64_t delegated)
{
    for (unsigned level = 0; level < 2; level++)
        for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
            bool to_supervisor = delegated >> order[i] & 1;
            bool open = to_supervisor ? mode == PRIV_U || (mode == PRIV_S && sie) : mode != PRIV_M || mie;
            if (pending >> order[i] & 1 && to_supervisor == level && open)
                return CAUSE_INTERRUPT | order[i];
        }
    return 0;
}

static void make_pending(struct owner *o, uint64_t pending)
{
    csr_write(o, RV_CSR_MIP, pending);
    sys_set_line(&o->sys, IRQ_MSI, pending >> IRQ_MSI & 1);
    sys_set_line(&o->sys, IRQ_MTI, pending >> IRQ_MTI & 1);
    sys_set_line(&o->sys, IRQ_MEI, pending >> IRQ_MEI & 1);
}

/* All that can be pending, with all delegations, in all modes. */
static void interrupts_come_in_order(void **state)
{
    struct owner *o = *state;
    for (unsigned p = 0; p < 128; p++)
        for (unsigned d = 0; d < 16; d++) {
            uint64_t pending = subset(p, order, 7), delegated = subset(d, order + 3, 4);
            csr_write(o, RV_CSR_MIE, UINT64_MAX);
            csr_write(o, RV_CSR_MIDELEG, delegated);
            make_pending(o, pending);
            assert_int_equal(csr_read(o, RV_CSR_MIP), pending);
            for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
                for (unsigned enables = 0; enables < 4; enables++) {
                    bool mie = enables & 1, sie = enables & 2;
                    o->sys.mstatus = (mie ? MSTATUS_MIE : 0) | (sie ? MSTATUS_SIE : 0);
                    o->sys.mode = (uint8_t)modes[i];
                    assert_int_equal(sys_interrupt(&o->sys),
                                     expected_interrupt(modes[i], mie, sie, pending, delegated));
                    assert_int_equal(sys_wakes(&o->sys), pending != 0);
                }
        }
}

static void mie_masks_each(void **state)
{
    struct owner *o = *state;
    make_pending(o, UINT64_MAX);
    o->sys.mode = PRIV_U;
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        o->sys.mie = BIT(order[i]);
        assert_int_equal(sys_interrupt(&o->sys), CAUSE_INTERRUPT | order[i]);
        assert_true(sys_wakes(&o->sys));
    }
    o->sys.mie = 0;
    assert_int_equal(sys_interrupt(&o->sys), 0);
    assert_false(sys_wakes(&o->sys));
}

/* A WFI ends for what is not taken, too. */
static void wakes_without_being_taken(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_MIE, BIT(IRQ_SSI));
    csr_write(o, RV_CSR_MIDELEG, BIT(IRQ_SSI));
    sys_raise_ssi(&o->sys);
    assert_int_equal(sys_interrupt(&o->sys), 0);
    assert_true(sys_wakes(&o->sys));
}

enum { RAISES = 20000 };

static void *raise_often(void *argument)
{
    struct owner *o = argument;
    for (unsigned i = 0; i < RAISES; i++) {
        sys_raise_ssi(&o->sys);
        sys_set_line(&o->sys, IRQ_MEI, i & 1);
        while (atomic_load(&o->sys.mip) & BIT(IRQ_SSI))
            ;
    }
    return NULL;
}

/* The hart changes other bits of mip all the time; none of the other thread's interrupts is lost. */
static void another_thread_raises(void **state)
{
    struct owner *o = *state;
    uint64_t old;
    pthread_t thread;
    csr_write(o, RV_CSR_MIDELEG, 0x2222);
    assert_int_equal(pthread_create(&thread, NULL, raise_often, o), 0);
    for (unsigned taken = 0; taken < RAISES;) {
        owner_csr(o, PRIV_S, RV_CSR_SIP, SYS_CSR_SET, BIT(IRQ_LCOFI), &old);
        owner_csr(o, PRIV_M, RV_CSR_MIP, SYS_CSR_CLEAR, BIT(IRQ_LCOFI) | BIT(IRQ_SEI), &old);
        if (csr_read(o, RV_CSR_SIP) & BIT(IRQ_SSI)) {
            owner_csr(o, PRIV_S, RV_CSR_SIP, SYS_CSR_CLEAR, BIT(IRQ_SSI), &old);
            taken++;
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_MEI));
}

/* ---- Timer ---- */

static void stimecmp_makes_stip(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_MENVCFG, ENVCFG_STCE);
    csr_write(o, RV_CSR_MIE, BIT(IRQ_STI));
    csr_write(o, RV_CSR_MSTATUS, MSTATUS_MIE);
    assert_int_equal(sys_timer_deadline(&o->sys), UINT64_MAX);
    assert_int_equal(csr_write(o, RV_CSR_STIMECMP, 100), SYS_TIMER);
    assert_int_equal(sys_timer_deadline(&o->sys), 100);
    o->time = 99;
    assert_int_equal(sys_poll(&o->sys), 0);
    o->time = 100;
    assert_int_equal(sys_poll(&o->sys), SYS_INTERRUPT);
    assert_int_equal(sys_interrupt(&o->sys), CAUSE_INTERRUPT | IRQ_STI);
    assert_int_equal(sys_timer_deadline(&o->sys), UINT64_MAX);
    csr_write(o, RV_CSR_MIP, 0); /* read-only */
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_STI));
    assert_int_equal(csr_write(o, RV_CSR_STIMECMP, 101), SYS_TIMER);
    assert_int_equal(csr_read(o, RV_CSR_MIP), 0);
    assert_int_equal(csr_write(o, RV_CSR_STIMECMP, 0), SYS_TIMER | SYS_INTERRUPT);
    csr_write(o, RV_CSR_STIMECMP, 200);
    o->time = 200;
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_STI)); /* without a poll, too */
}

/* Switched off, STIP is software's again, and has what software wrote. */
static void stce_decides_about_stip(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_STIMECMP, 0);
    assert_int_equal(csr_read(o, RV_CSR_MIP), 0);
    csr_write(o, RV_CSR_MIP, BIT(IRQ_STI));
    csr_write(o, RV_CSR_STIMECMP, UINT64_MAX);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_STI));
    csr_write(o, RV_CSR_MENVCFG, ENVCFG_STCE);
    assert_int_equal(csr_read(o, RV_CSR_MIP), 0);
    csr_write(o, RV_CSR_MENVCFG, 0);
    assert_int_equal(csr_read(o, RV_CSR_MIP), BIT(IRQ_STI));
    csr_write(o, RV_CSR_MIP, 0);
    csr_write(o, RV_CSR_STIMECMP, 0);
    csr_write(o, RV_CSR_MIE, BIT(IRQ_STI));
    csr_write(o, RV_CSR_MSTATUS, MSTATUS_MIE);
    assert_int_equal(csr_write(o, RV_CSR_MENVCFG, ENVCFG_STCE), SYS_TIMER | SYS_INTERRUPT);
}

/* ---- Counters ---- */

static void counters_count(void **state)
{
    struct owner *o = *state;
    o->cycles = 10;
    o->retired = 20;
    o->time = 30;
    assert_int_equal(csr_read(o, RV_CSR_MCYCLE), 10);
    assert_int_equal(csr_read(o, RV_CSR_CYCLE), 10);
    assert_int_equal(csr_read(o, RV_CSR_INSTRET), 20);
    assert_int_equal(csr_read(o, RV_CSR_TIME), 30);
    csr_write(o, RV_CSR_MINSTRET, 1000);
    o->retired++; /* that instruction */
    assert_int_equal(csr_read(o, RV_CSR_MINSTRET), 1000);
    o->retired++;
    assert_int_equal(csr_read(o, RV_CSR_MINSTRET), 1001);
    csr_write(o, RV_CSR_MCYCLE, UINT64_MAX);
    o->cycles += 3;
    assert_int_equal(csr_read(o, RV_CSR_MCYCLE), 2);
}

static void inhibited_counters_stand_still(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_MHPMEVENT3, EVENT_RETIRED);
    o->retired = 5;
    csr_write(o, RV_CSR_MCOUNTINHIBIT, 0xd);
    o->retired++; /* the instruction that inhibits is counted */
    assert_int_equal(csr_read(o, RV_CSR_MINSTRET), 6);
    assert_int_equal(csr_read(o, RV_CSR_MHPMCOUNTER3), 5); /* and the one that set the event is not */
    o->retired += 100;
    o->cycles += 100;
    csr_write(o, RV_CSR_MCOUNTINHIBIT, 0);
    o->retired++;
    assert_int_equal(csr_read(o, RV_CSR_MINSTRET), 6);
    assert_int_equal(csr_read(o, RV_CSR_MCYCLE), 0);
    o->retired++;
    assert_int_equal(csr_read(o, RV_CSR_MINSTRET), 7);
    assert_int_equal(csr_read(o, RV_CSR_HPMCOUNTER3), 6);
}

static void filtered_counters_count_in_some_modes(void **state)
{
    struct owner *o = *state;
    static const uint64_t inhibit[] = {EVENT_UINH, EVENT_SINH, EVENT_MINH};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        uint64_t pc, expected = 0;
        owner_init(o, UINT32_MAX);
        csr_write(o, RV_CSR_MHPMEVENT4, EVENT_CYCLES | inhibit[i]);
        for (unsigned round = 0; round < 3; round++) {
            o->cycles += 1; /* machine mode */
            expected += modes[i] != PRIV_M;
            o->sys.mstatus = MPP(PRIV_U);
            sys_mret(&o->sys, &pc);
            o->cycles += 10; /* user mode */
            expected += modes[i] != PRIV_U ? 10 : 0;
            o->sys.medeleg = BIT(CAUSE_ECALL_U);
            sys_trap(&o->sys, CAUSE_ECALL_U, 0, 0);
            o->cycles += 100; /* supervisor mode */
            expected += modes[i] != PRIV_S ? 100 : 0;
            sys_trap(&o->sys, CAUSE_ECALL_S, 0, 0);
        }
        assert_int_equal(csr_read(o, RV_CSR_MHPMCOUNTER4), expected);
    }
}

static void overflow_interrupts_once(void **state)
{
    struct owner *o = *state;
    uint64_t old;
    csr_write(o, RV_CSR_MIE, BIT(IRQ_LCOFI));
    csr_write(o, RV_CSR_MSTATUS, MSTATUS_MIE);
    csr_write(o, RV_CSR_MHPMEVENT5, EVENT_CYCLES);
    csr_write(o, RV_CSR_MHPMCOUNTER5, UINT64_MAX - 1);
    o->cycles += 1;
    assert_int_equal(sys_poll(&o->sys), 0);
    o->cycles += 1;
    assert_int_equal(sys_poll(&o->sys), SYS_INTERRUPT);
    assert_int_equal(sys_interrupt(&o->sys), CAUSE_INTERRUPT | IRQ_LCOFI);
    assert_int_equal(csr_read(o, RV_CSR_MHPMEVENT5), EVENT_OF | EVENT_CYCLES);
    assert_int_equal(csr_read(o, RV_CSR_MHPMCOUNTER5), 0);
    assert_int_equal(csr_read(o, RV_CSR_SCOUNTOVF), BIT(5));
    csr_write(o, RV_CSR_MIP, 0);
    csr_write(o, RV_CSR_MHPMCOUNTER5, UINT64_MAX);
    o->cycles += 2; /* OF is still set */
    assert_int_equal(sys_poll(&o->sys), 0);
    assert_int_equal(csr_read(o, RV_CSR_MIP), 0);
    owner_csr(o, PRIV_S, RV_CSR_SCOUNTOVF, SYS_CSR_READ, 0, &old);
    assert_int_equal(old, 0);
    csr_write(o, RV_CSR_MCOUNTEREN, BIT(5));
    owner_csr(o, PRIV_S, RV_CSR_SCOUNTOVF, SYS_CSR_READ, 0, &old);
    assert_int_equal(old, BIT(5));
}

/* Neither writes nor counters without an event overflow, and mcycle has no interrupt. */
static void other_changes_do_not_overflow(void **state)
{
    struct owner *o = *state;
    csr_write(o, RV_CSR_MHPMEVENT3, EVENT_RETIRED);
    csr_write(o, RV_CSR_MHPMCOUNTER3, UINT64_MAX);
    csr_write(o, RV_CSR_MHPMCOUNTER3, 0);
    csr_write(o, RV_CSR_MHPMCOUNTER4, UINT64_MAX);
    csr_write(o, RV_CSR_MCYCLE, UINT64_MAX);
    csr_write(o, RV_CSR_MINSTRET, UINT64_MAX);
    o->cycles += 10;
    o->retired += 10;
    sys_poll(&o->sys);
    assert_int_equal(csr_read(o, RV_CSR_MIP), 0);
    assert_int_equal(csr_read(o, RV_CSR_SCOUNTOVF), 0);
    assert_int_equal(csr_read(o, RV_CSR_MHPMCOUNTER4), UINT64_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(traps_save_and_switch),
        TEST(each_cause_is_delegated_for_itself),
        TEST(interrupts_have_vectors),
        TEST(ecall_has_a_cause_for_each_mode),
        TEST(mret_goes_back),
        TEST(sret_goes_back),
        TEST(a_return_tells_an_interrupt),
        TEST(some_instructions_are_closed_by_mstatus),
        TEST(cache_blocks_need_the_environment),
        TEST(interrupts_come_in_order),
        TEST(mie_masks_each),
        TEST(wakes_without_being_taken),
        TEST(another_thread_raises),
        TEST(stimecmp_makes_stip),
        TEST(stce_decides_about_stip),
        TEST(counters_count),
        TEST(inhibited_counters_stand_still),
        TEST(filtered_counters_count_in_some_modes),
        TEST(overflow_interrupts_once),
        TEST(other_changes_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
