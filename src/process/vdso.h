/* The vDSO: a small riscv64 ELF shared object that the monitor assembles itself and maps into the guest.
 * Symbols, version LINUX_4.15: __vdso_rt_sigreturn, __vdso_gettimeofday, __vdso_clock_gettime, __vdso_clock_getres,
 * __vdso_getcpu, __vdso_flush_icache, __vdso_riscv_hwprobe. Source: vdso(7). */
#ifndef PROCESS_VDSO_H
#define PROCESS_VDSO_H

#include "process/mm.h"

/* Maps it; stores the address of its ELF header and of __vdso_rt_sigreturn. */
int vdso_map(struct mm *mm, uint64_t *base, uint64_t *sigreturn, struct guise_error *err);

#endif
