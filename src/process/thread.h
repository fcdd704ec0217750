/* The dispatcher of a process VM: it runs a thread's hart and serves what the hart comes back with; and the life of
 * threads and processes: clone, fork, vfork, exit.
 *
 * Threads: a thread object is its host thread's own, but for the list in its process, which p->lock protects.
 * Lifetime: thread_new() ... thread_free(); thread_exit() does it for a thread that ends.
 * Source: clone(2), exit(2), set_robust_list(2), set_tid_address(2). */
#ifndef PROCESS_THREAD_H
#define PROCESS_THREAD_H

#include "process/process.h"

/* A thread object with the registers of `parent` (NULL: the first thread's, zero) and the mask `sigmask`; it belongs to
 * no host thread yet. NULL when memory is short. */
struct thread *thread_new(struct process *p, const struct thread *parent, uint64_t sigmask);
void thread_free(struct thread *t);

/* The calling host thread becomes `t`: current, tid, the process's list. All signals of the guest are blocked. */
void thread_adopt(struct thread *t);

/* Runs guest code until the thread ends. */
_Noreturn void thread_run(struct thread *t);

/* System calls. -errno or result; thread_exit() and thread_exit_group() do not return. */
int64_t sys_clone(struct thread *t, uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t tls,
                  uint64_t child_tid);
int64_t sys_clone3(struct thread *t, uint64_t args, uint64_t size);
int64_t sys_set_tid_address(struct thread *t, uint64_t address);
int64_t sys_set_robust_list(struct thread *t, uint64_t head, uint64_t size);
int64_t sys_get_robust_list(struct thread *t, uint64_t pid, uint64_t head, uint64_t size);
_Noreturn void thread_exit(struct thread *t, int status);
_Noreturn void thread_exit_group(struct thread *t, int status);

/* Marks what the ending thread holds of robust mutexes as left by a dead owner, and wakes who waits; robust.c. */
void robust_list_leave(struct thread *t);

/* The same for the thread that ends its whole process, where the host's kernel does not do it. */
void robust_list_leave_group(struct thread *t);

/* *address = 0 in guest memory, and a wake-up for one who waits there: what CLONE_CHILD_CLEARTID asks for. */
void thread_clear_tid(const struct thread *t, uint64_t address);

/* Adds what the hart has counted to the process's counts: its thread ends. */
void process_count(struct process *p, const struct hart *hart);

/* The counters of --stats, printed at the end of the process when asked for. */
void process_print_stats(struct process *p);

#endif
