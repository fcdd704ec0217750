/* --strace: one line for each system call of the guest, in the form that strace(1) made known.
 *
 * Lines go to what was standard error when the first program was started (config->report_fd).
 * Threads: any; a line is one write. */
#ifndef PROCESS_STRACE_H
#define PROCESS_STRACE_H

#include "base/util.h"
#include "process/systable.h"

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

/* Names of a value of a table, as "A|B|0x10"; strace_names.c. Returns as snprintf(). */
int strace_names(enum name_table table, uint64_t value, char *text, size_t size);

#endif
