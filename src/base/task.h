/* Work handed over to another thread, which does it soon and once however often it was posted meanwhile.
 *
 * Threads: a task may be posted from any, also while it runs: then it runs again. What was written before the post is
 * seen by the run that follows. Lifetime: a task is embedded in the object it works for, and outlives the runner's last
 * round. */
#ifndef BASE_TASK_H
#define BASE_TASK_H

#include <stdatomic.h>
#include <stdbool.h>

struct task {
    void (*run)(void *object);
    void *object;
    struct task *next; /* the runner's */
    atomic_bool posted;
};

/* Who runs tasks; a value, copied into who posts. */
struct task_runner {
    void (*post)(void *object, struct task *task); /* never blocks for long, and runs nothing itself */
    void *object;
};

static inline void task_post(const struct task_runner *runner, struct task *task)
{
    if (!atomic_exchange(&task->posted, true))
        runner->post(runner->object, task);
}

/* For runners: `task` is no longer on any list. */
static inline void task_run(struct task *task)
{
    atomic_store(&task->posted, false);
    task->run(task->object);
}

#endif
