/* The privileged architecture of one hart: modes, control and status registers, traps, interrupts, counters. A hart
 * of a process VM has none of it. Address translation is in mmu.h, physical memory protection in pmp.h.
 *
 *                  sys_csr()          CSR instructions
 *   engine ──────> sys_trap()         exceptions, interrupts that sys_interrupt() tells   ──> struct hart_sys
 *                  sys_mret() ...     privileged instructions                                     │ sys_ops
 *                                                                                                 v
 *   interrupt controllers, other harts ──> sys_set_line(), sys_raise_ssi()        owner: time, guest memory, FPU
 *
 * Nothing here runs instructions or knows an engine: the functions change the state and say what else has changed.
 * When sys_csr(), sys_mret(), sys_sret() or sys_poll() tell SYS_INTERRUPT, and after each sys_trap(), the engine asks
 * sys_interrupt() before the next instruction. A kicked hart clears what it was kicked with, by an operation that
 * acquires, then calls sys_poll().
 *
 * Threads: the hart's own, sys_set_line() and sys_raise_ssi() apart, which any thread may call (and then kicks the
 * hart).
 * Lifetime: embedded in its owner, who is found from it by container_of; sys_init(), nothing to release. All but
 * `ops` and interrupt files is plain data, the state that a snapshot holds; the clocks of sys_ops go on where they
 * stopped.
 * Source: The RISC-V Instruction Set Manual, volume II (privileged), version 1.13: "Control and Status Registers",
 * "Machine-Level ISA", "Supervisor-Level ISA"; profile RVA22S64; The RISC-V Advanced Interrupt Architecture,
 * version 1.0. */
#ifndef CPU_RISCV_SYS_H
#define CPU_RISCV_SYS_H

#include "bus/interrupt_file.h"
#include "cpu/riscv/sys_bits.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct hart_sys;

enum { PMP_COUNT = 16, COUNTER_COUNT = 32, STATEEN_COUNT = 4, IRQ_COUNT = 64 };

enum sys_cas {
    SYS_CAS_DONE,
    SYS_CAS_OTHER, /* memory holds another value */
    SYS_CAS_FAULT, /* no writable memory is there */
};

/* What the hart needs from its owner. Called on the hart's thread. */
struct sys_ops {
    uint64_t (*time)(const struct hart_sys *);    /* ticks of mtime; never goes back */
    uint64_t (*cycles)(const struct hart_sys *);  /* clock cycles; never goes back */
    uint64_t (*retired)(const struct hart_sys *); /* instructions retired before the one under way */
    uint32_t (*fcsr)(const struct hart_sys *);    /* frm << 5 | fflags */
    void (*set_fcsr)(struct hart_sys *, uint32_t fcsr);
    bool (*entropy)(struct hart_sys *, uint16_t *bits); /* false: none now, ask again */

    /* Page-table entries in guest-physical memory, 8 bytes, aligned, little-endian, atomic. */
    bool (*load64)(struct hart_sys *, uint64_t gpa, uint64_t *value); /* false: no memory is there */
    enum sys_cas (*cas64)(struct hart_sys *, uint64_t gpa, uint64_t expected, uint64_t desired);
};

/* Optional extensions: their CSRs and fields exist, or are illegal and read-only zero. */
enum sys_feature {
    SYS_SSTC = 1 << 0,
    SYS_SSCOFPMF = 1 << 1,
    SYS_SMSTATEEN = 1 << 2,
    SYS_SVADU =
        1 << 3, /* without it, and while menvcfg.ADUE is 0, Svade holds: A and D bits are software's */
    SYS_SVPBMT = 1 << 4,
    SYS_SVNAPOT = 1 << 5,
    SYS_ZKR = 1 << 6,
    SYS_ZICBOM = 1 << 7,
    SYS_ZICBOZ = 1 << 8,
    SYS_SMAIA = 1 << 9,  /* Advanced Interrupt Architecture: what it adds for M-mode ... */
    SYS_SSAIA = 1 << 10, /* ... and for S-mode */
};

/* What the hart is. */
struct sys_config {
    uint64_t hartid; /* mhartid */
    uint64_t mimpid; /* mimpid */
    uint64_t
        misa; /* MISA_LETTER()s; 'F' decides whether there is an fcsr, 'V' whether mstatus.VS may be set */
    uint32_t features; /* enum sys_feature */
    uint8_t satp_mode; /* the largest SATP_...; the smaller ones are there, too */
};

