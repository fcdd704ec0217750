/* The machine's time and its timers. Time is virtual: nanoseconds since the machine was made, standing still while the
 * clock is stopped. Devices get the clock by pointer and ask no one else, so a test that supplies the time is
 * deterministic.
 *
 * Timers expire on the thread that calls clock_run(): the machine's event loop, which sleeps until clock_deadline()
 * and is woken when that moves nearer. The timer's lock (its device's) is held around the call.
 *
 * Threads: clock_now() any, without a lock. clock_start() and clock_stop(): while neither harts nor devices run. A
 * timer is set and stopped with its lock held, and when that returns it has either expired before or will not expire
 * as it was set.
 * Lifetime: the clock outlives its timers; a timer is stopped before it goes, while no one is in clock_run(). */
#ifndef BUS_CLOCK_H
#define BUS_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define CLOCK_NEVER      UINT64_MAX
#define CLOCK_PER_SECOND ((uint64_t)1000000000)

/* Where time comes from, in nanoseconds; what is not given is the host's. */
struct clock_source {
    uint64_t (*monotonic)(void *object);
    uint64_t (*wall)(void *object); /* since 1970-01-01 00:00 UTC */
    void *object;
};

struct clock_timer;

struct clock {
    struct clock_source source;
    _Atomic uint64_t offset;      /* virtual time is the source's plus this, modulo 2^64 */
    _Atomic uint64_t stopped_at;  /* CLOCK_NEVER while it runs */
    _Atomic uint64_t wall_offset; /* wall time is virtual time plus this */
    pthread_mutex_t lock;         /* of the timers */
    struct clock_timer *first;    /* sorted by deadline */
    uint64_t settings;            /* of timers, ever */
    void (*wake)(void *object);
    void *wake_object;
};

/* A clock at 0, stopped. `source` is copied; NULL is the host. */
void clock_init(struct clock *clock, const struct clock_source *source);
void clock_release(struct clock *clock);

/* Wall time is taken from the source anew at each start: a guest that slept finds that time has passed, on its RTC
 * alone. */
void clock_start(struct clock *clock);
void clock_stop(struct clock *clock);

/* Sets a stopped clock, when a machine is restored. */
void clock_set(struct clock *clock, uint64_t now);

uint64_t clock_now(const struct clock *clock);
uint64_t clock_wall(const struct clock *clock);

/* ---- Timers ---- */

struct clock_timer {
    struct clock *clock;
    struct clock_timer *next, *previous;
    void (*expire)(void *device);
    void *device;
    pthread_mutex_t *lock; /* held around `expire`; NULL: none */
    uint64_t deadline;     /* CLOCK_NEVER when stopped */
    uint64_t setting;      /* which of the clock's settings set it */
    bool listed;           /* false from when it is picked to expire */
};

/* A stopped timer. Borrows the lock. */
void clock_timer_init(struct clock_timer *timer, struct clock *clock, pthread_mutex_t *lock,
                      void (*expire)(void *device), void *device);

/* Expires once when virtual time reaches the deadline; replaces an earlier deadline. CLOCK_NEVER stops. */
void clock_timer_set(struct clock_timer *timer, uint64_t deadline);

/* ---- For the event loop ---- */

/* `wake` is called when the earliest deadline has moved nearer, on any thread and with a device's lock held, and when
 * the clock starts. */
void clock_set_wake(struct clock *clock, void (*wake)(void *object), void *object);

/* The earliest deadline in virtual time, or CLOCK_NEVER. */
uint64_t clock_deadline(struct clock *clock);

/* Expires what is due, but no timer that is set meanwhile, so that one which sets itself again cannot keep the loop. */
void clock_run(struct clock *clock);

/* Has an event loop do all that, which borrows the clock and has no other deadline. */
struct loop;
void clock_set_loop(struct clock *clock, struct loop *loop);

/* ---- Ticks ---- */

/* A counter derived from the clock, such as RISC-V's mtime; the guest may write it. Threads: any. */
struct clock_ticks {
    const struct clock *clock;
    uint64_t period;         /* nanoseconds a tick */
    _Atomic uint64_t offset; /* ticks */
};

/* `frequency` in Hz divides CLOCK_PER_SECOND. */
void clock_ticks_init(struct clock_ticks *ticks, const struct clock *clock, uint64_t frequency);
uint64_t clock_ticks_now(const struct clock_ticks *ticks);
void clock_ticks_set(struct clock_ticks *ticks, uint64_t now);

/* The first moment at which the counter has reached `value`: now or earlier when it has, CLOCK_NEVER when it is further
 * away than virtual time goes. */
uint64_t clock_ticks_when(const struct clock_ticks *ticks, uint64_t value);

/* The moment at which the counter wraps around to 0: what it had reached, it then has not. */
uint64_t clock_ticks_wrap(const struct clock_ticks *ticks);

#endif
