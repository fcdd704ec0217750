/* Control and status registers: which there are, who may access them, what a read gives and what a write leaves.
 *
 *   sys_csr ── number says the lowest mode, and read-only ──> row ──> allow ──> read ──> write
 *
 * A row without `allow` needs no more than the mode that its number says. */
#include "cpu/riscv/pmp.h"
#include "cpu/riscv/sys_internal.h"
#include "isa/riscv/isa.h"

#include <stddef.h>

struct csr_row {
    bool (*allow)(const struct hart_sys *sys, unsigned number, bool writes);
    uint64_t (*read)(struct hart_sys *sys, unsigned number);
    unsigned (*write)(struct hart_sys *sys, const struct csr_write *w);
};

#define UNUSED __attribute__((unused))
#define ALLOW(name) \
    static bool allow_##name(const struct hart_sys *sys UNUSED, unsigned number UNUSED, bool writes UNUSED)
#define READ(name) static uint64_t read_##name(struct hart_sys *sys UNUSED, unsigned number UNUSED)
#define WRITE(name) \
    static unsigned write_##name(struct hart_sys *sys UNUSED, const struct csr_write *w UNUSED)

#define READ_AS(name, value) \
    READ(name)               \
    {                        \
        return value;        \
    }

/* A register that holds the bits of `mask` as they were written. */
#define PLAIN(name, mask)            \
    READ_AS(name, sys->name)         \
    WRITE(name)                      \
    {                                \
        sys->name = w->value & mask; \
        return 0;                    \
    }

WRITE(nothing)
{
    return 0;
}

READ_AS(zero, 0)

/* ---- Floating point ---- */

ALLOW(fcsr)
{
    return sys_fp_enabled(sys);
}

READ(fcsr)
{
    uint32_t fcsr = sys->ops->fcsr(sys);
    switch (number) {
    case RV_CSR_FFLAGS: return fcsr & 0x1f;
    case RV_CSR_FRM: return fcsr >> 5;
    default: return fcsr;
    }
}

WRITE(fcsr)
{
    uint32_t old = sys->ops->fcsr(sys), value = (uint32_t)w->value;
    switch (w->number) {
    case RV_CSR_FFLAGS: value = (old & ~0x1fu) | (value & 0x1f); break;
    case RV_CSR_FRM: value = (old & 0x1f) | (value & 7) << 5; break;
    default: value &= 0xff;
    }
    sys->ops->set_fcsr(sys, value);
    sys_fp_dirty(sys);
    return 0;
}

/* ---- Entropy: Zkr ---- */

ALLOW(seed)
{
    uint64_t needed[] = {[PRIV_U] = MSECCFG_USEED, [PRIV_S] = MSECCFG_SSEED, [PRIV_M] = 0};
    return sys_has(sys, SYS_ZKR) && writes && (sys->mseccfg & needed[sys->mode]) == needed[sys->mode];
}

READ(seed)
{
    uint16_t bits;
    return sys->ops->entropy(sys, &bits) ? SEED_ES16 | bits : SEED_WAIT;
}

ALLOW(mseccfg)
{
    return sys_has(sys, SYS_ZKR);
}

PLAIN(mseccfg, (MSECCFG_SSEED | MSECCFG_USEED))

/* ---- Status ---- */

static uint64_t status_writable(const struct hart_sys *sys)
{
    return MSTATUS_SIE | MSTATUS_MIE | MSTATUS_SPIE | MSTATUS_MPIE | MSTATUS_SPP | MSTATUS_MPP |
           MSTATUS_MPRV | MSTATUS_SUM | MSTATUS_MXR | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR |
           (sys_has_letter(sys, 'F') ? MSTATUS_FS : 0) | (sys_has_letter(sys, 'V') ? MSTATUS_VS : 0);
}

#define SSTATUS_FIELDS                                                                               \
    (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_VS | MSTATUS_FS | MSTATUS_XS | MSTATUS_SUM | \
     MSTATUS_MXR | MSTATUS_UXL_64 | MSTATUS_SD)