struct sys_counter {
    uint64_t value; /* at the last settlement */
    uint64_t seen;  /* what its source said then */
};

/* Of the Advanced Interrupt Architecture, for each level that takes interrupts. */
enum sys_level { SYS_MACHINE, SYS_SUPERVISOR, SYS_LEVELS };

struct sys_aia {
    struct interrupt_file *file; /* borrows; of the hart's IMSIC; NULL: there is none */
    uint64_t select;             /* miselect, siselect */
    uint8_t priority[IRQ_COUNT]; /* the array iprio */
};

struct hart_sys {
    const struct sys_ops *ops; /* borrows */
    struct sys_config config;

    /* Machine level. CSRs with fields that are read-only, or views, hold what is kept; reading adds the rest. */
    uint64_t mode;                    /* enum priv: "Privilege Levels"; whole, for translated code */
    uint64_t mstatus;                 /* "Machine Status": without SD, UXL, SXL, XS */
    uint64_t medeleg;                 /* "Machine Trap Delegation" */
    uint64_t mideleg;                 /* "Machine Trap Delegation" */
    uint64_t mie;                     /* "Machine Interrupt" */
    uint64_t mtvec;                   /* "Machine Trap-Vector Base-Address" */
    uint64_t mscratch;                /* "Machine Scratch" */
    uint64_t mepc;                    /* "Machine Exception Program Counter" */
    uint64_t mcause;                  /* "Machine Cause" */
    uint64_t mtval;                   /* "Machine Trap Value" */
    uint64_t menvcfg;                 /* "Machine Environment Configuration" */
    uint64_t mseccfg;                 /* "Machine Security Configuration", Zkr */
    uint64_t mstateen[STATEEN_COUNT]; /* Smstateen; what sstateen0..3 control is not there: they are zero */

    /* Interrupts: a cause is pending when it is in one of these or, STI with Sstc, in `timer`. */
    _Atomic uint64_t mip;   /* "Machine Interrupt": what software writes: SSI (any thread), STI, SEI, LCOFI */
    _Atomic uint64_t lines; /* levels of interrupt controllers: MSI, MTI, MEI, SEI; any thread */
    uint64_t
        timer; /* Sstc: 1 when time had reached stimecmp when that was last looked at; whole, as `mode` */

    /* Advanced Interrupt Architecture: "Interrupt filtering and virtual interrupts for supervisor level". */
    uint64_t mvien;
    uint64_t mvip; /* of what is not a bit of `mip` */
    uint64_t vsie; /* the bits of sie that mvien, and not mideleg, makes writable */
    struct sys_aia aia[SYS_LEVELS];

    /* Supervisor level; sstatus, sie and sip are views of machine-level registers. */
    uint64_t stvec;    /* "Supervisor Trap Vector Base Address" */
    uint64_t sscratch; /* "Supervisor Scratch" */
    uint64_t sepc;     /* "Supervisor Exception Program Counter" */
    uint64_t scause;   /* "Supervisor Cause" */
    uint64_t stval;    /* "Supervisor Trap Value" */
    uint64_t senvcfg;  /* "Supervisor Environment Configuration" */
    uint64_t satp;     /* "Supervisor Address Translation and Protection" */
    uint64_t stimecmp; /* Sstc */

    /* Counters: "Hardware Performance Monitor", Sscofpmf. */
    uint32_t mcounteren, scounteren, mcountinhibit;
    uint32_t filtered;                         /* counters that do not count in every mode, bits */
    struct sys_counter counter[COUNTER_COUNT]; /* mcycle, none, minstret, mhpmcounter3..31 */
    uint64_t mhpmevent[COUNTER_COUNT];         /* from 3 */

    /* "Physical Memory Protection" */
    uint8_t pmpcfg[PMP_COUNT];
    uint64_t pmpaddr[PMP_COUNT];
};

/* What has changed besides the register, for the engine. */
enum sys_effect {
    SYS_ILLEGAL = 1 << 0,   /* nothing was done: raise an illegal-instruction exception */
    SYS_CONTEXT = 1 << 1,   /* other translation from now on: satp, MPRV, MPP under MPRV, SUM, MXR */
    SYS_STALE = 1 << 2,     /* what was translated or checked before may be wrong: PMP, menvcfg.PBMTE, ADUE */
    SYS_INTERRUPT = 1 << 3, /* sys_interrupt() tells one */
    SYS_TIMER = 1 << 4,     /* sys_timer_deadline() tells another time */
    SYS_FP = 1 << 5,        /* floating point was switched on or off */
    SYS_ENVIRONMENT = 1 << 6, /* sys_cbo_...() may answer otherwise */
};

