#include "cpu/riscv/translate.h"

#include "base/error.h"
#include "base/histogram.h"
#include "base/util.h"
#include "cpu/riscv/jit.h"
#include "cpu/riscv/report.h"
#include "host/clock.h"
#include "host/copy.h"
#include "host/fpu.h"
#include "host/sanitize.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_HASH_COUNT 1024u
#define PAGE_SHIFT      12

struct translator {
    const struct engine_options *options;
    const struct code_ops *ops;
    void *ops_context;
    struct lift_limits limits;
    struct jit_machine machine;
    struct jit_cache *cache;
    struct jit_assembler *assembler;
    struct jit_thunks thunks;
    struct compile compile;
    struct engine_stats stats;
    uint64_t compile_ticks, first_ticks,
        first_ns;                /* spent; and when both clocks were read for the first time */
    struct histogram insn_ticks; /* spent for a guest instruction, as many times as there are instructions */
    struct translation_part *pages[2][PAGE_HASH_COUNT]; /* parts of fixed and of changeable code */
    struct lift_result lifted;
    struct lift_loop loop;
    struct jit_quick_code quick;
    struct ir ir;
};

/* ---- Time ---- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void start_clocks(struct translator *tr)
{
    tr->first_ns = now_ns();
    tr->first_ticks = host_ticks();
}

static uint64_t ns_of(const struct translator *tr, uint64_t ticks)
{
    uint64_t all_ticks = host_ticks() - tr->first_ticks, all_ns = now_ns() - tr->first_ns;
    return all_ticks ? (uint64_t)((unsigned __int128)ticks * all_ns / all_ticks) : 0;
}

/* ---- Life ---- */

static void on_evicted(void *context, struct jit_unit *unit);

static const struct jit_cache_ops cache_ops = {.evicted = on_evicted};

static void begin_compile(struct translator *tr)
{
    struct compile_target target = {.cache = tr->cache,
                                    .machine = &tr->machine,
                                    .thunks = &tr->thunks,
                                    .modes = tr->options->modes,
                                    .limits = tr->limits};
    target.limits.direct = tr->limits.paged;
    compile_init(&tr->compile, tr->options->threads, &target);
}

static void make_thunks(struct translator *tr)
{
    struct jit_room room = jit_cache_shared(tr->cache);
    jit_make_thunks(&tr->machine, tr->options->modes, &room, &tr->thunks);
}

int translator_new(struct translator **out, const struct engine_options *options, const struct code_ops *ops,
                   void *context, uint64_t mem_base, uint64_t extensions, struct guise_error *err)
{
    struct translator *tr = calloc(1, sizeof(*tr));
    if (!tr)
        return error_set(err, GUISE_E_NOMEM, "no memory for the translator");
    tr->options = options;
    tr->ops = ops;
    tr->ops_context = context;
    tr->limits = (struct lift_limits){.extensions = extensions,
                                      .max_insns = options->max_insns,
                                      .has_fma = fpu_has_fma() && !options->modes.baseline,
                                      .paged = ops->host};
    tr->machine = (struct jit_machine){
        .ir = lift_machine,
        .state = LIFT_OFFSET(jit),
        .pending = LIFT_OFFSET(pending),
        .return_slot = lift_x_slot[1],
        .memory_base = mem_base,
        .calls = lift_calls,
    };
    if (ops->host)
        jit_system_machine(&tr->machine);
    int r = jit_cache_new(&tr->cache, options->cache_bytes, &cache_ops, tr, err);
    if (r == 0 && jit_assembler_new(&tr->assembler, &tr->machine, options->modes))
        r = error_set(err, GUISE_E_NOMEM, "no memory for the translator");
    if (r) {
        translator_free(tr);
        return r;
    }
    begin_compile(tr);
    make_thunks(tr);
    start_clocks(tr);
    *out = tr;
    return 0;
}

void translator_free(struct translator *tr)
{
    if (!tr)
        return;
    if (tr->assembler) {
        compile_release(&tr->compile);
        jit_assembler_free(tr->assembler);
    }
    jit_cache_free(tr->cache);
    free(tr);
}

void translator_fork_child(struct translator *tr)
{
    jit_cache_fork_child(tr->cache);
}

bool translator_is_ready(const struct translator *tr)
{
    return jit_cache_is_mapped(tr->cache);
}

/* A child of fork() gets memory for code here. */
static bool get_ready(struct translator *tr)
{
    if (likely(translator_is_ready(tr)))
        return true;
    translator_kill_all(tr);
    if (jit_cache_map(tr->cache, NULL))
        return false;
    make_thunks(tr);
    return true;
}

