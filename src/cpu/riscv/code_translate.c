/* Translations of units: made when these have become warm, made again when they are hot, found, and made room for. */
#include "cpu/riscv/code_internal.h"

#include "base/util.h"
#include "host/barrier.h"
#include "host/copy.h"

#include <stdlib.h>
#include <string.h>

const struct unit *code_unit(struct code *code, uint64_t pc)
{
    return unit_table_find(atomic_load_explicit(&code->table, memory_order_acquire), pc);
}

const void *code_entry(const struct code *code, const struct unit *unit)
{
    if (unlikely(!translator_is_ready(code->translator)))
        return NULL; /* first: what is found below is no translation of the parent's then */
    return atomic_load_explicit(&unit->entry, memory_order_acquire);
}

struct lifting {
    struct code *code;
    bool quick;
    bool changeable;
    uint64_t start,
        end; /* known to be executable: found out once for most units, for it takes a lock and a search */
};

/* struct lift_source.fetch */
static unsigned fetch_to_lift(void *context, uint64_t pc, uint8_t *bytes, unsigned size)
{
    struct lifting *l = context;
    if (pc < l->start || pc >= l->end || size > l->end - pc) {
        bool changeable;
        l->start = pc;
        l->end = code_executable_end(l->code, pc, size, &changeable);
        l->changeable |= changeable && l->end != pc;
        size = (unsigned)MIN(l->end - pc, size);
    }
    return size ? size - (unsigned)host_copy(bytes, code_host_address(l->code, pc), size) : 0;
}

/* A translation may begin at a pc if its bit is set: neighbours share a cache line, where the table has them apart. */
static uint64_t *entry_word(struct code *code, uint64_t pc)
{
    return &code->entries[(pc >> 7) % CODE_ENTRY_WORDS];
}

static uint64_t entry_bit(uint64_t pc)
{
    return UINT64_C(1) << (pc >> 1 & 63);
}

/* struct lift_source.known. Quick units, which come first, would cut others into the pieces that they are themselves. */
static bool known_to_lift(void *context, uint64_t pc)
{
    const struct lifting *l = context;
    struct code *code = l->code;
    if (likely(!(*entry_word(code, pc) & entry_bit(pc))))
        return false;
    const struct unit *u = unit_table_find(code->table, pc);
    return u && u->translation && (l->quick || u->translation->kind != TRANSLATION_QUICK);
}

/* Makes room in the translator's cache before there is none: harts need time to come out of the oldest chunk. */
static void make_room(struct code *code)
{
    struct limbo *l;
    code_reclaim(code);
    if (!translator_is_low(code->translator) || host_barrier_register() != 0 || !(l = calloc(1, sizeof(*l))))
        return;
    *l = (struct limbo){code->limbo, code->epoch + 1, NULL, NULL, translator_evict(code->translator)};
    if (l->evicted < 0) {
        free(l);
        return;
    }
    code->limbo = l;
    atomic_fetch_add_explicit(&code->epoch, 1, memory_order_release);
    code_reclaim(code);
}

/* As watch_add(). */
static bool watch_translation(struct code *code, const struct translation *t)
{
    bool added = false;
    for (unsigned i = 0; i < t->piece_count; i++)
        added |= watch_add(&code->watch, t->pieces[i].pc, t->pieces[i].pc + t->pieces[i].bytes);
    return added;
}

/* The unit is counted out and has no translation yet. */
static struct translation *translate(struct code *code, struct unit *u, struct translation_form form)
{
    struct lifting l = {.code = code, .quick = form.kind == TRANSLATION_QUICK};
    const struct lift_source source = {.fetch = fetch_to_lift, .known = known_to_lift, .context = &l};
    enum translator_failure failure;
    if (unlikely(code->limbo) || translator_is_low(code->translator))
        make_room(code);
    struct translation *t = translator_add(code->translator, u, &source, &form, &l.changeable, &failure);
    while (t && unlikely(t->changeable) && watch_translation(code, t)) {
        translator_kill(code->translator, t);
        t = translator_add(code->translator, u, &source, &form, &l.changeable, &failure);
    }
    if (t)
        *entry_word(code, u->pc) |= entry_bit(u->pc);
    if (t || form.kind == TRANSLATION_LOOP || form.kind == TRANSLATION_APART)
        return t;
    if (failure == TRANSLATOR_NOT_QUICK)
        return translate(code, u, (struct translation_form){.kind = TRANSLATION_COUNTING});
    if (failure == TRANSLATOR_INTERPRET)
        code_isolate_unit(code, u);
    else
        code_recount(code, u);
    return NULL;
}

static bool is_paged(const struct code *code)
{
    return code->ops->host;
}

/* Makes the translation anew, of the same instructions. With the lock held. */
static void replace(struct code *code, struct unit *u, enum translation_kind kind, bool direct)
{
    unsigned insns = u->translation->insns;
    translator_kill(code->translator, u->translation);
    translate(code, u, (struct translation_form){kind, direct, insns});
}