static unsigned write_status(struct hart_sys *sys, uint64_t value, uint64_t fields)
{
    uint64_t old = sys->mstatus, new = merge(old, value, fields & status_writable(sys));
    uint64_t reserved_mode = UINT64_C(2) << MSTATUS_MPP_SHIFT;
    if ((new &MSTATUS_MPP) == reserved_mode)
        new = merge(new, old, MSTATUS_MPP);
    sys->mstatus = new;
    uint64_t changed = old ^ new, context = MSTATUS_MPRV | MSTATUS_SUM | MSTATUS_MXR;
    if (new &MSTATUS_MPRV)
        context |= MSTATUS_MPP;
    return (changed & context ? SYS_CONTEXT : 0) | (!(old & MSTATUS_FS) != !(new &MSTATUS_FS) ? SYS_FP : 0) |
           sys_interrupt_effect(sys);
}

READ(mstatus)
{
    bool dirty = (sys->mstatus & MSTATUS_FS) == MSTATUS_FS || (sys->mstatus & MSTATUS_VS) == MSTATUS_VS;
    return sys->mstatus | MSTATUS_UXL_64 | MSTATUS_SXL_64 | (dirty ? MSTATUS_SD : 0);
}

WRITE(mstatus)
{
    return write_status(sys, w->value, UINT64_MAX);
}

READ(sstatus)
{
    return read_mstatus(sys, RV_CSR_MSTATUS) & SSTATUS_FIELDS;
}

WRITE(sstatus)
{
    return write_status(sys, w->value, SSTATUS_FIELDS);
}

/* ---- Identity ---- */

READ_AS(misa, MISA_MXL_64 | sys->config.misa)
READ_AS(mimpid, sys->config.mimpid)
READ_AS(mhartid, sys->config.hartid)

/* ---- Trap set-up and handling ---- */

/* All that can occur below M-mode; a fetch cannot be misaligned where there are compressed instructions. */
#define DELEGABLE                                                                                          \
    (BIT(CAUSE_FETCH_ACCESS) | BIT(CAUSE_ILLEGAL) | BIT(CAUSE_BREAKPOINT) | BIT(CAUSE_LOAD_MISALIGNED) |   \
     BIT(CAUSE_LOAD_ACCESS) | BIT(CAUSE_STORE_MISALIGNED) | BIT(CAUSE_STORE_ACCESS) | BIT(CAUSE_ECALL_U) | \
     BIT(CAUSE_ECALL_S) | BIT(CAUSE_FETCH_PAGE) | BIT(CAUSE_LOAD_PAGE) | BIT(CAUSE_STORE_PAGE))

#define EPC_BITS (~UINT64_C(1)) /* an instruction begins at any even address */

PLAIN(medeleg, DELEGABLE)
PLAIN(mscratch, UINT64_MAX)
PLAIN(mepc, EPC_BITS)
PLAIN(mcause, UINT64_MAX)
PLAIN(mtval, UINT64_MAX)
PLAIN(sscratch, UINT64_MAX)
PLAIN(sepc, EPC_BITS)
PLAIN(scause, UINT64_MAX)
PLAIN(stval, UINT64_MAX)

/* A reserved mode leaves the register as it was. */
static unsigned write_tvec(uint64_t *tvec, uint64_t value)
{
    if ((value & TVEC_MODE) <= TVEC_VECTORED)
        *tvec = value;
    return 0;
}

READ_AS(mtvec, sys->mtvec)

WRITE(mtvec)
{
    return write_tvec(&sys->mtvec, w->value);
}

READ_AS(stvec, sys->stvec)

WRITE(stvec)
{
    return write_tvec(&sys->stvec, w->value);
}

/* ---- Interrupts ---- */

#define SUPERVISOR_LEVEL (BIT(IRQ_SSI) | BIT(IRQ_STI) | BIT(IRQ_SEI) | BIT(IRQ_LCOFI))

