/* The engines that run translated code. Private to cpu/riscv.
 * Threads: the hart's own. Lifetime: none. */
#ifndef CPU_RISCV_JIT_H
#define CPU_RISCV_JIT_H

#include "cpu/riscv/hart.h"

void jit_run(struct hart *hart);
void lockstep_run(struct hart *hart);

/* Runs translated code until it comes back; enum jit_reason, its value is in hart->jit. */
unsigned jit_enter(struct hart *hart, const void *entry);

/* The hart has come to the quick unit at its pc once more than that may be entered. */
void jit_promote(struct hart *hart);

/* A computer's code: what the back end has to know of its harts. */
void jit_system_machine(struct jit_machine *machine);

/* After JIT_FAULT: the hart becomes as it was at the instruction. hart->exit says what it is: EXIT_FAULT, or EXIT_PENDING when
 * the hart was asked to stop. */
void jit_fault_exit(struct hart *hart);

/* As interp_fault(), for faults in translated code. */
bool jit_fault(struct hart *hart, int host_signal, uint64_t host_address, void *ucontext);

/* See engine_interrupt(). */
void jit_interrupt(struct hart *hart, void *ucontext);

#endif
