/* Signals of the host without libc in between: all 64 numbers, libc's own two included, belong to the guest.
 *
 * Threads: any; masks are the calling thread's. Masks have bit n-1 for signal n. All of it is async-signal-safe.
 * Source: sigaction(2), sigprocmask(2); Linux x86-64 struct sigaction and struct ucontext. */
#ifndef HOST_SIGNAL_H
#define HOST_SIGNAL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

typedef void host_signal_fn(int number, siginfo_t *info, void *ucontext);

/* As the kernel has it. `restorer` is filled by host_sigaction(). */
struct host_sigaction {
    uint64_t handler; /* SIG_DFL, SIG_IGN or a host_signal_fn */
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};

/* Either may be NULL. Handlers always get three arguments. Returns 0 or -errno. */
int host_sigaction(int number, const struct host_sigaction *action, struct host_sigaction *old);

/* Replaces the mask; returns the one before. */
uint64_t host_sigmask(uint64_t mask);
uint64_t host_sigmask_now(void);

/* In a handler: the interrupted pc; is it in a system call of host/syscall.h, where no instruction can fault; and the
 * mask that the handler's return puts in force. */
uint64_t host_context_pc(const void *ucontext);
bool host_context_at_call(const void *ucontext);
void host_context_set_mask(void *ucontext, uint64_t mask);

/* In a handler for a fault: was it a write? */
bool host_context_writes(const void *ucontext);

/* In a handler: the interrupted registers, numbered as instructions number them; of xmm0 to xmm15 the low halves. And
 * where the handler's return goes instead of where it came from. */
enum { HOST_SP = 4 };
void host_context_registers(const void *ucontext, uint64_t integer[16], uint64_t fp[16]);
void host_context_set_pc(void *ucontext, const void *pc);
void host_context_set_sp(void *ucontext, const void *sp);

/* Shall SIGTRAP come after each instruction that is executed when the handler has returned? */
void host_context_set_step(void *ucontext, bool step);

#endif
