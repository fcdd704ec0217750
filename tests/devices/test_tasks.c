/* Tasks on an event loop. */
#include "host/tasks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { POSTS = 20000, THREADS = 2 };

struct fixture {
    struct loop loop;
    struct tasks tasks;
    struct task_runner runner;
    struct task task, last;
    unsigned runs, again;
    _Atomic unsigned posts, seen;
};

static void count_run(void *object)
{
    struct fixture *f = object;
    f->runs++;
    f->seen = f->posts;
    if (f->again && f->again--)
        task_post(&f->runner, &f->task);
}

static void stop_loop(void *object)
{
    struct fixture *f = object;
    loop_stop(&f->loop);
}

static int start(void **state)
{
    static struct fixture f;
    f = (struct fixture){.task = {.run = count_run, .object = &f}, .last = {.run = stop_loop, .object = &f}};
    *state = &f;
    assert_int_equal(loop_init(&f.loop, NULL), 0);
    assert_int_equal(tasks_init(&f.tasks, &f.loop, NULL), 0);
    f.runner = tasks_runner(&f.tasks);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    tasks_release(&f->tasks);
    loop_release(&f->loop);
    return 0;
}

static void a_task_runs_once_for_many_posts(void **state)
{
    struct fixture *f = *state;
    task_post(&f->runner, &f->task);
    task_post(&f->runner, &f->task);
    assert_int_equal(f->runs, 0);
    task_post(&f->runner, &f->last);
    loop_run(&f->loop);
    assert_int_equal(f->runs, 1);
    assert_false(f->task.posted);
}

/* Others are served in between. */
static void a_task_may_post_itself(void **state)
{
    struct fixture *f = *state;
    f->again = 1000;
    task_post(&f->runner, &f->task);
    task_post(&f->runner, &f->last);
    loop_run(&f->loop);
    assert_int_equal(f->runs, 1);
    assert_true(f->task.posted);
}

static void *post_often(void *object)
{
    struct fixture *f = object;
    for (unsigned i = 0; i < POSTS; i++) {
        f->posts++;
        task_post(&f->runner, &f->task);
    }
    return NULL;
}

static void *post_and_stop(void *object)
{
    struct fixture *f = object;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_often, f), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    task_post(&f->runner, &f->last);
    return NULL;
}

/* After the last post comes a run that sees what was written before it. */
static void no_post_is_lost(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, post_and_stop, f), 0);
    loop_run(&f->loop);
    pthread_join(thread, NULL);
    assert_int_equal(f->seen, THREADS * POSTS);
    assert_true(f->runs <= THREADS * POSTS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_task_runs_once_for_many_posts),
        TEST(a_task_may_post_itself),
        TEST(no_post_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