READ_AS(mideleg, sys->mideleg)

WRITE(mideleg)
{
    sys->mideleg = w->value & SUPERVISOR_LEVEL & sys_irq_known(sys);
    return sys_interrupt_effect(sys);
}

READ_AS(mie, sys->mie)

WRITE(mie)
{
    sys->mie = w->value & sys_irq_known(sys);
    return sys_interrupt_effect(sys);
}

/* Interrupts that are the supervisor's by mvien alone: "Interrupt filtering and virtual interrupts". */
static uint64_t virtual_irqs(const struct hart_sys *sys)
{
    return sys->mvien & ~sys->mideleg;
}

READ(sie)
{
    return (sys->mie & sys->mideleg) | (sys->vsie & virtual_irqs(sys));
}

WRITE(sie)
{
    sys->mie = merge(sys->mie, w->value, sys->mideleg);
    sys->vsie = merge(sys->vsie, w->value, virtual_irqs(sys));
    return sys_interrupt_effect(sys);
}

READ(mip)
{
    sys_update_timer(sys);
    return sys_pending(sys);
}

WRITE(mip)
{
    sys_write_pending(sys, w, sys_irq_writable(sys));
    return sys_interrupt_effect(sys);
}

READ(sip)
{
    return (read_mip(sys, RV_CSR_MIP) & sys->mideleg) | (aia_mvip(sys) & virtual_irqs(sys));
}

WRITE(sip)
{
    const uint64_t writable = BIT(IRQ_SSI) | BIT(IRQ_LCOFI);
    struct csr_write virtual = *w;
    virtual.touched &= virtual_irqs(sys) & writable;
    sys_write_pending(sys, w, sys->mideleg & writable);
    aia_write_mvip(sys, &virtual);
    return sys_interrupt_effect(sys);
}

/* ---- Sstc ---- */

/* Does mcounteren let the current mode reach a counter, and in U-mode scounteren, too? */
static bool counter_is_enabled(const struct hart_sys *sys, unsigned index)
{
    uint32_t enabled = sys->mode == PRIV_M ? UINT32_MAX : sys->mcounteren;
    if (sys->mode == PRIV_U)
        enabled &= sys->scounteren;
    return enabled >> index & 1;
}

ALLOW(stimecmp)
{
    return sys_has(sys, SYS_SSTC) &&
           (sys->mode == PRIV_M || (counter_is_enabled(sys, COUNTER_TM) && sys->menvcfg & ENVCFG_STCE));
}

static unsigned timer_changed(struct hart_sys *sys)
{
    sys_update_timer(sys);
    return SYS_TIMER | sys_interrupt_effect(sys);
}

READ_AS(stimecmp, sys->stimecmp)

WRITE(stimecmp)
{
    sys->stimecmp = w->value;
    return timer_changed(sys);
}

/* ---- Environment ---- */

static uint64_t cache_block_fields(const struct hart_sys *sys)
{
    return (sys_has(sys, SYS_ZICBOM) ? ENVCFG_CBIE | ENVCFG_CBCFE : 0) |
           (sys_has(sys, SYS_ZICBOZ) ? ENVCFG_CBZE : 0);
}

/* The reserved value of CBIE leaves the field as it was. */
static uint64_t legal_envcfg(uint64_t old, uint64_t value, uint64_t fields)
{
    if ((value & ENVCFG_CBIE) == ENVCFG_CBIE_RESERVED)
        value = merge(value, old, ENVCFG_CBIE);
    return value & fields;
}

READ_AS(menvcfg, sys->menvcfg)

