/* The processor's own counter, which is read several times faster than the system's clock. How long a tick is the caller finds
 * out by comparing with that. Threads: any; counters of different processors agree where the counter is invariant, as on all
 * x86-64 processors of after 2008. */
#ifndef HOST_CLOCK_H
#define HOST_CLOCK_H

#include <stdint.h>

static inline uint64_t host_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

#endif
