#include "cpu/riscv/code.h"

#include "base/error.h"
#include "base/util.h"
#include "cpu/riscv/predecode.h"
#include "cpu/riscv/translate.h"
#include "cpu/riscv/unit_store.h"
#include "cpu/riscv/watch.h"
#include "host/barrier.h"
#include "host/copy.h"
#include "host/segment.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Beyond this, everything is dropped and built anew: the working set of the largest programs is a fraction of it. */
#define DEFAULT_MAX_BYTES ((size_t)96 << 20)

#define PAGE_HASH_COUNT   1024u
#define PAGE_SHIFT        12
#define PAGE_BYTES        (UINT64_C(1) << PAGE_SHIFT)

/* Memory that harts may still be using: freed when each has left the units it entered before `epoch`. */
struct limbo {
    struct limbo *next;
    uint64_t epoch;
    struct unit_chunk *chunks;
    struct unit_table *tables;
    int evicted; /* chunk of the translator's cache, or -1 */
};

/* A bit for each of the addresses of 8 MiB of code; what is farther apart shares them. */
#define ENTRY_WORDS (1u << 16)

struct code {
    pthread_mutex_t lock; /* everything below that is not atomic */
    const struct code_ops *ops;
    void *context;
    uint64_t mem_base, extensions;
    struct unit_table *_Atomic table;
    _Atomic uint64_t epoch;    /* starts at 1, grows at each flush */
    struct unit_chunk *chunks; /* the first is being filled */
    struct unit_table *old_tables;
    struct limbo *limbo;
    struct unit *pages[2][PAGE_HASH_COUNT]; /* fixed and changeable ones */
    struct watch watch;
    struct hart *harts;
    size_t bytes, max_bytes;
    uint64_t live;
    struct code_stats stats;
    struct engine_options engine;
    pthread_mutex_t
        *alone; /* lockstep: held while a unit runs twice; shared with children of fork(), owned */
    struct translator *translator; /* owned; NULL: interpreter alone */
    struct draft draft;
    uint64_t entries[ENTRY_WORDS]; /* where translations may begin; last: touched only where there are some */
};

int code_new(struct code **out, const struct code_ops *ops, void *context, uint64_t mem_base,
             uint64_t extensions, struct guise_error *err)
{
    struct code *code = calloc(1, sizeof(*code));
    struct unit_table *table = unit_table_new();
    if (!code || !table) {
        free(code);
        free(table);
        return error_set(err, GUISE_E_NOMEM, "no memory for the table of predecoded code");
    }
    pthread_mutex_init(&code->lock, NULL);
    code->draft.interp = ops->host ? interp_system_table() : interp_table();
    code->draft.place = ops->host ? DRAFT_PAGED : DRAFT_FLAT;
    code->ops = ops;
    code->context = context;
    code->mem_base = mem_base;
    code->extensions = extensions;
    code->max_bytes = ops->max_bytes ? ops->max_bytes : DEFAULT_MAX_BYTES;
    code->table = table;
    code->epoch = 1;
    code->engine.kind = ENGINE_INTERP; /* unless the owner says more */
    watch_init(&code->watch, ops, context, code);
    *out = code;
    return 0;
}

/* Children of fork() may share guest memory with us. One that dies leaves the lock usable. */
static pthread_mutex_t *shared_mutex_new(void)
{
    pthread_mutexattr_t attr;
    pthread_mutex_t *mutex =
        mmap(NULL, sizeof(*mutex), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mutex == MAP_FAILED)
        return NULL;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    return mutex;
}

int code_set_engine(struct code *code, const struct engine_options *options, struct guise_error *err)
{
    code->engine = *options;
    if (options->kind == ENGINE_INTERP)
        return 0;
    if (options->kind == ENGINE_LOCKSTEP) {
        code->engine.threshold = code->engine.hot = 0; /* unit by unit, each way round */
        code->engine.modes.no_chain = true;
        code->alone = shared_mutex_new();
        if (!code->alone)
            return error_set(err, GUISE_E_NOMEM, "no memory for a lock");
    }
    if (code->ops->host && !host_has_gs())
        code->engine.hot = 0; /* code cannot be direct */
    code->draft.counted = true;
    code->draft.threshold = (int32_t)code->engine.threshold;
    return translator_new(&code->translator, &code->engine, code->ops, code->context, code->mem_base,
                          code->extensions, err);
}