const struct jit_thunks *translator_thunks(const struct translator *tr)
{
    return &tr->thunks;
}

bool translator_holds(const struct translator *tr, const void *exec)
{
    return jit_cache_holds(tr->cache, exec);
}

HOST_NO_TSAN bool translator_entry_pc(const struct translator *tr, const void *exec, uint64_t *pc)
{
    const struct jit_unit *unit = jit_cache_locate(tr->cache, exec);
    if (!unit || unit->entry != exec)
        return false;
    *pc = unit->pc;
    return true;
}

HOST_NO_TSAN const void *translator_way_out(const struct translator *tr, const void *exec, uint64_t *pc)
{
    const struct jit_unit *unit = jit_cache_locate(tr->cache, exec);
    if (unit && unit->stop.at == exec)
        return unit->stop.out;
    return translator_entry_pc(tr, exec, pc) ? tr->thunks.poll : NULL;
}

uint64_t translator_link_pc(const struct translator *tr, uint64_t link)
{
    return jit_cache_link_pc(tr->cache, link);
}

/* ---- Parts ---- */

static struct translation_part **page_list(struct translator *tr, bool changeable, uint64_t page)
{
    return &tr->pages[changeable][page % PAGE_HASH_COUNT];
}

static void part_link(struct translation_part *part, struct translation_part **list)
{
    part->next = *list;
    part->at = list;
    if (part->next)
        part->next->at = &part->next;
    *list = part;
}

static void part_unlink(struct translation_part *part)
{
    *part->at = part->next;
    if (part->next)
        part->next->at = part->at;
}

static uint64_t first_page(const struct lift_piece *piece)
{
    return piece->pc >> PAGE_SHIFT;
}

static uint64_t last_page(const struct lift_piece *piece)
{
    return (piece->pc + piece->bytes - 1) >> PAGE_SHIFT;
}

static unsigned count_parts(const struct lift_result *lifted)
{
    unsigned count = 0;
    for (unsigned i = 0; i < lifted->piece_count; i++)
        count += (unsigned)(last_page(&lifted->pieces[i]) - first_page(&lifted->pieces[i])) + 1;
    return count;
}

static void add_parts(struct translator *tr, struct translation *t)
{
    struct translation_part *part = translation_parts(t);
    for (unsigned i = 0; i < t->piece_count; i++)
        for (uint64_t page = first_page(&t->pieces[i]); page <= last_page(&t->pieces[i]); page++, part++) {
            part->piece = i;
            part->offset = (uint32_t)((char *)part - (char *)t);
            part_link(part, page_list(tr, t->changeable, page));
        }
}

static struct translation *translation_of(const struct translation_part *part)
{
    return (struct translation *)((char *)part - part->offset);
}

static const struct lift_piece *piece_of(const struct translation_part *part)
{
    return &translation_of(part)->pieces[part->piece];
}

/* ---- Making ---- */

/* Is the unit nothing but the news that its first instruction is not for translation? */
static bool is_empty(const struct ir *ir)
{
    const struct ir_exit *exit = &ir->exits[0];
    return ir->exit_count == 1 && exit->kind == IR_EXIT_STOP && exit->pc == ir->pc &&
           exit->reason != LIFT_ECALL;
}

/* With a copy of what it was lifted from. */
static struct translation *translation_new(struct translator *tr, struct unit *cold,
                                           const struct lift_result *lifted, const struct jit_room *room,
                                           const struct translation_form *form, bool changeable)
{
    unsigned parts = count_parts(lifted);
    struct translation *t =
        jit_cache_record(tr->cache, room,
                         sizeof(*t) + lifted->piece_count * sizeof(t->pieces[0]) +
                             parts * sizeof(struct translation_part) + lifted->byte_count);
    if (!t)
        return NULL;
    t->cold = cold;
    t->insns = (uint16_t)lifted->insns;
    t->piece_count = (uint8_t)lifted->piece_count;
    t->part_count = (uint8_t)parts;
    t->kind = (uint8_t)form->kind;
    t->tries = 0;
    t->direct = form->direct;
    t->path = form->path;
    t->changeable = changeable;
    t->cut = lifted->cut;
    t->asked = false;
    memcpy(t->pieces, lifted->pieces, lifted->piece_count * sizeof(t->pieces[0]));
    memcpy(translation_bytes(t), lifted->bytes, lifted->byte_count);
    return t;
}

