#include "cpu/riscv/compile.h"

#include "base/util.h"
#include "host/clock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Requests that may wait: a hart that finds none free asks again after as many rounds. */
enum { JOBS = 16 };

/* What the thread works at. */
struct compile_bench {
    const struct compile_target *target;
    unsigned asked, taken; /* requests */
    struct jit_room
        room; /* what is left of the chunk; the thread's while it has requests, as the following */
    unsigned first_site;
    struct jit_assembler *assembler; /* owned */
    struct compile_job jobs[JOBS];   /* by the request's number */
    struct lift_loop loop;
    struct ir ir;
};

/* ---- The thread ---- */

/* struct lift_source.fetch */
static unsigned fetch_way(void *context, uint64_t pc, uint8_t *bytes, unsigned size)
{
    const struct lift_way *way = context;
    return lift_fetch(way->pieces, way->piece_count, way->bytes, pc, bytes, size);
}

static bool lift(struct compile_bench *b, struct compile_job *job)
{
    const struct lift_source source = {.fetch = fetch_way, .context = &job->way};
    return lift_loop(&b->ir, &source, &b->target->limits, job->pc, job->way.path, &b->loop, &job->lifted);
}

static enum compile_result assemble(struct compile_bench *b, struct compile_job *job)
{
    if (!jit_cache_has_room(&b->room, b->first_site))
        return COMPILE_NO_ROOM;
    job->room = b->room;
    jit_assemble(b->assembler, &b->ir, b->target->thunks, b->room, b->first_site, &job->made);
    if (!job->made.entry)
        return COMPILE_NO_LOOP;
    memcpy(job->sites, job->made.sites, job->made.site_count * sizeof(job->sites[0]));
    job->made.sites = job->sites;
    b->room = job->made.room;
    b->first_site += job->made.site_count;
    return COMPILE_MADE;
}

/* struct host_worker.work */
static void work(void *context, unsigned number)
{
    struct compile_bench *b = ((struct compile *)context)->bench;
    struct compile_job *job = &b->jobs[number % JOBS];
    uint64_t start = host_ticks();
    job->result = lift(b, job) ? assemble(b, job) : COMPILE_NO_LOOP;
    job->ticks = host_ticks() - start;
}

/* ---- Life ---- */

void compile_init(struct compile *c, enum engine_threads threads, const struct compile_target *target)
{
    *c = (struct compile){.threads = threads, .target = *target, .pid = getpid()};
    host_worker_init(&c->worker, work, c);
}

static void bench_free(struct compile *c)
{
    if (c->bench)
        jit_assembler_free(c->bench->assembler);
    free(c->bench);
    c->bench = NULL;
}

void compile_release(struct compile *c)
{
    host_worker_release(&c->worker);
    bench_free(c);
}

static bool bench_there(struct compile *c)
{
    if (c->bench)
        return true;
    struct compile_bench *b = calloc(1, sizeof(*b));
    if (!b)
        return false;
    if (jit_assembler_new(&b->assembler, c->target.machine, c->target.modes)) {
        free(b);
        return false;
    }
    b->target = &c->target;
    c->bench = b;
    return true;
}

void compile_pause(struct compile *c)
{
    host_worker_pause(&c->worker);
}

void compile_resume(struct compile *c)
{
    host_worker_resume(&c->worker);
}

void compile_fork_prepare(struct compile *c)
{
    host_worker_fork_prepare(&c->worker);
}

/* The thread was in the middle of something, which its bench shows. */
void compile_fork_done(struct compile *c, bool child)
{
    host_worker_fork_done(&c->worker, child);
    if (!child)
        return;
    bench_free(c);
    c->pid = getpid();
}

/* ---- Requests ---- */

/* A child of vfork() has its parent's memory, but not its threads, and can have none of its own. */
static bool may_ask(struct compile *c, int pid)
{
    return c->threads != ENGINE_THREADS_NONE && pid == c->pid &&
           (c->threads == ENGINE_THREADS_ALWAYS || host_worker_is_of_use()) && bench_there(c);
}

bool compile_ask(struct compile *c, int pid, uint64_t pc, const struct lift_way *way)
{
    if (!may_ask(c, pid))
        return false;
    struct compile_bench *b = c->bench;
    bool idle = b->asked == b->taken;
    if (b->asked - b->taken == JOBS || (idle && !jit_cache_lend(c->target.cache, &b->room, &b->first_site)))
        return false;
    struct compile_job *job = &b->jobs[b->asked % JOBS];
    job->pc = pc;
    job->way = *way;
    if (!host_worker_post(&c->worker))
        return false;
    b->asked++;
    c->asked++;
    return true;
}

const struct compile_job *compile_made(const struct compile *c)
{
    const struct compile_bench *b = c->bench;
    bool any = b && b->taken != b->asked && b->taken != host_worker_done(&c->worker);
    return any ? &b->jobs[b->taken % JOBS] : NULL;
}

void compile_next(struct compile *c)
{
    struct compile_bench *b = c->bench;
    c->ticks += b->jobs[b->taken++ % JOBS].ticks;
}
