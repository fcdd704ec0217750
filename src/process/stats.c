/* --stats */
#include "process/own_fds.h"
#include "process/thread.h"

#include "base/buf.h"
#include "cpu/riscv/code.h"
#include "host/clock.h"
#include "process/serve.h"

#include <jansson.h>
#include <sys/resource.h>
#include <time.h>

struct stats {
    uint64_t instructions, syscalls;
    uint64_t exits[ENGINE_EXIT_COUNT];
    uint64_t tier_ns[ENGINE_TIER_COUNT];
    struct code_stats code;
    struct engine_stats engine;
    uint64_t wall_ns, user_ns, system_ns;
};

void process_count(struct process *p, const struct hart *hart)
{
    p->counts.retired += hart->instret;
    for (unsigned i = 0; i < ENGINE_EXIT_COUNT; i++)
        p->counts.exits[i] += hart->exits[i];
    for (unsigned i = 0; i < ENGINE_TIER_COUNT; i++)
        p->counts.tier_ticks[i] += hart->tier_ticks[i];
}

static uint64_t ns_of_ticks(const struct process *p, const struct stats *s, uint64_t ticks)
{
    uint64_t all = host_ticks() - p->start_ticks;
    return all ? (uint64_t)((unsigned __int128)ticks * s->wall_ns / all) : 0;
}

/* What other threads have done is only nearly known while they run. */
static void count_threads(struct process *p, struct stats *s)
{
    uint64_t ticks[ENGINE_TIER_COUNT];
    pthread_mutex_lock(&p->lock);
    s->instructions = p->counts.retired;
    s->syscalls = p->syscalls;
    for (unsigned i = 0; i < ENGINE_EXIT_COUNT; i++)
        s->exits[i] = p->counts.exits[i];
    for (unsigned i = 0; i < ENGINE_TIER_COUNT; i++)
        ticks[i] = p->counts.tier_ticks[i];
    for (const struct thread *t = p->threads; t; t = t->next) {
        s->instructions += t->hart.instret;
        s->syscalls += t->syscalls;
        for (unsigned i = 0; i < ENGINE_EXIT_COUNT; i++)
            s->exits[i] += t->hart.exits[i];
        for (unsigned i = 0; i < ENGINE_TIER_COUNT; i++)
            ticks[i] += t->hart.tier_ticks[i];
    }
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < ENGINE_TIER_COUNT; i++)
        s->tier_ns[i] = ns_of_ticks(p, s, ticks[i]);
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

/* ---- Output ---- */

/* `text`: as people read it, a time when its value is in nanoseconds; `key`: in JSON. */
struct row {
    const char *text, *key;
    uint64_t value;
    bool ns;
};

#define MAX_ROWS 48

struct rows {
    struct row row[MAX_ROWS];
    size_t count;
};

static void add(struct rows *rows, const char *text, const char *key, uint64_t value)
{
    rows->row[rows->count++] = (struct row){.text = text, .key = key, .value = value};
}

static void add_ns(struct rows *rows, const char *text, const char *key, uint64_t value)
{
    rows->row[rows->count++] = (struct row){.text = text, .key = key, .value = value, .ns = true};
}

static void list_interpreter(const struct stats *s, bool alone, struct rows *rows)
{
    add(rows, alone ? "instructions" : "interpreted", alone ? "instructions" : "interpreted_instructions",
        s->instructions);
    add(rows, "system calls", "syscalls", s->syscalls);
    add(rows, "units", "units", s->code.units);
    add(rows, "cells", "cells", s->code.cells);
    add(rows, "units killed", "units_killed", s->code.killed);
    add(rows, "code flushes", "code_flushes", s->code.flushes);
    add(rows, "pages watched", "pages_watched", s->code.watched);
    add(rows, "  stores noticed", "watched_stores", s->code.write_faults);
}