const struct engine_options *code_engine(const struct code *code)
{
    return &code->engine;
}

struct translator *code_translator(const struct code *code)
{
    return code->translator;
}

void code_free(struct code *code)
{
    if (!code)
        return;
    while (code->limbo) {
        struct limbo *l = code->limbo;
        code->limbo = l->next;
        unit_chunks_free(l->chunks);
        unit_tables_free(l->tables);
        free(l);
    }
    translator_free(code->translator);
    watch_release(&code->watch);
    unit_chunks_free(code->chunks);
    unit_tables_free(code->old_tables);
    free(code->table);
    if (code->alone)
        munmap(code->alone, sizeof(*code->alone));
    pthread_mutex_destroy(&code->lock);
    free(code);
}

void code_add_hart(struct code *code, struct hart *hart)
{
    pthread_mutex_lock(&code->lock);
    hart->jumps_epoch = code->epoch;
    hart->code_next = code->harts;
    code->harts = hart;
    pthread_mutex_unlock(&code->lock);
}

void code_remove_hart(struct code *code, struct hart *hart)
{
    pthread_mutex_lock(&code->lock);
    struct hart **at = &code->harts;
    while (*at && *at != hart)
        at = &(*at)->code_next;
    if (*at)
        *at = hart->code_next;
    pthread_mutex_unlock(&code->lock);
}

/* The store of the epoch has no fence, for it is made at every system call: whoever frees memory makes every hart's
 * stores visible instead (host_barrier_all). An epoch that is still the current one after the store was seen in time; a
 * hart that comes late must not use what its jump cache has of the epoch before. */