static void assemble_room(struct translator *tr, bool quick, const struct jit_room *room, unsigned first_site,
                          struct jit_result *made)
{
    if (quick)
        jit_quick(tr->assembler, &tr->ir, &tr->quick, &tr->thunks, *room, first_site, made);
    else
        jit_assemble(tr->assembler, &tr->ir, &tr->thunks, *room, first_site, made);
}

/* Makes host code of tr->ir or tr->quick, which is of tr->lifted. */
static struct translation *assemble(struct translator *tr, struct unit *cold,
                                    const struct translation_form *form, bool changeable)
{
    struct jit_room room;
    struct jit_result made;
    unsigned first_site;
    if (!jit_cache_room(tr->cache, &room, &first_site))
        return NULL;
    struct translation *t = translation_new(tr, cold, &tr->lifted, &room, form, changeable);
    if (!t)
        return NULL;
    /* add_parts() writes to the list's first, which has come by then. */
    __builtin_prefetch(*page_list(tr, changeable, cold->pc >> PAGE_SHIFT), 1);
    assemble_room(tr, form->kind == TRANSLATION_QUICK, &room, first_site, &made);
    if (!made.entry || !jit_cache_add(tr->cache, &t->unit, &room, &made, cold->pc))
        return NULL;
    return t;
}

static void dump(struct translator *tr, const struct translation *t)
{
    struct buf out = {0};
    translator_print(tr, t, tr->options->dump, &out);
    report_write(&out);
}

static bool lift(struct translator *tr, const struct lift_source *source, struct lift_limits limits,
                 const struct translation_form *form, uint64_t pc)
{
    if (form->kind == TRANSLATION_QUICK)
        return lift_quick(&tr->quick, source, &limits, pc, &tr->lifted);
    struct lift_source own = *source;
    limits.counts = form->kind == TRANSLATION_COUNTING && tr->options->hot;
    limits.direct = form->direct;
    limits.spans = limits.paged && form->kind != TRANSLATION_APART && !form->direct;
    if (form->kind == TRANSLATION_LOOP)
        return lift_loop(&tr->ir, source, &limits, pc, form->path, &tr->loop, &tr->lifted);
    if (form->path) {
        limits.max_insns = (unsigned)form->path;
        own.known = NULL;
    }
    return lift_unit(&tr->ir, &own, &limits, pc, &tr->lifted);
}

static struct translation *translate(struct translator *tr, struct unit *cold,
                                     const struct lift_source *source, const struct translation_form *form,
                                     const bool *changeable, enum translator_failure *failure)
{
    *failure = TRANSLATOR_NO_ROOM;
    if (!get_ready(tr))
        return NULL;
    jit_cache_expect(tr->cache);
    bool lifted = lift(tr, source, tr->limits, form, cold->pc), quick = form->kind == TRANSLATION_QUICK;
    if (!lifted || (!quick && is_empty(&tr->ir))) {
        *failure = quick ? TRANSLATOR_NOT_QUICK : TRANSLATOR_INTERPRET;
        return NULL;
    }
    struct translation *t = assemble(tr, cold, form, *changeable);
    if (!t)
        return NULL;
    add_parts(tr, t);
    if (unlikely(tr->options->dump))
        dump(tr, t);
    return t;
}

/* Its unit leads to another translation from now on, and so do all links. Harts whose jump caches have it may go on to enter it. */
static void supersede(struct translator *tr, struct translation *old, struct translation *t)
{
    old->cold = NULL;
    jit_cache_move(tr->cache, &old->unit, &t->unit);
}

/* The unit leads to it from now on. */
static void publish(struct translator *tr, struct unit *cold, struct translation *t)
{
    tr->stats.insns += t->insns;
    tr->stats.loops += t->kind == TRANSLATION_LOOP;
    tr->stats.quick += t->kind == TRANSLATION_QUICK;
    if (t->kind == TRANSLATION_APART) {
        cold->apart = t;
        return;
    }
    struct translation *old = cold->translation;
    if (old)
        supersede(tr, old, t);
    atomic_store_explicit(&cold->translation, t, memory_order_release);
    atomic_store_explicit(&cold->entry, t->unit.entry, memory_order_release);
    if (cold->counted)
        __atomic_store_n(&cold->cells[0].imm, 0, __ATOMIC_RELAXED);
}

