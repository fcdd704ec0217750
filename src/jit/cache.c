#include "jit/cache.h"

#include "base/error.h"
#include "base/util.h"
#include "host/code_memory.h"
#include "host/sanitize.h"

#include <stdlib.h>
#include <sys/resource.h>

#define PAGE          ((size_t)4096)
#define SHARED_BYTES  ((size_t)16 << 10)
#define CHUNK_BYTES   ((size_t)1 << 20)
#define CHUNK_LEAST   ((size_t)2 * JIT_UNIT_MAX)
#define DEFAULT_BYTES ((size_t)64 << 20)

/* Where addresses are limited, they are the guest's first. */
#define LIMITED_BYTES ((size_t)8 << 20)

/* Links of a chunk are allocated in blocks that never move: harts read them without the lock. */
#define BLOCK_LINKS  256u
#define CHUNK_BLOCKS 256u
#define CHUNK_LINKS  (BLOCK_LINKS * CHUNK_BLOCKS)
#define CHUNK_SHIFT  16
#define NO_LINK      UINT32_MAX
#define CHUNK_UNITS  (CHUNK_BYTES / 64)

/* With fewer chunks none is lent: the others would be too few. */
#define CHUNKS_TO_LEND 8u

struct link {
    uint64_t pc;
    uint32_t field, stub;    /* offsets in the memory */
    struct jit_unit *target; /* NULL: not tied */
    uint32_t next, previous; /* in the target's list */
};

enum chunk_state { CHUNK_FREE, CHUNK_FILLING, CHUNK_LENT, CHUNK_FULL, CHUNK_DYING };

/* Records of a chunk's units are cut from blocks: no header each, and all gone at once. */
#define BLOCK_RECORDS ((size_t)64 << 10)

struct records {
    struct records *next;
    char memory[BLOCK_RECORDS - sizeof(struct records *)];
};

struct chunk {
    enum chunk_state state;
    uint64_t age; /* of chunks in use: the smaller, the older */
    uint8_t *cold, *hot;
    struct jit_unit **
        units; /* in the order in which they were made: hot code descends, cold code ascends; for CHUNK_UNITS */
    unsigned unit_count; /* grows while handlers read it (jit_cache_locate) */
    unsigned link_count;
    struct link *blocks[CHUNK_BLOCKS];
    struct records *records; /* the first is being filled */
    size_t records_left;     /* bytes, at its end */
};

struct jit_cache {
    struct host_code_memory memory;
    const struct jit_cache_ops *ops;
    void *context;
    size_t chunk_bytes;
    unsigned chunk_count;
    unsigned used;     /* chunks from here on have never been filled: their memory is not touched */
    int filling, lent; /* chunks, or -1 */
    uint64_t next_age;
    struct jit_cache_stats stats;
    struct chunk chunks[];
};

/* ---- Places ---- */

static ptrdiff_t to_exec(const struct jit_cache *cache)
{
    return cache->memory.exec - cache->memory.write;
}

static uint8_t *chunk_start(const struct jit_cache *cache, const struct chunk *chunk)
{
    return cache->memory.write + SHARED_BYTES + (size_t)(chunk - cache->chunks) * cache->chunk_bytes;
}

HOST_NO_TSAN static struct link *link_at(const struct jit_cache *cache, uint64_t number)
{
    const struct chunk *chunk = &cache->chunks[number >> CHUNK_SHIFT];
    unsigned index = number & (CHUNK_LINKS - 1);
    return &chunk->blocks[index / BLOCK_LINKS][index % BLOCK_LINKS];
}

static uint32_t first_number(const struct jit_cache *cache, const struct chunk *chunk)
{
    return (uint32_t)(chunk - cache->chunks) << CHUNK_SHIFT;
}

/* ---- Links ---- */

/* Makes the link lead to the target or, without one, back to its stub. */
static void aim(const struct jit_cache *cache, const struct link *link)
{
    const uint8_t *to = link->target ? link->target->entry : cache->memory.exec + link->stub;
    jit_patch(cache->memory.write + link->field, to_exec(cache), to);
}