static void list_exits(const struct stats *s, struct rows *rows)
{
    static const struct {
        const char *text, *key;
    } names[ENGINE_EXIT_COUNT] = {
        [ENGINE_EXIT_LINK] = {"exits: link", "exits_link"},
        [ENGINE_EXIT_LOOKUP] = {"exits: look-up", "exits_lookup"},
        [ENGINE_EXIT_POLL] = {"exits: poll", "exits_poll"},
        [ENGINE_EXIT_FAULT] = {"exits: fault", "exits_fault"},
        [ENGINE_EXIT_ECALL] = {"exits: ecall", "exits_ecall"},
        [ENGINE_EXIT_EBREAK] = {"exits: ebreak", "exits_ebreak"},
        [ENGINE_EXIT_ILLEGAL] = {"exits: illegal", "exits_illegal"},
        [ENGINE_EXIT_FETCH] = {"exits: fetch", "exits_fetch"},
        [ENGINE_EXIT_INTERPRET] = {"exits: interpret", "exits_interpret"},
        [ENGINE_EXIT_HOT] = {"exits: hot loop", "exits_hot"},
        [ENGINE_EXIT_ENTERED] = {"exits: entered often", "exits_entered"},
        [ENGINE_EXIT_COLD] = {"cold code left", "exits_cold"},
    };
    for (unsigned i = 0; i < ENGINE_EXIT_COUNT; i++)
        if (names[i].text)
            add(rows, names[i].text, names[i].key, s->exits[i]);
}

static void list_translator(const struct stats *s, struct rows *rows)
{
    const struct engine_stats *e = &s->engine;
    add(rows, "translated units", "translated_units", e->units);
    add(rows, "  quick", "translated_quick", e->quick);
    add(rows, "  loops", "translated_loops", e->loops);
    add(rows, "  instructions", "translated_instructions", e->insns);
    add(rows, "  bytes of code", "translated_bytes", e->bytes);
    add(rows, "  left out", "translations_failed", e->failed);
    add(rows, "  killed", "translations_killed", e->killed);
    add(rows, "  evictions", "evictions", e->evictions);
    add(rows, "links", "links", e->links);
    add(rows, "links tied", "links_tied", e->tied);
    add(rows, "ns/instruction", "compile_ns_per_instruction", e->insns ? e->compile_ns / e->insns : 0);
    add(rows, "  median", "compile_ns_per_instruction_median", e->insn_ns);
    add_ns(rows, "compile time", "compile_ns", e->compile_ns);
    add_ns(rows, "  by its thread", "compile_thread_ns", e->thread_ns);
    add(rows, "  loops asked for", "loops_asked", e->asked);
    add(rows, "  and dropped", "loops_dropped", e->dropped);
    add_ns(rows, "interpreting", "interpreter_ns", s->tier_ns[ENGINE_TIER_INTERPRETER]);
    add_ns(rows, "translated code", "translated_ns", s->tier_ns[ENGINE_TIER_TRANSLATED]);
    list_exits(s, rows);
}

static void list(const struct stats *s, bool translates, struct rows *rows)
{
    list_interpreter(s, !translates, rows);
    if (translates)
        list_translator(s, rows);
    add_ns(rows, "wall time", "wall_ns", s->wall_ns);
    add_ns(rows, "user time", "user_ns", s->user_ns);
    add_ns(rows, "system time", "system_ns", s->system_ns);
}

static void print_text(const struct rows *rows, struct buf *out)
{
    for (const struct row *r = rows->row; r < rows->row + rows->count; r++)
        if (r->ns)
            buf_printf(out, "%-16s %9llu.%03llu ms\n", r->text, (unsigned long long)(r->value / 1000000),
                       (unsigned long long)(r->value / 1000 % 1000));
        else
            buf_printf(out, "%-16s %13llu\n", r->text, (unsigned long long)r->value);
}

static int add_text(const char *text, size_t size, void *buf)
{
    buf_add(buf, text, size);
    return 0;
}

static void print_json(const struct rows *rows, struct buf *out)
{
    json_t *root = json_object();
    for (const struct row *r = rows->row; r < rows->row + rows->count; r++)
        json_object_set_new(root, r->key, json_integer((json_int_t)r->value));
    json_dump_callback(root, add_text, out, JSON_COMPACT);
    json_decref(root);
    buf_add(out, "\n", 1);
}

void process_print_stats(struct process *p)
{
    struct stats s = {0};
    struct rows rows = {.count = 0};
    struct buf out = {0};
    if (p->config->stats == STATS_OFF || p->forked || p->vforked)
        return;
    take_times(p, &s);
    count_threads(p, &s);
    s.code = code_stats(p->code);
    s.engine = code_engine_stats(p->code);
    list(&s, p->config->engine.kind != ENGINE_INTERP, &rows);
    if (p->config->stats == STATS_JSON)
        print_json(&rows, &out);
    else
        print_text(&rows, &out);
    own_fds_report(p, &(struct iovec){out.data, out.length}, 1);
    buf_release(&out);
}