enum sys_csr_op {
    SYS_CSR_READ, /* csrrs, csrrc, csrrsi, csrrci of x0 or 0: does not write */
    SYS_CSR_WRITE,
    SYS_CSR_SET,
    SYS_CSR_CLEAR,
};

/* As after reset: machine mode, everything off ("Reset"). Also resets a hart that ran; other threads must not raise
 * interrupts meanwhile. Lines stay. */
void sys_init(struct hart_sys *sys, const struct sys_ops *ops, const struct sys_config *config);
void sys_reset(struct hart_sys *sys);

/* Gives the hart an IMSIC: the interrupt files of its levels (NULL: it has none), whose lines are MEI and SEI. Once,
 * before it runs. */
void sys_connect_files(struct hart_sys *sys, struct interrupt_file *machine,
                       struct interrupt_file *supervisor);

/* A CSR instruction in the current mode: reads into `old`, then writes. Returns a set of enum sys_effect. */
unsigned sys_csr(struct hart_sys *sys, unsigned number, enum sys_csr_op op, uint64_t operand, uint64_t *old);

/* ---- Traps ---- */

/* Enters the handler for a cause (interrupts with CAUSE_INTERRUPT) at `pc`; returns its address. The mode changes.
 * `tval`: the address that faults, the word of an illegal instruction, the pc of an EBREAK, else 0 (Sstvala). */
uint64_t sys_trap(struct hart_sys *sys, uint64_t cause, uint64_t tval, uint64_t pc);

/* The cause of an ecall in this mode. */
static inline uint64_t sys_ecall_cause(const struct hart_sys *sys)
{
    return CAUSE_ECALL_U + sys->mode;
}

/* Return from a trap: changes the mode and tells where to go on. Returns SYS_ILLEGAL alone or what has changed. */
unsigned sys_mret(struct hart_sys *sys, uint64_t *pc);
unsigned sys_sret(struct hart_sys *sys, uint64_t *pc);

/* ---- Instructions that are legal in some modes and settings ---- */

bool sys_wfi_legal(const struct hart_sys *sys);
bool sys_sfence_legal(const struct hart_sys *sys);       /* sfence.vma, sinval.vma */
bool sys_sfence_parts_legal(const struct hart_sys *sys); /* sfence.w.inval, sfence.inval.ir */

bool sys_cbo_clean_legal(const struct hart_sys *sys); /* cbo.clean, cbo.flush */
bool sys_cbo_zero_legal(const struct hart_sys *sys);
enum sys_cbo_inval { SYS_CBO_ILLEGAL, SYS_CBO_FLUSH, SYS_CBO_INVAL };
enum sys_cbo_inval sys_cbo_inval(const struct hart_sys *sys);

/* ---- Interrupts ---- */

/* The interrupt to take now, as a cause with CAUSE_INTERRUPT, for sys_trap(); 0 when there is none. */
uint64_t sys_interrupt(const struct hart_sys *sys);

/* Is one pending and enabled at any level, whatever the mode? Then a WFI ends. */
bool sys_wakes(const struct hart_sys *sys);

/* A level from an interrupt controller: MSI, MTI, MEI or SEI. Any thread; when it rises the caller kicks the hart. */
void sys_set_line(struct hart_sys *sys, unsigned irq, bool level);

/* Makes SSI pending, as an interrupt controller may (ACLINT SSWI, remote harts). Any thread; the caller kicks the
 * hart. */
void sys_raise_ssi(struct hart_sys *sys);

/* The `time` at which the supervisor's timer interrupt becomes pending; UINT64_MAX when it is or never will. The
 * owner kicks the hart then, and the hart calls sys_poll(). */
uint64_t sys_timer_deadline(const struct hart_sys *sys);

/* Brings what depends on the clocks up to date: the timer interrupt, counter overflows. Returns SYS_INTERRUPT or 0. */
unsigned sys_poll(struct hart_sys *sys);

/* ---- Floating-point state ---- */

static inline bool sys_fp_enabled(const struct hart_sys *sys)
{
    return sys->mstatus & MSTATUS_FS;
}

/* Floating-point state has changed. */
static inline void sys_fp_dirty(struct hart_sys *sys)
{
    sys->mstatus |= MSTATUS_FS;
}

#endif