static void list_insert(const struct jit_cache *cache, uint32_t number, struct link *link)
{
    uint32_t *head = &link->target->incoming;
    link->previous = NO_LINK;
    link->next = *head;
    if (*head != NO_LINK)
        link_at(cache, *head)->previous = number;
    *head = number;
}

static void list_remove(const struct jit_cache *cache, struct link *link)
{
    if (link->next != NO_LINK)
        link_at(cache, link->next)->previous = link->previous;
    if (link->previous != NO_LINK)
        link_at(cache, link->previous)->next = link->next;
    else
        link->target->incoming = link->next;
    link->target = NULL;
}

/* Whoever executes the code that names the link sees what was written before that code. */
HOST_NO_TSAN uint64_t jit_cache_link_pc(const struct jit_cache *cache, uint64_t number)
{
    return link_at(cache, number)->pc;
}

void jit_cache_tie(struct jit_cache *cache, uint64_t number, struct jit_unit *unit)
{
    struct link *link = link_at(cache, number);
    if (unit->dead || link->target == unit)
        return;
    if (link->target)
        list_remove(cache, link);
    link->target = unit;
    list_insert(cache, (uint32_t)number, link);
    aim(cache, link);
    cache->stats.tied++;
}

void jit_cache_move(struct jit_cache *cache, struct jit_unit *from, struct jit_unit *to)
{
    while (from->incoming != NO_LINK)
        jit_cache_tie(cache, from->incoming, to);
}

/* Blocks for `count` more links. */
static bool links_grow(struct chunk *chunk, unsigned count)
{
    unsigned needed = (chunk->link_count + count + BLOCK_LINKS - 1) / BLOCK_LINKS;
    for (unsigned i = chunk->link_count / BLOCK_LINKS; i < needed; i++) {
        if (!chunk->blocks[i])
            chunk->blocks[i] = malloc(BLOCK_LINKS * sizeof(struct link));
        if (!chunk->blocks[i])
            return false;
    }
    return true;
}

static void links_add(struct jit_cache *cache, struct chunk *chunk, const struct jit_site *sites,
                      unsigned count)
{
    uint32_t first = first_number(cache, chunk) + chunk->link_count;
    for (unsigned i = 0; i < count; i++)
        *link_at(cache, first + i) = (struct link){
            .pc = sites[i].pc,
            .field = (uint32_t)(sites[i].field - cache->memory.exec),
            .stub = (uint32_t)(sites[i].stub - cache->memory.exec),
        };
    chunk->link_count += count;
    cache->stats.links += count;
}

/* ---- Chunks ---- */

static void chunk_take(struct jit_cache *cache, struct chunk *chunk, enum chunk_state state)
{
    chunk->state = state;
    chunk->age = cache->next_age++;
    chunk->cold = chunk_start(cache, chunk);
    chunk->hot = chunk->cold + cache->chunk_bytes;
}

static struct chunk *chunk_of(struct jit_cache *cache, const struct jit_room *room)
{
    size_t offset = (size_t)(room->cold - cache->memory.write) - SHARED_BYTES;
    return &cache->chunks[offset / cache->chunk_bytes];
}

/* Forgets what was in the chunk. Nobody executes it any more. */
static void chunk_clear(struct jit_cache *cache, struct chunk *chunk)
{
    while (chunk->records) {
        struct records *r = chunk->records;
        chunk->records = r->next;
        free(r);
    }
    chunk->records_left = 0;
    cache->stats.released += chunk->unit_count;
    chunk->unit_count = chunk->link_count = 0;
    chunk->state = CHUNK_FREE;
}

static struct jit_room chunk_room(const struct jit_cache *cache, const struct chunk *chunk)
{
    return (struct jit_room){chunk->cold, chunk->hot, to_exec(cache)};
}