WRITE(menvcfg)
{
    uint64_t fields = ENVCFG_FIOM | cache_block_fields(sys) | (sys_has(sys, SYS_SVADU) ? ENVCFG_ADUE : 0) |
                      (sys_has(sys, SYS_SVPBMT) ? ENVCFG_PBMTE : 0) |
                      (sys_has(sys, SYS_SSTC) ? ENVCFG_STCE : 0);
    uint64_t old = sys->menvcfg;
    sys->menvcfg = legal_envcfg(old, w->value, fields);
    uint64_t changed = old ^ sys->menvcfg;
    return (changed & (ENVCFG_CBIE | ENVCFG_CBCFE | ENVCFG_CBZE) ? SYS_ENVIRONMENT : 0) |
           (changed & (ENVCFG_PBMTE | ENVCFG_ADUE) ? SYS_STALE : 0) |
           (changed & ENVCFG_STCE ? timer_changed(sys) : 0);
}

/* Smstateen: does machine mode let the others reach this? */
static bool state_is_enabled(const struct hart_sys *sys, unsigned index, uint64_t bit)
{
    return sys->mode == PRIV_M || !sys_has(sys, SYS_SMSTATEEN) || sys->mstateen[index] & bit;
}

ALLOW(senvcfg)
{
    return state_is_enabled(sys, 0, STATEEN_ENVCFG);
}

READ_AS(senvcfg, sys->senvcfg)

WRITE(senvcfg)
{
    uint64_t old = sys->senvcfg;
    sys->senvcfg = legal_envcfg(old, w->value, ENVCFG_FIOM | cache_block_fields(sys));
    return (old ^ sys->senvcfg) & ~ENVCFG_FIOM ? SYS_ENVIRONMENT : 0;
}

ALLOW(mstateen)
{
    return sys_has(sys, SYS_SMSTATEEN);
}

READ(mstateen)
{
    return sys->mstateen[number - RV_CSR_MSTATEEN0];
}

static uint64_t stateen0_fields(const struct hart_sys *sys)
{
    return STATEEN_ENVCFG | (sys_has(sys, SYS_SSAIA) ? STATEEN_CSRIND | STATEEN_AIA : 0) |
           (sys->aia[SYS_SUPERVISOR].file ? STATEEN_IMSIC : 0);
}

WRITE(mstateen)
{
    unsigned index = w->number - RV_CSR_MSTATEEN0;
    sys->mstateen[index] = w->value & (STATEEN_SE | (index ? 0 : stateen0_fields(sys)));
    return 0;
}

ALLOW(sstateen)
{
    return sys_has(sys, SYS_SMSTATEEN) && state_is_enabled(sys, number - RV_CSR_SSTATEEN0, STATEEN_SE);
}

/* ---- Advanced Interrupt Architecture ---- */

enum { SELECT_MAX = 0x1ff };

static enum sys_level level_of(unsigned number)
{
    return (number >> 8 & 3) == PRIV_M ? SYS_MACHINE : SYS_SUPERVISOR;
}

ALLOW(smaia)
{
    return sys_has(sys, SYS_SMAIA);
}

ALLOW(mireg)
{
    return sys_has(sys, SYS_SMAIA) && (aia_is_priority(sys, SYS_MACHINE) || aia_is_file(sys, SYS_MACHINE));
}

ALLOW(mtopei)
{
    return sys_has(sys, SYS_SMAIA) && sys->aia[SYS_MACHINE].file;
}

/* While machine level filters external interrupts, the supervisor has no say in them. */
static bool file_is_open(const struct hart_sys *sys)
{
    return sys->mode == PRIV_M || (!(sys->mvien & BIT(IRQ_SEI)) && state_is_enabled(sys, 0, STATEEN_IMSIC));
}

ALLOW(siselect)
{
    return sys_has(sys, SYS_SSAIA) && state_is_enabled(sys, 0, STATEEN_CSRIND);
}

ALLOW(sireg)
{
    return allow_siselect(sys, number, writes) &&
           ((aia_is_priority(sys, SYS_SUPERVISOR) && state_is_enabled(sys, 0, STATEEN_AIA)) ||
            (aia_is_file(sys, SYS_SUPERVISOR) && file_is_open(sys)));
}

ALLOW(stopei)
{
    return sys_has(sys, SYS_SSAIA) && sys->aia[SYS_SUPERVISOR].file && file_is_open(sys);
}