struct translation *translator_add(struct translator *tr, struct unit *cold, const struct lift_source *source,
                                   const struct translation_form *form, const bool *changeable,
                                   enum translator_failure *failure)
{
    uint64_t start = host_ticks();
    struct translation *t = translate(tr, cold, source, form, changeable, failure);
    uint64_t ticks = host_ticks() - start;
    tr->compile_ticks += ticks;
    if (t) {
        histogram_add(&tr->insn_ticks, ticks / t->insns, t->insns);
        publish(tr, cold, t);
    } else {
        tr->stats.failed += *failure != TRANSLATOR_NOT_QUICK;
    }
    return t;
}

struct compile *translator_compile(struct translator *tr)
{
    return &tr->compile;
}

struct translation *translator_take(struct translator *tr, struct unit *cold, const struct compile_job *job,
                                    bool changeable)
{
    const struct translation_form form = {TRANSLATION_LOOP, tr->limits.paged, job->way.path};
    struct translation *t = translation_new(tr, cold, &job->lifted, &job->room, &form, changeable);
    if (!t || !jit_cache_add(tr->cache, &t->unit, &job->room, &job->made, cold->pc))
        return NULL;
    if (cold->translation)
        translator_kill(tr, cold->translation);
    add_parts(tr, t);
    if (unlikely(tr->options->dump))
        dump(tr, t);
    publish(tr, cold, t);
    return t;
}

void translator_drop(struct translator *tr)
{
    tr->stats.dropped++;
}

void translator_tie(struct translator *tr, uint64_t link, struct translation *t)
{
    jit_cache_tie(tr->cache, link, &t->unit);
}

/* ---- Death ---- */

/* Nobody finds it any more. */
static void forget(struct translator *tr, struct translation *t)
{
    struct unit *cold = t->cold;
    for (unsigned i = 0; i < t->part_count; i++)
        part_unlink(&translation_parts(t)[i]);
    t->cold = NULL;
    if (!cold)
        return;
    if (t->kind == TRANSLATION_APART) {
        cold->apart = NULL;
        return;
    }
    atomic_store_explicit(&cold->entry, NULL, memory_order_release);
    atomic_store_explicit(&cold->translation, NULL, memory_order_release);
    if (cold->counted)
        __atomic_store_n(&cold->cells[0].imm, (int32_t)tr->options->threshold, __ATOMIC_RELAXED);
}

static void on_evicted(void *context, struct jit_unit *unit)
{
    forget(context, (struct translation *)unit); /* its first member */
}

void translator_kill(struct translator *tr, struct translation *t)
{
    forget(tr, t);
    if (translator_is_ready(tr))
        jit_cache_kill(tr->cache, &t->unit);
}

static void kill_in_page(struct translator *tr, bool changeable, uint64_t page, uint64_t start, uint64_t end)
{
    struct translation_part **list = page_list(tr, changeable, page), *part = *list;
    while (part) {
        const struct lift_piece *piece = piece_of(part);
        if (piece->pc < end && start < piece->pc + piece->bytes) {
            translator_kill(tr, translation_of(part));
            part = *list; /* others of its parts may have been next */
        } else {
            part = part->next;
        }
    }
}

/* The pages of the lists that have parts of the range: [*first, *last]. */
static void pages_of(uint64_t start, uint64_t end, uint64_t *first, uint64_t *last)
{
    *first = start >> PAGE_SHIFT;
    *last = (end - 1) >> PAGE_SHIFT;
    if (*last - *first >= PAGE_HASH_COUNT) {
        *first = 0;
        *last = PAGE_HASH_COUNT - 1;
    }
}

void translator_kill_range(struct translator *tr, bool changeable, uint64_t start, uint64_t end)
{
    uint64_t first, last;
    pages_of(start, end, &first, &last);
    for (uint64_t page = first; page <= last; page++)
        kill_in_page(tr, changeable, page, start, end);
}

struct translation *translator_find_direct(struct translator *tr, uint64_t pc)
{
    struct translation_part *part = *page_list(tr, true, pc >> PAGE_SHIFT);
    for (; part; part = part->next)
        if (translation_of(part)->direct && pc - piece_of(part)->pc < piece_of(part)->bytes)
            return translation_of(part);
    return NULL;
}

/* Where the piece's bytes are in the translation's copy. */
static const uint8_t *piece_bytes(const struct translation *t, unsigned piece)
{
    const uint8_t *bytes = translation_bytes(t);
    for (unsigned i = 0; i < piece; i++)
        bytes += t->pieces[i].bytes;
    return bytes;
}

