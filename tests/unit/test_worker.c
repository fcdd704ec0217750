/* The monitor's own thread: it does its work in order, is gone when nobody needs it, and in no child. */
#include "host/worker.h"

#include "host/sanitize.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIECES = 100 };

struct fixture {
    struct host_worker worker;
    unsigned seen[PIECES];
    _Atomic unsigned count;
    atomic_bool held; /* the work waits while it is set */
    sigset_t mask;    /* of the thread */
};

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void work(void *context, unsigned number)
{
    struct fixture *f = context;
    pthread_sigmask(SIG_BLOCK, NULL, &f->mask);
    f->seen[f->count++ % PIECES] = number;
    while (atomic_load(&f->held))
        nap();
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    host_worker_init(&f->worker, work, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    host_worker_release(&f->worker);
    free(f);
    return 0;
}

/* Of this process, as the kernel counts them. */
static unsigned threads(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/task");
    for (const struct dirent *entry; directory && (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void wait_done(struct fixture *f, unsigned count)
{
    while (host_worker_done(&f->worker) != count)
        nap();
}

static void works_in_order(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < PIECES; i++)
        assert_true(host_worker_post(&f->worker));
    wait_done(f, PIECES);
    assert_int_equal(f->count, PIECES);
    for (unsigned i = 0; i < PIECES; i++)
        assert_int_equal(f->seen[i], i);
}

static void has_no_signals(void **state)
{
    struct fixture *f = *state;
    assert_true(host_worker_post(&f->worker));
    wait_done(f, 1);
    for (int number = 1; number <= SIGRTMAX; number++)
        if (number != SIGKILL && number != SIGSTOP && (number < 32 || number >= SIGRTMIN))
            assert_true(sigismember(&f->mask, number));
    sigset_t own;
    pthread_sigmask(SIG_BLOCK, NULL, &own);
    assert_false(sigismember(&own, SIGTERM));
}

static void ends_when_idle(void **state)
{
    struct fixture *f = *state;
    unsigned own = threads();
    for (unsigned i = 0; i < 2; i++) {
        assert_true(host_worker_post(&f->worker));
        wait_done(f, i + 1);
        while (threads() != own)
            nap();
    }
}

/* Each pause is one after which the kernel knows of no other thread, whatever was under way. */
static void pauses(void **state)
{
    struct fixture *f = *state;
    unsigned own = threads(), posted = 0;
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned k = 0; k < i % 3; k++)
            posted += host_worker_post(&f->worker);
        host_worker_pause(&f->worker);
        assert_int_equal(threads(), own);
        assert_false(host_worker_post(&f->worker));
        host_worker_resume(&f->worker);
    }
    wait_done(f, posted); /* what was left is done after the pause */
    assert_int_equal(f->count, posted);
}

static void *release(void *fixture)
{
    for (unsigned i = 0; i < 20; i++)
        nap();
    atomic_store(&((struct fixture *)fixture)->held, false);
    return NULL;
}

static void pause_waits_for_the_piece_under_way(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    atomic_store(&f->held, true);
    assert_true(host_worker_post(&f->worker));
    while (!f->count)
        nap();
    assert_int_equal(pthread_create(&thread, NULL, release, f), 0);
    host_worker_pause(&f->worker);
    assert_false(atomic_load(&f->held));
    assert_int_equal(host_worker_done(&f->worker), 1);
    host_worker_resume(&f->worker);
    pthread_join(thread, NULL);
}

/* A sanitizer that minds lost threads begins one of its own in the child. */
static bool is_alone(void)
{
    return threads() == 1 || host_sanitize_keeps_lost_threads();
}

static bool works_in_child(struct fixture *f)
{
    bool right = is_alone() && host_worker_done(&f->worker) == 0;
    f->count = 0;
    atomic_store(&f->held, false);
    right &= host_worker_post(&f->worker);
    wait_done(f, 1);
    host_worker_pause(&f->worker);
    return right && is_alone() && f->count == 1 && f->seen[0] == 0;
}

static void is_not_in_children(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 50; i++) {
        atomic_store(&f->held, i % 2 && !host_sanitize_keeps_lost_threads());
        assert_true(host_worker_post(&f->worker));
        host_worker_fork_prepare(&f->worker);
        pid_t pid = fork();
        host_worker_fork_done(&f->worker, pid == 0);
        if (pid == 0)
            _exit(works_in_child(f) ? 0 : 1);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        atomic_store(&f->held, false);
        wait_done(f, i + 1);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(works_in_order), TEST(has_no_signals),     TEST(ends_when_idle),
        TEST(pauses),         TEST(is_not_in_children), TEST(pause_waits_for_the_piece_under_way),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
