/* Traps and the returns from them, and the instructions that are legal in some modes only. */
#include "cpu/riscv/sys_internal.h"

void sys_set_mode(struct hart_sys *sys, enum priv mode)
{
    if (mode != sys->mode && sys->filtered)
        counters_settle(sys, sys->filtered);
    sys->mode = mode;
}

/* Never to a mode less privileged than the one that traps. */
static bool is_delegated(const struct hart_sys *sys, uint64_t cause)
{
    uint64_t delegated = cause & CAUSE_INTERRUPT ? sys->mideleg : sys->medeleg;
    return sys->mode < PRIV_M && (cause & CAUSE_VIRTUAL || delegated >> (cause & 63) & 1);
}

static uint64_t vector(uint64_t tvec, uint64_t cause)
{
    uint64_t base = tvec & ~TVEC_MODE;
    bool own_entry = (tvec & TVEC_MODE) == TVEC_VECTORED && cause & CAUSE_INTERRUPT;
    return own_entry ? base + 4 * (cause & ~CAUSE_INTERRUPT) : base;
}

static uint64_t trap_to_supervisor(struct hart_sys *sys, uint64_t cause, uint64_t tval, uint64_t pc)
{
    uint64_t status = sys->mstatus & ~(MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP);
    sys->scause = cause;
    sys->stval = tval;
    sys->sepc = pc;
    status |= sys->mstatus & MSTATUS_SIE ? MSTATUS_SPIE : 0;
    status |= sys->mode == PRIV_S ? MSTATUS_SPP : 0;
    sys->mstatus = status;
    sys_set_mode(sys, PRIV_S);
    return vector(sys->stvec, cause);
}

static uint64_t trap_to_machine(struct hart_sys *sys, uint64_t cause, uint64_t tval, uint64_t pc)
{
    uint64_t status = sys->mstatus & ~(MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP);
    sys->mcause = cause;
    sys->mtval = tval;
    sys->mepc = pc;
    status |= sys->mstatus & MSTATUS_MIE ? MSTATUS_MPIE : 0;
    status |= (uint64_t)sys->mode << MSTATUS_MPP_SHIFT;
    sys->mstatus = status;
    sys_set_mode(sys, PRIV_M);
    return vector(sys->mtvec, cause);
}

uint64_t sys_trap(struct hart_sys *sys, uint64_t cause, uint64_t tval, uint64_t pc)
{
    return is_delegated(sys, cause) ? trap_to_supervisor(sys, cause & ~CAUSE_VIRTUAL, tval, pc)
                                    : trap_to_machine(sys, cause, tval, pc);
}

/* The mode and with it the translation is another one; in a mode below M, data is no longer accessed as MPP says. */
static unsigned return_to(struct hart_sys *sys, enum priv mode)
{
    if (mode != PRIV_M)
        sys->mstatus &= ~MSTATUS_MPRV;
    sys_set_mode(sys, mode);
    return SYS_CONTEXT | sys_interrupt_effect(sys);
}

unsigned sys_mret(struct hart_sys *sys, uint64_t *pc)
{
    uint64_t status = sys->mstatus;
    if (sys->mode < PRIV_M)
        return SYS_ILLEGAL;
    sys->mstatus = (status & ~(MSTATUS_MIE | MSTATUS_MPP)) | MSTATUS_MPIE;
    sys->mstatus |= status & MSTATUS_MPIE ? MSTATUS_MIE : 0;
    *pc = sys->mepc;
    return return_to(sys, (enum priv)((status & MSTATUS_MPP) >> MSTATUS_MPP_SHIFT));
}

unsigned sys_sret(struct hart_sys *sys, uint64_t *pc)
{
    uint64_t status = sys->mstatus;
    if (sys->mode < PRIV_S || (sys->mode == PRIV_S && status & MSTATUS_TSR))
        return SYS_ILLEGAL;
    sys->mstatus = (status & ~(MSTATUS_SIE | MSTATUS_SPP)) | MSTATUS_SPIE;
    sys->mstatus |= status & MSTATUS_SPIE ? MSTATUS_SIE : 0;
    *pc = sys->sepc;
    return return_to(sys, status & MSTATUS_SPP ? PRIV_S : PRIV_U);
}

/* "Virtualization Support": U-mode could wait for as long as it likes, so it may not wait at all. */
bool sys_wfi_legal(const struct hart_sys *sys)
{
    return sys->mode == PRIV_M || (sys->mode == PRIV_S && !(sys->mstatus & MSTATUS_TW));
}

bool sys_sfence_legal(const struct hart_sys *sys)
{
    return sys->mode == PRIV_M || (sys->mode == PRIV_S && !(sys->mstatus & MSTATUS_TVM));
}

bool sys_sfence_parts_legal(const struct hart_sys *sys)
{
    return sys->mode != PRIV_U;
}

/* The settings that hold in this mode: menvcfg for all below M, senvcfg for U as well. */
static uint64_t environment(const struct hart_sys *sys)
{
    switch (sys->mode) {
    case PRIV_U: return sys->menvcfg & sys->senvcfg;
    case PRIV_S: return sys->menvcfg;
    default: return ENVCFG_CBIE | ENVCFG_CBCFE | ENVCFG_CBZE;
    }
}

bool sys_cbo_clean_legal(const struct hart_sys *sys)
{
    return environment(sys) & ENVCFG_CBCFE;
}

bool sys_cbo_zero_legal(const struct hart_sys *sys)
{
    return environment(sys) & ENVCFG_CBZE;
}

/* 01 is a flush and 11 an invalidation, so what both levels allow is their intersection. */
enum sys_cbo_inval sys_cbo_inval(const struct hart_sys *sys)
{
    switch (environment(sys) & ENVCFG_CBIE) {
    case ENVCFG_CBIE: return SYS_CBO_INVAL;
    case ENVCFG_CBIE_FLUSH: return SYS_CBO_FLUSH;
    default: return SYS_CBO_ILLEGAL;
    }
}
