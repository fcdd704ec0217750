/* Interrupts: what is pending, what of it is taken, and in which order. */
#include "cpu/riscv/sys_internal.h"

#define MACHINE_IRQS    (BIT(IRQ_MSI) | BIT(IRQ_MTI) | BIT(IRQ_MEI))
#define SUPERVISOR_IRQS (BIT(IRQ_SSI) | BIT(IRQ_STI) | BIT(IRQ_SEI))

static bool timer_is_stimecmp(const struct hart_sys *sys)
{
    return sys->menvcfg & ENVCFG_STCE;
}

uint64_t sys_irq_known(const struct hart_sys *sys)
{
    return MACHINE_IRQS | SUPERVISOR_IRQS | (sys_has(sys, SYS_SSCOFPMF) ? BIT(IRQ_LCOFI) : 0);
}

/* Interrupt controllers own the others, and stimecmp owns STI; software's SEI may be mvip's alone. */
uint64_t sys_irq_writable(const struct hart_sys *sys)
{
    return sys_irq_known(sys) & ~MACHINE_IRQS & ~(timer_is_stimecmp(sys) ? BIT(IRQ_STI) : 0) &
           ~(sys->mvien & BIT(IRQ_SEI));
}

/* STI is one or the other, not both: what software wrote into it comes back when Sstc is switched off. */
uint64_t sys_pending(const struct hart_sys *sys)
{
    uint64_t written = atomic_load_explicit(&sys->mip, memory_order_acquire);
    uint64_t lines = atomic_load_explicit(&sys->lines, memory_order_acquire);
    if (timer_is_stimecmp(sys))
        written = merge(written, sys->timer ? BIT(IRQ_STI) : 0, BIT(IRQ_STI));
    return (written & ~(sys->mvien & BIT(IRQ_SEI))) | lines;
}

/* A cause that another thread raises at the same time is not lost unless the instruction names its bit. */
void sys_write_pending(struct hart_sys *sys, const struct csr_write *w, uint64_t writable)
{
    uint64_t bits = w->touched & writable;
    atomic_fetch_or_explicit(&sys->mip, w->value & bits, memory_order_relaxed);
    atomic_fetch_and_explicit(&sys->mip, w->value | ~bits, memory_order_relaxed);
}

/* Of what is pending in mip. */
static uint64_t machine_wanted(const struct hart_sys *sys, uint64_t pending)
{
    return pending & sys->mie & ~sys->mideleg;
}

static uint64_t supervisor_wanted(const struct hart_sys *sys, uint64_t pending)
{
    uint64_t virtual = sys->mvien & ~sys->mideleg;
    return (pending & sys->mie & sys->mideleg) | (virtual ? aia_mvip(sys) & sys->vsie & virtual : 0);
}

uint64_t sys_machine_wanted(const struct hart_sys *sys)
{
    return machine_wanted(sys, sys_pending(sys));
}

uint64_t sys_supervisor_wanted(const struct hart_sys *sys)
{
    return supervisor_wanted(sys, sys_pending(sys));
}

static uint64_t machine_cause(const struct hart_sys *sys, uint64_t irqs)
{
    return CAUSE_INTERRUPT | aia_first(sys, SYS_MACHINE, irqs);
}

static uint64_t supervisor_cause(const struct hart_sys *sys, uint64_t irqs)
{
    unsigned irq = aia_first(sys, SYS_SUPERVISOR, irqs);
    return CAUSE_INTERRUPT | irq | (sys->mideleg >> irq & 1 ? 0 : CAUSE_VIRTUAL);
}

uint64_t sys_interrupt(const struct hart_sys *sys)
{
    uint64_t pending = sys_pending(sys);
    bool machine_takes = sys->mode < PRIV_M || sys->mstatus & MSTATUS_MIE;
    bool supervisor_takes = sys->mode < PRIV_S || (sys->mode == PRIV_S && sys->mstatus & MSTATUS_SIE);
    uint64_t machine = machine_takes ? machine_wanted(sys, pending) : 0;
    uint64_t supervisor = supervisor_takes ? supervisor_wanted(sys, pending) : 0;
    if (machine)
        return machine_cause(sys, machine);
    return supervisor ? supervisor_cause(sys, supervisor) : 0;
}

unsigned sys_interrupt_effect(const struct hart_sys *sys)
{
    return sys_interrupt(sys) ? SYS_INTERRUPT : 0;
}

bool sys_wakes(const struct hart_sys *sys)
{
    uint64_t pending = sys_pending(sys);
    return machine_wanted(sys, pending) || supervisor_wanted(sys, pending);
}

/* Release: whoever sees the level sees what the device did before it. The kick that follows orders it for the hart. */
void sys_set_line(struct hart_sys *sys, unsigned irq, bool level)
{
    if (level)
        atomic_fetch_or_explicit(&sys->lines, BIT(irq), memory_order_release);
    else
        atomic_fetch_and_explicit(&sys->lines, ~BIT(irq), memory_order_release);
}

void sys_raise_ssi(struct hart_sys *sys)
{
    atomic_fetch_or_explicit(&sys->mip, BIT(IRQ_SSI), memory_order_release);
}

void sys_update_timer(struct hart_sys *sys)
{
    sys->timer = timer_is_stimecmp(sys) && sys->ops->time(sys) >= sys->stimecmp;
}

uint64_t sys_timer_deadline(const struct hart_sys *sys)
{
    return timer_is_stimecmp(sys) && !sys->timer ? sys->stimecmp : UINT64_MAX;
}

unsigned sys_poll(struct hart_sys *sys)
{
    sys_update_timer(sys);
    if (sys_has(sys, SYS_SSCOFPMF))
        counters_settle(sys, UINT32_MAX);
    return sys_interrupt_effect(sys);
}
