/* Performance counters of a hart, as the SBI's extension PMU numbers them: cycles, instructions, and the programmable
 * ones.
 *
 * Threads: the hart's. Lifetime: embedded in its owner, zero at first. */
#ifndef MACHINE_SBI_PMU_H
#define MACHINE_SBI_PMU_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SBI_PMU_CYCLE = 0,
    SBI_PMU_INSTRET = 1,
    SBI_PMU_PROGRAMMABLE = 2, /* mhpmcounter3 and those behind it */
    SBI_PMU_COUNTERS = 31,
};

struct sbi_pmu {
    uint32_t used;    /* counters that an event was given to, bits */
    uint32_t started; /* counters that count for the kernel, bits */
};

void sbi_pmu_reset(struct sbi_pmu *pmu);

#endif