void code_enter(struct code *code, struct hart *hart)
{
    uint64_t epoch, now = atomic_load_explicit(&code->epoch, memory_order_acquire);
    do {
        epoch = now;
        atomic_store_explicit(&hart->epoch, epoch, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
        now = atomic_load_explicit(&code->epoch, memory_order_acquire);
    } while (unlikely(now != epoch));
    if (unlikely(hart->jumps_epoch != epoch)) {
        memset(hart->jumps, 0, JUMP_COUNT * sizeof(hart->jumps[0]));
        jump_clear(hart->jumps);
        hart->jumps_epoch = epoch;
    }
}

void code_leave(struct hart *hart)
{
    atomic_store_explicit(&hart->epoch, 0, memory_order_release);
}

/* Frees what no hart can reach any more; a hart that still can is asked to come out. */
static void reclaim(struct code *code)
{
    if (!code->limbo || host_barrier_all() != 0)
        return;
    uint64_t oldest = UINT64_MAX;
    for (struct hart *h = code->harts; h; h = h->code_next) {
        uint64_t epoch = atomic_load_explicit(&h->epoch, memory_order_acquire);
        if (!epoch)
            continue;
        oldest = MIN(oldest, epoch);
        if (epoch < code->epoch)
            engine_kick(h);
    }
    struct limbo **at = &code->limbo;
    while (*at) {
        struct limbo *l = *at;
        if (l->epoch > oldest) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        if (l->evicted >= 0)
            translator_reuse(code->translator, l->evicted);
        unit_chunks_free(l->chunks);
        unit_tables_free(l->tables);
        free(l);
    }
}

/* Sends every hart that comes to the unit, or is inside, to look up again. */
static void bury(const struct code *code, struct unit *u)
{
    const struct cell_info *infos = unit_infos(u);
    const void *dead = code->draft.interp->handlers[CELL_DEAD];
    for (unsigned i = 0; i < u->cell_count; i++)
        if (i == 0 || infos[i].offset != infos[i - 1].offset) /* not an operand cell */
            __atomic_store_n(&u->cells[i].handler, dead, __ATOMIC_RELEASE);
}

static void bury_all(struct code *code)
{
    for (unsigned i = 0; i < 2 * PAGE_HASH_COUNT; i++) {
        struct unit **list = &code->pages[i / PAGE_HASH_COUNT][i % PAGE_HASH_COUNT];
        for (struct unit *u = *list; u; u = u->page_next)
            bury(code, u);
        *list = NULL;
    }
}

/* Drops every unit. Called with the lock held. */
static void flush(struct code *code)
{
    if (host_barrier_register() != 0) {
        code->max_bytes = SIZE_MAX; /* it would never be known what may be freed */
        return;
    }
    struct limbo *l = calloc(1, sizeof(*l));
    struct unit_table *t = unit_table_new();
    if (!l || !t) {
        free(l);
        free(t);
        return; /* go on as long as chunks can be had */
    }
    struct unit_table *old = code->table;
    old->retired_next = code->old_tables;
    if (code->translator)
        translator_kill_all(code->translator);
    *l = (struct limbo){code->limbo, code->epoch + 1, code->chunks, old, -1};
    code->limbo = l;
    code->chunks = NULL;
    code->old_tables = NULL;
    code->bytes = 0;
    code->live = 0;
    atomic_store_explicit(&code->table, t, memory_order_release);
    atomic_fetch_add_explicit(&code->epoch, 1, memory_order_release);
    bury_all(code); /* no later code_invalidate() would find them */
    code->stats.flushes++;
    reclaim(code);
}

/* Room for `size` bytes; NULL when memory is short. */
static struct unit *allocate(struct code *code, size_t size)
{
    size = ALIGN_UP(size, sizeof(union cell));
    struct unit_chunk *c = code->chunks;
    if (!c || !unit_chunk_has_room(c, size)) {
        reclaim(code);
        c = unit_chunk_new();
        if (!c)
            return NULL;
        c->next = code->chunks;
        code->chunks = c;
        code->bytes += UNIT_CHUNK_BYTES;
    }
    return unit_chunk_take(c, size);
}

static struct unit **page_list(struct code *code, bool changeable, uint64_t page)
{
    return &code->pages[changeable][page % PAGE_HASH_COUNT];
}

static const void *host_address(const struct code *code, uint64_t pc)
{
    return code->ops->host ? code->ops->host(code->context, pc) : (const void *)(code->mem_base + pc);
}

/* Where the executable memory from `pc` on ends, or an address behind `size` bytes of it; says whether they may change. */
static uint64_t executable_end(struct code *code, uint64_t pc, size_t size, bool *changeable)
{
    const uint64_t page_end = (pc | (PAGE_BYTES - 1)) + 1;
    bool also,
        paged = code->ops->host; /* what follows in another page need not follow in the host's memory */
    uint64_t at = pc, end;
    *changeable = false;
    if (paged)
        size = (size_t)MIN(page_end - pc, size);
    while (at - pc < size && code->ops->executable(code->context, at, &end, &also)) {
        *changeable |= also;
        at = end;
    }
    return paged ? MIN(at, page_end) : at;
}

/* Copies the guest's code at `pc`, up to `size` bytes of executable memory; says how many and whether they may change. */
static size_t fetch(struct code *code, uint64_t pc, uint8_t *source, size_t size, bool *changeable)
{
    size = (size_t)MIN(executable_end(code, pc, size, changeable) - pc, size);
    return size ? size - host_copy(source, host_address(code, pc), size) : 0;
}

/* Predecodes the code at `pc` from bytes whose change will be heard of; `source` gets them. */
static bool draw(struct code *code, uint64_t pc, uint8_t source[UNIT_BYTES], bool *changeable)
{
    struct draft *d = &code->draft;
    size_t size;
    watch_refresh(&code->watch, pc);
    do {
        size = fetch(code, pc, source, UNIT_BYTES, changeable);
        if (!predecode(d, source, (unsigned)size, pc, code->extensions))
            return false;
    } while (unlikely(*changeable) && watch_add(&code->watch, pc, pc + d->bytes));
    return true;
}

static void grow_table(struct code *code)
{
    struct unit_table *old = code->table, *t = unit_table_grown(old);
    if (!t)
        return; /* longer chains, no harm */
    old->retired_next = code->old_tables;
    code->old_tables = old;
    atomic_store_explicit(&code->table, t, memory_order_release);
}

static struct unit *build(struct code *code, uint64_t pc)
{
    uint8_t source[UNIT_BYTES];
    bool changeable;
    if (code->bytes > code->max_bytes)
        flush(code);
    struct draft *d = &code->draft;
    if (!draw(code, pc, source, &changeable))
        return NULL;
    struct unit *u = allocate(code, draft_unit_bytes(d, changeable));
    if (!u)
        return NULL;
    draft_fill_unit(d, u, changeable ? source : NULL);
    unit_chunk_publish(code->chunks);
    struct unit **list = page_list(code, changeable, pc >> PAGE_SHIFT);
    u->page_next = *list;
    *list = u;
    code->stats.units++;
    code->stats.cells += d->cell_count;
    if (code->live++ > code->table->mask / 2) /* each unit of a chain that is no hit costs a cache miss */
        grow_table(code);
    unit_table_insert(code->table, u);
    return u;
}

/* With the lock held: another hart may have built the unit meanwhile. */
static struct unit *find_or_build(struct code *code, uint64_t pc)
{
    struct unit *u = unit_table_find(code->table, pc);
    return u ? u : build(code, pc);
}

const union cell *code_find(struct code *code, uint64_t pc)
{
    struct unit *u = unit_table_find(atomic_load_explicit(&code->table, memory_order_acquire), pc);
    if (unlikely(!u)) {
        pthread_mutex_lock(&code->lock);
        u = find_or_build(code, pc);
        pthread_mutex_unlock(&code->lock);
    }
    return u ? u->cells : NULL;
}

uint64_t code_fetch_fault(struct code *code, uint64_t pc, int *host_signal)
{
    const uint64_t half = 2;
    uint8_t source[4];
    uint64_t end;
    bool changeable;
    size_t have = fetch(code, pc, source, sizeof(source), &changeable);
    *host_signal = SIGSEGV;
    if (have >= half && (have == sizeof(source) || (source[0] & 3) != 3))
        return pc; /* another thread has changed the mapping since, or there was no memory for the unit */
    uint64_t address = pc + (have >= half ? half : 0);
    if (code->ops->executable(code->context, address, &end, &changeable))
        *host_signal = SIGBUS;
    return address;
}

static void kill_unit(struct code *code, struct unit *u)
{
    if (u->translation)
        translator_kill(code->translator, u->translation);
    if (u->apart)
        translator_kill(code->translator, u->apart);
    unit_table_remove(code->table, u);
    bury(code, u);
    code->stats.killed++;
    code->live--;
}

static bool overlaps(const struct unit *u, uint64_t start, uint64_t end)
{
    return u->pc < end && start < u->pc + u->bytes;
}

static void kill_in_list(struct code *code, struct unit **at, uint64_t start, uint64_t end)
{
    while (*at) {
        struct unit *u = *at;
        if (overlaps(u, start, end)) {
            *at = u->page_next;
            kill_unit(code, u);
        } else {
            at = &u->page_next;
        }
    }
}

/* Makes the unit anew: its first instruction alone, never to be translated. */
static void isolate(struct code *code, struct unit *u)
{
    struct draft *d = &code->draft;
    uint64_t pc = u->pc;
    struct unit **at = page_list(code, u->changeable, pc >> PAGE_SHIFT);
    while (*at != u)
        at = &(*at)->page_next;
    *at = u->page_next;
    kill_unit(code, u);
    d->single = true;
    d->counted = false;
    build(code, pc);
    d->single = false;
    d->counted = true;
}

/* Lets the unit be interpreted for a while before it is tried again. */
static void recount(const struct code *code, struct unit *u)
{
    int32_t times = MAX((int32_t)code->engine.threshold, 16);
    __atomic_store_n(&u->cells[0].imm, times, __ATOMIC_RELAXED);
}

static bool changed(const struct code *code, const struct unit *u)
{
    uint8_t now[UNIT_BYTES];
    return host_copy(now, host_address(code, u->pc), u->bytes) != 0 ||
           memcmp(now, unit_source(u), u->bytes) != 0;
}

/* ---- Translations ---- */

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
        l->end = executable_end(l->code, pc, size, &changeable);
        l->changeable |= changeable && l->end != pc;
        size = (unsigned)MIN(l->end - pc, size);
    }
    return size ? size - (unsigned)host_copy(bytes, host_address(l->code, pc), size) : 0;
}

