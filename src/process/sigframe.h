/* Signal frames on the guest's stack, as riscv64 Linux makes them, and the alternate stack that they may go to.
 * Threads: each concerns its own. Source: Linux riscv struct rt_sigframe, struct ucontext, struct sigcontext;
 * sigaltstack(2). */
#ifndef PROCESS_SIGFRAME_H
#define PROCESS_SIGFRAME_H

#include "process/signal.h"

/* Saves the hart in a new frame, with `mask` as the one to return to, and lets the hart go on in the handler.
 * Returns 0, or -EFAULT when there is no room: then nothing has changed. */
int sigframe_push(struct thread *t, const struct guest_sigaction *action, int number,
                  const union guest_siginfo *info, uint64_t mask);

/* Takes the frame at the stack pointer down: the hart and the alternate stack are restored, *mask is the frame's.
 * Returns 0, or -EFAULT or -EINVAL for a bad frame. */
int sigframe_pop(struct thread *t, uint64_t *mask);

#endif