ALLOW(stopi)
{
    return sys_has(sys, SYS_SSAIA) && state_is_enabled(sys, 0, STATEEN_AIA);
}

READ_AS(iselect, sys->aia[level_of(number)].select)

WRITE(iselect)
{
    sys->aia[level_of(w->number)].select = w->value & SELECT_MAX;
    return 0;
}

READ_AS(ireg, aia_read(sys, level_of(number)))

WRITE(ireg)
{
    aia_write(sys, level_of(w->number), w);
    return sys_interrupt_effect(sys);
}

READ_AS(topei, aia_topei(sys, level_of(number)))

/* Claims what was read, whatever has arrived since. */
WRITE(topei)
{
    if (w->old)
        interrupt_file_clear(sys->aia[level_of(w->number)].file, (unsigned)(w->old >> 16));
    return sys_interrupt_effect(sys);
}

READ(topi)
{
    sys_update_timer(sys);
    return aia_topi(sys, level_of(number));
}

READ_AS(mvien, sys->mvien)

WRITE(mvien)
{
    sys->mvien = w->value & aia_mvien_writable(sys);
    return sys_interrupt_effect(sys);
}

READ_AS(mvip, aia_mvip(sys))

WRITE(mvip)
{
    aia_write_mvip(sys, w);
    return sys_interrupt_effect(sys);
}

/* ---- Counters ---- */

ALLOW(counter)
{
    return counter_is_enabled(sys, number - RV_CSR_CYCLE);
}

READ(counter)
{
    return counter_read(sys, number - RV_CSR_CYCLE);
}

READ(time)
{
    return sys->ops->time(sys);
}

READ(mcounter)
{
    return counter_read(sys, number - RV_CSR_MCYCLE);
}

WRITE(mcounter)
{
    counter_write(sys, w->number - RV_CSR_MCYCLE, w->value);
    return 0;
}

PLAIN(mcounteren, (uint32_t)UINT32_MAX)
PLAIN(scounteren, (uint32_t)UINT32_MAX)

READ_AS(mcountinhibit, sys->mcountinhibit)

WRITE(mcountinhibit)
{
    counters_inhibit(sys, (uint32_t)w->value);
    return 0;
}

/* mhpmevent3 has number mcountinhibit + 3. */
READ(mhpmevent)
{
    counters_settle(sys, UINT32_C(1) << (number - RV_CSR_MCOUNTINHIBIT));
    return sys->mhpmevent[number - RV_CSR_MCOUNTINHIBIT];
}

WRITE(mhpmevent)
{
    counter_set_event(sys, w->number - RV_CSR_MCOUNTINHIBIT, w->value);
    return 0;
}

ALLOW(scountovf)
{
    return sys_has(sys, SYS_SSCOFPMF);
}

READ(scountovf)
{
    uint64_t overflowed = 0;
    counters_settle(sys, UINT32_MAX);
    for (unsigned i = 3; i < COUNTER_COUNT; i++)
        if (sys->mhpmevent[i] & EVENT_OF)
            overflowed |= BIT(i);
    return sys->mode == PRIV_M ? overflowed : overflowed & sys->mcounteren;
}

/* ---- Translation and protection ---- */

ALLOW(satp)
{
    return sys->mode != PRIV_S || !(sys->mstatus & MSTATUS_TVM);
}

READ_AS(satp, sys->satp)

/* A mode that is not there leaves all fields as they were. */
WRITE(satp)
{
    uint64_t mode = w->value >> SATP_MODE_SHIFT;
    if (mode != SATP_BARE && (mode < SATP_SV39 || mode > sys->config.satp_mode))
        return 0;
    sys->satp = w->value;
    return SYS_CONTEXT;
}

READ(pmpcfg)
{
    return pmp_read_cfg(sys, (number - RV_CSR_PMPCFG0) / 2);
}

WRITE(pmpcfg)
{
    pmp_write_cfg(sys, (w->number - RV_CSR_PMPCFG0) / 2, w->value);
    return SYS_STALE;
}

