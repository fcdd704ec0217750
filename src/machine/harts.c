#include "machine/harts.h"

#include "base/error.h"
#include "machine/sbi.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* ---- What the harts ask of the machine ---- */

static uint64_t time_now(void *owner)
{
    const struct machine *m = owner;
    return clock_ticks_now(&m->board->time);
}

static bool entropy(void *owner, uint16_t *bits)
{
    (void)owner;
    return getrandom(bits, sizeof(*bits), GRND_NONBLOCK) == (ssize_t)sizeof(*bits);
}

static void set_timer(void *owner, unsigned index, uint64_t deadline)
{
    struct machine *m = owner;
    struct machine_hart *h = &m->harts[index];
    pthread_mutex_lock(&h->timer_lock);
    clock_timer_set(&h->timer,
                    deadline == UINT64_MAX ? CLOCK_NEVER : clock_ticks_when(&m->board->time, deadline));
    pthread_mutex_unlock(&h->timer_lock);
}

static void timer_expired(void *object)
{
    struct machine_hart *h = object;
    system_hart_poll(h->hart);
}

const struct system_ops harts_ops = {.time = time_now, .entropy = entropy, .timer = set_timer};

/* ---- States ---- */

bool hart_request_start(struct machine_hart *h, const struct hart_start *start)
{
    pthread_mutex_lock(&h->machine->lock);
    bool stopped = h->state == HART_STOPPED;
    if (stopped) {
        h->start = *start;
        h->state = HART_START_PENDING;
    }
    pthread_mutex_unlock(&h->machine->lock);
    if (stopped)
        system_hart_kick(h->hart);
    return stopped;
}

void hart_stop(struct machine_hart *h)
{
    pthread_mutex_lock(&h->machine->lock);
    h->state = HART_STOPPED;
    pthread_mutex_unlock(&h->machine->lock);
}

void hart_begin(struct machine_hart *h, const struct hart_start *start)
{
    system_hart_reset(h->hart, start->mode, start->pc, h->index, start->a1);
    h->hart->hart.x[12] = start->a2;
    sbi_pmu_reset(&h->pmu);
}

static bool ended(const struct machine_hart *h)
{
    return h->machine->end != MACHINE_RUNS;
}

void hart_suspend(struct machine_hart *h)
{
    h->state = HART_SUSPENDED;
    while (!ended(h) && system_hart_sleep(h->hart, false))
        ;
    h->state = HART_STARTED;
}

/* Until it is told to start, or the machine ends. */
static void wait_for_start(struct machine_hart *h)
{
    while (!ended(h) && h->state != HART_START_PENDING)
        system_hart_sleep(h->hart, true);
    if (ended(h))
        return;
    pthread_mutex_lock(&h->machine->lock);
    const struct hart_start start = h->start;
    h->state = HART_STARTED;
    pthread_mutex_unlock(&h->machine->lock);
    hart_begin(h, &start);
}

/* ---- Threads ---- */

static void serve_exit(struct machine_hart *h)
{
    switch (h->hart->hart.exit.kind) {
    case EXIT_ECALL:
        h->calls++;
        sbi_call(h);
        break;
    case EXIT_WFI:
        h->sleeps++;
        system_hart_sleep(h->hart, false);
        break;
    case EXIT_PENDING: break;
    default: machine_stop(h->machine, MACHINE_BROKEN); break;
    }
}

static void *run(void *object)
{
    struct machine_hart *h = object;
    system_enter_thread(h->hart);
    while (!ended(h)) {
        if (h->state != HART_STARTED) {
            wait_for_start(h);
            continue;
        }
        system_hart_run(h->hart);
        serve_exit(h);
    }
    system_leave_thread(h->hart);
    return NULL;
}

int harts_run(struct machine *m, const struct loader_start *start, struct guise_error *err)
{
    const bool firmware = m->board->config.firmware;
    const struct hart_start first = {
        .mode = firmware ? PRIV_S : PRIV_M, .pc = start->pc, .a1 = start->tree, .a2 = start->info};
    for (; m->running < m->count; m->running++) {
        struct machine_hart *h = &m->harts[m->running];
        if (m->running == 0 || !firmware) {
            h->start = first;
            h->state = HART_START_PENDING;
        }
        int error = pthread_create(&h->thread, NULL, run, h);
        if (error) {
            machine_stop(m, MACHINE_STOPPED);
            return error_set_errno(err, GUISE_E_SYSTEM, error, "cannot make a thread for hart %u",
                                   m->running);
        }
    }
    return 0;
}

void harts_join(struct machine *m)
{
    while (m->running > 0)
        pthread_join(m->harts[--m->running].thread, NULL);
}

void harts_init(struct machine *m)
{
    for (unsigned i = 0; i < m->count; i++) {
        struct machine_hart *h = &m->harts[i];
        *h = (struct machine_hart){
            .machine = m, .hart = system_hart(m->board->system, i), .index = i, .state = HART_STOPPED};
        pthread_mutex_init(&h->timer_lock, NULL);
        clock_timer_init(&h->timer, &m->board->clock, &h->timer_lock, timer_expired, h);
    }
}

void harts_release(struct machine *m)
{
    for (unsigned i = 0; i < m->count; i++) {
        struct machine_hart *h = &m->harts[i];
        pthread_mutex_lock(&h->timer_lock);
        clock_timer_set(&h->timer, CLOCK_NEVER);
        pthread_mutex_unlock(&h->timer_lock);
        pthread_mutex_destroy(&h->timer_lock);
    }
}
