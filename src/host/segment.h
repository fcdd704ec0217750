/* The base of the gs segment, which translated code adds to guest addresses at no cost.
 * Threads: each has its own; libc uses fs alone. Source: AMD64 Architecture Programmer's Manual, volume 3, WRGSBASE;
 * Linux Documentation/arch/x86/x86_64/fsgs.rst. */
#ifndef HOST_SEGMENT_H
#define HOST_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>

/* Does the kernel let programs set it without a system call? */
static inline bool host_has_gs(void)
{
    enum { HWCAP2_FSGSBASE = 2 };
    return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

/* Where host_has_gs() says so. */
static inline void host_set_gs(uint64_t base)
{
    __asm__ volatile("wrgsbase %0" : : "r"(base) : "memory");
}

#endif
