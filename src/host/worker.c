#include "host/worker.h"

#include "host/sanitize.h"
#include "host/signal.h"
#include "host/syscall.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NAME        "guise-worker"
#define STACK_BYTES ((size_t)128 << 10) /* beside what libc wants */

/* Without work for so long it ends. Beginning again takes about 50 microseconds. */
#define IDLE_NS 100000000

static void prepare(struct host_worker *w)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attr);
    pthread_condattr_destroy(&attr);
    w->pauses = 0;
    w->exists = w->ended = w->joining = false;
    w->posted = w->begun = 0;
    atomic_store(&w->done, 0);
}

void host_worker_init(struct host_worker *w, void (*work)(void *context, unsigned number), void *context)
{
    w->work = work;
    w->context = context;
    prepare(w);
}

void host_worker_release(struct host_worker *w)
{
    host_worker_pause(w);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
}

/* ---- The thread ---- */

static struct timespec idle_until(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += IDLE_NS;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static bool has_work(const struct host_worker *w)
{
    return w->posted != w->begun;
}

/* With the lock held. False: there is none. */
static bool wait_for_work(struct host_worker *w)
{
    const struct timespec until = idle_until();
    int error = 0;
    while (!has_work(w) && !w->pauses && !error)
        error = pthread_cond_timedwait(&w->changed, &w->lock, &until);
    return has_work(w) && !w->pauses;
}

static void *thread_main(void *worker)
{
    struct host_worker *w = worker;
    prctl(PR_SET_NAME, NAME, 0, 0, 0);
    pthread_mutex_lock(&w->lock);
    w->tid = (int)host_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
    while (wait_for_work(w)) {
        unsigned number = w->begun++;
        pthread_mutex_unlock(&w->lock);
        w->work(w->context, number);
        atomic_store_explicit(&w->done, number + 1, memory_order_release);
        pthread_mutex_lock(&w->lock);
    }
    w->ended = true;
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* libc knows a thread to be gone a moment before the kernel does. With the lock held, which is given up meanwhile. */
static void join(struct host_worker *w)
{
    pthread_t thread = w->thread;
    w->joining = true;
    pthread_mutex_unlock(&w->lock);
    pthread_join(thread, NULL);
    while (!host_syscall(SYS_tgkill, getpid(), w->tid, 0, 0, 0, 0))
        sched_yield();
    pthread_mutex_lock(&w->lock);
    w->exists = w->ended = w->joining = false;
    pthread_cond_broadcast(&w->changed);
}

/* With the lock held. */
static bool begin(struct host_worker *w)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, (size_t)sysconf(_SC_THREAD_STACK_MIN) + STACK_BYTES);
    uint64_t mask = host_sigmask(UINT64_MAX); /* it inherits */
    w->exists = !pthread_create(&w->thread, &attr, thread_main, w);
    host_sigmask(mask);
    pthread_attr_destroy(&attr);
    return w->exists;
}

/* ---- For the others ---- */

/* With the lock held: there is a thread, if there may be one. */
static bool thread_there(struct host_worker *w)
{
    if (w->exists && w->ended && !w->joining && !w->pauses)
        join(w);
    return !w->pauses && !w->joining && (w->exists || begin(w));
}

bool host_worker_post(struct host_worker *w)
{
    pthread_mutex_lock(&w->lock);
    bool able = thread_there(w);
    if (able) {
        w->posted++;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return able;
}

void host_worker_pause(struct host_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->pauses++;
    pthread_cond_broadcast(&w->changed);
    if (w->exists && !w->joining)
        join(w);
    while (w->joining)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

void host_worker_resume(struct host_worker *w)
{
    pthread_mutex_lock(&w->lock);
    if (--w->pauses == 0 && has_work(w))
        (void)thread_there(w); /* or when the next piece comes */
    pthread_mutex_unlock(&w->lock);
}

void host_worker_fork_prepare(struct host_worker *w)
{
    if (host_sanitize_keeps_lost_threads())
        host_worker_pause(w);
    pthread_mutex_lock(&w->lock);
}

void host_worker_fork_done(struct host_worker *w, bool child)
{
    pthread_mutex_unlock(&w->lock);
    if (child)
        prepare(w);
    else if (host_sanitize_keeps_lost_threads())
        host_worker_resume(w);
}

bool host_worker_is_of_use(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) || CPU_COUNT(&set) > 1;
}