/* Makes the translation anew: as a loop, if it can be one, or so that it counts nothing. With the lock held. */
static void translate_again(struct code *code, struct unit *u, const uint64_t *path)
{
    bool direct = u->translation->direct, quick = u->translation->kind == TRANSLATION_QUICK;
    const struct translation_form plain = {TRANSLATION_PLAIN, direct, quick ? 0 : u->translation->insns};
    translator_kill(code->translator, u->translation);
    if (!path || !translate(code, u, (struct translation_form){TRANSLATION_LOOP, direct, *path}))
        translate(code, u, plain);
}

/* The unit with a translation that may be made anew, or NULL. With the lock held. */
static struct unit *find_warm(struct code *code, uint64_t pc)
{
    struct unit *u = unit_table_find(code->table, pc);
    bool warm = u && u->translation && u->translation->kind != TRANSLATION_PLAIN &&
                translator_is_ready(code->translator);
    return warm ? u : NULL;
}

/* Does it look its pages up? Such code has no loops. */
static bool looks_up(const struct code *code, const struct unit *u)
{
    return is_paged(code) && !u->translation->direct;
}

void code_promote(struct code *code, uint64_t pc)
{
    pthread_mutex_lock(&code->lock);
    struct unit *u = find_warm(code, pc);
    if (u && u->translation->kind == TRANSLATION_QUICK)
        translate(code, u, (struct translation_form){.kind = TRANSLATION_COUNTING});
    pthread_mutex_unlock(&code->lock);
}

void code_make_direct(struct code *code, uint64_t pc)
{
    pthread_mutex_lock(&code->lock);
    struct unit *u = find_warm(code, pc);
    if (u && looks_up(code, u))
        replace(code, u, TRANSLATION_COUNTING, true);
    pthread_mutex_unlock(&code->lock);
}

void code_make_paged(struct code *code, uint64_t pc)
{
    pthread_mutex_lock(&code->lock);
    for (struct translation *t; (t = translator_find_direct(code->translator, pc));)
        replace(code, t->cold, TRANSLATION_PLAIN, false);
    pthread_mutex_unlock(&code->lock);
}

/* ---- Loops that were made on request ---- */

/* Has the guest these bytes there, for execution? From now on their change would be heard of. */
static bool is_there(struct code *code, const struct lift_piece *piece, const uint8_t *bytes,
                     bool *changeable)
{
    uint8_t now[LIFT_MAX_BYTES];
    bool also;
    size_t size = code_fetch(code, piece->pc, now, piece->bytes, &also);
    if (also && watch_add(&code->watch, piece->pc, piece->pc + piece->bytes))
        size = code_fetch(code, piece->pc, now, piece->bytes, &also);
    *changeable |= also;
    return size == piece->bytes && !memcmp(now, bytes, size);
}

static bool is_all_there(struct code *code, const struct lift_result *lifted, bool *changeable)
{
    const uint8_t *bytes = lifted->bytes;
    *changeable = false;
    for (unsigned i = 0; i < lifted->piece_count; bytes += lifted->pieces[i++].bytes)
        if (!is_there(code, &lifted->pieces[i], bytes, changeable))
            return false;
    return true;
}

/* What the thread has made takes its place, if all is still as it was when it was asked for, and it was not asked
 * twice. */
static bool take(struct code *code, struct unit *u, const struct compile_job *job)
{
    bool changeable;
    if (looks_up(code, u) ||
        (u->translation->kind == TRANSLATION_LOOP && u->translation->path == job->way.path))
        return false;
    if (job->result == COMPILE_NO_LOOP) {
        translate_again(code, u, NULL);
        return true;
    }
    if (job->result == COMPILE_NO_ROOM || !is_all_there(code, &job->lifted, &changeable) ||
        !translator_take(code->translator, u, job, changeable))
        return false;
    *entry_word(code, u->pc) |= entry_bit(u->pc);
    return true;
}

/* With the lock held. Says whether there was anything. */
static bool take_made(struct code *code)
{
    struct compile *compile = translator_compile(code->translator);
    const struct compile_job *job = compile_made(compile);
    if (likely(!job))
        return false;
    for (; job; job = compile_made(compile)) {
        struct unit *u = find_warm(code, job->pc);
        if (u)
            u->translation->asked = false;
        if (!u || !take(code, u, job))
            translator_drop(code->translator);
        compile_next(compile);
    }
    return true;
}

/* ---- */

/* Of code that may become hot; a computer's with hot:1 at once. */
static struct translation_form first_form(const struct code *code, bool counts)
{
    if (code->engine.quick && !is_paged(code))
        return (struct translation_form){.kind = TRANSLATION_QUICK};
    return (struct translation_form){counts ? TRANSLATION_COUNTING : TRANSLATION_PLAIN,
                                     counts && is_paged(code) && code->engine.hot == 1, 0};
}

