#include "host/loop.h"

#include "base/error.h"
#include "base/util.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 32 };

#define SECOND ((uint64_t)1000000000)

int loop_init(struct loop *loop, struct guise_error *err)
{
    *loop = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                          .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (loop->epoll_fd >= 0 && loop->wake_fd >= 0 &&
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) == 0)
        return 0;
    int error = errno;
    loop_release(loop);
    return error_set_errno(err, GUISE_E_SYSTEM, error, "an event loop");
}

void loop_release(struct loop *loop)
{
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
}

/* ---- Sources ---- */

static uint32_t to_epoll(unsigned wanted)
{
    return (wanted & LOOP_READ ? EPOLLIN : 0u) | (wanted & LOOP_WRITE ? EPOLLOUT : 0u) |
           (wanted & LOOP_EDGE ? EPOLLET : 0u);
}

static unsigned from_epoll(uint32_t events)
{
    return (events & EPOLLIN ? LOOP_READ : 0u) | (events & EPOLLOUT ? LOOP_WRITE : 0u) |
           (events & (EPOLLHUP | EPOLLERR) ? LOOP_HANGUP : 0u);
}

/* Returns 0 or -errno. */
static int watch(struct loop_source *source, unsigned wanted)
{
    struct epoll_event event = {.events = to_epoll(wanted), .data.ptr = source};
    int operation = !source->wanted ? EPOLL_CTL_ADD : wanted ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    bool change = wanted != source->wanted && source->fd >= 0 && !source->always_ready;
    source->wanted = source->fd >= 0 ? wanted : 0;
    if (!change || epoll_ctl(source->loop->epoll_fd, operation, source->fd, &event) == 0)
        return 0;
    source->always_ready = errno == EPERM;
    return source->always_ready ? 0 : -errno;
}

int loop_add(struct loop *loop, struct loop_source *source, unsigned wanted, struct guise_error *err)
{
    source->loop = loop;
    source->wanted = 0;
    source->always_ready = false;
    int error = watch(source, wanted);
    if (error) {
        source->loop = NULL;
        return error_set_errno(err, GUISE_E_SYSTEM, -error, "waiting for descriptor %d", source->fd);
    }
    source->next = loop->first;
    loop->first = source;
    return 0;
}

void loop_want(struct loop_source *source, unsigned wanted)
{
    watch(source, wanted);
}

/* What was about to be told to it is not. */
void loop_remove(struct loop_source *source)
{
    struct loop *loop = source->loop;
    struct loop_source **link = &loop->first;
    while (*link != source)
        link = &(*link)->next;
    *link = source->next;
    if (loop->cursor == source)
        loop->cursor = source->next;
    for (int i = 0; i < loop->event_count; i++)
        if (loop->events[i].data.ptr == source)
            loop->events[i].data.ptr = NULL;
    watch(source, 0);
    source->loop = NULL;
}

/* ---- Other threads ---- */

void loop_wake(struct loop *loop)
{
    const uint64_t one = 1;
    while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void loop_kick(struct loop_source *source)
{
    if (atomic_exchange(&source->kicked, true))
        return;
    atomic_store(&source->loop->kicked, true);
    loop_wake(source->loop);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopped, true);
    loop_wake(loop);
}

/* ---- The loop ---- */

static void drain_wake(struct loop *loop)
{
    uint64_t count;
    while (read(loop->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}

/* The sources one by one, which may remove themselves and others. */
static struct loop_source *next_source(struct loop *loop)
{
    struct loop_source *s = loop->cursor;
    loop->cursor = s ? s->next : NULL;
    return s;
}

static void call_kicked(struct loop *loop)
{
    struct loop_source *s;
    if (!atomic_exchange(&loop->kicked, false))
        return;
    loop->cursor = loop->first;
    while ((s = next_source(loop)))
        if (atomic_exchange(&s->kicked, false))
            s->ready(s->object, LOOP_KICK);
}

static unsigned always_ready_for(const struct loop_source *s)
{
    return s->always_ready ? s->wanted & (LOOP_READ | LOOP_WRITE) : 0;
}

static bool has_work(const struct loop *loop)
{
    bool ready = loop->kicked || loop->stopped;
    for (const struct loop_source *s = loop->first; s && !ready; s = s->next)
        ready = always_ready_for(s);
    return ready;
}

static void call_always_ready(struct loop *loop)
{
    struct loop_source *s;
    loop->cursor = loop->first;
    while ((s = next_source(loop)))
        if (always_ready_for(s))
            s->ready(s->object, always_ready_for(s));
}

static void call_events(struct loop *loop, struct epoll_event *events, int count)
{
    loop->events = events;
    loop->event_count = count;
    for (int i = 0; i < count; i++) {
        struct loop_source *s = events[i].data.ptr;
        if (s)
            s->ready(s->object, from_epoll(events[i].events));
        else
            drain_wake(loop);
    }
    loop->event_count = 0;
}

static int wait_for(struct loop *loop, struct epoll_event *events, uint64_t timeout)
{
    struct timespec t = {.tv_sec = (time_t)(timeout / SECOND), .tv_nsec = (long)(timeout % SECOND)};
    int count = epoll_pwait2(loop->epoll_fd, events, EVENTS, timeout == UINT64_MAX ? NULL : &t, NULL);
    if (count < 0 && errno == ENOSYS) { /* Linux before 5.11: a little late, and never early */
        uint64_t ms = MIN(timeout / 1000000 + 1, (uint64_t)1000000);
        count = epoll_wait(loop->epoll_fd, events, EVENTS, timeout == 0 ? 0 : (int)ms);
    }
    return count;
}

void loop_run(struct loop *loop)
{
    struct epoll_event events[EVENTS];
    while (!loop->stopped) {
        uint64_t timeout = has_work(loop) ? 0 : loop->timeout ? loop->timeout(loop->object) : UINT64_MAX;
        int count = wait_for(loop, events, timeout);
        if (loop->expire)
            loop->expire(loop->object);
        call_kicked(loop);
        call_always_ready(loop);
        call_events(loop, events, count);
    }
    loop->stopped = false;
}
