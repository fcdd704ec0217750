/* What a host thread needs to run translated code, whose stack pointer is a return stack of its own: that stack, one for
 * the host's signal handlers (which must be installed with SA_ONSTACK), and the base of guest addresses.
 *
 *   mapping: | guard | <-- return stack | guard | <-- signal stack |
 *
 * Threads: enter and leave concern the calling thread. Lifetime: host_guest_thread_map() ... host_guest_thread_unmap().
 * Source: sigaltstack(2), arch_prctl(2). */
#ifndef HOST_GUEST_THREAD_H
#define HOST_GUEST_THREAD_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct host_return_stack {
    uint8_t *guard; /* the page below it */
    uint64_t *base; /* its first word; some words above it are there too */
};

struct host_guest_thread {
    uint8_t *mapping; /* NULL: none */
    struct host_return_stack
        returns;          /* the one in use: at first the mapping's, then whichever is put there */
    stack_t outer;        /* the signal stack that was in use before */
    _Atomic int pid, tid; /* of the thread that has entered */
};

/* 0 or -errno. */
int host_guest_thread_map(struct host_guest_thread *thread);
void host_guest_thread_unmap(struct host_guest_thread *thread);

/* One more return stack. 0 or -errno. */
int host_return_stack_map(struct host_return_stack *stack);
void host_return_stack_unmap(struct host_return_stack *stack);

/* `base`: host address of guest address 0; when it is not 0, the gs segment gets it. */
void host_guest_thread_enter(struct host_guest_thread *thread, uint64_t base);
void host_guest_thread_leave(struct host_guest_thread *thread);

/* Was the access to `address` a push beyond the return stack? `sp`: the stack pointer. Async-signal-safe. */
bool host_guest_thread_overflows(const struct host_guest_thread *thread, uint64_t address, uint64_t sp);

/* Interrupts a thread by a SIGTRAP; is it one of those? */
void host_guest_thread_interrupt(int pid, int tid);
bool host_guest_thread_interrupted(const siginfo_t *info);

/* The calling thread is the one that has entered, in a child made by fork(). */
void host_guest_thread_fork_child(struct host_guest_thread *thread);

#endif
