#include "cpu/riscv/code_internal.h"

#include "base/error.h"
#include "base/util.h"
#include "host/barrier.h"
#include "host/copy.h"
#include "host/segment.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Beyond this, everything is dropped and built anew: the working set of the largest programs is a fraction of it. */
#define DEFAULT_MAX_BYTES ((size_t)96 << 20)

#define PAGE_SHIFT        12
#define PAGE_BYTES        (UINT64_C(1) << PAGE_SHIFT)

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
        enum { QUICK = 3 };                            /* often enough for both ways out of most branches */
        code->engine.threshold = code->engine.hot = 0; /* unit by unit, each way round */
        code->engine.quick = MIN(code->engine.quick, (unsigned)QUICK);
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

void code_reclaim(struct code *code)
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
    for (unsigned i = 0; i < 2 * CODE_PAGE_HASH_COUNT; i++) {
        struct unit **list = &code->pages[i / CODE_PAGE_HASH_COUNT][i % CODE_PAGE_HASH_COUNT];
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
    code_reclaim(code);
}

/* Room for `size` bytes; NULL when memory is short. */
static struct unit *allocate(struct code *code, size_t size)
{
    size = ALIGN_UP(size, sizeof(union cell));
    struct unit_chunk *c = code->chunks;
    if (!c || !unit_chunk_has_room(c, size)) {
        code_reclaim(code);
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
    return &code->pages[changeable][page % CODE_PAGE_HASH_COUNT];
}

const void *code_host_address(const struct code *code, uint64_t pc)
{
    return code->ops->host ? code->ops->host(code->context, pc) : (const void *)(code->mem_base + pc);
}

uint64_t code_executable_end(struct code *code, uint64_t pc, size_t size, bool *changeable)
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

size_t code_fetch(struct code *code, uint64_t pc, uint8_t *source, size_t size, bool *changeable)
{
    size = (size_t)MIN(code_executable_end(code, pc, size, changeable) - pc, size);
    return size ? size - host_copy(source, code_host_address(code, pc), size) : 0;
}

/* Predecodes the code at `pc` from bytes whose change will be heard of; `source` gets them. */
static bool draw(struct code *code, uint64_t pc, uint8_t source[UNIT_BYTES], bool *changeable)
{
    struct draft *d = &code->draft;
    size_t size;
    watch_refresh(&code->watch, pc);
    do {
        size = code_fetch(code, pc, source, UNIT_BYTES, changeable);
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

struct unit *code_find_or_build(struct code *code, uint64_t pc)
{
    struct unit *u = unit_table_find(code->table, pc);
    return u ? u : build(code, pc);
}

const union cell *code_find(struct code *code, uint64_t pc)
{
    struct unit *u = unit_table_find(atomic_load_explicit(&code->table, memory_order_acquire), pc);
    if (unlikely(!u)) {
        pthread_mutex_lock(&code->lock);
        u = code_find_or_build(code, pc);
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
    size_t have = code_fetch(code, pc, source, sizeof(source), &changeable);
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

void code_isolate_unit(struct code *code, struct unit *u)
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

void code_recount(const struct code *code, struct unit *u)
{
    int32_t times = MAX((int32_t)code->engine.threshold, 16);
    __atomic_store_n(&u->cells[0].imm, times, __ATOMIC_RELAXED);
}

static bool changed(const struct code *code, const struct unit *u)
{
    uint8_t now[UNIT_BYTES];
    return host_copy(now, code_host_address(code, u->pc), u->bytes) != 0 ||
           memcmp(now, unit_source(u), u->bytes) != 0;
}

/* ---- Single steps ---- */

static const union cell *predecode_step(struct code *code, struct unit_chunk *c, uint64_t pc,
                                        struct rv_insn *insn)
{
    uint8_t source[sizeof(insn->word)] = {0};
    bool changeable;
    struct draft *d = &code->draft;
    size_t size = code_fetch(code, pc, source, sizeof(source), &changeable);
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
    if (*last - *first >= CODE_PAGE_HASH_COUNT) {
        *first = 0;
        *last = CODE_PAGE_HASH_COUNT - 1;
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
