/* The firmware that is built in: the calls of a kernel in S-mode to what is below it.
 *
 * Threads: a call is served on the thread of the hart that makes it, while the hart is outside of its engine.
 * Lifetime: none.
 * Source: RISC-V Supervisor Binary Interface Specification 2.0; the extensions BASE, TIME, IPI, RFENCE, HSM, SRST,
 * PMU, DBCN and SUSP. The legacy calls of version 0.1 are not there. */
#ifndef MACHINE_SBI_H
#define MACHINE_SBI_H

#include "machine/harts.h"

enum sbi_error {
    SBI_SUCCESS = 0,
    SBI_ERR_FAILED = -1,
    SBI_ERR_NOT_SUPPORTED = -2,
    SBI_ERR_INVALID_PARAM = -3,
    SBI_ERR_DENIED = -4,
    SBI_ERR_INVALID_ADDRESS = -5,
    SBI_ERR_ALREADY_AVAILABLE = -6,
    SBI_ERR_ALREADY_STARTED = -7,
    SBI_ERR_ALREADY_STOPPED = -8,
    SBI_ERR_NO_SHMEM = -9,
};

struct sbi_call {
    struct machine_hart *hart; /* who calls */
    uint64_t argument[6];      /* a0 to a5 */
    uint64_t value;            /* a1 afterwards; 0 unless the function sets it */
    bool elsewhere;            /* the hart goes on somewhere else, and gets no answer */
};

/* Returns an enum sbi_error, which a0 gets. */
typedef long (*sbi_function)(struct sbi_call *call);

struct sbi_extension {
    uint32_t id;
    unsigned count;                /* functions */
    const sbi_function *functions; /* by number; NULL: not supported */
};

extern const struct sbi_extension sbi_base, sbi_time, sbi_ipi, sbi_rfence, sbi_hsm, sbi_srst, sbi_pmu,
    sbi_dbcn, sbi_susp;

/* Is there such an extension? NULL: no. */
const struct sbi_extension *sbi_find(uint64_t id);

/* Serves the ECALL that the hart's engine came back with. */
void sbi_call(struct machine_hart *hart);

/* Harts as a mask and the number of its lowest bit name them; -1 as that number: all. Returns false when one of them
 * is not there. */
bool sbi_harts(const struct machine *machine, uint64_t mask, uint64_t base, uint64_t *harts);

#endif