static bool has_changed(const struct translator *tr, const struct translation_part *part)
{
    uint8_t now[LIFT_MAX_BYTES];
    const struct lift_piece *piece = piece_of(part);
    const void *bytes = tr->ops->host ? tr->ops->host(tr->ops_context, piece->pc)
                                      : (const void *)(tr->machine.memory_base + piece->pc);
    return host_copy(now, bytes, piece->bytes) != 0 ||
           memcmp(now, piece_bytes(translation_of(part), part->piece), piece->bytes) != 0;
}

static enum watch_state compare_in_page(struct translator *tr, uint64_t page, uint64_t start, uint64_t end)
{
    struct translation_part **list = page_list(tr, true, page), *part = *list;
    enum watch_state state = WATCH_EMPTY;
    while (part) {
        const struct lift_piece *piece = piece_of(part);
        bool inside = piece->pc < end && start < piece->pc + piece->bytes;
        if (inside && has_changed(tr, part)) {
            translator_kill(tr, translation_of(part));
            state = WATCH_CHANGED;
            part = *list;
        } else {
            state = inside ? MAX(state, WATCH_SAME) : state;
            part = part->next;
        }
    }
    return state;
}

enum watch_state translator_compare(struct translator *tr, uint64_t start, uint64_t end)
{
    uint64_t first, last;
    enum watch_state state = WATCH_EMPTY;
    pages_of(start, end, &first, &last);
    for (uint64_t page = first; page <= last; page++) {
        enum watch_state found = compare_in_page(tr, page, start, end);
        state = MAX(state, found);
    }
    return state;
}

void translator_kill_all(struct translator *tr)
{
    for (unsigned i = 0; i < 2 * PAGE_HASH_COUNT; i++) {
        struct translation_part **list = &tr->pages[i / PAGE_HASH_COUNT][i % PAGE_HASH_COUNT];
        while (*list)
            translator_kill(tr, translation_of(*list));
    }
}

bool translator_is_low(const struct translator *tr)
{
    return jit_cache_is_low(tr->cache);
}

int translator_evict(struct translator *tr)
{
    return jit_cache_evict(tr->cache);
}

void translator_reuse(struct translator *tr, int chunk)
{
    jit_cache_reuse(tr->cache, chunk);
}

/* ---- Faults ---- */

/* struct lift_source.fetch: from the pieces of a translation. */
static unsigned fetch_copy(void *context, uint64_t pc, uint8_t *bytes, unsigned size)
{
    const struct translation *t = context;
    return lift_fetch(t->pieces, t->piece_count, translation_bytes(t), pc, bytes, size);
}

/* The same IR as the translation was made of. */
static bool lift_again(struct translator *tr, const struct translation *t)
{
    const struct lift_source source = {.fetch = fetch_copy, .context = (void *)t};
    struct lift_limits limits = tr->limits;
    if (t->cut)
        limits.max_insns = t->insns;
    const struct translation_form form = {t->kind, t->direct, t->path};
    return lift(tr, &source, limits, &form, t->unit.pc);
}

bool translator_recover(struct translator *tr, struct hart *hart, uint64_t *address)
{
    struct jit_unit *unit = jit_cache_locate(tr->cache, hart->fault.pc);
    const struct translation *t = (const struct translation *)unit;
    void *state_register = &hart->x[LIFT_BIAS];
    if (!unit || !lift_again(tr, t))
        return false;
    return t->kind == TRANSLATION_QUICK
               ? jit_quick_recover(tr->assembler, &tr->ir, &tr->quick, &tr->thunks, unit->room,
                                   unit->first_site, &hart->fault, state_register, &hart->pc, address)
               : jit_recover(tr->assembler, &tr->ir, &tr->thunks, unit->room, unit->first_site, &hart->fault,
                             state_register, &hart->pc, address);
}

void translator_print(struct translator *tr, const struct translation *t, unsigned what, struct buf *out)
{
    if (lift_again(tr, t))
        report_translation(out, t, t->kind == TRANSLATION_QUICK ? NULL : &tr->ir, what);
}

struct engine_stats translator_stats(const struct translator *tr)
{
    struct engine_stats stats = tr->stats;
    struct jit_cache_stats cache = jit_cache_stats(tr->cache);
    stats.asked = tr->compile.asked;
    stats.thread_ns = ns_of(tr, tr->compile.ticks);
    stats.compile_ns = ns_of(tr, tr->compile_ticks) + stats.thread_ns;
    stats.insn_ns = ns_of(tr, histogram_median(&tr->insn_ticks));
    stats.units = cache.units;
    stats.bytes = cache.bytes;
    stats.killed = cache.killed;
    stats.evictions = cache.evictions;
    stats.links = cache.links;
    stats.tied = cache.tied;
    return stats;
}
