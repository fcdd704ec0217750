/* What the tests of the address space share: an empty one, and a handler that makes bad copies return. */
#ifndef TESTS_MM_FIXTURE_H
#define TESTS_MM_FIXTURE_H

#include "host/copy.h"
#include "process/mm.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)info;
    if (host_copy_fault(context))
        return;
    signal(number, SIG_DFL);
}

static inline void catch_faults(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* A test begins so: cmocka sets handlers of its own for each. */
static inline struct mm *enter(void **state)
{
    catch_faults();
    return *state;
}

static inline struct mm *new_mm(void)
{
    struct mm *mm = NULL;
    struct guise_error err = {0};
    if (mm_new(&mm, 39, &err))
        fail_msg("%s", err.text);
    return mm;
}

static inline int mm_setup(void **state)
{
    *state = new_mm();
    return 0;
}

static inline int mm_teardown(void **state)
{
    mm_free(*state);
    return 0;
}

#endif