bool jit_cache_has_room(const struct jit_room *room, unsigned first_site)
{
    return room->hot - room->cold >= (ptrdiff_t)JIT_UNIT_MAX &&
           first_site % CHUNK_LINKS + 2 * IR_MAX_EXITS < CHUNK_LINKS;
}

static bool chunk_has_room(const struct jit_cache *cache, const struct chunk *chunk)
{
    struct jit_room room = chunk_room(cache, chunk);
    return jit_cache_has_room(&room, chunk->link_count) && chunk->unit_count < CHUNK_UNITS;
}

static struct chunk *find_free(struct jit_cache *cache)
{
    for (unsigned i = 0; i < cache->used; i++)
        if (cache->chunks[i].state == CHUNK_FREE)
            return &cache->chunks[i];
    return cache->used < cache->chunk_count ? &cache->chunks[cache->used++] : NULL;
}

/* Room in the chunk whose number is *current, or in another one, which becomes current. */
static bool find_room(struct jit_cache *cache, int *current, enum chunk_state state, struct jit_room *room,
                      unsigned *first_site)
{
    struct chunk *chunk = *current < 0 ? NULL : &cache->chunks[*current];
    if (chunk && !chunk_has_room(cache, chunk)) {
        chunk->state = CHUNK_FULL;
        *current = -1;
        chunk = NULL;
    }
    if (!chunk) {
        chunk = find_free(cache);
        if (!chunk)
            return false;
        chunk_take(cache, chunk, state);
        *current = (int)(chunk - cache->chunks);
    }
    *room = chunk_room(cache, chunk);
    *first_site = first_number(cache, chunk) + chunk->link_count;
    return true;
}

bool jit_cache_room(struct jit_cache *cache, struct jit_room *room, unsigned *first_site)
{
    return find_room(cache, &cache->filling, CHUNK_FILLING, room, first_site);
}

enum { LINE = 64 };

static void expect(const void *from, unsigned lines)
{
    for (unsigned i = 0; i < lines; i++)
        __builtin_prefetch((const char *)from + i * LINE, 1);
}

/* As much as most units take. */
void jit_cache_expect(const struct jit_cache *cache)
{
    enum { HOT = 4, COLD = 2, RECORD = 4, LINKS = 2 };
    if (cache->filling < 0)
        return;
    const struct chunk *chunk = &cache->chunks[cache->filling];
    expect(chunk->hot - HOT * LINE, HOT);
    expect(chunk->cold, COLD);
    if (chunk->records_left)
        expect((const char *)(chunk->records + 1) - chunk->records_left, RECORD);
    if (chunk->link_count % BLOCK_LINKS)
        expect(link_at(cache, first_number(cache, chunk) + chunk->link_count), LINKS);
}

bool jit_cache_lend(struct jit_cache *cache, struct jit_room *room, unsigned *first_site)
{
    return cache->chunk_count >= CHUNKS_TO_LEND &&
           find_room(cache, &cache->lent, CHUNK_LENT, room, first_site);
}

bool jit_cache_is_low(const struct jit_cache *cache)
{
    if (!jit_cache_is_mapped(cache) || cache->used < cache->chunk_count)
        return false; /* all or some of it will be new */
    for (unsigned i = 0; i < cache->chunk_count; i++)
        if (cache->chunks[i].state == CHUNK_FREE || cache->chunks[i].state == CHUNK_DYING)
            return false;
    return true;
}

/* The oldest full chunk; the one being filled only where there is no other. */
static struct chunk *find_victim(struct jit_cache *cache)
{
    struct chunk *victim = NULL;
    for (unsigned i = 0; i < cache->chunk_count; i++) {
        struct chunk *c = &cache->chunks[i];
        if (c->state == CHUNK_FULL && (!victim || c->age < victim->age))
            victim = c;
    }
    return victim;
}

