/* What the files of the privileged architecture share. Private to sys*.c, mmu.c and pmp.c.
 *
 * Threads: the hart's own. */
#ifndef CPU_RISCV_SYS_INTERNAL_H
#define CPU_RISCV_SYS_INTERNAL_H

#include "cpu/riscv/sys.h"

/* A CSR write in the making. */
struct csr_write {
    unsigned number;
    uint64_t old; /* what was read */
    uint64_t value;
    uint64_t
        touched; /* the bits that the instruction names: all, or those of the operand of a set or clear */
};

static inline bool sys_has(const struct hart_sys *sys, enum sys_feature feature)
{
    return sys->config.features & feature;
}

static inline bool sys_has_letter(const struct hart_sys *sys, char letter)
{
    return sys->config.misa & MISA_LETTER(letter);
}

/* `old` with the bits of `mask` from `new`. */
static inline uint64_t merge(uint64_t old, uint64_t new, uint64_t mask)
{
    return (old & ~mask) | (new &mask);
}

/* Changes the mode; counters that count in some modes notice. */
void sys_set_mode(struct hart_sys *sys, enum priv mode);

/* SYS_INTERRUPT when there is one to take. */
unsigned sys_interrupt_effect(const struct hart_sys *sys);

/* ---- sys_interrupt.c ---- */

uint64_t sys_pending(const struct hart_sys *sys);           /* all causes, mip as it is read */
uint64_t sys_irq_writable(const struct hart_sys *sys);      /* the bits of mip that M-mode may write */
uint64_t sys_irq_known(const struct hart_sys *sys);         /* the causes that there are */
uint64_t sys_machine_wanted(const struct hart_sys *sys);    /* pending and enabled at machine level */
uint64_t sys_supervisor_wanted(const struct hart_sys *sys); /* and at supervisor level */
void sys_write_pending(struct hart_sys *sys, const struct csr_write *w, uint64_t writable);
void sys_update_timer(struct hart_sys *sys);

/* ---- sys_aia.c: Advanced Interrupt Architecture ---- */

/* mvip as it is read. */
uint64_t aia_mvip(const struct hart_sys *sys);
void aia_write_mvip(struct hart_sys *sys, const struct csr_write *w);
uint64_t aia_mvien_writable(const struct hart_sys *sys);

/* Of these interrupts, which are pending at the level, the one to take first. */
unsigned aia_first(const struct hart_sys *sys, enum sys_level level, uint64_t irqs);

uint64_t aia_topi(const struct hart_sys *sys, enum sys_level level);
uint64_t aia_topei(const struct hart_sys *sys, enum sys_level level);

/* The register that miselect or siselect has chosen, if there is one. */
bool aia_is_priority(const struct hart_sys *sys, enum sys_level level);
bool aia_is_file(const struct hart_sys *sys, enum sys_level level);
uint64_t aia_read(const struct hart_sys *sys, enum sys_level level);
void aia_write(struct hart_sys *sys, enum sys_level level, const struct csr_write *w);

/* ---- sys_counter.c ---- */

void counters_reset(struct hart_sys *sys);
void counters_settle(struct hart_sys *sys, uint32_t which);
uint64_t counter_read(struct hart_sys *sys, unsigned index);
void counter_write(struct hart_sys *sys, unsigned index, uint64_t value);
void counters_inhibit(struct hart_sys *sys, uint32_t inhibited);
void counter_set_event(struct hart_sys *sys, unsigned index, uint64_t event);

#endif