/* A translation may begin at a pc if its bit is set: neighbours share a cache line, where the table has them apart. */
static uint64_t *entry_word(struct code *code, uint64_t pc)
{
    return &code->entries[(pc >> 7) % ENTRY_WORDS];
}

static uint64_t entry_bit(uint64_t pc)
{
    return UINT64_C(1) << (pc >> 1 & 63);
}

/* struct lift_source.known */
static bool known_to_lift(void *context, uint64_t pc)
{
    struct code *code = ((const struct lifting *)context)->code;
    if (likely(!(*entry_word(code, pc) & entry_bit(pc))))
        return false;
    const struct unit *u = unit_table_find(code->table, pc);
    return u && u->translation;
}

/* Makes room in the translator's cache before there is none: harts need time to come out of the oldest chunk. */
static void make_room(struct code *code)
{
    struct limbo *l;
    reclaim(code);
    if (!translator_is_low(code->translator) || host_barrier_register() != 0 || !(l = calloc(1, sizeof(*l))))
        return;
    *l = (struct limbo){code->limbo, code->epoch + 1, NULL, NULL, translator_evict(code->translator)};
    if (l->evicted < 0) {
        free(l);
        return;
    }
    code->limbo = l;
    atomic_fetch_add_explicit(&code->epoch, 1, memory_order_release);
    reclaim(code);
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
static struct translation *translate(struct code *code, struct unit *u, enum translation_kind kind,
                                     uint64_t path)
{
    struct lifting l = {.code = code};
    const struct lift_source source = {.fetch = fetch_to_lift, .known = known_to_lift, .context = &l};
    enum translator_failure failure;
    if (unlikely(code->limbo) || translator_is_low(code->translator))
        make_room(code);
    struct translation *t = translator_add(code->translator, u, &source, kind, path, &l.changeable, &failure);
    while (t && unlikely(t->changeable) && watch_translation(code, t)) {
        translator_kill(code->translator, t);
        t = translator_add(code->translator, u, &source, kind, path, &l.changeable, &failure);
    }
    if (t)
        *entry_word(code, u->pc) |= entry_bit(u->pc);
    if (t || kind == TRANSLATION_LOOP || kind == TRANSLATION_APART)
        return t;
    if (failure == TRANSLATOR_INTERPRET)
        isolate(code, u);
    else
        recount(code, u);
    return NULL;
}

/* Makes the translation anew, of the same instructions. With the lock held. */
static void replace(struct code *code, struct unit *u, enum translation_kind kind)
{
    unsigned insns = u->translation->insns;
    translator_kill(code->translator, u->translation);
    translate(code, u, kind, insns);
}

/* Makes the translation anew: as a loop, if it can be one, or so that it counts nothing. With the lock held. */
static void translate_again(struct code *code, struct unit *u, const uint64_t *path)
{
    unsigned insns = u->translation->insns;
    translator_kill(code->translator, u->translation);
    if (!path || !translate(code, u, TRANSLATION_LOOP, *path))
        translate(code, u, TRANSLATION_PLAIN, insns);
}

/* The unit with a translation that may be made anew, or NULL. With the lock held. */
static struct unit *find_warm(struct code *code, uint64_t pc)
{
    struct unit *u = unit_table_find(code->table, pc);
    bool warm = u && u->translation && u->translation->kind != TRANSLATION_PLAIN &&
                translator_is_ready(code->translator);
    return warm ? u : NULL;
}

void code_make_direct(struct code *code, uint64_t pc)
{
    pthread_mutex_lock(&code->lock);
    struct unit *u = find_warm(code, pc);
    if (u && u->translation->kind == TRANSLATION_COUNTING)
        replace(code, u, TRANSLATION_DIRECT);
    pthread_mutex_unlock(&code->lock);
}

void code_make_paged(struct code *code, uint64_t pc)
{
    pthread_mutex_lock(&code->lock);
    for (struct translation *t; (t = translator_find_direct(code->translator, pc));)
        replace(code, t->cold, TRANSLATION_PLAIN);
    pthread_mutex_unlock(&code->lock);
}

/* ---- Loops that were made on request ---- */

/* Has the guest these bytes there, for execution? From now on their change would be heard of. */
static bool is_there(struct code *code, const struct lift_piece *piece, const uint8_t *bytes,
                     bool *changeable)
{
    uint8_t now[LIFT_MAX_BYTES];
    bool also;
    size_t size = fetch(code, piece->pc, now, piece->bytes, &also);
    if (also && watch_add(&code->watch, piece->pc, piece->pc + piece->bytes))
        size = fetch(code, piece->pc, now, piece->bytes, &also);
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
    if (u->translation->kind == TRANSLATION_LOOP && u->translation->path == job->way.path)
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

/* Of code that may become hot. With hot:1 a computer's is at once. */
static enum translation_kind first_kind(const struct code *code)
{
    return code->ops->host && code->engine.hot == 1 ? TRANSLATION_DIRECT : TRANSLATION_COUNTING;
}

const struct translation *code_translation(struct code *code, uint64_t pc, bool counts)
{
    pthread_mutex_lock(&code->lock);
    take_made(code);
    struct unit *u = find_or_build(code, pc);
    struct translation *t = u ? u->translation : NULL;
    if (t && !translator_is_ready(code->translator)) { /* the parent's: it has to become hot here too */
        translator_kill(code->translator, t);
        t = NULL;
    } else if (u && u->counted && !t) {
        t = translate(code, u, counts ? first_kind(code) : TRANSLATION_PLAIN, 0);
    }
    pthread_mutex_unlock(&code->lock);
    return t;
}

static enum code_heat heat_of(const struct translation *t)
{
    switch ((enum translation_kind)t->kind) {
    case TRANSLATION_LOOP: return CODE_IS_LOOP;
    case TRANSLATION_COUNTING: return CODE_IS_COUNTED;
    case TRANSLATION_APART:
    case TRANSLATION_DIRECT:
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
    __builtin_prefetch(host_address(code, unit->pc));
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
    struct unit *u = find_or_build(code, pc);
    struct translation *t = u ? u->apart : NULL;
    if (u && !t)
        t = translate(code, u, TRANSLATION_APART, 0);
    if (t && !code->engine.modes.no_chain)
        translator_tie(code->translator, link, t);
    const void *entry = t ? t->unit.entry : NULL;
    pthread_mutex_unlock(&code->lock);
    return entry;
}

bool code_isolate(struct code *code, uint64_t pc)
{
    pthread_mutex_lock(&code->lock);
    struct unit *u = find_or_build(code, pc);
    bool translated = u && u->translation;
    if (u && u->counted && !translated)
        isolate(code, u);
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

/* ---- Single steps ---- */

static const union cell *predecode_step(struct code *code, struct unit_chunk *c, uint64_t pc,
                                        struct rv_insn *insn)
{
    uint8_t source[sizeof(insn->word)] = {0};
    bool changeable;
    struct draft *d = &code->draft;
    size_t size = fetch(code, pc, source, sizeof(source), &changeable);
    d->single = true;
    d->counted = false;
    bool made = predecode(d, source, (unsigned)size, pc, code->extensions);
    d->single = false;
    d->counted = true;
    if (!made)
        return NULL;
    unit_chunk_clear(c);
    struct unit *u = unit_chunk_take(c, draft_unit_bytes(d, false));
    draft_fill_unit(d, u, NULL);
    unit_chunk_publish(c);
    uint32_t word;
    memcpy(&word, source, sizeof(word));
    rv_decode(word, insn);
    return u->cells;
}

const union cell *code_step(struct hart *hart, struct rv_insn *insn)
{
    struct code *code = hart->code;
    if (!hart->step && !(hart->step = unit_chunk_new()))
        return NULL;
    pthread_mutex_lock(&code->lock);
    const union cell *cell = predecode_step(code, hart->step, hart->pc, insn);
    pthread_mutex_unlock(&code->lock);
    return cell;
}

void code_alone(struct code *code)
{
    if (pthread_mutex_lock(code->alone) == EOWNERDEAD)
        pthread_mutex_consistent(code->alone);
}

void code_together(struct code *code)
{
    pthread_mutex_unlock(code->alone);
}

/* ---- Change ---- */

/* Hashes of the pages in which a unit may start that overlaps the range: [*first, *last]. */
static void pages_of(const struct code *code, uint64_t start, uint64_t end, uint64_t *first, uint64_t *last)
{
    uint64_t reach = code->ops->host ? 0 : UNIT_BYTES; /* paged code does not leave its page */
    *first = (start > reach ? start - reach : 0) >> PAGE_SHIFT;
    *last = (end - 1) >> PAGE_SHIFT;
    if (*last - *first >= PAGE_HASH_COUNT) {
        *first = 0;
        *last = PAGE_HASH_COUNT - 1;
    }
}

static void kill_range(struct code *code, bool changeable, uint64_t start, uint64_t end)
{
    uint64_t first, last;
    pages_of(code, start, end, &first, &last);
    for (uint64_t page = first; page <= last; page++)
        kill_in_list(code, page_list(code, changeable, page), start, end);
    if (code->translator)
        translator_kill_range(code->translator, changeable, start, end);
}

void code_drop(struct code *code, uint64_t start, uint64_t end)
{
    kill_range(code, true, start, end);
}

static enum watch_state compare_in_list(struct code *code, struct unit **at, uint64_t start, uint64_t end)
{
    enum watch_state state = WATCH_EMPTY;
    for (struct unit *u; (u = *at);) {
        if (!overlaps(u, start, end)) {
            at = &u->page_next;
        } else if (changed(code, u)) {
            *at = u->page_next;
            kill_unit(code, u);
            state = WATCH_CHANGED;
        } else {
            at = &u->page_next;
            state = MAX(state, WATCH_SAME);
        }
    }
    return state;
}

enum watch_state code_compare(struct code *code, uint64_t start, uint64_t end)
{
    uint64_t first, last;
    enum watch_state state = WATCH_EMPTY;
    pages_of(code, start, end, &first, &last);
    for (uint64_t page = first; page <= last; page++) {
        enum watch_state list = compare_in_list(code, page_list(code, true, page), start, end);
        state = MAX(state, list);
    }
    if (code->translator) {
        enum watch_state translations = translator_compare(code->translator, start, end);
        state = MAX(state, translations);
    }
    return state;
}

void code_invalidate(struct code *code, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    pthread_mutex_lock(&code->lock);
    kill_range(code, false, start, end);
    kill_range(code, true, start, end);
    watch_forget(&code->watch, start, end);
    pthread_mutex_unlock(&code->lock);
}

void code_fence(struct code *code)
{
    pthread_mutex_lock(&code->lock);
    watch_fence(&code->watch, true);
    pthread_mutex_unlock(&code->lock);
}

void code_flush(struct code *code, uint64_t start, uint64_t end)
{
    pthread_mutex_lock(&code->lock);
    if (start < end) {
        kill_range(code, false, start, end);
        watch_announce(&code->watch, start, end);
    }
    watch_fence(&code->watch, false);
    pthread_mutex_unlock(&code->lock);
}

bool code_write_fault(struct code *code, uint64_t address)
{
    if (!watch_any(&code->watch))
        return false;
    pthread_mutex_lock(&code->lock);
    bool ours = watch_fault(&code->watch, address);
    pthread_mutex_unlock(&code->lock);
    return ours;
}

void code_unprotect(struct code *code, uint64_t start, uint64_t end)
{
    pthread_mutex_lock(&code->lock);
    watch_open(&code->watch, start, end);
    pthread_mutex_unlock(&code->lock);
}

void code_pause_thread(struct code *code)
{
    if (code->translator)
        compile_pause(translator_compile(code->translator));
}

void code_resume_thread(struct code *code)
{
    if (code->translator)
        compile_resume(translator_compile(code->translator));
}

void code_fork_prepare(struct code *code)
{
    pthread_mutex_lock(&code->lock);
    if (code->translator)
        compile_fork_prepare(translator_compile(code->translator));
}

/* The translator's cache begins anew: what was about to be used again is no more. */
static void fork_child(struct code *code)
{
    for (struct limbo *l = code->limbo; l; l = l->next)
        l->evicted = -1;
    translator_fork_child(code->translator);
}

void code_fork_done(struct code *code, bool child)
{
    for (struct hart *h = code->harts; h && child; h = h->code_next) {
        atomic_store_explicit(&h->epoch, 0, memory_order_relaxed);
        if (h->jit_epoch)
            h->jit_epoch = UINT64_MAX;
    }
    if (code->translator)
        compile_fork_done(translator_compile(code->translator), child);
    if (child && code->translator)
        fork_child(code);
    pthread_mutex_unlock(&code->lock);
}

struct engine_stats code_engine_stats(struct code *code)
{
    struct engine_stats stats = {0};
    pthread_mutex_lock(&code->lock);
    if (code->translator)
        stats = translator_stats(code->translator);
    pthread_mutex_unlock(&code->lock);
    return stats;
}

struct code_stats code_stats(struct code *code)
{
    pthread_mutex_lock(&code->lock);
    struct code_stats stats = code->stats;
    stats.watched = code->watch.watched;
    stats.write_faults = code->watch.faults;
    pthread_mutex_unlock(&code->lock);
    return stats;
}