int jit_cache_evict(struct jit_cache *cache)
{
    struct chunk *chunk = find_victim(cache);
    if (!chunk)
        return -1;
    for (unsigned i = 0; i < chunk->unit_count; i++) {
        struct jit_unit *unit = chunk->units[i];
        if (unit->dead)
            continue;
        cache->ops->evicted(cache->context, unit);
        jit_cache_kill(cache, unit);
    }
    chunk->state = CHUNK_DYING;
    cache->stats.evictions++;
    return (int)(chunk - cache->chunks);
}

void jit_cache_reuse(struct jit_cache *cache, int number)
{
    struct chunk *chunk = &cache->chunks[number];
    for (unsigned i = 0; i < chunk->link_count; i++) {
        struct link *link = link_at(cache, first_number(cache, chunk) + i);
        if (link->target)
            list_remove(cache, link);
    }
    chunk_clear(cache, chunk);
}

/* ---- Units ---- */

/* Room for all at once, for it never moves; pages are there when they are used. */
static bool units_there(struct chunk *chunk)
{
    if (!chunk->units)
        chunk->units = malloc(CHUNK_UNITS * sizeof(*chunk->units));
    return chunk->units;
}

void *jit_cache_record(struct jit_cache *cache, const struct jit_room *room, size_t size)
{
    struct chunk *chunk = chunk_of(cache, room);
    size = ALIGN_UP(size, sizeof(void *));
    if (size > chunk->records_left) {
        struct records *r = malloc(sizeof(*r));
        if (!r || size > sizeof(r->memory)) {
            free(r);
            return NULL;
        }
        r->next = chunk->records;
        chunk->records = r;
        chunk->records_left = sizeof(r->memory);
    }
    void *record = chunk->records->memory + sizeof(chunk->records->memory) - chunk->records_left;
    chunk->records_left -= size;
    return record;
}

bool jit_cache_add(struct jit_cache *cache, struct jit_unit *unit, const struct jit_room *room,
                   const struct jit_result *made, uint64_t pc)
{
    struct chunk *chunk = chunk_of(cache, room);
    if (room->cold != chunk->cold || room->hot != chunk->hot || !units_there(chunk) ||
        !links_grow(chunk, made->site_count))
        return false;
    *unit = (struct jit_unit){
        .pc = pc,
        .entry = made->entry,
        .stop = made->stop,
        .room = *room,
        .cold_bytes = (uint32_t)(made->room.cold - room->cold),
        .hot_bytes = (uint32_t)(room->hot - made->room.hot),
        .first_site = first_number(cache, chunk) + chunk->link_count,
        .site_count = made->site_count,
        .incoming = NO_LINK,
    };
    links_add(cache, chunk, made->sites, made->site_count);
    chunk->cold = made->room.cold;
    chunk->hot = made->room.hot;
    chunk->units[chunk->unit_count] = unit;
    __atomic_store_n(&chunk->unit_count, chunk->unit_count + 1, __ATOMIC_RELEASE);
    cache->stats.units++;
    cache->stats.bytes += unit->cold_bytes + unit->hot_bytes;
    return true;
}

void jit_cache_kill(struct jit_cache *cache, struct jit_unit *unit)
{
    unit->dead = true;
    jit_bury((uint8_t *)unit->entry - to_exec(cache));
    if (unit->stop.at) /* who goes round in it comes to no link */
        jit_bury((uint8_t *)unit->stop.at - to_exec(cache));
    while (unit->incoming != NO_LINK) {
        struct link *link = link_at(cache, unit->incoming);
        list_remove(cache, link);
        aim(cache, link);
    }
    cache->stats.killed++;
}

HOST_NO_TSAN bool jit_cache_holds(const struct jit_cache *cache, const void *exec)
{
    return (size_t)((const uint8_t *)exec - cache->memory.exec) < cache->memory.size;
}

HOST_NO_TSAN static bool is_inside(const struct jit_unit *unit, const uint8_t *write)
{
    return (size_t)(write - unit->room.cold) < unit->cold_bytes ||
           (size_t)(write - (unit->room.hot - unit->hot_bytes)) < unit->hot_bytes;
}