const struct translation *code_translation(struct code *code, uint64_t pc, bool counts)
{
    pthread_mutex_lock(&code->lock);
    take_made(code);
    struct unit *u = code_find_or_build(code, pc);
    struct translation *t = u ? u->translation : NULL;
    if (t && !translator_is_ready(code->translator)) { /* the parent's: it has to become hot here too */
        translator_kill(code->translator, t);
        t = NULL;
    } else if (u && u->counted && !t) {
        t = translate(code, u, first_form(code, counts));
    }
    pthread_mutex_unlock(&code->lock);
    return t;
}

static enum code_heat heat_of(const struct translation *t)
{
    switch ((enum translation_kind)t->kind) {
    case TRANSLATION_QUICK: return CODE_IS_QUICK;
    case TRANSLATION_LOOP: return CODE_IS_LOOP;
    case TRANSLATION_COUNTING: return CODE_IS_COUNTED;
    case TRANSLATION_APART:
    case TRANSLATION_PLAIN: break;
    }
    return CODE_IS_OTHER;
}

enum code_heat code_heat_at(struct code *code, uint64_t pc, uint64_t *path)
{
    enum code_heat heat = CODE_IS_NONE;
    pthread_mutex_lock(&code->lock);
    bool any = take_made(code);
    const struct unit *u = unit_table_find(code->table, pc);
    const struct translation *t = u ? u->translation : NULL;
    if (t && translator_is_ready(code->translator)) {
        heat = any || t->asked ? CODE_IS_ASKED : heat_of(t);
        *path = t->path;
    }
    pthread_mutex_unlock(&code->lock);
    return heat;
}

static bool ask(struct code *code, const struct hart *hart, struct unit *u, const struct lift_way *way)
{
    struct translation *t = u->translation;
    t->asked |= compile_ask(translator_compile(code->translator), hart->host.pid, u->pc, way);
    return t->asked;
}

bool code_heat(struct hart *hart, uint64_t pc, const struct lift_way *way)
{
    enum { TRIES = 3 };
    struct code *code = hart->code;
    pthread_mutex_lock(&code->lock);
    struct unit *u = find_warm(code, pc);
    if (u && looks_up(code, u)) {
        replace(code, u, TRANSLATION_COUNTING, true);
        u = NULL;
    }
    bool asked = u && (u->translation->asked || (way && ask(code, hart, u, way)));
    if (u && !asked && (way || ++u->translation->tries == TRIES))
        translate_again(code, u, way ? &way->path : NULL);
    pthread_mutex_unlock(&code->lock);
    return asked;
}

void code_cool(struct code *code, uint64_t pc)
{
    pthread_mutex_lock(&code->lock);
    struct unit *u = find_warm(code, pc);
    if (u && u->translation->kind == TRANSLATION_COUNTING)
        translate_again(code, u, NULL);
    pthread_mutex_unlock(&code->lock);
}

const void *code_translate(struct code *code, const struct unit *unit, bool counts)
{
    const void *entry = code_entry(code, unit);
    if (entry)
        return entry;
    /* No cache has the guest's code, which is not what the host executes. It comes while other things are done: a tenth of the
     * time to lift it. */
    __builtin_prefetch(code_host_address(code, unit->pc));
    __builtin_prefetch(entry_word(code, unit->pc), 1);
    const struct translation *t = code_translation(code, unit->pc, counts);
    return t ? t->unit.entry : NULL;
}

void code_tie(struct code *code, uint64_t link, const struct unit *unit)
{
    pthread_mutex_lock(&code->lock);
    if (unit->translation)
        translator_tie(code->translator, link, unit->translation);
    pthread_mutex_unlock(&code->lock);
}

const void *code_apart(struct code *code, uint64_t link, uint64_t pc)
{
    pthread_mutex_lock(&code->lock);
    struct unit *u = code_find_or_build(code, pc);
    struct translation *t = u ? u->apart : NULL;
    if (u && !t)
        t = translate(code, u, (struct translation_form){.kind = TRANSLATION_APART});
    if (t && !code->engine.modes.no_chain)
        translator_tie(code->translator, link, t);
    const void *entry = t ? t->unit.entry : NULL;
    pthread_mutex_unlock(&code->lock);
    return entry;
}

bool code_isolate(struct code *code, uint64_t pc)
{
    pthread_mutex_lock(&code->lock);
    struct unit *u = code_find_or_build(code, pc);
    bool translated = u && u->translation;
    if (u && u->counted && !translated)
        code_isolate_unit(code, u);
    pthread_mutex_unlock(&code->lock);
    return !translated;
}

bool code_recover(struct code *code, struct hart *hart, uint64_t *address)
{
    pthread_mutex_lock(&code->lock);
    bool recovered = translator_recover(code->translator, hart, address);
    pthread_mutex_unlock(&code->lock);
    return recovered;
}

void code_print(struct code *code, uint64_t pc, unsigned what, struct buf *out)
{
    pthread_mutex_lock(&code->lock);
    const struct unit *u = unit_table_find(code->table, pc);
    if (u && u->translation)
        translator_print(code->translator, u->translation, what, out);
    pthread_mutex_unlock(&code->lock);
}
