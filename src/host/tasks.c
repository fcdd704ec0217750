#include "host/tasks.h"

static void post(void *object, struct task *task)
{
    struct tasks *t = object;
    pthread_mutex_lock(&t->lock);
    task->next = NULL;
    *t->last = task;
    t->last = &task->next;
    pthread_mutex_unlock(&t->lock);
    loop_kick(&t->source);
}

/* Tasks that are posted meanwhile wait for the next round: one that posts itself cannot keep the loop. */
static void run(void *object, unsigned events)
{
    struct tasks *t = object;
    (void)events;
    pthread_mutex_lock(&t->lock);
    struct task *task = t->first, *next;
    t->first = NULL;
    t->last = &t->first;
    pthread_mutex_unlock(&t->lock);
    for (; task; task = next) {
        next = task->next;
        task_run(task);
    }
}

int tasks_init(struct tasks *t, struct loop *loop, struct guise_error *err)
{
    *t = (struct tasks){.source = {.fd = -1, .ready = run, .object = t}, .last = &t->first};
    pthread_mutex_init(&t->lock, NULL);
    return loop_add(loop, &t->source, 0, err);
}

void tasks_release(struct tasks *t)
{
    loop_remove(&t->source);
    pthread_mutex_destroy(&t->lock);
}

struct task_runner tasks_runner(struct tasks *t)
{
    return (struct task_runner){.post = post, .object = t};
}
