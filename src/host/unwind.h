/* Leaving a computation from a signal handler: a mark to return to, as with setjmp(), but the handler returns in the
 * ordinary way, so the kernel restores the signal mask and the floating-point unit of the interrupted code.
 * Threads: a mark belongs to the thread that made it. Lifetime: while the function that made it has not returned. */
#ifndef HOST_UNWIND_H
#define HOST_UNWIND_H

#include <stdint.h>

/* Callee-saved registers of the x86-64 psABI, stack pointer, return address. */
struct host_unwind {
    uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip;
};

/* Returns 0; and 1 when it is returned to. */
int host_unwind_mark(struct host_unwind *mark) __attribute__((returns_twice));

/* In a signal handler: on its return, execution goes on where host_unwind_mark() returns 1. */
void host_unwind_to(const struct host_unwind *mark, void *ucontext);

#endif