/* Was the unit made after the one whose code is at the address? Hot and cold code never meet in a chunk. */
HOST_NO_TSAN static bool is_later(const struct jit_unit *unit, const uint8_t *write, bool cold)
{
    return cold ? unit->room.cold > write : unit->room.hot <= write;
}

HOST_NO_TSAN struct jit_unit *jit_cache_locate(const struct jit_cache *cache, const void *exec)
{
    size_t offset = (size_t)((const uint8_t *)exec - cache->memory.exec);
    if (offset < SHARED_BYTES || offset >= cache->memory.size)
        return NULL;
    const uint8_t *write = cache->memory.write + offset;
    const struct chunk *chunk = &cache->chunks[(offset - SHARED_BYTES) / cache->chunk_bytes];
    unsigned low = 0, high = __atomic_load_n(&chunk->unit_count, __ATOMIC_ACQUIRE);
    if (!high)
        return NULL;
    bool cold = write < __atomic_load_n(&chunk->cold, __ATOMIC_RELAXED);
    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;
        if (is_later(chunk->units[middle], write, cold))
            high = middle;
        else
            low = middle;
    }
    return is_inside(chunk->units[low], write) ? chunk->units[low] : NULL;
}

/* ---- Life ---- */

static size_t default_size(void)
{
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return limited ? LIMITED_BYTES : DEFAULT_BYTES;
}

/* A small cache still has several chunks when it can: then not all of it dies at once. */
static size_t chunk_size(size_t size)
{
    size_t chunk = ALIGN_DOWN(MIN(CHUNK_BYTES, size / 4), PAGE);
    return MAX(chunk, CHUNK_LEAST);
}

int jit_cache_new(struct jit_cache **out, size_t size, const struct jit_cache_ops *ops, void *context,
                  struct guise_error *err)
{
    if (!size)
        size = default_size();
    size_t chunk_bytes = chunk_size(size), count = MAX(size / chunk_bytes, (size_t)1);
    struct jit_cache *cache = calloc(1, sizeof(*cache) + count * sizeof(cache->chunks[0]));
    if (!cache)
        return error_set(err, GUISE_E_NOMEM, "no memory for the table of translated code");
    cache->ops = ops;
    cache->context = context;
    cache->chunk_bytes = chunk_bytes;
    cache->chunk_count = (unsigned)count;
    cache->filling = cache->lent = -1;
    int r = jit_cache_map(cache, err);
    if (r)
        free(cache);
    else
        *out = cache;
    return r;
}

static void clear_all(struct jit_cache *cache)
{
    for (unsigned i = 0; i < cache->used; i++)
        chunk_clear(cache, &cache->chunks[i]);
    cache->filling = cache->lent = -1;
}

int jit_cache_map(struct jit_cache *cache, struct guise_error *err)
{
    clear_all(cache);
    return host_code_memory_map(&cache->memory, SHARED_BYTES + cache->chunk_count * cache->chunk_bytes, err);
}

bool jit_cache_is_mapped(const struct jit_cache *cache)
{
    return __atomic_load_n(&cache->memory.write, __ATOMIC_ACQUIRE);
}

void jit_cache_fork_child(struct jit_cache *cache)
{
    host_code_memory_forget(&cache->memory);
}

void jit_cache_free(struct jit_cache *cache)
{
    if (!cache)
        return;
    clear_all(cache);
    for (unsigned i = 0; i < cache->used; i++) {
        for (unsigned j = 0; j < CHUNK_BLOCKS; j++)
            free(cache->chunks[i].blocks[j]);
        free(cache->chunks[i].units);
    }
    host_code_memory_unmap(&cache->memory);
    free(cache);
}

struct jit_room jit_cache_shared(const struct jit_cache *cache)
{
    return (struct jit_room){cache->memory.write, cache->memory.write + SHARED_BYTES, to_exec(cache)};
}

struct jit_cache_stats jit_cache_stats(const struct jit_cache *cache)
{
    return cache->stats;
}