READ(pmpaddr)
{
    return sys->pmpaddr[number - RV_CSR_PMPADDR0];
}

WRITE(pmpaddr)
{
    pmp_write_address(sys, w->number - RV_CSR_PMPADDR0, w->value);
    return SYS_STALE;
}

/* ---- Triggers: there are none, and tinfo says so ---- */

READ_AS(tinfo, 1)

/* ---- The table ---- */

/* X(first number, last number, allow, read, write) */
#define ROWS(X)                                                                    \
    X(FFLAGS, FCSR, allow_fcsr, read_fcsr, write_fcsr)                             \
    X(SEED, SEED, allow_seed, read_seed, write_nothing)                            \
    X(SSTATUS, SSTATUS, NULL, read_sstatus, write_sstatus)                         \
    X(SIE, SIE, NULL, read_sie, write_sie)                                         \
    X(STVEC, STVEC, NULL, read_stvec, write_stvec)                                 \
    X(SCOUNTEREN, SCOUNTEREN, NULL, read_scounteren, write_scounteren)             \
    X(SENVCFG, SENVCFG, allow_senvcfg, read_senvcfg, write_senvcfg)                \
    X(SSTATEEN0, SSTATEEN3, allow_sstateen, read_zero, write_nothing)              \
    X(SSCRATCH, SSCRATCH, NULL, read_sscratch, write_sscratch)                     \
    X(SEPC, SEPC, NULL, read_sepc, write_sepc)                                     \
    X(SCAUSE, SCAUSE, NULL, read_scause, write_scause)                             \
    X(STVAL, STVAL, NULL, read_stval, write_stval)                                 \
    X(SIP, SIP, NULL, read_sip, write_sip)                                         \
    X(STIMECMP, STIMECMP, allow_stimecmp, read_stimecmp, write_stimecmp)           \
    X(SISELECT, SISELECT, allow_siselect, read_iselect, write_iselect)             \
    X(SIREG, SIREG, allow_sireg, read_ireg, write_ireg)                            \
    X(STOPEI, STOPEI, allow_stopei, read_topei, write_topei)                       \
    X(STOPI, STOPI, allow_stopi, read_topi, NULL)                                  \
    X(SATP, SATP, allow_satp, read_satp, write_satp)                               \
    X(MSTATUS, MSTATUS, NULL, read_mstatus, write_mstatus)                         \
    X(MISA, MISA, NULL, read_misa, write_nothing)                                  \
    X(MEDELEG, MEDELEG, NULL, read_medeleg, write_medeleg)                         \
    X(MIDELEG, MIDELEG, NULL, read_mideleg, write_mideleg)                         \
    X(MIE, MIE, NULL, read_mie, write_mie)                                         \
    X(MTVEC, MTVEC, NULL, read_mtvec, write_mtvec)                                 \
    X(MCOUNTEREN, MCOUNTEREN, NULL, read_mcounteren, write_mcounteren)             \
    X(MVIEN, MVIEN, allow_smaia, read_mvien, write_mvien)                          \
    X(MVIP, MVIP, allow_smaia, read_mvip, write_mvip)                              \
    X(MENVCFG, MENVCFG, NULL, read_menvcfg, write_menvcfg)                         \
    X(MSTATEEN0, MSTATEEN3, allow_mstateen, read_mstateen, write_mstateen)         \
    X(MCOUNTINHIBIT, MCOUNTINHIBIT, NULL, read_mcountinhibit, write_mcountinhibit) \
    X(MHPMEVENT3, MHPMEVENT31, NULL, read_mhpmevent, write_mhpmevent)              \
    X(MSCRATCH, MSCRATCH, NULL, read_mscratch, write_mscratch)                     \
    X(MEPC, MEPC, NULL, read_mepc, write_mepc)                                     \
    X(MCAUSE, MCAUSE, NULL, read_mcause, write_mcause)                             \
    X(MTVAL, MTVAL, NULL, read_mtval, write_mtval)                                 \
    X(MIP, MIP, NULL, read_mip, write_mip)                                         \
    X(MISELECT, MISELECT, allow_smaia, read_iselect, write_iselect)                \
    X(MIREG, MIREG, allow_mireg, read_ireg, write_ireg)                            \
    X(MTOPEI, MTOPEI, allow_mtopei, read_topei, write_topei)                       \
    X(MTOPI, MTOPI, allow_smaia, read_topi, NULL)                                  \
    X(PMPCFG0, PMPCFG0, NULL, read_pmpcfg, write_pmpcfg)                           \
    X(PMPCFG2, PMPCFG2, NULL, read_pmpcfg, write_pmpcfg)                           \
    X(PMPADDR0, PMPADDR15, NULL, read_pmpaddr, write_pmpaddr)                      \
    X(MSECCFG, MSECCFG, allow_mseccfg, read_mseccfg, write_mseccfg)                \
    X(TSELECT, TDATA3, NULL, read_zero, write_nothing)                             \
    X(TINFO, TINFO, NULL, read_tinfo, write_nothing)                               \
    X(MCYCLE, MCYCLE, NULL, read_mcounter, write_mcounter)                         \
    X(MINSTRET, MHPMCOUNTER31, NULL, read_mcounter, write_mcounter)                \
    X(CYCLE, CYCLE, allow_counter, read_counter, NULL)                             \
    X(TIME, TIME, allow_counter, read_time, NULL)                                  \
    X(INSTRET, HPMCOUNTER31, allow_counter, read_counter, NULL)                    \
    X(SCOUNTOVF, SCOUNTOVF, allow_scountovf, read_scountovf, NULL)                 \
    X(MVENDORID, MARCHID, NULL, read_zero, NULL)                                   \
    X(MIMPID, MIMPID, NULL, read_mimpid, NULL)                                     \
    X(MHARTID, MHARTID, NULL, read_mhartid, NULL)                                  \
    X(MCONFIGPTR, MCONFIGPTR, NULL, read_zero, NULL)

