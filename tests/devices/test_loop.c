/* The event loop: descriptors, kicks, deadlines, and sources that go away while they are served. */
#include "host/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct peer {
    struct loop_source source;
    struct loop *loop;
    struct peer *other; /* removed when this one is called */
    char text[16];
    unsigned calls, events;
};

struct fixture {
    struct loop loop;
    struct peer a, b;
    int pipe_a[2], pipe_b[2];
};

static int start(void **state)
{
    static struct fixture f;
    *state = &f;
    f = (struct fixture){.a.loop = &f.loop, .b.loop = &f.loop};
    return pipe(f.pipe_a) || pipe(f.pipe_b) || loop_init(&f.loop, NULL);
}

static int stop(void **state)
{
    struct fixture *f = *state;
    loop_release(&f->loop);
    close(f->pipe_a[0]);
    close(f->pipe_a[1]);
    close(f->pipe_b[0]);
    close(f->pipe_b[1]);
    return 0;
}

static void on_ready(void *object, unsigned events)
{
    struct peer *p = object;
    p->calls++;
    p->events |= events;
    if (events & LOOP_READ && read(p->source.fd, p->text, sizeof(p->text)) <= 0)
        loop_want(&p->source, 0);
    if (p->other)
        loop_remove(&p->other->source);
    loop_stop(p->loop);
}

static void add(struct fixture *f, struct peer *p, int fd, unsigned wanted)
{
    p->source = (struct loop_source){.fd = fd, .ready = on_ready, .object = p};
    assert_int_equal(loop_add(&f->loop, &p->source, wanted, NULL), 0);
}

static void run(struct fixture *f)
{
    f->loop.stopped = false;
    loop_run(&f->loop);
}

static void descriptors_are_served(void **state)
{
    struct fixture *f = *state;
    add(f, &f->a, f->pipe_a[0], LOOP_READ);
    add(f, &f->b, f->pipe_b[1], 0);
    assert_int_equal(write(f->pipe_a[1], "hello", 6), 6);
    run(f);
    assert_string_equal(f->a.text, "hello");
    assert_int_equal(f->a.events, LOOP_READ);
    assert_int_equal(f->b.calls, 0);
    loop_want(&f->b.source, LOOP_WRITE);
    run(f);
    assert_int_equal(f->b.events, LOOP_WRITE);
    assert_int_equal(f->a.calls, 1);
    close(f->pipe_b[0]);
    f->pipe_b[0] = -1;
    run(f);
    assert_true(f->b.events & LOOP_HANGUP);
    unsigned calls = f->b.calls;
    loop_want(&f->b.source, 0);
    assert_int_equal(write(f->pipe_a[1], "again", 6), 6);
    run(f);
    assert_string_equal(f->a.text, "again");
    assert_int_equal(f->b.calls, calls);
    loop_remove(&f->a.source);
    loop_remove(&f->b.source);
}

/* Two are ready at once, and whichever is called first removes the other. */
static void a_removed_source_is_not_called(void **state)
{
    struct fixture *f = *state;
    f->a.other = &f->b;
    f->b.other = &f->a;
    add(f, &f->a, f->pipe_a[1], LOOP_WRITE);
    add(f, &f->b, f->pipe_b[1], LOOP_WRITE);
    run(f);
    assert_int_equal(f->a.calls + f->b.calls, 1);
    struct peer *left = f->a.calls ? &f->a : &f->b;
    assert_ptr_equal(f->loop.first, &left->source);
    loop_remove(&left->source);

    f->a.calls = f->b.calls = 0;
    add(f, &f->a, -1, 0);
    add(f, &f->b, -1, 0);
    loop_kick(&f->a.source);
    loop_kick(&f->b.source);
    run(f);
    assert_int_equal(f->a.calls + f->b.calls, 1);
}

static void regular_files_are_always_ready(void **state)
{
    struct fixture *f = *state;
    int file = memfd_create("loop", MFD_CLOEXEC);
    assert_int_equal(pwrite(file, "file", 5, 0), 5);
    add(f, &f->a, file, LOOP_READ);
    run(f);
    assert_string_equal(f->a.text, "file");
    run(f);
    assert_int_equal(f->a.source.wanted, 0);
    assert_int_equal(f->a.calls, 2);
    loop_remove(&f->a.source);
    close(file);
}

/* As a console at the end of its file, which once kept the loop awake for ever. */
static void nothing_is_wanted_without_a_descriptor(void **state)
{
    struct fixture *f = *state;
    int file = memfd_create("loop", MFD_CLOEXEC);
    add(f, &f->a, file, LOOP_READ);
    run(f);
    f->a.source.fd = -1;
    loop_want(&f->a.source, LOOP_READ);
    assert_int_equal(f->a.source.wanted, 0);
    f->a.calls = 0;
    loop_kick(&f->a.source);
    run(f);
    assert_int_equal(f->a.calls, 1);
    loop_remove(&f->a.source);
    close(file);
}

static void *kick_after_a_while(void *source)
{
    usleep(20000);
    loop_kick(source);
    loop_kick(source);
    return NULL;
}

static void other_threads_kick(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    add(f, &f->a, -1, 0);
    assert_int_equal(pthread_create(&thread, NULL, kick_after_a_while, &f->a.source), 0);
    run(f);
    assert_int_equal(f->a.events, LOOP_KICK);
    pthread_join(thread, NULL);
    assert_in_range(f->a.calls, 1, 2);
    loop_remove(&f->a.source);
}

struct deadline {
    struct loop *loop;
    uint64_t at;
    unsigned expired;
};

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t time_left(void *object)
{
    struct deadline *d = object;
    uint64_t t = now();
    return d->at > t ? d->at - t : 0;
}

static void on_expire(void *object)
{
    struct deadline *d = object;
    if (now() >= d->at) {
        d->expired++;
        loop_stop(d->loop);
    }
}

static void deadlines_are_kept(void **state)
{
    struct fixture *f = *state;
    uint64_t begin = now();
    struct deadline d = {.loop = &f->loop, .at = begin + 30000000};
    f->loop.timeout = time_left;
    f->loop.expire = on_expire;
    f->loop.object = &d;
    run(f);
    assert_int_equal(d.expired, 1);
    assert_true(now() - begin >= 30000000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(descriptors_are_served),
        TEST(a_removed_source_is_not_called),
        TEST(regular_files_are_always_ready),
        TEST(nothing_is_wanted_without_a_descriptor),
        TEST(other_threads_kick),
        TEST(deadlines_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
