#include "bus/clock.h"

#include "host/loop.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

static uint64_t host_time(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * CLOCK_PER_SECOND + (uint64_t)t.tv_nsec;
}

static uint64_t host_monotonic(void *object)
{
    (void)object;
    return host_time(CLOCK_MONOTONIC);
}

static uint64_t host_wall(void *object)
{
    (void)object;
    return host_time(CLOCK_REALTIME);
}

/* ---- Time ---- */

static uint64_t source_monotonic(const struct clock *clock)
{
    return clock->source.monotonic(clock->source.object);
}

static void take_wall(struct clock *clock)
{
    clock->wall_offset = clock->source.wall(clock->source.object) - clock_now(clock);
}

void clock_init(struct clock *clock, const struct clock_source *source)
{
    *clock = (struct clock){.source = source ? *source : (struct clock_source){0}};
    if (!clock->source.monotonic)
        clock->source.monotonic = host_monotonic;
    if (!clock->source.wall)
        clock->source.wall = host_wall;
    pthread_mutex_init(&clock->lock, NULL);
    take_wall(clock);
}

void clock_release(struct clock *clock)
{
    pthread_mutex_destroy(&clock->lock);
}

void clock_start(struct clock *clock)
{
    if (clock->stopped_at == CLOCK_NEVER)
        return;
    clock->offset = clock->stopped_at - source_monotonic(clock);
    clock->stopped_at = CLOCK_NEVER;
    take_wall(clock);
    if (clock->wake)
        clock->wake(clock->wake_object);
}

void clock_stop(struct clock *clock)
{
    clock->stopped_at = clock_now(clock);
}

void clock_set(struct clock *clock, uint64_t now)
{
    assert(clock->stopped_at != CLOCK_NEVER);
    clock->stopped_at = now;
}

uint64_t clock_now(const struct clock *clock)
{
    uint64_t stopped_at = atomic_load_explicit(&clock->stopped_at, memory_order_acquire);
    if (stopped_at != CLOCK_NEVER)
        return stopped_at;
    return source_monotonic(clock) + atomic_load_explicit(&clock->offset, memory_order_relaxed);
}

uint64_t clock_wall(const struct clock *clock)
{
    return clock_now(clock) + atomic_load_explicit(&clock->wall_offset, memory_order_relaxed);
}

/* ---- Timers ---- */

void clock_timer_init(struct clock_timer *timer, struct clock *clock, pthread_mutex_t *lock,
                      void (*expire)(void *device), void *device)
{
    *timer = (struct clock_timer){
        .clock = clock, .expire = expire, .device = device, .lock = lock, .deadline = CLOCK_NEVER};
}

static void unlist(struct clock_timer *timer)
{
    if (!timer->listed)
        return;
    if (timer->previous)
        timer->previous->next = timer->next;
    else
        timer->clock->first = timer->next;
    if (timer->next)
        timer->next->previous = timer->previous;
    timer->listed = false;
}

/* Timers are few, one a hart and one here and there, so a list will do. Equal deadlines expire in the order they were
 * set. */
static void enlist(struct clock_timer *timer)
{
    struct clock_timer *previous = NULL, **link = &timer->clock->first;
    while (*link && (*link)->deadline <= timer->deadline) {
        previous = *link;
        link = &previous->next;
    }
    timer->previous = previous;
    timer->next = *link;
    if (timer->next)
        timer->next->previous = timer;
    *link = timer;
    timer->listed = true;
}

static uint64_t earliest(const struct clock *clock)
{
    return clock->first ? clock->first->deadline : CLOCK_NEVER;
}

/* Who sleeps until a deadline that moved away wakes up for nothing, which is cheaper than to be told each time. */
void clock_timer_set(struct clock_timer *timer, uint64_t deadline)
{
    struct clock *clock = timer->clock;
    pthread_mutex_lock(&clock->lock);
    uint64_t before = earliest(clock);
    unlist(timer);
    timer->deadline = deadline;
    timer->setting = clock->settings++;
    if (deadline != CLOCK_NEVER)
        enlist(timer);
    void (*wake)(void *) = earliest(clock) < before ? clock->wake : NULL;
    void *object = clock->wake_object;
    pthread_mutex_unlock(&clock->lock);
    if (wake)
        wake(object);
}

/* ---- Event loop ---- */

void clock_set_wake(struct clock *clock, void (*wake)(void *object), void *object)
{
    pthread_mutex_lock(&clock->lock);
    clock->wake = wake;
    clock->wake_object = object;
    pthread_mutex_unlock(&clock->lock);
}

