/* A thread of the monitor's own beside those of the guest, which does what they can do without. It begins when there
 * is work, and ends when there has been none for a while: then the kernel has a process of so many threads as the
 * guest knows.
 *
 * It has no signals: all are blocked. It shares the process's memory, files and directories, as libc's threads do,
 * keeps nothing of them, and has the ids of the thread that it began for.
 *
 * Threads: any thread of the process. Lifetime: host_worker_init() ... host_worker_release().
 * Source: pthreads(7), tgkill(2). */
#ifndef HOST_WORKER_H
#define HOST_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct host_worker {
    pthread_mutex_t lock; /* of all below that does not say otherwise */
    pthread_cond_t changed;
    void (*work)(void *context, unsigned number); /* constant */
    void *context;
    unsigned posted, begun; /* pieces of work */
    _Atomic unsigned done;  /* of those; written by the thread */
    pthread_t thread;
    int tid;         /* of the latest thread, once it runs */
    unsigned pauses; /* under way */
    bool exists;     /* `thread` is there, or has ended and was not joined */
    bool ended;      /* or is about to, of itself */
    bool joining;    /* somebody waits for its end */
};

/* `work` is called on the thread, once for each piece of work, in their order, numbered from 0 on. */
void host_worker_init(struct host_worker *worker, void (*work)(void *context, unsigned number),
                      void *context);

/* Waits for the end of the thread. */
void host_worker_release(struct host_worker *worker);

/* Another piece of work; the thread sees what was written before. False: there is no thread to do it, now, and it is
 * none. */
bool host_worker_post(struct host_worker *worker);

/* How many pieces are done; the caller sees what the thread wrote for them. */
static inline unsigned host_worker_done(const struct host_worker *worker)
{
    return atomic_load_explicit(&worker->done, memory_order_acquire);
}

/* Between these there is no thread, for the kernel neither. Waits for the piece that is under way; others are left for
 * later. */
void host_worker_pause(struct host_worker *worker);
void host_worker_resume(struct host_worker *worker);

/* Around fork(), by the thread that calls it. In the child there is no thread, no pause, and
 * pieces of work are counted anew. */
void host_worker_fork_prepare(struct host_worker *worker);
void host_worker_fork_done(struct host_worker *worker, bool child);

/* May the calling thread and another one run at the same time? */
bool host_worker_is_of_use(void);

#endif
