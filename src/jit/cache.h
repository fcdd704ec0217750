/* The code cache: memory for translated code, the units in it and the links between them. Knows no guest.
 *
 *   memory: | shared code | chunk 0 | chunk 1 | ... |        a chunk: | cold -->      <-- hot |
 *
 * Chunks are filled one after the other. When they are used up, the oldest one's units die together (eviction by
 * generations); its memory is used again when the caller knows that nobody executes it any more. A unit that dies for
 * another reason stays in its chunk until then: harts may be inside.
 *
 *   chunk:  FREE --> FILLING --> FULL --jit_cache_evict()--> DYING --jit_cache_reuse()--> FREE
 *            └───> LENT ────┘
 *
 * One chunk can be lent to somebody who makes units there without the lock, and adds them later.
 *
 * Links are numbered chunk << 16 | index. A tied link is in the list of the unit that it leads to, so that the unit's
 * death finds it.
 *
 * Threads: the caller holds its lock around all of it, except where noted. Lifetime: jit_cache_new() ...
 * jit_cache_free(). */
#ifndef JIT_CACHE_H
#define JIT_CACHE_H

#include "jit/assemble.h"

#include <guise.h>

struct jit_cache;

struct jit_unit {
    uint64_t pc;
    const uint8_t *entry; /* exec address; constant as long as the unit's memory */
    struct jit_stop stop;
    struct jit_room room; /* where it was made, for jit_recover() */
    uint32_t cold_bytes, hot_bytes;
    uint32_t first_site, site_count;
    uint32_t incoming; /* list of the links tied to it; private to cache.c */
    bool dead;
};

struct jit_cache_ops {
    /* The unit is evicted: whoever looks for it must not find it any more. */
    void (*evicted)(void *context, struct jit_unit *unit);
};

/* `size` 0: the default. It is raised to what one unit needs. */
int jit_cache_new(struct jit_cache **out, size_t size, const struct jit_cache_ops *ops, void *context,
                  struct guise_error *err);
void jit_cache_free(struct jit_cache *cache);

/* In the child after fork(): the memory was not inherited. Units stay on record, and nothing may be done with them,
 * until jit_cache_map() releases them all and gets new memory. */
void jit_cache_fork_child(struct jit_cache *cache);
int jit_cache_map(struct jit_cache *cache, struct guise_error *err);

/* Without the lock: whoever finds it mapped sees all that was done before the mapping. */
bool jit_cache_is_mapped(const struct jit_cache *cache);

/* Room for the code that all units share, at `cold`. */
struct jit_room jit_cache_shared(const struct jit_cache *cache);

/* Room for a unit of JIT_UNIT_MAX bytes, and its first link's number. False: no chunk is free. */
bool jit_cache_room(struct jit_cache *cache, struct jit_room *room, unsigned *first_site);

/* A unit is about to be made: where it will be written comes into the processor's caches meanwhile. */
void jit_cache_expect(const struct jit_cache *cache);

/* The same in the chunk that is lent. Until its next call what is in this chunk behind the room is the caller's: it
 * may make a unit there, another one in what that has left, with the links' numbers that follow, and so on while
 * jit_cache_has_room(). All that were made before are added or forgotten. False: too few chunks are there or free. */
bool jit_cache_lend(struct jit_cache *cache, struct jit_room *room, unsigned *first_site);

/* Without the lock: is this room, whose unit's links begin with `first_site`, enough for a unit? */
bool jit_cache_has_room(const struct jit_room *room, unsigned first_site);

/* Memory for the record of a unit in the room, aligned as a pointer; NULL when memory is short. It goes when nobody
 * is inside the units of the room's chunk any more, all of it at once. */
void *jit_cache_record(struct jit_cache *cache, const struct jit_room *room, size_t size);

/* The code that was made in the room becomes a unit, whose record holds *unit. False when memory is short, or when
 * the room does not begin where the unit added before has ended. */
bool jit_cache_add(struct jit_cache *cache, struct jit_unit *unit, const struct jit_room *room,
                   const struct jit_result *made, uint64_t pc);

/* Harts inside go on until its next way out, or until they fault where it can be stopped; nobody enters it again. */
void jit_cache_kill(struct jit_cache *cache, struct jit_unit *unit);

/* Is the time come to evict: is the chunk that is being filled the last one? Not where there is no memory. */
bool jit_cache_is_low(const struct jit_cache *cache);

/* Kills what is in the oldest chunk; its number, or -1 when there is nothing to evict. */
int jit_cache_evict(struct jit_cache *cache);
void jit_cache_reuse(struct jit_cache *cache, int chunk);

/* The pc that a link leads to. Without the lock, by a hart that has just come through it. */
uint64_t jit_cache_link_pc(const struct jit_cache *cache, uint64_t number);

void jit_cache_tie(struct jit_cache *cache, uint64_t number, struct jit_unit *unit);

/* All links that are tied to the one are tied to the other, which is not dead. */
void jit_cache_move(struct jit_cache *cache, struct jit_unit *from, struct jit_unit *to);

/* Without the lock, async-signal-safe: is it an address of execution of ours? */
bool jit_cache_holds(const struct jit_cache *cache, const void *exec);

/* The unit, dead or alive, whose code is at the address; NULL when it is shared code or nothing. With the lock; or without,
 * async-signal-safe, by a hart that is at the address. */
struct jit_unit *jit_cache_locate(const struct jit_cache *cache, const void *exec);

struct jit_cache_stats {
    uint64_t units, bytes;                /* made */
    uint64_t killed, released, evictions; /* units, units, chunks */
    uint64_t links, tied;
};
struct jit_cache_stats jit_cache_stats(const struct jit_cache *cache);

#endif
