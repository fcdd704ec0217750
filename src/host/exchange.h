/* A compare-and-exchange that survives a bad address. Threads: any. The owner's SIGSEGV/SIGBUS handler must call
 * host_exchange_fault(). */
#ifndef HOST_EXCHANGE_H
#define HOST_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

/* If *at is `expected` it becomes `desired`, atomically; *seen is what was there. Returns 0 or -EFAULT. */
int host_exchange32(uint32_t *at, uint32_t expected, uint32_t desired, uint32_t *seen);

/* In a signal handler: if the fault happened in host_exchange32(), makes it return -EFAULT and says true. */
bool host_exchange_fault(void *ucontext);

#endif
