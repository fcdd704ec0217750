/* The Advanced Interrupt Architecture: the order of interrupts, registers behind miselect and siselect, virtual
 * interrupts. External interrupts are those of an IMSIC, if the hart has one: then other interrupts, too, have priorities
 * that software may set. */
#include "cpu/riscv/sys_internal.h"

enum { PRIORITY_FIRST = 0x30, PRIORITY_END = 0x40 };

/* Priority numbers: lower ones go first. */
enum {
    NO_IDENTITY = 256,  /* of an external interrupt that the IMSIC does not tell */
    LOWEST = 0x1000,    /* of an interrupt without a number: below all external ones */
    REPORTED_MAX = 255, /* as mtopi and stopi tell it */
    REPORTED_ANY = 1,   /* where nothing has a number */
};

static const uint8_t external[SYS_LEVELS] = {IRQ_MEI, IRQ_SEI};

/* ---- Virtual interrupts ---- */

uint64_t aia_mvien_writable(const struct hart_sys *sys)
{
    return sys_irq_known(sys) & (BIT(IRQ_SSI) | BIT(IRQ_SEI) | BIT(IRQ_LCOFI));
}

/* The bits of mvip that are software's of mip: SEI always, SSI unless it is virtual, STI as mip has it. */
static uint64_t aliases(const struct hart_sys *sys)
{
    return BIT(IRQ_SEI) | (BIT(IRQ_SSI) & ~sys->mvien) | (BIT(IRQ_STI) & sys_irq_writable(sys));
}

uint64_t aia_mvip(const struct hart_sys *sys)
{
    uint64_t written = atomic_load_explicit(&sys->mip, memory_order_acquire);
    return merge(sys->mvip, written, aliases(sys));
}

void aia_write_mvip(struct hart_sys *sys, const struct csr_write *w)
{
    uint64_t own = aia_mvien_writable(sys) & ~aliases(sys);
    sys_write_pending(sys, w, aliases(sys));
    sys->mvip = merge(sys->mvip, w->value, w->touched & own);
}

/* ---- Priorities ---- */

/* Interrupts whose priority may be set: those that may be enabled at the level, but for its external one. */
static uint64_t prioritized(const struct hart_sys *sys, enum sys_level level)
{
    uint64_t enabled = level == SYS_MACHINE ? UINT64_MAX : sys->mideleg | sys->mvien;
    return sys->aia[level].file ? sys_irq_known(sys) & enabled & ~BIT(external[level]) : 0;
}

static unsigned number_of(const struct hart_sys *sys, enum sys_level level, unsigned irq)
{
    const struct sys_aia *aia = &sys->aia[level];
    if (!aia->file)
        return 0;
    if (irq != external[level])
        return aia->priority[irq];
    unsigned identity = interrupt_file_top(aia->file);
    return identity ? identity : NO_IDENTITY;
}

/* None here comes before the external interrupts by default. */
static unsigned rank(const struct hart_sys *sys, enum sys_level level, unsigned irq)
{
    unsigned number = number_of(sys, level, irq);
    return number ? number : LOWEST;
}

/* Of equal ones the first of the default order, "Defined major interrupts and default priorities". */
unsigned aia_first(const struct hart_sys *sys, enum sys_level level, uint64_t irqs)
{
    static const uint8_t order[] = {IRQ_MEI, IRQ_MSI, IRQ_MTI, IRQ_SEI, IRQ_SSI, IRQ_STI, IRQ_LCOFI};
    unsigned first = 0, best = LOWEST + 1;
    if (!(irqs & (irqs - 1)))
        return (unsigned)__builtin_ctzll(irqs);
    for (unsigned i = 0; i < sizeof(order); i++) {
        if (!(irqs >> order[i] & 1))
            continue;
        unsigned this = rank(sys, level, order[i]);
        if (this < best) {
            best = this;
            first = order[i];
        }
    }
    return first;
}

static unsigned reported(const struct hart_sys *sys, enum sys_level level, unsigned irq)
{
    unsigned number = rank(sys, level, irq);
    if (!sys->aia[level].file)
        return REPORTED_ANY;
    return number < REPORTED_MAX ? number : REPORTED_MAX;
}

uint64_t aia_topi(const struct hart_sys *sys, enum sys_level level)
{
    uint64_t irqs = level == SYS_MACHINE ? sys_machine_wanted(sys) : sys_supervisor_wanted(sys);
    if (!irqs)
        return 0;
    unsigned irq = aia_first(sys, level, irqs);
    return (uint64_t)irq << 16 | reported(sys, level, irq);
}

/* An identity is its own priority. */
uint64_t aia_topei(const struct hart_sys *sys, enum sys_level level)
{
    uint64_t identity = interrupt_file_top(sys->aia[level].file);
    return identity << 16 | identity;
}

/* ---- Registers behind a window: at this width, those with even numbers ---- */

bool aia_is_priority(const struct hart_sys *sys, enum sys_level level)
{
    uint64_t number = sys->aia[level].select;
    return number >= PRIORITY_FIRST && number < PRIORITY_END && number % 2 == 0;
}

bool aia_is_file(const struct hart_sys *sys, enum sys_level level)
{
    uint64_t number = sys->aia[level].select;
    return sys->aia[level].file && number >= INTERRUPT_FILE_DELIVERY && number < INTERRUPT_FILE_END &&
           (number < INTERRUPT_FILE_PENDING || number % 2 == 0);
}

/* Eight numbers in a register, from that of this interrupt on. */
static unsigned first_of_register(const struct hart_sys *sys, enum sys_level level)
{
    return (unsigned)(sys->aia[level].select - PRIORITY_FIRST) * 4;
}

static uint64_t read_priorities(const struct hart_sys *sys, enum sys_level level)
{
    unsigned first = first_of_register(sys, level);
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        if (prioritized(sys, level) >> (first + i) & 1)
            value |= (uint64_t)sys->aia[level].priority[first + i] << 8 * i;
    return value;
}

static void write_priorities(struct hart_sys *sys, enum sys_level level, uint64_t value)
{
    unsigned first = first_of_register(sys, level);
    for (unsigned i = 0; i < 8; i++)
        if (prioritized(sys, level) >> (first + i) & 1)
            sys->aia[level].priority[first + i] = (uint8_t)(value >> 8 * i);
}

uint64_t aia_read(const struct hart_sys *sys, enum sys_level level)
{
    if (aia_is_priority(sys, level))
        return read_priorities(sys, level);
    return interrupt_file_read(sys->aia[level].file, (unsigned)sys->aia[level].select);
}

void aia_write(struct hart_sys *sys, enum sys_level level, const struct csr_write *w)
{
    if (aia_is_priority(sys, level))
        write_priorities(sys, level, w->value);
    else
        interrupt_file_write(sys->aia[level].file, (unsigned)sys->aia[level].select, w->value, w->touched);
}
