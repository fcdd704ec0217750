/* --strace: one line for each system call of the guest, in the form that strace(1) made known.
 *
 * Lines go to what was standard error when the first program was started: a descriptor of the monitor's own, which guests
 * neither see nor close, and which programs started by execve() inherit.
 * Threads: any; a line is one write. */
#ifndef PROCESS_STRACE_H
#define PROCESS_STRACE_H

#include "base/util.h"
#include "process/systable.h"

/* Made when the first line is written; lives as long as the process. */
struct strace {
    int fd;
    _Atomic bool several; /* there is or was more than one thread or process */
    bool owned;           /* `fd` is the monitor's own, not the guest's standard error */
};

/* The monitor's own descriptor, or -1. */
static inline int strace_fd(const struct process *p)
{
    const struct strace *s = p->strace;
    return s && s->owned ? s->fd : -1;
}

static inline bool strace_owns(const struct process *p, int fd)
{
    return unlikely(p->strace) && strace_fd(p) == fd;
}

/* A line that is being made: what is known before the call, then the rest. */
struct strace_line {
    char text[2048];
    size_t length;
    unsigned shown; /* arguments that are in `text` */
};

void strace_enter(struct strace_line *line, struct thread *t, const struct syscall_row *row,
                  const struct sysargs *args);
void strace_leave(struct strace_line *line, struct thread *t, const struct syscall_row *row,
                  const struct sysargs *args, int64_t result);

/* A signal is delivered to the guest. Does nothing without --strace. */
void strace_signal(struct thread *t, const siginfo_t *info);

/* Around execve() of another monitor: it shall inherit the descriptor (true), or that has failed (false). */
void strace_inherit(const struct process *p, bool inherit);

/* Names of a value of a table, as "A|B|0x10"; strace_names.c. Returns as snprintf(). */
int strace_names(enum name_table table, uint64_t value, char *text, size_t size);

#endif
