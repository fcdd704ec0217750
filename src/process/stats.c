/* --stats */
#include "process/thread.h"

#include "base/buf.h"
#include "cpu/riscv/code.h"
#include "process/serve.h"

#include <jansson.h>
#include <sys/resource.h>
#include <time.h>

struct stats {
    uint64_t instructions, syscalls;
    struct code_stats code;
    uint64_t wall_ns, user_ns, system_ns;
};

/* What other threads have done is only nearly known while they run. */
static void count_threads(struct process *p, struct stats *s)
{
    pthread_mutex_lock(&p->lock);
    s->instructions = p->retired;
    s->syscalls = p->syscalls;
    for (const struct thread *t = p->threads; t; t = t->next) {
        s->instructions += t->hart.instret;
        s->syscalls += t->syscalls;
    }
    pthread_mutex_unlock(&p->lock);
}

static void take_times(const struct process *p, struct stats *s)
{
    struct timespec now;
    struct rusage usage;
    clock_gettime(CLOCK_MONOTONIC, &now);
    getrusage(RUSAGE_SELF, &usage);
    s->wall_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec - p->start_ns;
    s->user_ns = (uint64_t)usage.ru_utime.tv_sec * 1000000000 + (uint64_t)usage.ru_utime.tv_usec * 1000;
    s->system_ns = (uint64_t)usage.ru_stime.tv_sec * 1000000000 + (uint64_t)usage.ru_stime.tv_usec * 1000;
}

static void print_time(struct buf *out, const char *name, uint64_t ns)
{
    buf_printf(out, "%-14s %9llu.%03llu ms\n", name, (unsigned long long)(ns / 1000000),
               (unsigned long long)(ns / 1000 % 1000));
}

static void print_text(const struct stats *s, struct buf *out)
{
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        {"instructions", s->instructions}, {"system calls", s->syscalls},
        {"units", s->code.units},          {"cells", s->code.cells},
        {"units killed", s->code.killed},  {"code flushes", s->code.flushes},
    };
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        buf_printf(out, "%-14s %13llu\n", counts[i].name, (unsigned long long)counts[i].value);
    print_time(out, "wall time", s->wall_ns);
    print_time(out, "user time", s->user_ns);
    print_time(out, "system time", s->system_ns);
}

static int add_text(const char *text, size_t size, void *buf)
{
    buf_add(buf, text, size);
    return 0;
}

static void print_json(const struct stats *s, struct buf *out)
{
    json_t *root = json_pack("{sI sI sI sI sI sI sI sI sI}", "instructions", (json_int_t)s->instructions,
                             "syscalls", (json_int_t)s->syscalls, "units", (json_int_t)s->code.units, "cells",
                             (json_int_t)s->code.cells, "units_killed", (json_int_t)s->code.killed,
                             "code_flushes", (json_int_t)s->code.flushes, "wall_ns", (json_int_t)s->wall_ns,
                             "user_ns", (json_int_t)s->user_ns, "system_ns", (json_int_t)s->system_ns);
    json_dump_callback(root, add_text, out, JSON_COMPACT);
    json_decref(root);
    buf_add(out, "\n", 1);
}

void process_print_stats(struct process *p)
{
    struct stats s;
    struct buf out = {0};
    if (p->config->stats == STATS_OFF || p->forked || p->vforked)
        return;
    count_threads(p, &s);
    take_times(p, &s);
    s.code = code_stats(p->code);
    if (p->config->stats == STATS_JSON)
        print_json(&s, &out);
    else
        print_text(&s, &out);
    host_call_now(SYS_write, p->config->report_fd, out.data, out.length);
    buf_release(&out);
}
