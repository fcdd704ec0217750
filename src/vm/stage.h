/* A step of a longer work, done by a child process whose output is read a line at a time. SIGINT, SIGTERM and SIGHUP
 * end the step; they stay pending, so that the caller can clean up before they take effect (stage_signals).
 *
 * Threads: the calling process should have one thread. Lifetime: of the call. */
#ifndef VM_STAGE_H
#define VM_STAGE_H

#include <guise.h>
#include <signal.h>

struct stage {
    /* In the child. Returns only on failure; its error is printed as a line. */
    int (*run)(void *context, struct guise_error *err);
    void *context;
    void (*line)(void *context, const char *line);
    void *line_context;
};

/* Blocks the signals that end a stage; *before gets the mask to go back to with sigprocmask(2). */
void stage_signals_hold(sigset_t *before);

/* Runs a stage to its end. Returns 0, GUISE_E_GUEST when the child failed, GUISE_E_SYSTEM (interrupted, no process). */
int stage_run(const struct stage *stage, struct guise_error *err);

#endif
