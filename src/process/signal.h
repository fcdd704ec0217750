/* Signals of the guest: the host's kernel selects, queues and interrupts; the monitor builds frames.
 *
 * A signal that the guest ignores or leaves to its default has that same disposition at the host, so the kernel ends,
 * stops or continues the process as it would a native one. A signal that the guest handles (and MONITOR_SIGNALS) has the
 * monitor's handler, which queues it in the current thread, blocks everything until the guest's frame is built, and kicks
 * the hart. The host's signal mask is the guest's (MONITOR_SIGNALS apart).
 * Source: signal(7), sigaction(2); Linux riscv rt_sigframe. */
#ifndef PROCESS_SIGNAL_H
#define PROCESS_SIGNAL_H

#include "process/process.h"

#define SIGNAL_BIT(number) ((uint64_t)1 << ((number)-1))

/* What the monitor needs itself. */
#define MONITOR_SIGNALS (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGTRAP))

/* Which no guest can block or handle. */
#define SIGNAL_UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))

/* siginfo as riscv64 and x86-64 Linux share it: 128 bytes. */
union guest_siginfo {
    siginfo_t info;
    char bytes[128];
};

/* Takes over dispositions inherited from before the start, and the signals that the monitor needs. Once a process. */
void signal_start_process(struct process *p);

/* Undoes it: no guest comes to run. */
void signal_cancel_process(struct process *p);

/* Once for each thread object, before signals can reach it. `mask` is the guest's; it is in force once the thread itself
 * calls signal_set_mask(). Returns 0 or -ENOMEM. */
int signal_start_thread(struct thread *t, uint64_t mask);
void signal_end_thread(struct thread *t);

/* Blocks, for the calling host thread and until signal_set_mask(), all signals save those that the monitor needs to reach
 * guest memory; or all, where no guest memory is touched. */
void signal_block_guest(void);
void signal_block_all(void);

/* Delivers what is queued and deliverable, by frames on the guest's stack or by ending the process; called by the
 * dispatcher when hart.pending is set, and after each system call that was interrupted. */
void signal_deliver(struct thread *t);

/* A trap of the guest becomes a signal that cannot be blocked or ignored (force_sig_fault). */
void signal_force(struct thread *t, int number, int code, uint64_t address);

/* Sets the guest's mask of this thread, and the host's with it. */
void signal_set_mask(struct thread *t, uint64_t mask);

/* For calls that wait with another mask (sigsuspend, ppoll, pselect6, epoll_pwait): the mask is in force for the wait
 * and until a handler's frame is built, which saves the old one. */
void signal_swap_mask(struct thread *t, uint64_t mask);

/* Does one of the signals wait in the monitor, because the guest blocks it and the host must not? */
bool signal_is_held(const struct thread *t, uint64_t set);

/* Dies as the guest would: host's default action for the signal, same core message. Does not return. */
_Noreturn void signal_die(struct thread *t, int number);

/* In the child of a fork: signals that wait are the parent's. */
void signal_fork_child(struct thread *t);

/* CLONE_CLEAR_SIGHAND: what the guest handles gets its default action; what it ignores stays ignored. */
void signal_clear_handlers(struct process *p);

/* Gives signals that wait in the monitor back to the host's kernel, because this thread is about to end: those for the
 * process go to another one. All signals are blocked. */
void signal_give_back(struct thread *t);

/* Around an execve() of the host: mask and dispositions become those that the new program must inherit; and, when it
 * failed, those of before. In between guest memory must not be touched. */
void signal_exec_prepare(struct thread *t);
void signal_exec_failed(struct thread *t);

/* System calls. -errno or result. */
int64_t sys_rt_sigaction(struct thread *t, uint64_t number, uint64_t act, uint64_t old, uint64_t size);
int64_t sys_rt_sigprocmask(struct thread *t, uint64_t how, uint64_t set, uint64_t old, uint64_t size);
int64_t sys_rt_sigreturn(struct thread *t);
int64_t sys_sigaltstack(struct thread *t, uint64_t stack, uint64_t old);
int64_t sys_rt_sigsuspend(struct thread *t, uint64_t set, uint64_t size);
int64_t sys_rt_sigpending(struct thread *t, uint64_t set, uint64_t size);
int64_t sys_rt_sigtimedwait(struct thread *t, uint64_t set, uint64_t info, uint64_t timeout, uint64_t size);

#endif
