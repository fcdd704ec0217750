/* Runs tasks (base/task.h) on an event loop's thread.
 *
 * Threads: posts come from any; the rest as host/loop.h. Lifetime: tasks_init() ... tasks_release(), after the last
 * post and while the loop does not run; what is posted then is not run. */
#ifndef HOST_TASKS_H
#define HOST_TASKS_H

#include "base/task.h"
#include "host/loop.h"

#include <pthread.h>

struct tasks {
    struct loop_source source;
    pthread_mutex_t lock; /* of the list */
    struct task *first, **last;
};

int tasks_init(struct tasks *tasks, struct loop *loop, struct guise_error *err);
void tasks_release(struct tasks *tasks);

struct task_runner tasks_runner(struct tasks *tasks);

#endif
