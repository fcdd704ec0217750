/* What the driver (driver.S) executes, one case after the other, and what it records of each.
 *
 * Threads, lifetime: plain data. */
#ifndef SYS_CASES_H
#define SYS_CASES_H

#include "isa/riscv/isa.h"
#include "layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One instruction, or a jump, in some mode. */
struct sys_case {
    uint32_t word; /* the instruction; of registers it uses a0 and a1 alone */
    uint32_t mode; /* enum priv */
    uint64_t a0, a1;
    uint64_t pc;    /* where to execute: 0 for the place that has `word` */
    uint64_t set;   /* bits of mstatus before */
    uint64_t clear; /* takes place before `set` */
    uint64_t spare[2];
};

_Static_assert(sizeof(struct sys_case) == CASE_SIZE, "as driver.S has it");

/* The machine after a case, in the order in which driver.S stores it. */
/* clang-format off */
#define RECORD_FIELDS(X) \
    X(trapped) X(vector) X(a0) X(a1) X(mstatus) X(mcause) X(mepc) \
    X(mtval) X(medeleg) X(mideleg) X(mie) X(mip) X(mtvec) X(mscratch) \
    X(mcounteren) X(mcountinhibit) X(menvcfg) X(stvec) X(sscratch) X(sepc) X(scause) \
    X(stval) X(scounteren) X(senvcfg) X(satp) X(pmpcfg0) X(pmpcfg2)
/* clang-format on */

#define RECORD_ENUM(name) RECORD_##name,
enum { RECORD_FIELDS(RECORD_ENUM) RECORD_COUNT };
#undef RECORD_ENUM

struct sys_record {
    uint64_t field[RECORD_COUNT];
};

enum sys_profile {
    PROFILE_CSR,     /* CSR instructions and privileged instructions, traps and interrupts */
    PROFILE_TIMER,   /* the same with stimecmp, and menvcfg.STCE always set */
    PROFILE_PAGES,   /* loads, stores and jumps through random page tables */
    PROFILE_PMP,     /* loads, stores and jumps under random protection */
    PROFILE_STREAMS, /* pieces of code behind page tables, which change themselves, too */
    PROFILE_AIA,     /* the CSRs of the Advanced Interrupt Architecture, and messages */
    PROFILE_COUNT
};

enum { CASES_MAX = 4096, CSR_NUMBERS = 4096 };

/* What not to execute. */
struct case_limits {
    uint64_t csr[CSR_NUMBERS]; /* bits that are not named in operands; with all the CSR does not occur */
    bool row[RV_OP_COUNT];
    bool zero;  /* values of zero for CSR instructions */
    bool napot; /* entries of page tables with a reserved encoding of Svnapot */
};

/* Makes the cases of a seed; returns how many. */
unsigned cases_make(enum sys_profile profile, uint64_t seed, const struct case_limits *limits,
                    struct sys_case cases[CASES_MAX]);

#endif