#define ROW_ENUM(first, last, allow, read, write) ROW_##first,
enum row_index { ROW_NONE, ROWS(ROW_ENUM) };
#undef ROW_ENUM

#define ROW_OF_NUMBER(first, last, allow, read, write) [RV_CSR_##first... RV_CSR_##last] = ROW_##first,
static const uint8_t row_of_number[4096] = {ROWS(ROW_OF_NUMBER)};
#undef ROW_OF_NUMBER

#define ROW(first, last, allow, read, write) [ROW_##first] = {allow, read, write},
static const struct csr_row rows[] = {ROWS(ROW)};
#undef ROW

static uint64_t written_value(enum sys_csr_op op, uint64_t old, uint64_t operand)
{
    switch (op) {
    case SYS_CSR_SET: return old | operand;
    case SYS_CSR_CLEAR: return old & ~operand;
    default: return operand;
    }
}

/* "CSR Address Mapping Conventions": bits 9:8 are the lowest mode, 11:10 all ones a read-only register. */
static bool number_allows(const struct hart_sys *sys, unsigned number, bool writes)
{
    return sys->mode >= (number >> 8 & 3) && !(writes && number >> 10 == 3);
}

unsigned sys_csr(struct hart_sys *sys, unsigned number, enum sys_csr_op op, uint64_t operand, uint64_t *old)
{
    const struct csr_row *row = &rows[row_of_number[number]];
    bool writes = op != SYS_CSR_READ;
    if (!row->read || !number_allows(sys, number, writes) || (row->allow && !row->allow(sys, number, writes)))
        return SYS_ILLEGAL;
    *old = row->read(sys, number);
    if (!writes)
        return 0;
    const struct csr_write w = {
        .number = number,
        .old = *old,
        .value = written_value(op, *old, operand),
        .touched = op == SYS_CSR_WRITE ? UINT64_MAX : operand,
    };
    return row->write(sys, &w);
}
