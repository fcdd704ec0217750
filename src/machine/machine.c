#include "machine/machine.h"

#include "base/error.h"
#include "machine/harts.h"

#include <stdlib.h>

static void request(void *owner, enum finisher_request what, unsigned status)
{
    static const enum machine_end ends[] = {
        [FINISHER_REQUEST_POWER_OFF] = MACHINE_POWER_OFF,
        [FINISHER_REQUEST_FAIL] = MACHINE_FAILURE,
        [FINISHER_REQUEST_REBOOT] = MACHINE_REBOOT,
    };
    (void)status;
    machine_stop(owner, ends[what]);
}

static int make_board(struct machine *m, struct guise_error *err)
{
    struct board_config config = m->config.board;
    config.firmware = !m->config.files.bios;
    config.ops = &harts_ops;
    config.request = request;
    config.owner = m;
    m->count = config.harts;
    return board_new(&m->board, &config, err);
}

int machine_new(struct machine **out, const struct machine_config *config, struct guise_error *err)
{
    struct machine *m = calloc(1, sizeof(*m));
    if (!m)
        return error_set(err, GUISE_E_NOMEM, "out of memory");
    m->config = *config;
    pthread_mutex_init(&m->lock, NULL);
    int r = make_board(m, err);
    if (r) {
        pthread_mutex_destroy(&m->lock);
        free(m);
        return r;
    }
    harts_init(m);
    *out = m;
    return 0;
}

void machine_free(struct machine *m)
{
    harts_release(m);
    board_free(m->board);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

int machine_run(struct machine *m, enum machine_end *end, struct guise_error *err)
{
    struct loader_start start;
    int r = loader_load(m->board, &m->config.files, &start, err);
    if (r)
        return r;
    clock_start(&m->board->clock);
    r = harts_run(m, &start, err);
    if (r == 0)
        loop_run(m->config.board.loop);
    harts_join(m);
    clock_stop(&m->board->clock);
    *end = m->end;
    return r;
}

void machine_stop(struct machine *m, enum machine_end end)
{
    enum machine_end none = MACHINE_RUNS;
    if (!atomic_compare_exchange_strong(&m->end, &none, end))
        return;
    for (unsigned i = 0; i < m->count; i++)
        system_hart_kick(m->harts[i].hart);
    loop_stop(m->config.board.loop);
}

struct machine_stats machine_stats(const struct machine *m)
{
    struct machine_stats stats = {0};
    for (unsigned i = 0; i < m->count; i++) {
        const struct machine_hart *h = &m->harts[i];
        stats.instructions += h->hart->hart.instret;
        stats.calls += h->calls;
        stats.sleeps += h->sleeps;
        stats.window_pages += h->hart->direct.filled;
        stats.refused += h->hart->direct.refused;
        for (unsigned e = 0; e < ENGINE_EXIT_COUNT; e++)
            stats.exits[e] += h->hart->hart.exits[e];
    }
    return stats;
}

const struct board *machine_board(const struct machine *m)
{
    return m->board;
}