uint64_t clock_deadline(struct clock *clock)
{
    pthread_mutex_lock(&clock->lock);
    uint64_t deadline = earliest(clock);
    pthread_mutex_unlock(&clock->lock);
    return deadline;
}

/* Takes the first timer that is due, and was set before, off the list. Its deadline stays, which says that it has yet
 * to expire. */
static struct clock_timer *pick_due(struct clock *clock, uint64_t now, uint64_t before)
{
    pthread_mutex_lock(&clock->lock);
    struct clock_timer *timer = clock->first;
    while (timer && timer->deadline <= now && timer->setting >= before)
        timer = timer->next;
    if (timer && timer->deadline <= now)
        unlist(timer);
    else
        timer = NULL;
    pthread_mutex_unlock(&clock->lock);
    return timer;
}

/* Whoever held the timer's lock may have stopped it or set it anew since it was picked. */
static bool claim(struct clock_timer *timer)
{
    pthread_mutex_lock(&timer->clock->lock);
    bool mine = !timer->listed && timer->deadline != CLOCK_NEVER;
    if (mine)
        timer->deadline = CLOCK_NEVER;
    pthread_mutex_unlock(&timer->clock->lock);
    return mine;
}

static void expire(struct clock_timer *timer)
{
    if (timer->lock)
        pthread_mutex_lock(timer->lock);
    if (claim(timer))
        timer->expire(timer->device);
    if (timer->lock)
        pthread_mutex_unlock(timer->lock);
}

void clock_run(struct clock *clock)
{
    struct clock_timer *timer;
    uint64_t now = clock_now(clock);
    pthread_mutex_lock(&clock->lock);
    uint64_t before = clock->settings;
    pthread_mutex_unlock(&clock->lock);
    while ((timer = pick_due(clock, now, before)))
        expire(timer);
}

static bool is_running(const struct clock *clock)
{
    return clock->stopped_at == CLOCK_NEVER;
}

static uint64_t loop_timeout(void *object)
{
    struct clock *clock = object;
    uint64_t deadline = is_running(clock) ? clock_deadline(clock) : CLOCK_NEVER, now = clock_now(clock);
    if (deadline == CLOCK_NEVER)
        return UINT64_MAX;
    return deadline > now ? deadline - now : 0;
}

static void loop_expire(void *object)
{
    if (is_running(object))
        clock_run(object);
}

static void wake_loop(void *loop)
{
    loop_wake(loop);
}

void clock_set_loop(struct clock *clock, struct loop *loop)
{
    loop->timeout = loop_timeout;
    loop->expire = loop_expire;
    loop->object = clock;
    clock_set_wake(clock, wake_loop, loop);
}

/* ---- Ticks ---- */

void clock_ticks_init(struct clock_ticks *ticks, const struct clock *clock, uint64_t frequency)
{
    assert(frequency && CLOCK_PER_SECOND % frequency == 0);
    *ticks = (struct clock_ticks){.clock = clock, .period = CLOCK_PER_SECOND / frequency};
}

static uint64_t ticks_offset(const struct clock_ticks *ticks)
{
    return atomic_load_explicit(&ticks->offset, memory_order_relaxed);
}

uint64_t clock_ticks_now(const struct clock_ticks *ticks)
{
    return clock_now(ticks->clock) / ticks->period + ticks_offset(ticks);
}

void clock_ticks_set(struct clock_ticks *ticks, uint64_t now)
{
    ticks->offset = now - clock_now(ticks->clock) / ticks->period;
}

/* The moment `more` ticks after the counter was `now`. */
static uint64_t ticks_later(const struct clock_ticks *ticks, uint64_t now, uint64_t more)
{
    uint64_t when, base = now - ticks_offset(ticks);
    if (__builtin_add_overflow(base, more, &when) || __builtin_mul_overflow(when, ticks->period, &when))
        return CLOCK_NEVER;
    return when;
}

/* The counter is compared as an unsigned number: one that must wrap around to reach `value` has passed it. */
uint64_t clock_ticks_when(const struct clock_ticks *ticks, uint64_t value)
{
    uint64_t now = clock_ticks_now(ticks);
    return value <= now ? 0 : ticks_later(ticks, now, value - now);
}

uint64_t clock_ticks_wrap(const struct clock_ticks *ticks)
{
    uint64_t now = clock_ticks_now(ticks);
    return now ? ticks_later(ticks, now, -now) : CLOCK_NEVER;
}
